#include "harness/judge/guest.h"

#include <gmock/gmock.h>

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using Report = GuestOutcome::Report;

Case device_case() {
  Case c;
  c.id = "uart.reset";
  c.expected = Layer::kDevice;
  c.guest = GuestBody{.image = "uart_registers", .clause = "uart.reset", .fault = "uart.lsr.x"};
  return c;
}

GuestOutcome conforms() {
  GuestOutcome o;
  o.reports = {{Report::Kind::held, false, "uart.reset, line 3"}};
  o.ended = true;
  o.end = "exit port: 0";
  o.accesses = 20;
  o.device_accesses = 4;
  o.exits = 20;
  return o;
}

GuestOutcome deviates() {
  GuestOutcome o = conforms();
  o.reports = {{Report::Kind::failed, false, "uart.reset, line 3: seen 0"}};
  return o;
}

TEST(JudgeGuest, HeldWhenTheWrongMachineIsCaughtAndTheRightOneIsNot) {
  const auto j = judge_guest(device_case(), deviates(), conforms());
  EXPECT_EQ(j.verdict, Verdict::held) << j.reason << j.detail;
  EXPECT_EQ(j.decided_by, "device");
  const auto r = make_guest_record(device_case(), deviates(), conforms(), j);
  EXPECT_TRUE(r.control->achieved);
  EXPECT_TRUE(r.liveness->achieved);
  EXPECT_EQ(r.witnesses.size(), 2U);
}

TEST(JudgeGuest, OneFailedReportAmongManyIsBreached) {
  GuestOutcome o = conforms();
  o.reports.push_back({Report::Kind::failed, false, "line 9"});
  o.reports.push_back({Report::Kind::held, false, "line 10"});
  const auto j = judge_guest(device_case(), deviates(), o);
  EXPECT_EQ(j.verdict, Verdict::breached);
  EXPECT_EQ(j.reason, "deviates");
  EXPECT_EQ(j.detail, "line 9");
  // ... also when the guest then hangs, or the harness fails.
  o.ended = false;
  o.error = "KVM_RUN";
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).verdict, Verdict::breached);
}

TEST(JudgeGuest, AControlThatIsNotCaughtProvesNothing) {
  const auto j = judge_guest(device_case(), conforms(), conforms());
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "control_failed");
  GuestOutcome silent;
  silent.end = "shutdown";
  EXPECT_EQ(judge_guest(device_case(), silent, conforms()).reason, "control_failed");
  GuestOutcome broken = deviates();
  broken.error = "KVM_CREATE_VM: EMFILE";
  EXPECT_THAT(judge_guest(device_case(), broken, conforms()).detail, HasSubstr("EMFILE"));
}

TEST(JudgeGuest, AGuestThatDoesNotEndOrSaysNothingProvesNothing) {
  GuestOutcome o = conforms();
  o.ended = false;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "liveness_failed");
  o = conforms();
  o.reports.clear();
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "no_attempt");
}

TEST(JudgeGuest, ReportsThatTheMachineDidNotSeeProveNothing) {
  GuestOutcome o = conforms();
  o.device_accesses = 0;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "no_witness");
  o = conforms();
  o.accesses = 0;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "no_witness");
  // What the machine saw itself needs no other witness.
  o.reports[0].by_host = true;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).verdict, Verdict::held);
  o.kernel_exits = 19;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "witnesses_disagree");
  o.kernel_exits = 20;
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).verdict, Verdict::held);
}

// An exit more or less by KVM's tracepoint than by the event loop: one of them is wrong.
TEST(JudgeGuest, TracedExitsHaveToBeThoseOfTheEventLoop) {
  GuestOutcome o = conforms();
  o.returns = {12, 10};
  o.traced = GuestOutcome::Returns{12, 10};
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).verdict, Verdict::held);
  const CaseRecord r =
      make_guest_record(device_case(), deviates(), o, judge_guest(device_case(), deviates(), o));
  EXPECT_EQ(r.witnesses.back().name, "ebpf");
  for (const auto& other : {GuestOutcome::Returns{13, 10}, {11, 10}, {12, 9}}) {
    o.traced = other;
    const Judgement j = judge_guest(device_case(), deviates(), o);
    EXPECT_EQ(j.verdict, Verdict::unproven);
    EXPECT_EQ(j.reason, "witnesses_disagree");
  }
}

TEST(JudgeGuest, WhatTheMachineCannotDoIsSkipped) {
  GuestOutcome o;
  o.lack = "emulator-lacks:iret32";
  o.end = "INTERNAL_ERROR";
  const auto j = judge_guest(device_case(), deviates(), o);
  EXPECT_EQ(j.verdict, Verdict::skipped);
  EXPECT_EQ(j.reason, "emulator-lacks:iret32");
  o = conforms();
  o.reports = {{Report::Kind::not_judged, false, "tsc_unknown"}};
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).reason, "host-lacks:tsc_unknown");
  // A guest that judged something else of the clause is not skipped.
  o.reports.push_back({Report::Kind::held, false, "line 3"});
  EXPECT_EQ(judge_guest(device_case(), deviates(), o).verdict, Verdict::held);
}

TEST(JudgeGuest, AMachineThatCannotBeMadeWrongIsSkippedAndOneThatCanIsNot) {
  GuestOutcome control = conforms();
  control.lack = "emulator-lacks:irq_window";
  EXPECT_EQ(judge_guest(device_case(), control, conforms()).reason, "emulator-lacks:irq_window");
  control = deviates();
  control.lack = "emulator-lacks:irq_window";
  EXPECT_EQ(judge_guest(device_case(), control, conforms()).verdict, Verdict::held);
  // What was seen to deviate is never skipped for the control's sake.
  control = conforms();
  control.lack = "emulator-lacks:irq_window";
  EXPECT_EQ(judge_guest(device_case(), control, deviates()).verdict, Verdict::breached);
}

TEST(JudgeGuest, AHarnessThatFailsIsBroken) {
  GuestOutcome o;
  o.error = "KVM_CREATE_VM: ENOMEM";
  o.error_word = "vmm_failed";
  const auto j = judge_guest(device_case(), deviates(), o);
  EXPECT_EQ(j.verdict, Verdict::broken);
  EXPECT_EQ(j.reason, "vmm_failed");
}

}  // namespace
}  // namespace ringfence

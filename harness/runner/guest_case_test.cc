#include "harness/runner/guest_case.h"

#include <gmock/gmock.h>
#include <linux/kvm.h>

#include <future>

#include "harness/base/facts.h"
#include "harness/vmm/scenario.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;

class GuestCase : public ::testing::Test {
 protected:
  void SetUp() override {
    const Facts facts = Facts::probe();
    if (!facts.satisfied("kvm")) GTEST_SKIP() << facts.why_not("kvm");
  }

  // OUT of one byte: the guest writes 0x11, and what RBX says instead of it.
  static Case out1() {
    Case c;
    c.id = "exit.out1";
    c.expected = Layer::kKernel;
    c.guest = GuestBody{.image = "exit_ports",
                        .clause = "exit.out1",
                        .fault = {},
                        .control = {"rbx=1"},
                        .confined = {},
                        .scenario = "out1",
                        .emulators = {}};
    return c;
  }
  static Case device(const std::string& fault) {
    Case c;
    c.id = "uart.readback";
    c.expected = Layer::kDevice;
    c.guest = GuestBody{.image = "uart_registers",
                        .clause = "uart.readback",
                        .fault = fault,
                        .control = {},
                        .confined = {},
                        .scenario = {},
                        .emulators = {}};
    return c;
  }
  static CaseRecord judged(const Case& c) {
    RunContext context;
    context.timeout = std::chrono::milliseconds(3000);
    return run_guest_case(c, context);
  }
};

// The event loop's count and the kernel's are the same, exit by exit, of this thread's vCPUs alone.
TEST_F(GuestCase, ExitsByKvmsTracepointAreThoseOfTheEventLoop) {
  const Facts facts = Facts::probe();
  if (!facts.satisfied("bpf")) GTEST_SKIP() << facts.why_not("bpf");
  const auto exits = KvmExits::attach();
  ASSERT_TRUE(exits) << exits.error().describe();
  const auto run = [&] { return run_guest(out1(), "confined", std::chrono::seconds(3), &*exits); };
  auto beside = std::async(std::launch::async, run);
  const GuestOutcome here = run();
  const GuestOutcome there = beside.get();
  for (const GuestOutcome* o : {&here, &there}) {
    ASSERT_TRUE(o->error.empty()) << o->error;
    ASSERT_TRUE(o->traced);
    EXPECT_GT(o->traced->ports, 10U);
    EXPECT_EQ(o->traced->all, o->returns.all);
    EXPECT_EQ(o->traced->ports, o->returns.ports);
  }
  // It counts what the thread's vCPUs do, whoever runs them.
  const auto count = exits->begin();
  ASSERT_TRUE(count) << count.error().describe();
  ASSERT_TRUE(run_guest(out1(), "confined", std::chrono::seconds(3)).error.empty());
  const auto more = count->so_far();
  ASSERT_TRUE(more) << more.error().describe();
  EXPECT_EQ(all_returns(*more), here.returns.all);
  // An exit of a string instruction is several accesses.
  EXPECT_GE(more->port_writes + more->port_reads, more->returns[KVM_EXIT_IO]);
}

TEST_F(GuestCase, HeldWithBothTrialsAndBothWitnesses) {
  const CaseRecord r = judged(out1());
  EXPECT_EQ(r.verdict, Verdict::held) << r.reason << " " << r.detail;
  EXPECT_EQ(r.decided_by, "kernel");
  ASSERT_TRUE(r.control && r.liveness);
  EXPECT_TRUE(r.control->achieved);
  EXPECT_THAT(r.control->says, HasSubstr("0x5001/1=0x10"));
  EXPECT_TRUE(r.liveness->achieved);
  EXPECT_THAT(r.witnesses, Contains(Field(&WitnessRecord::name, "transcript")));
  EXPECT_THAT(r.witnesses, Contains(Field(&WitnessRecord::name, "kvm")));
}

TEST_F(GuestCase, AMachineThatDeviatesIsBreached) {
  Case c = out1();
  c.guest->confined = {"rbx=1"};
  const CaseRecord r = judged(c);
  EXPECT_EQ(r.verdict, Verdict::breached);
  EXPECT_EQ(r.reason, "deviates");
  EXPECT_THAT(r.detail, HasSubstr("expected 0x5001/1=0x11"));
}

TEST_F(GuestCase, AControlThatChangesNothingProvesNothing) {
  Case c = out1();
  c.guest->control = {};
  EXPECT_EQ(judged(c).reason, "control_failed");
}

TEST_F(GuestCase, ADeviceIsCaughtByItsFaultAndExplained) {
  const CaseRecord r = judged(device("uart.scr.write_ignored"));
  EXPECT_EQ(r.verdict, Verdict::held) << r.reason << " " << r.detail;
  EXPECT_EQ(r.decided_by, "device");
  EXPECT_THAT(r.detail, HasSubstr("guests/uart_registers.asm:"));
  EXPECT_THAT(r.evidence, Contains(Field(&EvidenceLine::source, "transcript")));
  EXPECT_THAT(r.control->says, HasSubstr("expected"));
}

TEST_F(GuestCase, AFaultThatTheClauseDoesNotSeeProvesNothing) {
  const CaseRecord r = judged(device("uart.lsr.oe.kept"));
  EXPECT_EQ(r.verdict, Verdict::unproven);
  EXPECT_EQ(r.reason, "control_failed");
}

TEST_F(GuestCase, WhatDoesNotExistIsBrokenAndNamed) {
  Case c = out1();
  c.guest->image = "no_such_guest";
  EXPECT_EQ(judged(c).verdict, Verdict::broken);
  EXPECT_THAT(judged(c).detail, HasSubstr("no_such_guest"));
  c = out1();
  c.guest->scenario = "no_such";
  EXPECT_THAT(judged(c).detail, HasSubstr("no_such"));
  c = out1();
  c.guest->confined = {"rbx=often"};
  EXPECT_THAT(judged(c).detail, HasSubstr("rbx=often"));
  c = device("uart.no.such.fault");
  EXPECT_EQ(judged(c).reason, "control_failed");
  EXPECT_THAT(judged(c).detail, HasSubstr("uart.no.such.fault"));
}

// The words of an emulator count on that emulator alone, and never for what conforms.
TEST_F(GuestCase, AnEmulatorsWordExplainsOnlyWhatDoesNotConform) {
  const std::string here(vmm::emulator());
  Case c = out1();
  c.guest->emulators = {"kvm:word", "tcg:word"};
  EXPECT_EQ(judged(c).verdict, Verdict::held);
  c.guest->confined = {"rbx=1"};
  EXPECT_EQ(judged(c).reason, here.empty() ? "deviates" : "emulator-lacks:word");
  c.guest->emulators = {"other:word"};
  EXPECT_EQ(judged(c).reason, "deviates");
  c = out1();
  c.guest->emulators = {"kvm!:unsafe", "tcg!:unsafe"};
  const CaseRecord r = judged(c);
  EXPECT_EQ(r.reason, here.empty() ? "" : "emulator-lacks:unsafe");
}

// Ends, but not as it has to: a halt in the place of the exit port.
TEST_F(GuestCase, AGuestThatDoesNotComeToItsEndProvesNothing) {
  Case c = out1();
  c.guest->image = "halt";
  c.guest->clause = "halt.nothing";
  c.guest->scenario = "";
  const CaseRecord r = judged(c);
  EXPECT_EQ(r.verdict, Verdict::unproven);
  EXPECT_EQ(r.reason, "no_attempt");
}

TEST(GuestTrialTime, IsLongerWhereAnExitTakesLonger) {
  using std::chrono::milliseconds;
  EXPECT_EQ(guest_trial_time(milliseconds(10), ""), milliseconds(10));
  EXPECT_EQ(guest_trial_time(milliseconds(10), "kvm"), milliseconds(10));
  EXPECT_EQ(guest_trial_time(milliseconds(10), "tcg"), milliseconds(60));
}

}  // namespace
}  // namespace ringfence

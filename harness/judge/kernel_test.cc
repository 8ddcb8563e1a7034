// What the eBPF witness's facts do to a verdict: they make an attempt certain, name the layer, and
// take an absence away that a lost event could explain. They never take `breached` away.
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>

#include "harness/judge/test_scene.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

CallRecord denied(uint32_t nr, int err) {
  CallRecord call;
  call.at_ns = 1000;
  call.nr = nr;
  call.ret = -err;
  return call;
}

CallSeen seen(const CallRecord& call) {
  CallSeen s;
  s.count = 1;
  (call.denied() ? s.denied : s.allowed) = 1;
  s.last = call;
  if (call.denied()) s.last_denied = call;
  return s;
}

CallSeen never() { return {}; }

// The scene that is in order, with a witness that saw kill(2) in both trials.
Scene watched() {
  Scene s = in_order();
  s.c.calls = {{.nr = SYS_kill}};
  CallRecord worked;
  worked.at_ns = 1000;
  worked.nr = SYS_kill;
  s.control.kernel.present = s.confined.kernel.present = true;
  s.control.kernel.calls = {seen(worked)};
  s.confined.kernel.calls = {seen(denied(SYS_kill, ESRCH))};
  s.confined.in_force = {Layer::kPid};
  return s;
}

TEST(Kernel, ADenialThatItSawIsHeld) {
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    const Judgement j = watched().judge(mode);
    EXPECT_EQ(j.verdict, Verdict::held) << j.detail;
    EXPECT_EQ(j.decided_by, "ns.pid");
  }
}

// The scene for a network namespace: connect(2) to the canary's port found nobody.
Scene no_way_out() {
  Scene s = watched();
  s.c.expected = Layer::kNet;
  s.c.calls = {{.nr = SYS_connect}};
  s.control.kernel.calls[0].last.nr = SYS_connect;
  s.confined.kernel.calls = {seen(denied(SYS_connect, ECONNREFUSED))};
  s.confined.kernel.net = {.watched = true, .packets_out = 1, .packets_in = 1};
  s.confined.in_force = {Layer::kNet};
  return s;
}

TEST(Kernel, PacketsThatStayedAreEvidence) {
  Scene s = no_way_out();
  const Judgement j = s.judge(Mode::case_mode);
  EXPECT_EQ(j.verdict, Verdict::held) << j.detail;
  EXPECT_THAT(j.why, HasSubstr("no packet was sent"));
  const CaseRecord record =
      make_record(s.c, Mode::case_mode, {&s.control, &s.confined, &s.liveness}, j);
  EXPECT_TRUE(std::any_of(record.witnesses.begin(), record.witnesses.end(), [](const auto& w) {
    return w.name == "ebpf" && w.says.ends_with("; 1 packet out, 1 in, all by loopback");
  }));
}

TEST(Kernel, APacketThatLeftIsNoNetworkNamespacesDenial) {
  Scene s = no_way_out();
  s.confined.kernel.net.left = 1;
  const Judgement j = s.judge(Mode::case_mode);
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "other_layer");
  EXPECT_THAT(j.detail, HasSubstr("1 of them by another device than loopback"));
  // A policy may leave a way out; the call that a packet of its own answered is not the
  // namespace's.
  s = no_way_out();
  s.confined.kernel.net.left = 1;
  s.confined.kernel.calls[0].last_denied.left = true;
  EXPECT_NE(s.judge(Mode::policy_mode).decided_by, "ns.net");
}

TEST(Kernel, WhatNeverCameOutNoFilterHasDropped) {
  Scene s = in_order();
  s.c.expected = Layer::kNetFilter;
  s.c.goal = {Sight::peer_connected, "b", 0};
  s.control.goal.goal = s.confined.goal.goal = s.c.goal;
  s.confined.kernel.present = true;
  s.confined.kernel.port.watched = true;
  s.confined.kernel.port.tcp = 1;
  s.confined.kernel.port.bytes = 74;
  const Judgement held = s.judge(Mode::case_mode);
  EXPECT_EQ(held.verdict, Verdict::held) << held.detail;
  const CaseRecord record =
      make_record(s.c, Mode::case_mode, {&s.control, &s.confined, &s.liveness}, held);
  EXPECT_TRUE(std::any_of(record.witnesses.begin(), record.witnesses.end(), [](const auto& w) {
    return w.name == "ebpf" && w.says.ends_with("; out of its port: 1 TCP (74 bytes)");
  }));
  s.confined.kernel.port.tcp = 0;
  s.confined.kernel.port.udp = 1;
  const Judgement j = s.judge(Mode::case_mode);
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "other_layer");
  EXPECT_THAT(j.detail, HasSubstr("1 UDP"));
  s.c.goal = s.control.goal.goal = s.confined.goal.goal = {Sight::peer_heard, "b", 0};
  EXPECT_EQ(s.judge(Mode::case_mode).verdict, Verdict::held);
  s.confined.kernel.port.udp = 0;
  EXPECT_EQ(s.judge(Mode::case_mode).reason, "other_layer");
  // Where nobody counted, the canary's word stands alone.
  s.confined.kernel.port = {};
  EXPECT_EQ(s.judge(Mode::case_mode).verdict, Verdict::held);
}

TEST(Kernel, ATaskThatIsNotApartAnyMore) {
  Scene s = watched();
  s.confined.kernel.stray = Stray{Layer::kPid, "task 7 (inmate) is in the host's ns.pid, 1"};
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    const Judgement j = s.judge(mode);
    EXPECT_EQ(j.verdict, Verdict::breached);
    EXPECT_EQ(j.reason, "not_separate");
    EXPECT_EQ(j.detail, s.confined.kernel.stray->says);
  }
  // Lost facts take nothing away from what was seen.
  s.confined.kernel.lost = 1;
  EXPECT_EQ(s.judge().verdict, Verdict::breached);
  // Of another layer than the case's: the policy does not stand as it should.
  s = watched();
  s.confined.kernel.stray = Stray{Layer::kUts, "task 7 (inmate) is in the host's ns.uts, 1"};
  EXPECT_EQ(s.judge().verdict, Verdict::unproven);
  EXPECT_EQ(s.judge().reason, "not_separate");
  EXPECT_EQ(s.judge(Mode::policy_mode).verdict, Verdict::breached);
  // In the control nothing is kept apart.
  s = watched();
  s.control.kernel.stray = Stray{Layer::kPid, "x"};
  EXPECT_EQ(s.judge().verdict, Verdict::held);
}

TEST(Kernel, TwoViewsThatDisagreeProveNothing) {
  Scene s = watched();
  s.confined.kernel.disagree = "process 7: the kernel's list has CapEff 0, /proc has ff";
  EXPECT_EQ(s.judge().verdict, Verdict::unproven);
  EXPECT_EQ(s.judge().reason, "witnesses_disagree");
  s.confined.goal.yes = true;
  EXPECT_EQ(s.judge().verdict, Verdict::breached);
}

TEST(Kernel, TheDeviceControllerIsAnotherLayer) {
  Scene s = watched();
  s.confined.kernel.calls = {seen(denied(SYS_kill, EPERM))};
  s.confined.kernel.calls[0].last_denied.device_asked = true;
  const Judgement j = s.judge(Mode::case_mode);
  EXPECT_EQ(j.reason, "other_layer");
  EXPECT_THAT(j.detail, HasSubstr("cgroup.devices"));
}

// It may send itself the signal, with or without having tried.
TEST(Kernel, ASigsysThatNoFilterSentIsNoDenial) {
  // One instruction: return SECCOMP_RET_KILL_PROCESS.
  const std::vector<uint64_t> kill_all = {uint64_t{BPF_RET | BPF_K} |
                                          uint64_t{SECCOMP_RET_KILL_PROCESS} << 32};
  Scene s = watched();
  s.c.expected = Layer::kSeccomp;
  s.c.proofs = {{Sight::killed_by, "", SIGSYS}};
  s.confined.proofs = {{s.c.proofs[0], true, "the target was killed by SIGSYS", "wait"}};
  s.confined.signaled = true;
  s.confined.exit_code = SIGSYS;
  s.confined.claim = {};
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    s.confined.kernel.sigsys = 1;
    EXPECT_EQ(s.judge(mode, kill_all).verdict, Verdict::held);
    EXPECT_EQ(s.judge(mode, kill_all).decided_by, "seccomp");
    s.confined.kernel.sigsys = 0;
    const Judgement j = s.judge(mode, kill_all);
    EXPECT_EQ(j.verdict, Verdict::unproven) << j.decided_by;
    EXPECT_EQ(j.reason, "no_witness");
    EXPECT_THAT(j.detail, HasSubstr("no filter sent"));
    // Where signals are not seen, the wait status is all there is.
    s.confined.kernel.signals_watched = false;
    EXPECT_EQ(s.judge(mode, kill_all).verdict, Verdict::held);
    s.confined.kernel.signals_watched = true;
  }
  EXPECT_NE(attribute(s.c, s.confined, kill_all), Layer::kSeccomp);
}

// Either capability would do: the last that was asked for is missing in the control as well.
TEST(Kernel, OneOfTwoCapabilitiesThatWouldDo) {
  Scene s = watched();
  s.c.expected = Layer::cap("CHECKPOINT_RESTORE");
  CallRecord call = denied(SYS_kill, EPERM);
  call.cap_last = CAP_SYS_ADMIN;
  call.cap_last_denied = true;
  call.caps_failed = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_CHECKPOINT_RESTORE;
  s.confined.kernel.calls = {seen(call)};
  const Judgement j = s.judge(Mode::case_mode);
  EXPECT_EQ(j.verdict, Verdict::held) << j.detail;
  EXPECT_EQ(j.decided_by, "cap.CHECKPOINT_RESTORE");
  call.caps_failed = 1ULL << CAP_SYS_ADMIN;
  s.confined.kernel.calls = {seen(call)};
  EXPECT_EQ(s.judge(Mode::case_mode).reason, "other_layer");
}

// The inmate says that it was refused, and never tried.
TEST(Kernel, NoAttemptNoVerdict) {
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    Scene s = watched();
    s.confined.kernel.calls = {never()};
    const Judgement j = s.judge(mode);
    EXPECT_EQ(j.verdict, Verdict::unproven);
    EXPECT_EQ(j.reason, "no_attempt");
    EXPECT_THAT(j.detail, HasSubstr("kill"));
  }
}

// An attempt that makes no syscall: the brackets around it in the inmate's image.
Scene bracketed() {
  Scene s = in_order();
  s.c.attempt.name = "vsyscall_time";
  s.c.proves_attempt = kProvedByBracket;
  s.control.kernel.present = s.confined.kernel.present = true;
  s.control.kernel.bracket = BracketSeen{1, 1, 0};
  s.confined.kernel.bracket = BracketSeen{1, 1, -EPERM};
  return s;
}

TEST(Kernel, AnAttemptWithoutASyscallIsProvenByItsBracket) {
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    EXPECT_EQ(bracketed().judge(mode).verdict, Verdict::held);
    Scene killed = bracketed();
    killed.confined.kernel.bracket = BracketSeen{1, 0, 0};
    EXPECT_EQ(killed.judge(mode).verdict, Verdict::held) << "what began may end in a signal";

    Scene idle = bracketed();
    idle.confined.kernel.bracket = BracketSeen{0, 0, 0};
    const Judgement j = idle.judge(mode);
    EXPECT_EQ(j.verdict, Verdict::unproven);
    EXPECT_EQ(j.reason, "no_attempt");
    EXPECT_THAT(j.detail, HasSubstr("begin the attempt vsyscall_time"));

    Scene other = bracketed();
    other.control.kernel.bracket = BracketSeen{0, 0, 0};
    EXPECT_EQ(other.judge(mode).reason, "control_failed");

    // Without brackets, and where the case does not rest on them, the other evidence counts.
    Scene without = bracketed();
    without.control.kernel.bracket.reset();
    without.confined.kernel.bracket.reset();
    EXPECT_EQ(without.judge(mode).verdict, Verdict::held);
    idle.c.proves_attempt = "state";
    EXPECT_EQ(idle.judge(mode).verdict, Verdict::held);
  }
}

TEST(Kernel, ABreachSurvivesABracketThatWasNotSeen) {
  Scene s = bracketed();
  s.confined.kernel.bracket = BracketSeen{0, 0, 0};
  s.confined.goal.yes = true;
  EXPECT_EQ(s.judge(Mode::case_mode).verdict, Verdict::breached);
}

// Something else than the attempt made the control reach its goal.
TEST(Kernel, AControlWithoutTheCallIsNone) {
  Scene s = watched();
  s.control.kernel.calls = {never()};
  const Judgement j = s.judge();
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "control_failed");
}

TEST(Kernel, LostFactsProveNoAbsence) {
  for (TrialOutcome Scene::*trial : {&Scene::control, &Scene::confined}) {
    Scene s = watched();
    (s.*trial).kernel.lost = 1;
    (s.*trial).kernel.lost_what = "1 ends of syscalls without a beginning";
    for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
      const Judgement j = s.judge(mode);
      EXPECT_EQ(j.verdict, Verdict::unproven);
      EXPECT_EQ(j.reason, "evidence_lost");
      EXPECT_THAT(j.detail, HasSubstr("without a beginning"));
    }
  }
}

TEST(Kernel, BreachedSurvivesEveryLoss) {
  Scene s = watched();
  s.confined.goal.yes = true;
  s.confined.kernel.lost = s.control.kernel.lost = 99;
  s.confined.kernel.calls = {never()};
  EXPECT_EQ(s.judge().verdict, Verdict::breached);
}

// Lines of the timeline decide nothing.
TEST(Kernel, ALostStoryIsNoLostFact) {
  Scene s = watched();
  s.confined.kernel.story_lost = 1000;
  EXPECT_EQ(s.judge().verdict, Verdict::held);
}

TEST(Kernel, AnotherLayerIsNotTheExpectedOne) {
  Scene s = watched();
  s.confined.kernel.calls[0].last_denied.no_enter = true;
  s.confined.kernel.calls[0].last_denied.seccomp = 2;
  // One instruction: return SECCOMP_RET_ERRNO | EPERM.
  const std::vector<uint64_t> refuse_all = {uint64_t{BPF_RET | BPF_K} |
                                            uint64_t{SECCOMP_RET_ERRNO | EPERM} << 32};
  const Judgement j = s.judge(Mode::case_mode, refuse_all);
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "other_layer");
  // Under a whole policy any layer may hold, and is named.
  const Judgement p = s.judge(Mode::policy_mode, refuse_all);
  EXPECT_EQ(p.verdict, Verdict::held);
  EXPECT_EQ(p.decided_by, "seccomp");
}

TEST(Kernel, ACapabilityForAnotherIsAnotherLayer) {
  Scene s = watched();
  s.c.expected = Layer::cap("KILL");
  CallRecord& call = s.confined.kernel.calls[0].last_denied;
  call.ret = -EPERM;
  call.cap_last = 21;  // CAP_SYS_ADMIN
  call.cap_last_denied = true;
  EXPECT_EQ(s.judge().reason, "other_layer");
  call.cap_last = 5;  // CAP_KILL
  EXPECT_EQ(s.judge().verdict, Verdict::held);
}

// A read whose proofs nobody could see is held by the kernel's record of its denial alone.
TEST(Kernel, ARecordedDenialProvesARead) {
  Scene s = read_in_order();
  s.confined.proofs[0].yes = false;
  EXPECT_EQ(s.judge().reason, "no_witness");
  s.c.calls = {{.nr = SYS_openat}};
  s.c.expected = Layer::kDac;
  s.control.kernel.present = s.confined.kernel.present = true;
  CallRecord worked;
  worked.nr = SYS_openat;
  s.control.kernel.calls = {seen(worked)};
  s.confined.kernel.calls = {seen(denied(SYS_openat, EACCES))};
  EXPECT_EQ(s.judge().verdict, Verdict::held);
  // ... but not when the same call once got through, or another did afterwards.
  s.confined.kernel.calls[0].allowed = 1;
  EXPECT_EQ(s.judge().reason, "no_witness");
  s.confined.kernel.calls[0].allowed = 0;
  worked.at_ns = 2000;
  s.confined.kernel.calls.push_back(seen(worked));
  EXPECT_EQ(s.judge().reason, "no_witness");
}

// Two ways to the same file: who got it by the first, and keeps silent, makes the second fail.
TEST(Kernel, ADenialAfterASuccessIsNone) {
  Scene s = read_in_order();
  s.confined.proofs[0].yes = false;
  s.c.calls = {{.nr = SYS_openat}, {.nr = SYS_open}};
  s.c.expected = Layer::kDac;
  s.control.kernel.present = s.confined.kernel.present = true;
  CallRecord worked;
  worked.at_ns = 500;
  worked.nr = SYS_openat;
  s.control.kernel.calls = {seen(worked), never()};
  s.confined.kernel.calls = {seen(worked), seen(denied(SYS_open, ENOENT))};
  for (const Mode mode : {Mode::case_mode, Mode::policy_mode}) {
    EXPECT_EQ(s.judge(mode).verdict, Verdict::unproven);
    EXPECT_EQ(s.judge(mode).reason, "no_witness");
    // What only leads to the call that was denied may have been allowed.
    s.c.calls[0].step = true;
    EXPECT_EQ(s.judge(mode).verdict, Verdict::held) << s.judge(mode).detail;
    s.c.calls[0].step = false;
  }
}

// "Unable to try" is the inmate's word, too: that the policy took the means away has to show.
TEST(Kernel, WhoSaysThatHeWasUnableHasToBe) {
  Scene s = watched();
  s.confined.kernel.calls = {never()};
  s.confined.claim = {Claim::Kind::unable, EPERM};
  EXPECT_EQ(s.judge(Mode::policy_mode).verdict, Verdict::held) << "ns.pid stands around it";
  s.confined.in_force.clear();
  const Judgement j = s.judge(Mode::policy_mode);
  EXPECT_EQ(j.verdict, Verdict::unproven);
  EXPECT_EQ(j.reason, "no_attempt");
  // A capability that is missing, or a filter that refuses the call, shows as well.
  Scene lacks = s;
  lacks.confined.stage = TrialOutcome::Stage::inspected;
  lacks.c.gated_by = {Layer::cap("KILL")};
  EXPECT_EQ(lacks.judge(Mode::policy_mode).verdict, Verdict::held);
  Scene filtered = s;
  filtered.confined.in_force = {Layer::kSeccomp};
  const std::vector<uint64_t> refuse_all = {uint64_t{BPF_RET | BPF_K} |
                                            uint64_t{SECCOMP_RET_ERRNO | EPERM} << 32};
  EXPECT_EQ(filtered.judge(Mode::policy_mode, refuse_all).verdict, Verdict::held);
}

// Says that it was refused what the kernel saw succeed; nothing else would show it.
TEST(Kernel, ADenialThatItSawSucceedIsNone) {
  Scene s = watched();
  s.c.goal = {Sight::cap_effective, "SYS_ADMIN", 0};
  s.control.goal.goal = s.confined.goal.goal = s.c.goal;
  s.confined.stage = TrialOutcome::Stage::inspected;
  EXPECT_EQ(s.judge().verdict, Verdict::held);
  s.confined.kernel.calls = s.control.kernel.calls;
  EXPECT_EQ(s.judge().reason, "no_witness");
  EXPECT_THAT(s.judge().detail, HasSubstr("kill"));
  s.confined.claim = {Claim::Kind::achieved, 0};
  EXPECT_EQ(s.judge().reason, "inmate_contradicts");
}

TEST(Kernel, WithoutCallsOrWithoutAWitnessTheOutsideEvidenceCounts) {
  Scene s = watched();
  s.c.calls.clear();
  EXPECT_EQ(s.judge().verdict, Verdict::held);
  s = watched();
  for (TrialOutcome* trial : {&s.control, &s.confined}) {
    trial->kernel = {};
    trial->kernel.absent = "needs:bpf";
  }
  EXPECT_EQ(s.judge().verdict, Verdict::held);
  const CaseRecord record =
      make_record(s.c, Mode::case_mode, {&s.control, &s.confined, &s.liveness}, s.judge());
  const auto ebpf = std::find_if(record.witnesses.begin(), record.witnesses.end(),
                                 [](const WitnessRecord& w) { return w.name == "ebpf"; });
  ASSERT_NE(ebpf, record.witnesses.end());
  EXPECT_EQ(ebpf->says, "absent: needs:bpf");
}

}  // namespace
}  // namespace ringfence

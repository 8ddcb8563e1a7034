// The timeline: made-up stories, and two cases of the suites on this kernel.
#include "harness/runner/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <map>

#include "harness/runner/runner.h"
#include "probes/bpf/abi.h"
#include "probes/bpf/probe_abi.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kChild = 100;

StoryLine event(int64_t at_us, uint32_t kind, std::string text, int tgid = kChild) {
  StoryLine line;
  line.at_ns = at_us * 1000;
  line.kind = kind;
  line.tgid = line.tid = tgid;
  line.text = std::move(text);
  return line;
}

StoryLine call(int64_t at_us, long nr, std::vector<uint64_t> args, int64_t ret, int tgid = kChild) {
  StoryLine line = event(at_us, RF_EV_CALL, "", tgid);
  line.is_call = true;
  line.call.at_ns = line.at_ns;
  line.call.nr = static_cast<uint32_t>(nr);
  std::copy(args.begin(), args.end(), line.call.args.begin());
  line.call.ret = ret;
  line.denied = line.call.denied();
  line.text = describe_call(line.call);
  return line;
}

StoryLine signal_for(int64_t at_us, int signal, int code, int target, int sender) {
  StoryLine line = event(at_us, RF_EV_SIGNAL, "a signal", sender);
  line.number = signal;
  line.more = {code, target, -1};
  return line;
}

StoryLine exec(int64_t at_us) { return event(at_us, RF_EV_EXEC, "executes a descriptor"); }

std::vector<std::string> texts(const std::vector<EvidenceLine>& lines) {
  std::vector<std::string> out;
  out.reserve(lines.size());
  for (const auto& line : lines) out.push_back(line.text);
  return out;
}

Op op(long nr, std::vector<uint64_t> constants = {}) {
  Op o;
  o.nr = nr;
  for (size_t i = 0; i < constants.size(); ++i) o.args[i].value = constants[i];
  return o;
}

Plan plan_of(const std::vector<std::pair<std::string, std::vector<Op>>>& steps) {
  Plan plan;
  for (auto& [key, ops] : steps) {
    Step step;
    step.key = key;
    step.text = "do " + key;
    step.ops = std::move(ops);
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

std::vector<std::string> told(std::vector<StoryLine> story, const Plan& plan = {},
                              TimelineOptions options = {}) {
  TrialOutcome outcome;
  return texts(tell_timeline(std::move(story), plan, outcome, options));
}

TEST(Timeline, WhatThePlanDoesIsToldStepByStep) {
  const Plan plan = plan_of({{"mount.ro", {op(SYS_mount), op(SYS_mount)}},
                             {"cap.bounding", {op(kCallCapset)}},
                             {"ns.user", {op(SYS_setresuid, {0, 0, 0})}}});
  const auto lines =
      told({call(1, SYS_rt_sigaction, {2}, 0), call(2, SYS_rt_sigaction, {3}, 0),
            call(3, SYS_mount, {}, 0), call(4, SYS_mount, {}, 0), call(5, SYS_capget, {}, 0),
            call(6, SYS_capset, {}, 0), call(7, SYS_setresuid, {0, 0, 0}, 0), exec(8),
            call(9, SYS_execveat, {}, 0), call(10, SYS_getpid, {}, 2)},
           plan);
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "t1 set-up, 2 syscalls, none denied",
                       "t1 mount.ro: do mount.ro, 2 syscalls, none denied",
                       "t1 cap.bounding: do cap.bounding, 2 syscalls, none denied",
                       "t1 ns.user: do ns.user, 1 syscall, none denied", "t1 executes a descriptor",
                       "t1 execveat(0, NULL, NULL, NULL, 0) = 0", "t1 getpid() = 2"}));
}

// Guarded operations may be passed over, a fallback stands in, and what is denied is always told.
TEST(Timeline, GuardsFallbacksAndDenials) {
  Plan plan = plan_of({{"first", {op(SYS_openat, {3}), op(SYS_mount)}},
                       {"second", {op(SYS_umount2)}},
                       {"third", {op(SYS_mount_setattr)}}});
  plan.steps[0].ops[1].when = 12;
  plan.steps[2].ops[0].fallback = 0;
  plan.steps[2].fallback = {op(SYS_mount)};
  const auto lines =
      told({call(1, SYS_openat, {3, 0, 0}, -ENOENT), call(2, SYS_umount2, {}, 0),
            call(3, SYS_mount_setattr, {}, -ENOSYS), call(4, SYS_mount, {}, 0), exec(5)},
           plan);
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "t1 first: do first, 1 syscall, 1 denied",
                       "t1 openat(3, NULL, O_RDONLY) = ENOENT",
                       "t1 second: do second, 1 syscall, none denied",
                       "t1 third: do third, 2 syscalls, 1 denied",
                       "t1 mount_setattr(0, NULL, 0, NULL, 0) = ENOSYS",
                       "t1 executes a descriptor",
                   }));
}

TEST(Timeline, SortedFromTheGivenZero) {
  TrialOutcome outcome;
  const auto lines =
      tell_timeline({call(30, SYS_getpid, {}, 1), exec(10), call(20, SYS_gettid, {}, 1)}, {},
                    outcome, {.zero_ns = 5000});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].at_us, 5);
  EXPECT_EQ(lines[1].at_us, 15);
  EXPECT_EQ(lines[2].at_us, 25);
  for (const auto& line : lines) {
    EXPECT_EQ(line.source, "ebpf");
    EXPECT_FALSE(line.decided);
  }
}

TEST(Timeline, WhoATaskIsOutsideIsToldWhenItChanges) {
  StoryLine before = exec(1);
  StoryLine other = call(2, SYS_setuid, {7}, 0);
  other.uid = 100007;
  StoryLine same = call(3, SYS_getuid, {}, 7);
  same.uid = 100007;
  StoryLine sender = signal_for(4, SIGTERM, SI_USER, kChild, 77);
  sender.uid = 5;
  EXPECT_EQ(told({before, other, same, sender}),
            (std::vector<std::string>{"t1 executes a descriptor", "t1 is user 100007 outside",
                                      "t1 setuid(7) = 0", "t1 getuid() = 7",
                                      "t1 gets SIGTERM from outside"}));
}

TEST(Timeline, WhatAProbeTellsIsToldOfTheSetUpToo) {
  StoryLine early = event(2, RF_EV_PROBE, "mine: early");
  StoryLine late = event(4, RF_EV_PROBE, "mine: late");
  early.probe = late.probe = 0;
  TrialOutcome outcome;
  const auto lines =
      tell_timeline({call(1, SYS_mount, {}, 0), early, exec(3), late}, {}, outcome, {});
  EXPECT_EQ(texts(lines),
            (std::vector<std::string>{"t1 set-up, 1 syscall, none denied", "t1 mine: early",
                                      "t1 executes a descriptor", "t1 mine: late"}));
  EXPECT_EQ(lines[1].source, "probe");
  EXPECT_EQ(lines[3].source, "probe");
}

TEST(Timeline, DevicesAndSocketsOfTheTargetAndNotOfItsSetUp) {
  const auto lines =
      told({event(1, RF_EV_DEVICE, "asks for one"), call(2, SYS_mount, {}, 0), exec(3),
            event(4, RF_EV_DEVICE, "asks for another"),
            event(5, RF_EV_SOCK_STATE, "a socket's state", 0), call(6, SYS_getpid, {}, 2)});
  EXPECT_EQ(lines, (std::vector<std::string>{"t1 set-up, 1 syscall, none denied",
                                             "t1 executes a descriptor", "t1 asks for another",
                                             "a socket's state", "t1 getpid() = 2"}));
}

TEST(Timeline, SignalsHaveASenderAndATarget) {
  const auto lines =
      told({exec(1), signal_for(2, SIGKILL, SI_USER, 999, kChild),
            signal_for(3, SIGTERM, SI_USER, kChild, 77), signal_for(4, SIGSEGV, 1, kChild, kChild),
            signal_for(5, SIGCHLD, CLD_KILLED, 50, kChild),
            signal_for(6, SIGCHLD, SI_USER, kChild, 77)});
  EXPECT_EQ(lines, (std::vector<std::string>{"t1 executes a descriptor",
                                             "t1 sends SIGKILL to task 999 outside",
                                             "t1 gets SIGTERM from outside", "t1 gets SIGSEGV",
                                             "t1 gets SIGCHLD from outside"}));
}

// A failed check is told with the call that was denied; the kernel asks in many that succeed.
TEST(Timeline, CapabilityChecksBelongToDenials) {
  const auto lines =
      told({exec(1), event(2, RF_EV_CAP, "asked for CAP_SYS_ADMIN: has it not"),
            call(3, SYS_mmap, {}, 0), event(4, RF_EV_CAP, "asked for CAP_KILL: has it not"),
            call(5, SYS_kill, {1, 9}, -EPERM)});
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "t1 executes a descriptor", "t1 mmap(NULL, 0, PROT_NONE, 0, 0, 0) = 0x0",
                       "t1 asked for CAP_KILL: has it not", "t1 kill(1, SIGKILL) = EPERM"}));
}

TEST(Timeline, BoundedAndTheDecisiveLineIsNeverLeftOut) {
  TrialOutcome outcome;
  std::vector<StoryLine> story = {exec(1)};
  for (int i = 0; i < 1000; ++i) story.push_back(call(2 + i, SYS_getpid, {}, 2));
  story.push_back(call(2000, SYS_openat, {3, 0x10, 0}, -EACCES));
  story.back().path = "/etc/shadow";
  CallSeen seen;
  seen.count = seen.denied = 1;
  seen.last = seen.last_denied = story.back().call;
  outcome.kernel.calls = {seen};
  const auto lines = tell_timeline(story, {}, outcome, {.zero_ns = 0, .lines_max = 50});
  ASSERT_EQ(lines.size(), 52U);
  EXPECT_THAT(lines[50].text, HasSubstr("EACCES"));
  EXPECT_TRUE(lines[50].decided);
  EXPECT_EQ(lines[51].text, "and 951 more events that are not told");
  EXPECT_EQ(outcome.kernel.story_lost, 951U);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](auto& l) { return l.decided; }), 1);
}

TEST(Timeline, TheSigsysThatEndedTheTargetDecides) {
  TrialOutcome outcome;
  outcome.signaled = true;
  outcome.exit_code = SIGSYS;
  outcome.kernel.sigsys = 1;
  StoryLine sigsys = signal_for(2, SIGSYS, 1, kChild, kChild);
  sigsys.more[2] = SYS_ptrace;
  const auto lines = tell_timeline({exec(1), sigsys}, {}, outcome, {});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].text, "t1 gets SIGSYS for ptrace");
  EXPECT_TRUE(lines[1].decided);
}

TEST(Timeline, NoStoryNoLine) { EXPECT_TRUE(told({}).empty()); }

// ---- On this kernel

// The same whether the story comes through a ring buffer or through perf buffers.
class RealTimeline : public ::testing::TestWithParam<const char*> {
 protected:
  static const RunResult& result() {
    static std::map<std::string, RunResult> kept;
    const std::string transport = GetParam();
    const auto known = kept.find(transport);
    if (known != kept.end()) return known->second;
    kept[transport] = [&] {
      auto registry = suites::builtin();
      RunOptions options;
      if (transport == "perf") options.witness.avoid = {"ringbuf"};
      options.globs = {"pid.signal_host_process", "seccomp.action.errno"};
      Observer observer;
      auto ran = run(*registry, Facts::probe(), options, observer);
      return ran ? std::move(*ran) : RunResult{};
    }();
    return kept[transport];
  }
  static const CaseRecord* record(const std::string& id) {
    for (const auto& r : result().cases) {
      if (r.id == id) return &r;
    }
    return nullptr;
  }
  // The confined trial's lines by time; checks what is true of every case.
  static std::vector<EvidenceLine> confined(const CaseRecord& r) {
    std::vector<EvidenceLine> lines;
    for (const auto& line : r.evidence) {
      if (line.trial == "confined") {
        lines.push_back(line);
      } else {
        EXPECT_FALSE(line.decided) << line.text;
      }
    }
    EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
      return a.at_us < b.at_us;
    })) << r.id;
    return lines;
  }
  static size_t position(const std::vector<EvidenceLine>& lines, const std::string& source,
                         const std::string& part) {
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].source == source && lines[i].text.find(part) != std::string::npos) return i;
    }
    ADD_FAILURE() << "no line of " << source << " has: " << part;
    return lines.size();
  }
  void SetUp() override {
    const auto found = result().header.facts.find("witness");
    if (found == result().header.facts.end() || found->second != "ebpf") {
      GTEST_SKIP() << "no eBPF witness here";
    }
    EXPECT_EQ(result().header.facts.at("witness.story"), GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(By, RealTimeline, ::testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(RealTimeline, AKillIsDecidedByItsOwnLineBetweenTheInmatesWords) {
  const CaseRecord* r = record("pid.signal_host_process");
  ASSERT_NE(r, nullptr);
  ASSERT_EQ(r->verdict, Verdict::held) << r->detail;
  const auto lines = confined(*r);
  const size_t spawn = position(lines, "plan", "spawn ");
  const size_t step = position(lines, "ebpf", "set-up, ");
  const size_t exec = position(lines, "ebpf", "executes ");
  const size_t kill = position(lines, "ebpf", "kill(");
  const size_t said = position(lines, "inmate", "denied");
  const size_t end = position(lines, "ebpf", "exits with");
  const size_t verdict = position(lines, "judge", "held, decided by ns.pid");
  ASSERT_LT(verdict, lines.size());
  EXPECT_LT(spawn, step);
  EXPECT_LT(step, exec);
  EXPECT_LT(exec, kill);
  EXPECT_LT(kill, said) << "first the call, then what the inmate says of it";
  EXPECT_LT(said, end);
  EXPECT_LT(end, verdict);
  EXPECT_THAT(lines[kill].text, HasSubstr("SIGKILL) = ESRCH"));
  EXPECT_TRUE(lines[kill].decided);
  EXPECT_FALSE(lines[verdict].decided);
  EXPECT_THAT(lines[verdict].text, HasSubstr("the kernel: the process exists"));
  for (const auto& line : lines) EXPECT_THAT(line.text, Not(HasSubstr("rt_sigaction")));
}

TEST_P(RealTimeline, ARefusalAtTheGateIsMarkedAndSaysSo) {
  const CaseRecord* r = record("seccomp.action.errno");
  ASSERT_NE(r, nullptr);
  ASSERT_EQ(r->verdict, Verdict::held) << r->detail;
  const auto lines = confined(*r);
  const auto decided =
      std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.decided; });
  ASSERT_NE(decided, lines.end());
  EXPECT_EQ(decided->source, "ebpf");
  EXPECT_THAT(decided->text, HasSubstr(", never entered"));
  EXPECT_LT(position(lines, "ebpf", "executes "), static_cast<size_t>(decided - lines.begin()));
  EXPECT_THAT(lines.back().text, StartsWith("held, decided by seccomp"));
  EXPECT_THAT(lines.back().text, HasSubstr("the kernel: left without entering"));
}

// Without the witness each record says so, and the run does once.
TEST(Weaker, ARunWithoutTheWitnessSaysSo) {
  auto registry = suites::builtin();
  RunOptions options;
  options.globs = {"pid.signal_host_process"};
  options.kernel_witness = false;
  Observer observer;
  const auto ran = run(*registry, Facts::probe(), options, observer);
  ASSERT_TRUE(ran) << ran.error().describe();
  if (ran->cases[0].verdict == Verdict::skipped) GTEST_SKIP() << ran->cases[0].reason;
  EXPECT_EQ(ran->header.facts.at("witness"), "absent: not_asked_for");
  EXPECT_THAT(ran->summary.notes, ::testing::ElementsAre(HasSubstr("not_asked_for")));
  const auto& witnesses = ran->cases[0].witnesses;
  EXPECT_TRUE(std::any_of(witnesses.begin(), witnesses.end(), [](const WitnessRecord& w) {
    return w.name == "ebpf" && w.says == "absent: not_asked_for";
  }));
  EXPECT_EQ(ran->cases[0].verdict, Verdict::held) << ran->cases[0].detail;
}

}  // namespace
}  // namespace ringfence

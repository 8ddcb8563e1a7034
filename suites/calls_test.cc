// The table of calls against what the inmate really does, what it does anyway, and what the steps
// of a plan do before it.
#include "suites/calls.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>

#include "harness/confine/cgroup.h"
#include "harness/policy/without.h"
#include "harness/runner/decoy.h"
#include "harness/runner/run_case.h"
#include "probes/bpf/abi.h"
#include "probes/inmate/abi.h"
#include "probes/inmate/image.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

const Facts& facts() {
  static const Facts known = Facts::probe();
  return known;
}

const Registry& registry() {
  static const Registry known = builtin().value();
  return known;
}

// What placeholders may stand for, as harness/runner/canary.h has them.
std::string expanded(std::string text) {
  static const std::map<std::string, std::string> samples = {
      {"{canary_pid}", "2"},
      {"{canary_env_addr}", "0x7ffdc0de1000"},
      {"{canary_fd}", "9"},
      {"{canary_marker}", "canary-0123456789ab"},
      {"{privileged_pid}", "3"},
      {"{other_uid_pid}", "4"},
      {"{secret_file}", "/canary/secret"},
      {"{file}", "/canary/file"},
      {"{file1000}", "/canary/file1000"},
      {"{group_file}", "/canary/group"},
      {"{group0_file}", "/canary/group0"},
      {"{outsiders_file}", "/canary/outsiders"},
      {"{shm_file}", "/dev/shm/rf_canary"},
      {"{sem_file}", "/dev/shm/sem.rf_canary"},
      {"{sem_key}", "1380450304"},
      {"{housed_pid}", "5"},
      {"{sibling_pid}", "6"},
      {"{setuid_inmate}", "/canary/setuid_inmate"},
      {"{filecap_inmate}", "/canary/filecap_inmate"},
      {"{sysv_key}", "1380384768"},
      {"{msg_key}", "1380450304"},
      {"{mq_name}", "ringfence-0123456789ab"},
      {"{abstract_name}", "ringfence-0123456789ab"},
      {"{unix_path}", "/canary/socket"},
      {"{tcp_port}", "40000"},
      {"{key_desc}", "ringfence-0123456789ab"},
      {"{handle_type}", "1"},
      {"{peer_a}", "10.77.0.11"},
      {"{peer_b}", "10.77.0.12"},
      {"{peer_isolated}", "10.77.0.13"},
      {"{handle_hex}", "0123456789abcdef"},
  };
  for (const auto& [name, value] : samples) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name)) {
      text.replace(at, name.size(), value);
    }
  }
  return text;
}

std::optional<uint64_t> parsed(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(text.c_str(), &end, 0);
  if (text.empty() || errno != 0 || *end != 0) return std::nullopt;
  return static_cast<uint64_t>(value);
}

// A syscall as far as it is known: nothing stands for what it is not known of.
struct Made {
  long nr = -1;
  std::array<std::optional<uint64_t>, 6> args{};
  std::array<std::optional<std::string>, 6> texts{};
};

// Whether `call` would take `made` for its own; what is not known agrees with everything.
bool matches(const Call& call, const Made& made) {
  if (call.nr != made.nr) return false;
  for (const Call::Arg& arg : call.args) {
    const auto want = parsed(arg.value);  // none: a placeholder, which can be anything
    const auto& got = made.args.at(static_cast<size_t>(arg.index));
    if (want && got && (*got & arg.mask) != (*want & arg.mask)) return false;
  }
  if (call.path < 0) return true;
  const auto& text = made.texts.at(static_cast<size_t>(call.path));
  return !text || expanded(call.path_is).substr(0, RF_PATH - 1) == text->substr(0, RF_PATH - 1);
}

Made made(long nr, std::vector<uint64_t> args, std::optional<std::string> second_text = {}) {
  Made m{.nr = nr};
  m.args.fill(0);
  for (size_t i = 0; i < args.size(); ++i) m.args.at(i) = args[i];
  m.texts[1] = std::move(second_text);
  return m;
}

TEST(Calls, EveryCaseHasThemOrSaysWhatProvesTheAttempt) {
  for (const Case& c : registry().cases()) {
    SCOPED_TRACE(c.id);
    if (c.guest) {  // makes no attempt on the host
      EXPECT_TRUE(c.calls.empty() && c.proves_attempt.empty());
      continue;
    }
    EXPECT_NE(c.calls.empty(), c.proves_attempt.empty());
    EXPECT_LE(c.calls.size(), static_cast<size_t>(RF_WANTS));
    if (!c.proves_attempt.empty()) {
      EXPECT_EQ(c.proves_attempt, "state");
      EXPECT_TRUE(c.state);
    }
    for (const Call& call : c.calls) {
      EXPECT_GE(call.nr, 0);
      for (const Call::Arg& arg : call.args) {
        EXPECT_TRUE(arg.index >= 0 && arg.index < 6) << arg.index;
        EXPECT_NE(arg.index, call.path);
        EXPECT_TRUE(parsed(expanded(arg.value))) << call.nr << ": " << arg.value;
      }
      EXPECT_LT(call.path, 6);
      EXPECT_EQ(call.path < 0, call.path_is.empty());
      EXPECT_EQ(expanded(call.path_is).find('{'), std::string::npos) << call.path_is;
    }
  }
}

// ---- Against the inmate
// ------------------------------------------------------------------------------------
class Real : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!facts().satisfied("root")) GTEST_SKIP() << facts().why_not("root");
    image_ = UniqueFd(memfd_create("inmate", MFD_CLOEXEC));
    const auto image = inmate_image();
    ASSERT_EQ(write(image_.get(), image.data(), image.size()), static_cast<ssize_t>(image.size()));
  }

  Result<TrialOutcome> trial(const Case& c, const Plan& plan) {
    TrialSpec spec;
    spec.plan = &plan;
    spec.attempt = c.attempt;
    spec.goal = c.goal;
    spec.nonce = fmt::format("{:012x}", ++count_);
    spec.secret = "rf-calls-test-" + spec.nonce;
    spec.inmate_fd = image_.get();
    std::optional<CgroupLeaf> leaf;
    if (needs_cgroup(c, RunContext{})) {
      auto root = CgroupRoot::create(CgroupLayout::probe());
      if (!root) return tl::unexpected(root.error());
      auto settings = plan.settings();
      if (settings.empty()) settings.push_back({"pids", "pids.max", "max"});
      auto made_leaf = CgroupLeaf::create(*root, settings, "t-" + spec.secret);
      if (!made_leaf) return tl::unexpected(made_leaf.error());
      leaf = std::move(*made_leaf);
      spec.cgroup = &*leaf;
    }
    return run_trial(spec);
  }

  // What the honest inmate reports holds one of the case's calls. False: it could not report.
  static bool compare(const Case& c, const TrialOutcome& outcome) {
    for (const CallClaim& claim : outcome.calls) {
      Made m{.nr = static_cast<long>(claim.nr)};
      for (size_t i = 0; i < m.args.size(); ++i) m.args.at(i) = claim.args.at(i);
      for (const Call& call : c.calls) {
        if (matches(call, m)) return true;
      }
    }
    // Three that cannot: a process that the filter ended in the call, one whose child has killed
    // it, and with it its own time to tell, and one that is another program since it succeeded.
    const bool killed = c.attempt.name == "signal_init" && outcome.exit_code == SIGTERM;
    const bool ended = outcome.signaled && (outcome.exit_code == SIGSYS || killed);
    const bool replaced =
        c.calls.front().nr == SYS_execve && outcome.claim.kind == Claim::Kind::achieved;
    EXPECT_TRUE(ended || replaced) << "the inmate reports none of the listed calls";
    for (const auto& line : outcome.evidence) {
      if (!ended && !replaced) ADD_FAILURE() << line.source << ": " << line.text;
    }
    return false;
  }

  UniqueFd image_;
  uint64_t count_ = 0;
};

TEST_F(Real, TheInmateMakesThem) {
  int tried = 0;
  int compared = 0;
  for (const Case& c : registry().cases()) {
    if (c.calls.empty()) continue;
    bool lacks = false;
    for (const auto& need : c.needs) lacks = lacks || !facts().satisfied(need);
    for (const auto& need : cgroup_needs(c.policy.resources)) {
      lacks = lacks || !facts().satisfied(need);
    }
    if (lacks) continue;
    for (const Policy& policy : {without(c.policy, c.expected), c.policy}) {
      SCOPED_TRACE(c.id + " under " + policy.name);
      const auto plan = compile_for_decoy(policy, {});
      ASSERT_TRUE(plan) << plan.error().describe();
      const auto outcome = trial(c, *plan);
      ASSERT_TRUE(outcome) << outcome.error().describe();
      if (outcome->error_word == "spawn_failed" && outcome->failed_errno == EPERM) continue;
      EXPECT_EQ(outcome->error, "");
      ++tried;
      compared += compare(c, *outcome) ? 1 : 0;
    }
  }
  EXPECT_GT(tried, 0);
  EXPECT_GE(compared, tried * 3 / 4) << "of " << tried;
}

// ---- Against everything else that happens
// ------------------------------------------------------------------
// An inmate that only begins, answers and ends.
std::vector<Made> idle_inmate() {
  std::vector<Made> all;
  for (const char* message : {"B exit", "R achieved", "R denied 1", "W"}) {
    const std::string text = message;
    all.push_back(made(SYS_write, {RF_ANSWER_FD, 0x400000, text.size()}, text));
  }
  all.push_back(made(SYS_read, {RF_ANSWER_FD, 0x400000, 1}));
  all.push_back(made(SYS_exit_group, {0}));
  all.push_back(made(SYS_exit, {0}));
  return all;
}

TEST(Calls, NoneIsMadeByAnIdleInmate) {
  for (const Case& c : registry().cases()) {
    for (const Call& call : c.calls) {
      if (call.compat) continue;  // it makes no call of the 32-bit table
      for (const Made& m : idle_inmate()) EXPECT_FALSE(matches(call, m)) << c.id << " " << m.nr;
    }
  }
}

// The witness watches the target from its first instruction: a step that looked like the attempt
// would pass for it.
TEST(Calls, NoneIsMadeByAStepOfThePlan) {
  size_t steps = 0;
  for (const Case& c : registry().cases()) {
    if (c.guest) continue;
    for (const Policy& policy : {without(c.policy, c.expected), c.policy}) {
      const auto plan = compile_for_decoy(policy, {});
      ASSERT_TRUE(plan) << c.id << plan.error().describe();
      for (const Step& step : plan->steps) {
        std::vector<Op> ops = step.ops;
        ops.insert(ops.end(), step.fallback.begin(), step.fallback.end());
        for (const Op& op : ops) {
          ++steps;
          Made m{.nr = op.nr};
          for (size_t i = 0; i < op.args.size(); ++i) {
            const Arg& arg = op.args.at(i);
            if (arg.kind == Arg::Kind::constant) m.args.at(i) = arg.value;
            if (arg.kind == Arg::Kind::constant) m.texts.at(i) = "";
            if (arg.kind == Arg::Kind::bytes) m.texts.at(i) = plan->bytes.at(arg.value).c_str();
          }
          for (const Call& call : c.calls) {
            EXPECT_FALSE(!call.compat && matches(call, m)) << c.id << ": " << step.key;
          }
        }
      }
    }
  }
  EXPECT_GT(steps, 100U);
}

// Of each case some call is what reaches the goal, so that its success is told from its failure;
// but what a ring opens, no syscall shows, and one capset(2) looks like another.
TEST(Calls, SomeOneReachesTheGoal) {
  for (const Case& c : registry().cases()) {
    if (c.calls.empty() || c.attempt.name == "io_uring_open" || c.attempt.name == "regain_cap") {
      continue;
    }
    EXPECT_TRUE(std::any_of(c.calls.begin(), c.calls.end(), [](const Call& call) {
      return !call.step;
    })) << c.id;
  }
}

// ---- The checks themselves
// ---------------------------------------------------------------------------------
TEST(Calls, ChecksSeeWhatTheyLookFor) {
  const auto taken = [](const Call& call) {
    size_t count = 0;
    for (const Made& m : idle_inmate()) count += matches(call, m) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(taken({.nr = SYS_write}), 4U);
  EXPECT_EQ(taken({.nr = SYS_write, .args = {{.index = 0, .value = "3"}}}), 4U);
  EXPECT_EQ(taken({.nr = SYS_write, .args = {{.index = 0, .value = "5"}}}), 0U);
  EXPECT_EQ(taken({.nr = SYS_write, .path = 1, .path_is = "W"}), 1U);
  EXPECT_EQ(taken({.nr = SYS_exit_group}), 1U);
  EXPECT_EQ(taken({.nr = SYS_read, .args = {{.index = 2, .value = "0x101", .mask = 0xff}}}), 1U);
  EXPECT_EQ(taken({.nr = SYS_read, .args = {{.index = 2, .value = "{canary_pid}"}}}), 1U);
}

// ---- Parameters
// ------------------------------------------------------------------------------------------
std::vector<Call> calls_of(std::string attempt, std::vector<std::string> args) {
  Case c;
  c.attempt = {std::move(attempt), std::move(args)};
  add_calls(c);
  return c.calls;
}

TEST(Calls, OfTheAttemptsThatTakeAnySyscall) {
  EXPECT_EQ(calls_of("syscall", {"170", "s:breached", "8"}),
            (std::vector<Call>{{.nr = SYS_sethostname,
                                .args = {{.index = 1, .value = "8"}},
                                .path = 0,
                                .path_is = "breached"}}));
  EXPECT_EQ(calls_of("syscall_expect", {"14", "0xa9", "-1", "{canary_pid}", "z:64"}),
            (std::vector<Call>{
                {.nr = SYS_reboot,
                 .args = {{.index = 0, .value = "-1"}, {.index = 1, .value = "{canary_pid}"}}}}));
  EXPECT_EQ(calls_of("syscall_i386", {"37", "{canary_pid}", "9", "0"}),
            (std::vector<Call>{{.nr = 37,
                                .args = {{.index = 0, .value = "{canary_pid}"},
                                         {.index = 1, .value = "9"},
                                         {.index = 2, .value = "0"}},
                                .compat = true}}));
  EXPECT_TRUE(calls_of("syscall", {"{canary_pid}"}).empty());
  EXPECT_TRUE(calls_of("syscall", {}).empty());
}

TEST(Calls, StepsOnlyLeadToOthers) {
  const auto steps = [](const std::vector<Call>& calls) {
    std::string text;
    for (const Call& call : calls) text += call.step ? 's' : '-';
    return text;
  };
  EXPECT_EQ(steps(calls_of("read_file", {"1", "2"})), "--");
  EXPECT_EQ(steps(calls_of("read_below", {"/proc"})), "s-");
  EXPECT_EQ(steps(calls_of("old_root", {"{secret_file}"})), "------");
  EXPECT_EQ(steps(calls_of("chroot_escape", {"{secret_file}"})), "sss-");
  EXPECT_EQ(steps(calls_of("find_proc", {"{canary_marker}", "environ"})), "ss-");
  EXPECT_EQ(steps(calls_of("connect_tcp", {})), "s-");
  EXPECT_EQ(steps(calls_of("keyctl_read", {"key"})), "sss-");
  EXPECT_EQ(steps(calls_of("add_key", {"key", "text", "-3"})), "-");
  EXPECT_EQ(steps(calls_of("msgq_read", {"7"})), "s--");
  EXPECT_EQ(steps(calls_of("pidfd_getfd", {"7", "3"})), "s-");
}

TEST(Calls, WhatIsKnownOnlyLaterIsNotCompared) {
  EXPECT_EQ(calls_of("sethostname", {"name"}).at(0).args.size(), 1U);
  EXPECT_EQ(calls_of("sethostname", {"{mq_name}"}).at(0).args.size(), 0U);
  EXPECT_EQ(calls_of("sethostname", {"{mq_name}"}).at(0).path_is, "{mq_name}");
  EXPECT_EQ(calls_of("read_relative", {"//etc/passwd"}).at(0).path_is, "etc/passwd");
  EXPECT_EQ(calls_of("read_relative", {"{secret_file}"}).at(0).path, -1);
  EXPECT_EQ(calls_of("mlock", {"4"}).at(0).args.at(0).value, "4096");
  EXPECT_TRUE(calls_of("mlock", {"{tcp_port}"}).at(0).args.empty());
  EXPECT_EQ(calls_of("read_file", {"1", "2", "3", "4", "5", "6", "7"}).size(), 6U);
}

TEST(Calls, WhatACaseSaysItselfStays) {
  Case c;
  c.attempt = {"kill", {"1"}};
  c.calls = {{.nr = SYS_tgkill}};
  add_calls(c);
  EXPECT_EQ(c.calls.at(0).nr, SYS_tgkill);
  Case declared;
  declared.attempt = {"kill", {"1"}};
  declared.proves_attempt = "vsyscall";
  add_calls(declared);
  EXPECT_TRUE(declared.calls.empty());
  Case unknown;
  unknown.attempt = {"no_such_attempt", {}};
  add_calls(unknown);
  EXPECT_TRUE(unknown.calls.empty() && unknown.proves_attempt.empty());
}

}  // namespace
}  // namespace ringfence::suites

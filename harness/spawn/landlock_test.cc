// Landlock rule sets, securebits and the session keyring, by what the target then can and cannot.
#include <gmock/gmock.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string>

#include "harness/base/facts.h"
#include "harness/base/sys.h"
#include "harness/confine/cgroup.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

class LandlockSpawn : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Facts::probe().satisfied("landlock:1"))
      GTEST_SKIP() << Facts::probe().why_not("landlock:1");
    std::string path = "/tmp/ringfence-landlock-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    for (const char* name : {"/open", "/closed"}) {
      ASSERT_EQ(mkdir((directory_ + name).c_str(), 0755), 0);
    }
  }
  void TearDown() override {
    if (directory_.empty()) return;
    for (const char* name : {"/open/file", "/closed/file", "/open", "/closed", ""}) {
      (void)remove((directory_ + name).c_str());
    }
  }
  [[nodiscard]] bool there(const char* name) const {
    struct stat st {};
    return stat((directory_ + name).c_str(), &st) == 0;
  }
  // Files are made and written below `open` alone.
  [[nodiscard]] Policy policy() const {
    Policy policy = open_policy();
    policy.no_new_privileges = true;
    LandlockRuleSet rules;
    rules.fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;
    rules.beneath = {{directory_ + "/open", rules.fs}, {"/dev", LANDLOCK_ACCESS_FS_WRITE_FILE}};
    policy.landlock = {rules};
    return policy;
  }
  [[nodiscard]] std::string script() const {
    return "echo a > " + directory_ + "/open/file; echo b > " + directory_ + "/closed/file";
  }
  std::string directory_;
};

TEST_F(LandlockSpawn, DeniesWhatIsHandledButByRules) {
  const Ran ran = run(policy(), script());
  EXPECT_EQ(ran.error, "");
  EXPECT_TRUE(there("/open/file"));
  EXPECT_FALSE(there("/closed/file"));
  EXPECT_THAT(ran.out, HasSubstr("Permission denied"));
}

TEST_F(LandlockSpawn, WithoutTheStepNothingIsDenied) {
  CompileOptions options;
  options.drop = [](const Step& step) { return step.key == "landlock:0"; };
  const auto plan = compile(policy(), options);
  ASSERT_TRUE(plan);
  EXPECT_EQ(run(*plan, script()).error, "");
  EXPECT_TRUE(there("/closed/file"));
}

TEST_F(LandlockSpawn, EachRuleSetTakesMoreAway) {
  Policy both = policy();
  LandlockRuleSet rest = both.landlock[0];
  rest.beneath = {{directory_ + "/closed", rest.fs}};
  both.landlock.push_back(rest);
  EXPECT_EQ(run(both, script()).error, "");
  EXPECT_FALSE(there("/open/file"));
  EXPECT_FALSE(there("/closed/file"));
  both.landlock.assign(kMostLandlockRuleSets, policy().landlock[0]);
  EXPECT_EQ(run(both, script()).error, "");
  EXPECT_TRUE(there("/open/file"));
}

// In every order in which privileges are given up, with the strictest of what else there is.
TEST_F(LandlockSpawn, BeforeTheFilterAndTheCapabilitiesGo) {
  for (const bool nnp : {true, false}) {
    Policy policy = this->policy();
    policy.no_new_privileges = nnp;
    if (geteuid() == 0) policy.capabilities = {CapSet{}, CapSet{}, CapSet{}, CapSet{}, CapSet{}};
    if (!nnp && geteuid() != 0) continue;
    policy.seccomp = Seccomp{};
    policy.seccomp->default_action = SeccompAction::allow;
    policy.seccomp->rules = {
        {{"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"},
         SeccompAction::errno_,
         {},
         {}}};
    const Ran ran = run(policy, script());
    EXPECT_EQ(ran.error, "") << nnp;
    EXPECT_TRUE(there("/open/file")) << nnp;
    EXPECT_FALSE(there("/closed/file")) << nnp;
    (void)remove((directory_ + "/open/file").c_str());
  }
}

TEST_F(LandlockSpawn, PathsAreOfTheTargetsRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Policy policy = strict_policy();
  LandlockRuleSet rules;
  rules.fs = LANDLOCK_ACCESS_FS_READ_FILE;
  rules.beneath = {{"/proc", rules.fs}};
  for (const Mount& mount : policy.mounts) {
    if ((mount.flags & MS_BIND) != 0) rules.beneath.push_back({mount.destination, rules.fs});
  }
  policy.landlock = {rules};
  Ran ran =
      run(policy, "read word rest < /proc/self/stat && echo word; : < /dev/zero || echo denied");
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, HasSubstr("word"));
  EXPECT_THAT(ran.out, HasSubstr("denied"));
  policy.landlock[0].beneath.push_back({"/no/such", rules.fs});
  ran = run(policy, "true");
  EXPECT_THAT(ran.error, HasSubstr("step landlock:0: openat"));
  EXPECT_TRUE(childless());
}

TEST_F(LandlockSpawn, WhatTheKernelHasNotIsLeftOutAndSaid) {
  const Facts facts = Facts::probe();
  Policy policy = this->policy();
  EXPECT_TRUE(facts.satisfied("landlock:1"));
  EXPECT_FALSE(facts.satisfied("landlock:999999"));
  EXPECT_EQ(facts.why_not("landlock:999999"), "host-lacks:landlock:999999");
  EXPECT_EQ(facts.why_not("landlock:none"), "unknown:landlock:none");
  const sys::Fault old{SYS_landlock_create_ruleset, sys::kEvery, ENOSYS};
  ASSERT_TRUE(sys::arm_fault(old));
  const Policy here = as_enforced_here(policy, Facts::probe());
  sys::disarm_faults();
  EXPECT_TRUE(here.landlock.empty());
  EXPECT_THAT(here.unenforced,
              ::testing::Contains(Unenforced{"/annotations/ringfence.landlock", Layer::kLandlock}));
  EXPECT_EQ(as_enforced_here(policy, facts), policy);
}

TEST(Securebits, RootIsNobodySpecial) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Policy policy = open_policy();
  const Waiting before = wait_under(*compile(policy));
  ASSERT_EQ(before.error, "");
  EXPECT_NE(before.status("CapEff"), "0000000000000000");
  policy.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
  policy.capabilities.ambient = CapSet{};
  const Waiting waiting = wait_under(*compile(policy));
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(waiting.status("CapEff"), "0000000000000000");
  EXPECT_EQ(waiting.status("CapPrm"), "0000000000000000");
}

// Ambient capabilities are all that goes over a change of ids and exec; the locks hold from then
// on.
TEST(Securebits, AreInForceOverAChangeOfIds) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Policy policy = open_policy();
  policy.set_user = true;
  policy.user.uid = policy.user.gid = 1000;
  const CapSet kill = CapSet::of({"KILL"});
  policy.capabilities = {kill, kill, kill, kill, kill};
  policy.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                      SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED;
  const Waiting waiting = wait_under(*compile(policy));
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(waiting.status("CapEff"), "0000000000000020");
  EXPECT_EQ(waiting.status("Uid"), "1000\t1000\t1000\t1000");
}

// What it keeps from the target: case key.session_overwrite.
// The serial numbers of the session keyrings that were made for a process, of /proc/keys.
std::set<std::string> session_keyrings(const std::string& keys) {
  std::set<std::string> serials;
  std::istringstream lines(keys);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" _ses:") != std::string::npos) serials.insert(line.substr(0, line.find(' ')));
  }
  return serials;
}

TEST(SessionKeyring, IsTheTargetsOwn) {
  if (!Facts::probe().satisfied("keys")) GTEST_SKIP() << Facts::probe().why_not("keys");
  Policy policy = open_policy();
  std::set<std::string> before;  // ours, and others that may be seen
  for (const bool own : {false, true}) {
    policy.session_keyring = own;
    const auto plan = compile(policy);
    ASSERT_TRUE(plan);
    const Step* step = plan->find("session_keyring");
    ASSERT_EQ(step != nullptr, own);
    const Ran ran = run(*plan, "cat /proc/keys");
    EXPECT_EQ(ran.error, "");
    const auto seen = session_keyrings(ran.out);
    if (!own) {
      before = seen;
      continue;
    }
    EXPECT_EQ(step->layer, Layer::kKeyring);
    const bool made = std::any_of(seen.begin(), seen.end(), [&](const std::string& serial) {
      return !before.contains(serial);
    });
    EXPECT_TRUE(made) << ran.out;
  }
}

}  // namespace
}  // namespace ringfence

// Each limit by what it does to a program, as far as this host has it; v1 and v2 alike.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/syscall.h>

#include <chrono>
#include <csignal>

#include "harness/base/sys.h"
#include "harness/spawn/cgroup_state.h"
#include "harness/spawn/test_groups.h"

namespace ringfence {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;

class CgroupLimits : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    here_ = CgroupLayout::probe();
    if (here_.mode == "none") GTEST_SKIP() << "needs:cgroup.pids";
  }
  void TearDown() override { sys::disarm_faults(); }
  CgroupLayout here_;
};

// Runs for a while, on the clock of the wall, and is then killed; what the group used meanwhile.
struct Used {
  double cpus = 0;  // CPU time by wall time
  CpuState state;
};
Used use_of(const Plan& plan, const CgroupLeaf& group, milliseconds wall) {
  const auto before = steady_clock::now();
  auto child = start(plan, "while :; do :; done", &group);
  EXPECT_TRUE(child) << child.error().describe();
  if (!child) return {};
  EXPECT_FALSE(child->wait(wall).value_or(std::nullopt));
  EXPECT_TRUE(child->kill());
  EXPECT_TRUE(child->wait());
  const auto elapsed = std::chrono::duration<double, std::micro>(steady_clock::now() - before);
  Used used;
  used.state = cpu_state(group).value_or(CpuState{});
  used.cpus = static_cast<double>(used.state.usage_us.value_or(0)) / elapsed.count();
  return used;
}

TEST_F(CgroupLimits, CpuQuotaHoldsTheShare) {
  if (!here_.offers("cpu")) GTEST_SKIP() << "needs:cgroup.cpu";
  Policy policy = open_policy();
  policy.resources.cpu_quota = 5000;
  policy.resources.cpu_period = 100000;
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  const Used used = use_of(*compile(policy), *group, milliseconds(1200));
  ASSERT_TRUE(used.state.usage_us);
  EXPECT_GT(*used.state.usage_us, 0U);
  EXPECT_LT(used.cpus, 0.05 + 0.03);
  EXPECT_GT(used.state.nr_throttled.value_or(0), 2U);
  EXPECT_GT(used.state.throttled_us.value_or(0), 0U);
  // Without a quota nothing is throttled, and the same loop gets more.
  auto open = group_for(here_, open_policy(), {"cpu"});
  ASSERT_TRUE(open) << open.error().describe();
  const Used all = use_of(*compile(open_policy()), *open, milliseconds(600));
  EXPECT_GT(all.cpus, 0.05 + 0.03);
  EXPECT_EQ(all.state.nr_throttled.value_or(0), 0U);
}

TEST_F(CgroupLimits, CpuSharesDivideACpu) {
  if (!here_.offers("cpu")) GTEST_SKIP() << "needs:cgroup.cpu";
  // Two loops on one CPU: whatever else runs there takes from both.
  cpu_set_t before;
  cpu_set_t one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  Policy heavy = open_policy();
  heavy.resources.cpu_shares = 4096;
  Policy light = open_policy();
  light.resources.unified = {{"cpu.weight", "100"}};
  // Side by side: weights divide what the group above has.
  auto root = CgroupRoot::create(here_, {"cpu"});
  ASSERT_TRUE(root) << root.error().describe();
  auto first = CgroupLeaf::create(*root, compile(heavy)->settings(), "heavy");
  auto second = CgroupLeaf::create(*root, compile(light)->settings(), "light");
  ASSERT_TRUE(first && second);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  auto a = start(*compile(heavy), "while :; do :; done", &*first);
  auto b = start(*compile(light), "while :; do :; done", &*second);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  ASSERT_TRUE(a && b);
  const auto usage = [](const CgroupLeaf& leaf) {
    return static_cast<double>(cpu_state(leaf).value_or(CpuState{}).usage_us.value_or(0));
  };
  const double a0 = usage(*first);
  const double b0 = usage(*second);
  EXPECT_FALSE(a->wait(milliseconds(2000)).value_or(std::nullopt));
  const double ratio = (usage(*first) - a0) / std::max(1.0, usage(*second) - b0);
  EXPECT_GT(ratio, 1.6);  // equal loops have 1; 4096 and 1024 shares (v1) or weights 291:100 (v2)
  EXPECT_LT(ratio, 10);
}

TEST_F(CgroupLimits, CpusetKeepsOffTheOtherCpus) {
  if (!here_.offers("cpuset")) GTEST_SKIP() << "needs:cgroup.cpuset";
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "host-lacks:a second CPU";
  Policy policy = open_policy();
  policy.resources.cpuset_cpus = "0";
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  auto child = start(*compile(policy), "while :; do :; done", &*group);
  ASSERT_TRUE(child) << child.error().describe();
  cpu_set_t other;
  CPU_ZERO(&other);
  CPU_SET(1, &other);
  EXPECT_EQ(sched_setaffinity(child->pid(), sizeof other, &other), -1);
  EXPECT_EQ(errno, EINVAL);
  // The control: without the set the same call moves it.
  auto open = start(*compile(open_policy()), "while :; do :; done", nullptr);
  ASSERT_TRUE(open);
  EXPECT_EQ(sched_setaffinity(open->pid(), sizeof other, &other), 0);
}

// ---- Devices ------------------------------------------------------------------------------------

constexpr const char* kOpenDevices =
    "(: </dev/null) && echo null; (: </dev/loop-control) && echo loop; (: </dev/full) && echo full";

Policy few_devices() {
  Policy policy = open_policy();
  policy.resources.devices = {DeviceRule{}};
  return policy;
}

void devices_are_denied(const CgroupLayout& layout) {
  if (access("/dev/loop-control", R_OK) != 0) GTEST_SKIP() << "host-lacks:path:/dev/loop-control";
  auto group = group_for(layout, few_devices());
  if (!group && group.error().kind == Error::Kind::unsupported) {
    GTEST_SKIP() << group.error().describe();
  }
  ASSERT_TRUE(group) << group.error().describe();
  const Ran ran = run(*compile(few_devices()), kOpenDevices, &*group);
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, HasSubstr("null"));
  EXPECT_THAT(ran.out, HasSubstr("full"));
  EXPECT_THAT(ran.out, Not(HasSubstr("loop\n")));
  EXPECT_THAT(ran.out, HasSubstr("Operation not permitted"));
  // The control.
  auto open = group_for(layout, open_policy(), {"devices"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_THAT(run(*compile(open_policy()), kOpenDevices, &*open).out, HasSubstr("loop\n"));
  // One more is allowed.
  Policy more = few_devices();
  more.resources.devices.push_back({true, 'c', 10, 237, "rw"});
  auto wider = group_for(layout, more);
  ASSERT_TRUE(wider) << wider.error().describe();
  EXPECT_THAT(run(*compile(more), kOpenDevices, &*wider).out, HasSubstr("loop\n"));
}

TEST_F(CgroupLimits, DevicesByV1) {
  if (here_.v1_point("devices").empty()) GTEST_SKIP() << "host-lacks:v1 devices";
  devices_are_denied(here_);
}

TEST_F(CgroupLimits, DevicesByAProgramOnV2) {
  if (here_.unified.empty()) GTEST_SKIP() << "needs:cgroup2";
  devices_are_denied(only_v2(here_));
}

TEST_F(CgroupLimits, WithoutBpfADeviceListIsUnsupported) {
  if (here_.unified.empty()) GTEST_SKIP() << "needs:cgroup2";
  ASSERT_TRUE(sys::arm_fault({SYS_bpf, sys::kEvery, ENOSYS}));
  auto group = group_for(only_v2(here_), few_devices());
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind, Error::Kind::unsupported);
  EXPECT_EQ(group.error().err, ENOSYS);
}

TEST_F(CgroupLimits, WhatV1DoesNotHaveIsUnsupported) {
  if (here_.v1_point("memory").empty()) GTEST_SKIP() << "host-lacks:v1 memory";
  Policy policy = open_policy();
  policy.resources.unified = {{"memory.high", "1000000"}};
  auto group = group_for(only_v1(here_), policy);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind, Error::Kind::unsupported);
}

// ---- Freezing and killing
// ------------------------------------------------------------------------

constexpr const char* kForking = "while :; do (:;:) & (:;:) & wait; done";

Policy few_tasks() {
  Policy policy = open_policy();
  policy.resources.pids_limit = 32;
  return policy;
}

// The time that the group has used stands still while it is frozen.
void freezes(const CgroupLayout& layout, const std::vector<std::string>& also) {
  auto group = group_for(layout, few_tasks(), also);
  ASSERT_TRUE(group) << group.error().describe();
  auto child = start(*compile(few_tasks()), kForking, &*group);
  ASSERT_TRUE(child) << child.error().describe();
  const auto usage = [&] { return cpu_state(*group).value_or(CpuState{}).usage_us.value_or(0); };
  const auto members = [&] { return group->pids().value_or(std::vector<int>()); };
  EXPECT_FALSE(child->wait(milliseconds(50)).value_or(std::nullopt));
  auto frozen = group->freeze();
  ASSERT_TRUE(frozen) << frozen.error().describe();
  const uint64_t stopped = usage();
  auto still = members();
  std::sort(still.begin(), still.end());
  EXPECT_FALSE(still.empty());
  EXPECT_FALSE(child->wait(milliseconds(150)).value_or(std::nullopt));
  EXPECT_EQ(usage(), stopped);
  auto later = members();
  std::sort(later.begin(), later.end());
  EXPECT_EQ(later, still);  // nobody was made, nobody ended
  ASSERT_TRUE(group->thaw());
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (usage() <= stopped && steady_clock::now() < deadline) {
    EXPECT_FALSE(child->wait(milliseconds(5)).value_or(std::nullopt));
  }
  EXPECT_GT(usage(), stopped);
  // A frozen group can be ended all the same.
  ASSERT_TRUE(group->freeze());
  auto ended = group->destroy();
  EXPECT_TRUE(ended) << ended.error().describe();
  auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "killed by SIGKILL");
}

TEST_F(CgroupLimits, FreezerOfV2StopsAForkBomb) {
  if (here_.unified.empty() || !here_.offers("pids")) GTEST_SKIP() << "needs:cgroup2";
  freezes(here_, {});
}

TEST_F(CgroupLimits, FreezerOfV1StopsAForkBomb) {
  if (here_.v1_point("freezer").empty() || here_.v1_point("cpuacct").empty()) {
    GTEST_SKIP() << "host-lacks:v1 freezer and cpuacct";
  }
  freezes(only_v1(here_), {"freezer", "cpuacct"});
}

void kills(const CgroupLayout& layout) {
  auto group = group_for(layout, few_tasks());
  ASSERT_TRUE(group) << group.error().describe();
  auto child = start(*compile(few_tasks()), kForking, &*group);
  ASSERT_TRUE(child) << child.error().describe();
  EXPECT_FALSE(child->wait(milliseconds(50)).value_or(std::nullopt));
  auto killed = group->kill();
  ASSERT_TRUE(killed) << killed.error().describe();
  EXPECT_THAT(group->pids().value_or(std::vector<int>{-1}), ::testing::IsEmpty());
  auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "killed by SIGKILL");
  // The group is still there, and takes the next one.
  const Ran next = run(*compile(few_tasks()), "echo alive", &*group);
  EXPECT_THAT(next.out, HasSubstr("alive")) << next.error << next.end;
}

TEST_F(CgroupLimits, KillLeavesNobodyOfAForkingTree) {
  if (!here_.offers("pids")) GTEST_SKIP() << "needs:cgroup.pids";
  kills(here_);
}

// v1 has no cgroup.kill, nor has v2 before 5.14: pidfds, round by round.
TEST_F(CgroupLimits, WithoutCgroupKillNobodyIsLeftEither) {
  if (here_.v1_point("pids").empty()) GTEST_SKIP() << "host-lacks:v1 pids";
  kills(only_v1(here_));
}

// ---- Getting in
// ----------------------------------------------------------------------------------

void joins(const CgroupLayout& layout, int err) {
  auto group = group_for(layout, few_tasks());
  ASSERT_TRUE(group) << group.error().describe();
  const auto armed = err == 0 ? Status{} : sys::arm_fault({SYS_clone3, 0, err});
  ASSERT_TRUE(armed);
  auto child = start(*compile(few_tasks()), "while :; do :; done", &*group);
  const bool fired = sys::fault_fired();
  sys::disarm_faults();
  ASSERT_TRUE(child) << child.error().describe();
  if (err != 0) {
    EXPECT_TRUE(fired);
  }
  const auto parts = read_file(fmt::format("/proc/{}/cgroup", child->pid()));
  ASSERT_TRUE(parts);
  if (!layout.unified.empty()) {
    EXPECT_THAT(*parts, ::testing::ContainsRegex("0::/.*ringfence-.*/leaf"));
  }
  if (!layout.v1_point("pids").empty()) {
    EXPECT_THAT(*parts, ::testing::ContainsRegex("pids:/.*ringfence-.*/leaf"));
  }
}

TEST_F(CgroupLimits, WithoutCloneIntoCgroupTheChildJoinsByItself) {
  if (here_.unified.empty() || !here_.offers("pids")) GTEST_SKIP() << "needs:cgroup2";
  joins(here_, 0);
  joins(here_, EINVAL);
  joins(here_, E2BIG);
}

TEST_F(CgroupLimits, ARunningProcessIsAdded) {
  if (!here_.offers("pids")) GTEST_SKIP() << "needs:cgroup.pids";
  auto group = group_for(here_, few_tasks());
  ASSERT_TRUE(group) << group.error().describe();
  auto child = start(*compile(open_policy()), "while :; do (:;:) & wait; done", nullptr);
  ASSERT_TRUE(child) << child.error().describe();
  EXPECT_THAT(group->pids().value_or(std::vector<int>()), Not(::testing::Contains(child->pid())));
  auto added = group->add(child->pid());
  ASSERT_TRUE(added) << added.error().describe();
  EXPECT_THAT(group->pids().value_or(std::vector<int>()), ::testing::Contains(child->pid()));
  // It is bound by the limit now, and so is what it makes.
  ASSERT_TRUE(group->set({"pids", "pids.max", "1"}));
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (pids_state(*group).value_or(PidsState{}).refused == 0 && steady_clock::now() < deadline) {
    if (child->wait(milliseconds(5)).value_or(std::nullopt)) break;
  }
  EXPECT_GT(pids_state(*group).value_or(PidsState{}).refused, 0U);
}

TEST_F(CgroupLimits, WhoGetsInOnlyPartlyIsPutBack) {
  if (here_.v1_point("pids").empty() || here_.unified.empty()) {
    GTEST_SKIP() << "host-lacks:two hierarchies";
  }
  auto group = group_for(here_, few_tasks());
  ASSERT_TRUE(group) << group.error().describe();
  auto child = start(*compile(open_policy()), "while :; do :; done", nullptr);
  ASSERT_TRUE(child);
  const auto before = read_file(fmt::format("/proc/{}/cgroup", child->pid()));
  ASSERT_EQ(rmdir(group->directory("pids").c_str()), 0);  // the last part of the two
  EXPECT_FALSE(group->add(child->pid()));
  EXPECT_EQ(read_file(fmt::format("/proc/{}/cgroup", child->pid())).value_or(""),
            before.value_or("?"));
}

TEST_F(CgroupLimits, WhoIsNotThereCannotBeAdded) {
  auto group = group_for(here_, open_policy());
  ASSERT_TRUE(group) << group.error().describe();
  auto added = group->add(0x3fffffff);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().err, ENOENT);
}

// ---- Typed reading
// -------------------------------------------------------------------------------

TEST_F(CgroupLimits, StateOfAGroupAtWork) {
  if (!here_.offers("pids") || !here_.offers("memory")) GTEST_SKIP() << "needs:cgroup.memory";
  Policy policy = few_tasks();
  policy.resources.memory_limit = int64_t{512} << 20;
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_EQ(pids_state(*group).value_or(PidsState{}).current, 0U);
  auto child = start(*compile(policy),
                     "x=$(head -c 4194304 /dev/zero | tr '\\0' x); while :; do :; done", &*group);
  ASSERT_TRUE(child);
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  auto memory = memory_state(*group);
  while (memory && memory->current < 4194304 && steady_clock::now() < deadline) {
    EXPECT_FALSE(child->wait(milliseconds(5)).value_or(std::nullopt));
    memory = memory_state(*group);
  }
  ASSERT_TRUE(memory) << memory.error().describe();
  EXPECT_GE(memory->current, 4194304U);
  EXPECT_GE(memory->peak.value_or(UINT64_MAX), memory->current / 2);
  EXPECT_EQ(memory->max, uint64_t{512} << 20);
  EXPECT_EQ(memory->oom_kill.value_or(0), 0U);
  EXPECT_FALSE(memory->stat.empty());
  auto pids = pids_state(*group);
  ASSERT_TRUE(pids);
  EXPECT_GE(pids->current, 1U);
  EXPECT_EQ(pids->max, 32U);
  if (!here_.unified.empty()) {
    auto core = core_state(*group);
    ASSERT_TRUE(core) << core.error().describe();
    EXPECT_TRUE(core->populated);
    EXPECT_FALSE(core->frozen);
    auto psi = pressure(*group, "cpu");
    if (psi || psi.error().kind != Error::Kind::unsupported) {
      ASSERT_TRUE(psi) << psi.error().describe();
      EXPECT_GE(psi->some.avg10, 0);
    }
  }
}

}  // namespace
}  // namespace ringfence

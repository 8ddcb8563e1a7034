// Fields of linux.resources that cgroup v1 alone has: seen in the group's files as the kernel has
// them and by what they do, and said to be left out where the group is one of v2.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sched.h>

#include <chrono>
#include <filesystem>

#include "harness/spawn/test_groups.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMib = int64_t{1} << 20;

class CgroupV1 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    here_ = CgroupLayout::probe();
    if (here_.mode == "none") GTEST_SKIP() << "needs:cgroup.pids";
  }
  // Whether a group of ours gets `file` of a v1 hierarchy with `controller`.
  [[nodiscard]] bool has(const std::string& controller, const std::string& file) const {
    const std::string point = here_.v1_point(controller);
    if (point.empty() || here_.unified_has(controller)) return false;
    // The root's files are those of every group, but for a few that limit.
    auto group = group_for(here_, open_policy(), {controller});
    return group && std::filesystem::exists(group->directory(controller) + "/" + file);
  }
  static std::string in(const CgroupLeaf& group, const char* controller, const char* file) {
    const auto text = read_file(group.directory(controller) + "/" + file);
    return text ? std::string(trim(*text)) : "?";
  }
  CgroupLayout here_;
};

// ---- Memory -------------------------------------------------------------------------------------

TEST_F(CgroupV1, SwappinessAndKernelTcp) {
  if (!has("memory", "memory.swappiness")) GTEST_SKIP() << "host-lacks:cgroup:memory.swappiness";
  Policy policy = open_policy();
  policy.resources.memory_swappiness = 7;
  policy.resources.memory_kernel_tcp = 16 * kMib;
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "memory", "memory.swappiness"), "7");
  EXPECT_EQ(in(*group, "memory", "memory.kmem.tcp.limit_in_bytes"), std::to_string(16 * kMib));
  // The control.
  auto open = group_for(here_, open_policy(), {"memory"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_NE(in(*open, "memory", "memory.swappiness"), "7");
  EXPECT_NE(in(*open, "memory", "memory.kmem.tcp.limit_in_bytes"), std::to_string(16 * kMib));
}

// Who fills its memory is killed, or waits for ever where nobody is to be killed.
TEST_F(CgroupV1, WithoutAnOomKillerTheTargetWaits) {
  if (!has("memory", "memory.oom_control")) GTEST_SKIP() << "host-lacks:cgroup:memory.oom_control";
  // Touched by the program itself: of what the kernel fills in a call there would be less.
  const std::string fill = "x=0123456789abcdef; while :; do x=$x$x; done";
  for (const bool disabled : {true, false}) {
    Policy policy = open_policy();
    policy.resources.memory_limit = 8 * kMib;
    policy.resources.memory_swap = 8 * kMib;
    policy.resources.memory_oom_kill_disabled = disabled;
    auto group = group_for(here_, policy);
    ASSERT_TRUE(group) << group.error().describe();
    EXPECT_THAT(in(*group, "memory", "memory.oom_control"),
                HasSubstr(disabled ? "oom_kill_disable 1" : "oom_kill_disable 0"));
    auto child = start(*compile(policy), fill, &*group);
    ASSERT_TRUE(child) << child.error().describe();
    if (disabled) {
      std::string state;
      for (int i = 0; i < 200 && state.find("under_oom 1") == state.npos; ++i) {
        EXPECT_FALSE(child->wait(std::chrono::milliseconds(20)).value_or(std::nullopt));
        state = in(*group, "memory", "memory.oom_control");
      }
      EXPECT_THAT(state, HasSubstr("under_oom 1"));
      EXPECT_EQ(group->event("memory", "oom_kill").value_or(9), 0U);
      ASSERT_TRUE(child->kill());
    } else {
      const auto ended = child->wait(std::chrono::seconds(20));
      EXPECT_TRUE(ended && *ended);
      EXPECT_GT(group->event("memory", "oom_kill").value_or(0), 0U);
    }
  }
}

// ---- Real time ----------------------------------------------------------------------------------

Policy realtime(uint64_t runtime, uint64_t period) {
  Policy policy = open_policy();
  policy.scheduler = Scheduler{};
  policy.scheduler->policy = SCHED_FIFO;
  policy.scheduler->priority = 1;
  if (runtime > 0) policy.resources.cpu_rt_runtime = runtime;
  if (period > 0) policy.resources.cpu_rt_period = period;
  return policy;
}

// A new group gives real time to nobody; with the field its target gets it, and no more than that.
TEST_F(CgroupV1, RealTimeIsGivenToTheGroup) {
  if (!has("cpu", "cpu.rt_runtime_us")) GTEST_SKIP() << "host-lacks:cgroup:cpu.rt_runtime_us";
  const Policy policy = realtime(20000, 500000);
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "cpu", "cpu.rt_runtime_us"), "20000");
  EXPECT_EQ(in(*group, "cpu", "cpu.rt_period_us"), "500000");
  EXPECT_EQ(run(*compile(policy), "echo alive", &*group).out, "alive\n");
  // The control.
  const Policy without = realtime(0, 0);
  auto none = group_for(here_, without, {"cpu"});
  ASSERT_TRUE(none) << none.error().describe();
  EXPECT_EQ(in(*none, "cpu", "cpu.rt_runtime_us"), "0");
  EXPECT_THAT(run(*compile(without), "echo alive", &*none).error, HasSubstr("EPERM"));
}

TEST_F(CgroupV1, RealTimeOfManyTargetsOfOneRun) {
  if (!has("cpu", "cpu.rt_runtime_us")) GTEST_SKIP() << "host-lacks:cgroup:cpu.rt_runtime_us";
  auto root = CgroupRoot::create(here_, {"cpu"});
  ASSERT_TRUE(root) << root.error().describe();
  const auto leaf = [&](uint64_t runtime, uint64_t period, const char* name) {
    return CgroupLeaf::create(*root, compile(realtime(runtime, period))->settings(), name);
  };
  auto first = leaf(10000, 0, "first");
  auto second = leaf(10000, 100000, "second");
  ASSERT_TRUE(first && second);
  const std::string above = std::filesystem::path(first->directory("cpu")).parent_path();
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "110000");
  // What a target of the past had is the next one's.
  *second = *leaf(20000, 0, "third");
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "130000");
  auto fourth = leaf(10000, 0, "fourth");
  ASSERT_TRUE(fourth) << fourth.error().describe();
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "130000");
  // More than there is for all groups of the machine.
  const auto much = leaf(1000000, 0, "much");
  ASSERT_FALSE(much);
  EXPECT_THAT(much.error().describe(), HasSubstr("no more to give"));
}

// ---- Network ------------------------------------------------------------------------------------

// A priority of the loopback interface, and a class that tc(8) can match.
TEST_F(CgroupV1, ClassAndPrioritiesOfTheNetwork) {
  if (!has("net_cls", "net_cls.classid")) GTEST_SKIP() << "host-lacks:cgroup:net_cls.classid";
  if (!has("net_prio", "net_prio.ifpriomap"))
    GTEST_SKIP() << "host-lacks:cgroup:net_prio.ifpriomap";
  Policy policy = open_policy();
  policy.resources.net_class_id = 0x100001;
  policy.resources.net_priorities = {{"lo", 5}};
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "net_cls", "net_cls.classid"), "1048577");
  EXPECT_THAT(in(*group, "net_prio", "net_prio.ifpriomap"), HasSubstr("lo 5"));
  auto child = start(*compile(policy), "while :; do :; done", &*group);
  ASSERT_TRUE(child) << child.error().describe();
  const auto where = read_file(fmt::format("/proc/{}/cgroup", child->pid()));
  const std::string own = group->directory("net_cls").substr(here_.v1_point("net_cls").size());
  EXPECT_THAT(where.value_or(""), HasSubstr(":" + own + "\n"));
  // The control.
  auto open = group_for(here_, open_policy(), {"net_cls", "net_prio"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_EQ(in(*open, "net_cls", "net_cls.classid"), "0");
  EXPECT_THAT(in(*open, "net_prio", "net_prio.ifpriomap"), HasSubstr("lo 0"));
  // An interface that is not there.
  policy.resources.net_priorities = {{"ringfence-none", 5}};
  const auto none = group_for(here_, policy);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().describe(), HasSubstr("net_prio.ifpriomap: No such device"));
}

// ---- Where v2 has the group ---------------------------------------------------------------------

TEST_F(CgroupV1, IsLeftOutOnV2AndSaid) {
  if (here_.unified.empty()) GTEST_SKIP() << "needs:cgroup2";
  Policy policy = realtime(20000, 0);
  policy.scheduler.reset();
  policy.resources.memory_swappiness = 7;
  policy.resources.memory_kernel_tcp = 16 * kMib;
  policy.resources.memory_oom_kill_disabled = true;
  policy.resources.io_leaf_weight = 100;
  policy.resources.io_device_weights = {{8, 0, 0, 100}};
  policy.resources.net_class_id = 1;
  policy.resources.net_priorities = {{"lo", 5}};
  auto group = group_for(only_v2(here_), policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(
      group->left_out(),
      ElementsAre("/linux/resources/cpu/realtimeRuntime", "/linux/resources/memory/kernelTCP",
                  "/linux/resources/memory/swappiness", "/linux/resources/memory/disableOOMKiller",
                  "/linux/resources/blockIO/leafWeight", "/linux/resources/blockIO/weightDevice",
                  "/linux/resources/network/classID", "/linux/resources/network/priorities"));
  EXPECT_EQ(run(*compile(policy), "echo alive", &*group).out, "alive\n");
}

}  // namespace
}  // namespace ringfence

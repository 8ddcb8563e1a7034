#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <set>

#include "harness/base/facts.h"
#include "harness/spawn/cgroup_files.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    layout_ = CgroupLayout::probe();
    auto root = CgroupRoot::create(layout_);
    if (!root || !layout_.offers("pids")) GTEST_SKIP() << "needs:cgroup.pids";
    root_ = *root;
  }
  // Directories of ours in any hierarchy.
  [[nodiscard]] std::set<std::string> groups(const std::string& prefix) const {
    std::set<std::string> found;
    std::set<std::string> parents;
    if (!layout_.unified.empty()) parents.insert(layout_.unified_parent);
    for (const auto& [controller, point] : layout_.v1) parents.insert(point);
    for (const auto& parent : parents) {
      auto names = list_directory(parent);
      if (!names) continue;
      for (const auto& name : *names) {
        if (name.starts_with(prefix)) found.insert(fmt::format("{}/{}", parent, name));
      }
    }
    return found;
  }
  Result<CgroupLeaf> leaf(const Plan& plan, const std::string& name) {
    std::vector<Step::Setting> settings;
    for (const Step& step : plan.steps) {
      settings.insert(settings.end(), step.settings.begin(), step.settings.end());
    }
    return CgroupLeaf::create(root_, settings, name);
  }
  CgroupLayout layout_;
  std::shared_ptr<CgroupRoot> root_;
};

Policy limited(int64_t pids, int64_t memory) {
  Policy policy = open_policy();
  policy.resources.pids_limit = pids;
  policy.resources.memory_limit = memory;
  return policy;
}

TEST_F(Cgroup, PidsLimitDeniesAndCounts) {
  auto plan = compile(limited(1, 64 << 20));
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->controllers, (std::vector<std::string>{"memory", "pids"}));
  auto group = leaf(*plan, "leaf");
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_EQ(group->event("pids", "max").value_or(99), 0U);
  const Ran ran = run(*plan, "/bin/true; echo not reached", &*group);
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(group->event("pids", "max").value_or(0), 1U) << ran.out;
  EXPECT_EQ(group->event("memory", "oom_kill").value_or(99), 0U);
  const auto peak = group->read("memory", "memory.peak");
  ASSERT_TRUE(peak) << peak.error().describe();
  EXPECT_GT(std::stoul(*peak), 0U);
}

TEST_F(Cgroup, MemoryLimitKillsAndCounts) {
  auto plan = compile(limited(64, 24 << 20));
  ASSERT_TRUE(plan);
  auto group = leaf(*plan, "leaf");
  ASSERT_TRUE(group) << group.error().describe();
  // 64 MiB of a shell variable, in a group of 24.
  const Ran ran = run(*plan, "x=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#x}", &*group);
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, ::testing::Not(::testing::HasSubstr("67108864")));
  EXPECT_GE(group->event("memory", "oom_kill").value_or(0), 1U) << ran.end;
}

TEST_F(Cgroup, DeathByTheLimitBeforeExecIsAnError) {
  Policy policy = strict_policy();
  policy.resources.pids_limit = 64;
  policy.resources.memory_limit = 4096;  // less than one process takes
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  auto group = leaf(*plan, "leaf");
  ASSERT_TRUE(group) << group.error().describe();
  const Ran ran = run(*plan, "echo alive", &*group);
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(!ran.error.empty() || ran.end == "killed by SIGKILL") << ran.end;
  EXPECT_TRUE(childless());
}

TEST_F(Cgroup, DestroyKillsTheMembers) {
  auto plan = compile(limited(64, -1));
  ASSERT_TRUE(plan);
  auto group = leaf(*plan, "leaf");
  ASSERT_TRUE(group);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "sleep 1000 & sleep 1000"};
  request.cgroup = &*group;
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  auto members = group->pids();
  ASSERT_TRUE(members);
  EXPECT_THAT(*members, ::testing::Contains(child->pid()));
  ASSERT_TRUE(group->destroy());
  auto end = child->wait(std::chrono::seconds(10));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "killed by SIGKILL");
  for (const auto& directory : groups(root_->name())) {
    struct stat st {};
    EXPECT_NE(stat((directory + "/leaf").c_str(), &st), 0) << directory;
  }
}

TEST_F(Cgroup, RootTakesAllOfItsGroupsAlong) {
  const std::string name = root_->name();
  EXPECT_FALSE(groups(name).empty());
  root_.reset();
  EXPECT_TRUE(groups(name).empty());
}

TEST_F(Cgroup, AForkedCopyLeavesTheGroupsAlone) {
  const pid_t pid = fork();
  if (pid == 0) {
    root_.reset();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_FALSE(groups(root_->name()).empty());
}

TEST_F(Cgroup, SweepRemovesWhatADeadOwnerLeft) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  // The owner: makes a group with a sleeping member in it, and dies without cleaning up.
  const pid_t pid = fork();
  if (pid == 0) {
    auto own = CgroupRoot::create(layout_);
    auto plan = compile(limited(64, -1));
    if (!own || !plan) _exit(1);
    std::vector<Step::Setting> settings = {{"pids", "pids.max", "64"}};
    auto group = CgroupLeaf::create(*own, settings, "leaf");
    plan->controllers = {"pids"};
    SpawnRequest request;
    request.plan = &*plan;
    request.exe_path = "/bin/sleep";
    request.args = {"sleep", "1000"};
    request.cgroup = group ? &*group : nullptr;
    request.die_with_parent = false;
    auto child = spawn(request);
    const std::string name = child ? (*own)->name() : "";
    if (write(out.get(), name.data(), name.size()) < 0) _exit(1);
    _exit(0);  // no destructor runs
  }
  out.reset();
  char buffer[128];
  const ssize_t n = read(in.get(), buffer, sizeof buffer);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_GT(n, 0);
  const std::string name(buffer, static_cast<size_t>(n));
  EXPECT_FALSE(groups(name).empty());
  auto swept = sweep_cgroups(layout_);
  ASSERT_TRUE(swept) << swept.error().describe();
  EXPECT_GE(*swept, 1U);
  EXPECT_TRUE(groups(name).empty());
  EXPECT_FALSE(groups(root_->name()).empty());  // ours: its owner lives
}

TEST_F(Cgroup, WhatNoHierarchyHasIsUnsupported) {
  auto group = CgroupLeaf::create(root_, {{"no-such-controller", "x", "1"}}, "leaf");
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind, Error::Kind::unsupported);
}

// A case is chosen by the fact and run by the layout: what the first says is there, the second has.
TEST(CgroupFacts, PromiseNothingThatALeafCannotHave) {
  const CgroupLayout layout = CgroupLayout::probe();
  const Facts facts = Facts::probe();
  for (const auto* name : {"pids", "memory", "cpu", "cpuset", "hugetlb"}) {
    const Fact* fact = facts.find(std::string("cgroup.") + name);
    ASSERT_NE(fact, nullptr);
    EXPECT_TRUE(!fact->available || layout.offers(name)) << name << ": " << fact->detail;
  }
}

TEST(CgroupFiles, WhatWasSweptInWords) {
  EXPECT_EQ(swept_text(1), "removed 1 group that a killed run left");
  EXPECT_EQ(swept_text(2), "removed 2 groups that a killed run left");
}

TEST(CgroupFiles, Counters) {
  EXPECT_EQ(keyed_value("low 0\nmax 12\noom_kill 3\n", "max").value_or(0), 12U);
  EXPECT_FALSE(keyed_value("max 12\n", "oom"));
}

}  // namespace
}  // namespace ringfence

// linux.cgroupsPath: a path below the run's own group, made and removed by the run.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <filesystem>

#include "harness/spawn/test_groups.h"

namespace ringfence {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The directories of any hierarchy whose path has `name`.
std::vector<std::string> groups(const CgroupLayout& layout, const std::string& name) {
  std::set<std::string> tops;
  if (!layout.unified.empty()) tops.insert({layout.unified, layout.unified_parent});
  for (const auto& [controller, point] : layout.v1) tops.insert(point);
  std::vector<std::string> found;
  for (const auto& top : tops) {
    if (std::filesystem::exists(std::filesystem::path(top) / name)) found.push_back(top);
  }
  return found;
}

class CgroupPath : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    here_ = CgroupLayout::probe();
    if (!here_.offers("pids") || !here_.offers("memory")) GTEST_SKIP() << "needs:cgroup.pids";
  }
  static Policy policy_of(const std::string& path) {
    Policy policy = open_policy();
    policy.cgroups_path = path;
    policy.resources.pids_limit = 20;
    policy.resources.memory_limit = int64_t{64} << 20;
    return policy;
  }
  Result<CgroupLeaf> leaf(const std::shared_ptr<CgroupRoot>& root, const Policy& policy,
                          const std::string& name) {
    auto plan = compile(policy);
    if (!plan) return tl::unexpected(plan.error());
    return CgroupLeaf::create(root, plan->settings(), name, plan->cgroups_path);
  }
  CgroupLayout here_;
};

TEST_F(CgroupPath, IsBelowTheRunsOwnGroupInEachHierarchy) {
  auto root = CgroupRoot::create(here_);
  ASSERT_TRUE(root) << root.error().describe();
  // Absolute, relative, and with what means nothing.
  for (const char* path :
       {"/ringfence.slice/app/one", "ringfence.slice/app/one", "//ringfence.slice/./app/one/"}) {
    const Policy policy = policy_of(path);
    auto group = leaf(*root, policy, "leaf");
    ASSERT_TRUE(group) << group.error().describe();
    auto child = start(*compile(policy), "while :; do :; done", &*group);
    ASSERT_TRUE(child) << child.error().describe();
    const auto text = read_file(fmt::format("/proc/{}/cgroup", child->pid()));
    ASSERT_TRUE(text);
    int in = 0;
    for (const auto line : split(*text, '\n')) {
      if (line.find((*root)->name()) == line.npos) continue;
      EXPECT_THAT(std::string(line), EndsWith((*root)->name() + "/leaf/ringfence.slice/app/one"));
      ++in;
    }
    EXPECT_GE(in, 1) << *text;
    // The limits stand there, and not on the way.
    for (const char* controller : {"pids", "memory"}) {
      EXPECT_THAT(group->directory(controller), EndsWith("/leaf/ringfence.slice/app/one"));
    }
    EXPECT_EQ(trim(group->read("pids", "pids.max").value_or("?")), "20");
    const std::filesystem::path own = group->directory("pids");
    EXPECT_EQ(trim(read_file(own.parent_path() / "pids.max").value_or("?")), "max");
    EXPECT_EQ(group->pids().value_or(std::vector<int>{}), std::vector<int>{child->pid()});
    ASSERT_TRUE(child->kill());
    ASSERT_TRUE(group->destroy());
    EXPECT_FALSE(std::filesystem::exists(own));
    EXPECT_FALSE(std::filesystem::exists(own.parent_path().parent_path().parent_path()));
    // Nothing of the name beside the run's own group.
    EXPECT_THAT(groups(here_, "ringfence.slice"), IsEmpty());
  }
}

TEST_F(CgroupPath, TwoRunsAndTwoTargetsOfOnePathShareNothing) {
  const Policy policy = policy_of("/app");
  auto first = CgroupRoot::create(here_);
  auto second = CgroupRoot::create(here_);
  ASSERT_TRUE(first && second);
  auto a = leaf(*first, policy, "a");
  auto b = leaf(*first, policy, "b");
  auto c = leaf(*second, policy, "a");
  ASSERT_TRUE(a && b && c);
  const std::set<std::string> directories = {a->directory("pids"), b->directory("pids"),
                                             c->directory("pids")};
  EXPECT_EQ(directories.size(), 3U);
  auto child = start(*compile(policy), "while :; do :; done", &*c);
  ASSERT_TRUE(child) << child.error().describe();
  ASSERT_TRUE(a->destroy());
  ASSERT_TRUE(b->destroy());
  EXPECT_EQ(c->pids().value_or(std::vector<int>{}).size(), 1U);
}

// What every level has to be given: CPUs and nodes of a v1 cpuset, controllers of v2, real time.
TEST_F(CgroupPath, LimitsThatNeedTheGroupsOnTheWay) {
  Policy policy = policy_of("/a/b");
  if (here_.offers("cpuset")) policy.resources.cpuset_cpus = "0";
  if (here_.offers("cpu")) {
    policy.resources.cpu_quota = 50000;
    policy.resources.cpu_rt_runtime = 10000;
  }
  auto root = CgroupRoot::create(here_);
  ASSERT_TRUE(root) << root.error().describe();
  auto group = leaf(*root, policy, "leaf");
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_EQ(run(*compile(policy), "echo alive", &*group).out, "alive\n");
  if (here_.offers("cpuset")) {
    EXPECT_EQ(trim(group->read("cpuset", "cpuset.cpus").value_or("?")), "0");
  }
  if (here_.offers("cpu") && group->left_out().empty()) {
    const auto text = read_file(group->directory("cpu") + "/cpu.rt_runtime_us");
    EXPECT_EQ(trim(text.value_or("?")), "10000");
  }
  // A limit that comes later, by a controller that was not there before.
  if (here_.offers("io")) {
    ASSERT_TRUE(group->set({"io"}));
    EXPECT_THAT(group->directory("io"), EndsWith("/leaf/a/b"));
    // There only where every level hands the controller down.
    if (!group->is_v1("io")) {
      EXPECT_TRUE(std::filesystem::exists(group->directory("io") + "/io.stat"));
    }
  }
}

// Inside, in a cgroup namespace of its own, the path is the root.
TEST_F(CgroupPath, IsTheRootOfItsCgroupNamespace) {
  Policy policy = policy_of("/app/one");
  policy.namespaces.push_back({Ns::cgroup, {}});
  auto root = CgroupRoot::create(here_);
  ASSERT_TRUE(root) << root.error().describe();
  auto group = leaf(*root, policy, "leaf");
  ASSERT_TRUE(group) << group.error().describe();
  const Ran ran = run(*compile(policy), "cat /proc/self/cgroup", &*group);
  EXPECT_THAT(ran.out, HasSubstr(":/\n"));
  EXPECT_THAT(ran.out, Not(HasSubstr("app")));
}

TEST_F(CgroupPath, AKilledRunLeavesItToTheJanitor) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    auto own = CgroupRoot::create(here_);
    const Policy policy = policy_of("/app/one");
    auto group = own ? leaf(*own, policy, "leaf") : Result<CgroupLeaf>(tl::unexpected(own.error()));
    const std::string name = group ? (*own)->name() : "";
    if (write(out.get(), name.data(), name.size()) < 0) _exit(1);
    for (;;) pause();  // until it is killed: no destructor runs
  }
  out.reset();
  char buffer[128];
  const ssize_t n = read(in.get(), buffer, sizeof buffer);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_GT(n, 0);
  const std::string name(buffer, static_cast<size_t>(n));
  EXPECT_THAT(groups(here_, name + "/leaf/app/one"), Not(IsEmpty()));
  auto swept = sweep_cgroups(here_);
  ASSERT_TRUE(swept) << swept.error().describe();
  EXPECT_THAT(groups(here_, name), IsEmpty());
}

// The kernel refuses a name that its own files have; what was made on the way goes.
TEST_F(CgroupPath, WhatCannotBeMadeLeavesNothing) {
  auto root = CgroupRoot::create(here_);
  ASSERT_TRUE(root) << root.error().describe();
  const auto group = leaf(*root, policy_of("/app/cgroup.procs"), "leaf");
  ASSERT_FALSE(group);
  EXPECT_THAT(groups(here_, (*root)->name() + "/leaf"), IsEmpty());
  // The step can be dropped like any other.
  CompileOptions options;
  options.drop = [](const Step& step) { return step.key == "cgroup.path"; };
  EXPECT_EQ(compile(policy_of("/app"), options)->cgroups_path, "");
  EXPECT_EQ(compile(policy_of("/app"))->cgroups_path, "/app");
}

}  // namespace
}  // namespace ringfence

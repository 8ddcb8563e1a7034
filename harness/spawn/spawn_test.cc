#include "harness/spawn/spawn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Spawn, NothingConfined) {
  const Ran ran = run(open_policy(), "echo hello");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_EQ(ran.end, "exit 0");
}

TEST(Spawn, EverythingAtOnce) {
  const Ran ran =
      run(strict_policy(), "id; hostname; mkdir x; echo $$; pwd; ulimit -n; cat /proc/self/status");
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, StartsWith("uid=1000 gid=1000 groups=1000,7,8\nfenced\n"
                                  "mkdir: cannot create directory 'x': Protocol error\n"
                                  "1\n/tmp\n256\n"));
  for (const char* line :
       {"Umask:\t0027", "Seccomp:\t2", "NoNewPrivs:\t1", "NSsid:\t1", "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"}) {
    EXPECT_THAT(ran.out, HasSubstr(line));
  }
  EXPECT_EQ(ran.end, "exit 0");
}

// The harness's own descriptors of a spawn are low numbers here, and must not be taken for those
// that the target gets at the same numbers (something to read on 3 is no sign that the parent is
// gone).
TEST(Spawn, EveryNumberGiven) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  ASSERT_EQ(write(out.get(), "x", 1), 1);
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "exit 7"};
  for (int number = 0; number < 16; ++number) request.fds.emplace_back(number, in.get());
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  const auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 7");
}

TEST(Spawn, CgroupLimitCounts) {
  auto root = CgroupRoot::create(CgroupLayout::probe());
  if (!root || !(*root)->layout().offers("pids")) GTEST_SKIP() << "needs:cgroup.pids";
  Policy policy = open_policy();
  policy.resources.pids_limit = 1;
  policy.resources.memory_limit = 64 << 20;
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  std::vector<Step::Setting> settings;
  for (const Step& step : plan->steps) {
    settings.insert(settings.end(), step.settings.begin(), step.settings.end());
  }
  auto leaf = CgroupLeaf::create(*root, settings, "leaf");
  ASSERT_TRUE(leaf) << leaf.error().describe();
  const Ran ran = run(*plan, "/bin/true; echo not reached", &*leaf);
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(leaf->event("pids", "max").value_or(0), 1U) << ran.out;
  EXPECT_EQ(leaf->event("memory", "oom_kill").value_or(99), 0U);
  const auto peak = leaf->read("memory", "memory.peak");
  ASSERT_TRUE(peak) << peak.error().describe();
  EXPECT_GT(std::stoul(*peak), 0U);
  EXPECT_TRUE(leaf->destroy());
}

}  // namespace
}  // namespace ringfence

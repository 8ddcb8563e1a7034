// What a group shows after the end: a counter that cannot be read is an error, and no absence.
#include "harness/runner/group_look.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "harness/base/sys.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/cgroup_state.h"

namespace ringfence {
namespace {

TEST(GroupLook, NoGroupIsNoAnswer) {
  for (const Sight sight : {Sight::charged_over, Sight::cpu_over, Sight::rival_over}) {
    EXPECT_FALSE(look_at_group({sight, "", 1}, std::nullopt, {}, 1)) << sight_name(sight);
  }
}

TEST(GroupLook, WhatCannotBeReadIsNoAnswer) {
  const CgroupLayout layout = CgroupLayout::probe();
  if (!layout.offers("memory")) GTEST_SKIP() << "needs:cgroup.memory";
  auto root = CgroupRoot::create(layout);
  if (!root) GTEST_SKIP() << "needs:root: " << root.error().describe();
  std::optional<CgroupLeaf> leaf;
  auto made = CgroupLeaf::create(*root, {{"memory"}}, "looked-at");
  ASSERT_TRUE(made) << made.error().describe();
  leaf.emplace(std::move(*made));
  const Goal goal{Sight::charged_over, "", int64_t{1} << 40};
  auto seen = look_at_group(goal, leaf, {}, std::nullopt);
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_FALSE(seen->yes);
  ASSERT_TRUE(sys::arm_fault({SYS_read, sys::kEvery, EIO}));
  seen = look_at_group(goal, leaf, {}, std::nullopt);
  sys::disarm_faults();
  EXPECT_FALSE(seen);
}

// Who ends at once has used more of its time than any limit allows, and proves nothing.
TEST(GroupLook, AShareIsOfASecondAtLeast) {
  const CgroupLayout layout = CgroupLayout::probe();
  if (!layout.offers("cpu")) GTEST_SKIP() << "needs:cgroup.cpu";
  auto root = CgroupRoot::create(layout, {"cpu"});
  if (!root) GTEST_SKIP() << "needs:root: " << root.error().describe();
  std::optional<CgroupLeaf> leaf;
  auto made = CgroupLeaf::create(*root, {{"cpu"}}, "spins");
  ASSERT_TRUE(made) << made.error().describe();
  leaf.emplace(std::move(*made));
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::atomic<uint64_t> spins{0};
    for (;;) spins.fetch_add(1, std::memory_order_relaxed);
  }
  ASSERT_TRUE(leaf->add(pid));
  const Goal goal{Sight::cpu_over, "", 900};
  TrialOutcome brief;
  brief.lived_ns = 1'000'000;
  const auto used = [&] { return cpu_state(*leaf).value().usage_us.value_or(0); };
  while (used() < 20'000) {
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  const auto seen = look_at_group(goal, leaf, brief, {});
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_FALSE(seen->yes) << seen->says;
}

}  // namespace
}  // namespace ringfence

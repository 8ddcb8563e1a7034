// What a plan asks of the kernel and nothing else of the target shows: the kernel's own word for
// it.
#include <gmock/gmock.h>
#include <linux/seccomp.h>

#include "harness/spawn/spawn.h"
#include "harness/spawn/test_policies.h"
#include "harness/witness/test_watch.h"

namespace ringfence {
namespace {

// How often seccomp(2) loads a filter with exactly these flags while a target starts; -1: it did
// not.
int loads_with(const Policy& policy, uint64_t flags) {
  auto group = test_group();
  EXPECT_TRUE(group);
  auto watch = shared_witness()->watch(id_of(*group));
  EXPECT_TRUE(watch) << watch.error().describe();
  const rf_want load = with_arg(want_call(SYS_seccomp), 0, SECCOMP_SET_MODE_FILTER);
  const std::vector<rf_want> wants = {with_arg(load, 1, flags), load};
  EXPECT_TRUE(watch->look_for(wants));
  auto plan = compile(policy);
  EXPECT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/true";
  request.args = {"true"};
  request.cgroup = &*group;
  auto child = spawn(request);
  EXPECT_TRUE(child) << child.error().describe();
  if (!child) return -1;
  auto end = child->wait(std::chrono::seconds(20));
  EXPECT_TRUE(end && *end && (*end)->describe() == "exit 0");
  auto facts = watch->facts();
  EXPECT_TRUE(facts);
  EXPECT_EQ(facts->calls.at(1).count, 1U);
  return static_cast<int>(facts->calls.at(0).count);
}

// Where no mitigation hangs on it the target looks the same with SPEC_ALLOW, and one of a single
// thread with TSYNC.
TEST(Plan, TheFlagsOfAFilterReachTheKernel) {
  RINGFENCE_NEEDS_WITNESS();
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"uname"}, SeccompAction::errno_, {}, {}}};
  EXPECT_EQ(loads_with(policy, 0), 1);
  EXPECT_EQ(loads_with(policy, SECCOMP_FILTER_FLAG_SPEC_ALLOW), 0);
  policy.seccomp->flags = {"SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  EXPECT_EQ(loads_with(policy, SECCOMP_FILTER_FLAG_SPEC_ALLOW), 1);
  policy.seccomp->flags = {"SECCOMP_FILTER_FLAG_TSYNC"};
  EXPECT_EQ(loads_with(policy, SECCOMP_FILTER_FLAG_TSYNC), 1);
  policy.seccomp->rules[0].action = SeccompAction::notify;
  policy.seccomp->answers = {{{"uname"}, NotifyAnswer::How::proceed, 0}};
  constexpr uint64_t kListens = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  EXPECT_EQ(
      loads_with(policy, kListens | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
      1);
  policy.seccomp->flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  EXPECT_EQ(loads_with(policy, kListens | 1U << 5), 1);
}

}  // namespace
}  // namespace ringfence

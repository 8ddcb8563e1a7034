#include "harness/witness/security_hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "harness/witness/test_watch.h"

namespace ringfence {
namespace {

TEST(SecurityHooks, HaveNames) {
  EXPECT_EQ(security_hook_name(RF_HOOK_NONE), "");
  EXPECT_EQ(security_hook_name(RF_HOOK_file_open), "file_open");
  EXPECT_EQ(security_hook_name(RF_HOOK_locked_down), "locked_down");
  EXPECT_EQ(security_hook_name(RF_HOOK_END), "");
  EXPECT_EQ(security_hook_name(255), "");
}

// On any kernel: each family loads, or says why not; the first that does is taken.
TEST(SecurityHooks, ASurveyHasAReasonForEachRefusal) {
  const auto rungs = SecurityHooks::survey();
  ASSERT_EQ(rungs.size(), 6U);
  std::set<std::string> had;
  for (const Rung& rung : rungs) {
    SCOPED_TRACE(rung.program());
    EXPECT_TRUE(rung.tried);
    EXPECT_EQ(rung.loads, rung.reason.empty()) << rung.reason;
    EXPECT_EQ(rung.loads, rung.err == 0);
    EXPECT_EQ(rung.taken, rung.loads && had.insert(rung.hook).second);
    EXPECT_TRUE(!rung.loads || !rung.of.empty());
  }
}

TEST(SecurityHooks, WithoutTheAnswersNothingElseIsTried) {
  RINGFENCE_NEEDS_WITNESS();
  const auto hooks =
      SecurityHooks::attach(shared_witness()->map_fd("tasks"), {"fexit", "kretprobe"});
  for (const Rung& rung : hooks.ladder()) EXPECT_FALSE(rung.tried || rung.taken) << rung.program();
  const auto misses = hooks.misses();
  ASSERT_TRUE(misses);
  EXPECT_EQ(*misses, 0U);
}

// What cannot be shared is refused by each, and nothing is attached.
TEST(SecurityHooks, AMapThatIsNoneIsARefusal) {
  RINGFENCE_NEEDS_WITNESS();
  const UniqueFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto hooks = SecurityHooks::attach(nothing.get(), {});
  for (const Rung& rung : hooks.ladder()) {
    EXPECT_FALSE(rung.taken) << rung.program();
    if (rung.hook != "lsm") continue;
    EXPECT_TRUE(rung.tried) << rung.program();
    EXPECT_NE(rung.reason, "") << rung.program();
  }
}

}  // namespace
}  // namespace ringfence

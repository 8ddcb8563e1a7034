// The answers to notified calls: what is written is what is read.
#include "harness/policy/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/policy/read.h"

namespace ringfence {
namespace {

Policy notifying() {
  Policy policy;
  policy.name = "notify.json";
  policy.root = Policy::Root{};
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"mkdir", "mkdirat"}, SeccompAction::notify, {}, {}},
                           {{"mount"}, SeccompAction::errno_, {}, {}},
                           {{"uname"}, SeccompAction::notify, {}, {}},
                           {{"uname", "getpid"}, SeccompAction::notify, {}, {{0, 1}}}};
  return policy;
}

TEST(Notify, EachCallOnce) {
  EXPECT_THAT(notifying().seccomp->notified(),
              ::testing::ElementsAre("mkdir", "mkdirat", "uname", "getpid"));
}

TEST(Notify, IsReadAsItWasWritten) {
  Policy policy = notifying();
  policy.seccomp->answers = {{{"mkdir", "mkdirat"}, NotifyAnswer::How::refuse, EXDEV},
                             {{"getpid"}, NotifyAnswer::How::pretend, int64_t{1} << 40},
                             {{"uname"}, NotifyAnswer::How::proceed, 0}};
  const auto read = parse_oci_policy(write_oci_policy(policy), "notify.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(*read->policy.seccomp, *policy.seccomp);
  EXPECT_TRUE(read->policy.unenforced.empty());
  EXPECT_TRUE(read->warnings.empty());
}

TEST(Notify, ASocketInstead) {
  Policy policy = notifying();
  policy.seccomp->listener_path = "/run/agent.sock";
  policy.seccomp->listener_metadata = "who asks";
  policy.seccomp->flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  const auto read = parse_oci_policy(write_oci_policy(policy), "notify.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(*read->policy.seccomp, *policy.seccomp);
  EXPECT_TRUE(read->policy.unenforced.empty());
}

TEST(Notify, ASocketThatNobodyAsksIsToldOf) {
  Policy policy = notifying();
  policy.seccomp->listener_path = "/run/agent.sock";
  policy.seccomp->rules.resize(2);
  policy.seccomp->rules[0].action = SeccompAction::errno_;
  const auto read = parse_oci_policy(write_oci_policy(policy), "notify.json");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_EQ(read->warnings.size(), 1U);
  EXPECT_EQ(read->warnings[0].pointer, "/linux/seccomp/listenerPath");
}

}  // namespace
}  // namespace ringfence

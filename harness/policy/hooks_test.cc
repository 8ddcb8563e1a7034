// Hooks: what is written is what is read, and the policy says that they are not run.
#include "harness/policy/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;

Policy hooked() {
  Policy policy;
  policy.name = "hooks.json";
  policy.root = Policy::Root{};
  int number = 0;
  for (const HookKind kind : kAllHooks) {
    Hook hook;
    hook.path = "/bin/hook-" + std::to_string(++number);
    policy.hooks.of(kind) = {hook, {"/bin/sh", {"a", "b c"}, {"K=v", "L="}, number}};
  }
  return policy;
}

TEST(Hooks, AreReadAsTheyWereWritten) {
  const Policy policy = hooked();
  const auto read = parse_oci_policy(write_oci_policy(policy), "hooks.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->policy.hooks, policy.hooks);
  EXPECT_THAT(read->policy.unenforced, ElementsAre(Unenforced{"/hooks", Layer{}}));
  EXPECT_TRUE(read->warnings.empty());
}

TEST(Hooks, NoneIsNothingToSay) {
  Policy policy = hooked();
  policy.hooks = {};
  EXPECT_EQ(write_oci_policy(policy).find("\"hooks\""), std::string::npos);
  const auto read = parse_oci_policy(
      R"({"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": "r"},
          "hooks": {"prestart": [], "poststop": null}})",
      "hooks.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_TRUE(read->policy.hooks.empty());
  EXPECT_TRUE(read->policy.unenforced.empty());
}

TEST(Hooks, AnUnknownMomentIsToldOf) {
  const auto read = parse_oci_policy(
      R"({"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": "r"},
          "hooks": {"preStart": [{"path": "/bin/x"}]}})",
      "hooks.json");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_EQ(read->warnings.size(), 1U);
  EXPECT_EQ(read->warnings[0].pointer, "/hooks/preStart");
}

}  // namespace
}  // namespace ringfence

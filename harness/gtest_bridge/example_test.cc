// The example of docs/authoring.md, word for word: a user's own case as a GoogleTest test.
#include <gmock/gmock.h>

#include "harness/gtest_bridge/matchers.h"

using namespace ringfence;

namespace {

Case rename_the_host() {
  Case c;
  c.id = "example.hostname";
  c.title = "change the host's name";
  c.expected = Layer::kUts;
  c.policy.namespaces = {{Ns::uts, ""}};
  c.attempt = {"sethostname", {"breached"}};
  c.goal = {Sight::hostname_changed, "", 0};
  c.contained = true;  // it may well succeed, on the target's own name
  return c;
}

TEST(Example, TheUtsNamespaceKeepsTheHostsName) {
  const CaseRecord result = judge_case(rename_the_host());
  if (result.verdict == Verdict::skipped) GTEST_SKIP() << result.reason;
  EXPECT_THAT(result, HeldBy(Layer::kUts));
}

}  // namespace

// The bridge against real runs, and its failures against themselves: a test that must go red does.
#include "harness/gtest_bridge/gtest_bridge.h"

#include <gtest/gtest-spi.h>

#include "harness/gtest_bridge/matchers.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

CaseRecord record(Verdict verdict, std::string reason, std::string decided_by) {
  CaseRecord r;
  r.id = "pid.signal";
  r.title = "kill a process of the host";
  r.expected_layer = Layer::kPid;
  r.verdict = verdict;
  r.reason = std::move(reason);
  r.decided_by = std::move(decided_by);
  r.detail = "canary process 3: killed by SIGKILL";
  return r;
}
const CaseRecord kHeld = record(Verdict::held, "", "ns.pid");
const CaseRecord kBreached = record(Verdict::breached, "goal_seen", "");

std::string explain(const testing::Matcher<const CaseRecord&>& matcher, const CaseRecord& r) {
  testing::StringMatchResultListener listener;
  (void)matcher.MatchAndExplain(r, &listener);
  return listener.str();
}

std::string describe(const testing::Matcher<const CaseRecord&>& matcher) {
  std::ostringstream text;
  matcher.DescribeTo(&text);
  return text.str();
}

TEST(Matchers, EachVerdictMatchesItselfOnly) {
  for (int v = 0; v < kVerdicts; ++v) {
    const CaseRecord r = record(static_cast<Verdict>(v), "word", "");
    const std::array matches = {Held().Matches(r), Breached().Matches(r), Unproven().Matches(r),
                                Skipped().Matches(r), Broken().Matches(r)};
    for (int i = 0; i < kVerdicts; ++i) {
      EXPECT_EQ(matches.at(static_cast<size_t>(i)), i == v) << v << " " << i;
    }
  }
}

TEST(Matchers, LayersAndReasons) {
  EXPECT_THAT(kHeld, HeldBy(Layer::kPid));
  EXPECT_THAT(kHeld, Not(HeldBy(Layer::kSeccomp)));
  EXPECT_THAT(kBreached, Not(HeldBy(Layer::kPid)));
  EXPECT_THAT(kBreached, Breached("goal_seen"));
  EXPECT_THAT(kBreached, Not(Breached("other")));
  EXPECT_THAT(record(Verdict::unproven, "control_failed", ""), Unproven("control_failed"));
  EXPECT_THAT(record(Verdict::unproven, "no_witness", ""), Not(Unproven("control_failed")));
  EXPECT_THAT(record(Verdict::skipped, "needs:root", ""), Skipped("needs:*"));
  EXPECT_THAT(record(Verdict::skipped, "host-lacks:kvm", ""), Not(Skipped("needs:*")));
  EXPECT_THAT(record(Verdict::broken, "timeout", ""), Broken("timeout"));
}

TEST(Matchers, SayWhatTheyWantAndWhatTheyGot) {
  EXPECT_EQ(describe(HeldBy(Layer::kSeccomp)), "is a case that held, decided by seccomp");
  EXPECT_EQ(describe(Unproven("control_failed")),
            "is a case that is unproven, for the reason \"control_failed\"");
  EXPECT_EQ(describe(Not(Held())), "not: is a case that held");
  EXPECT_EQ(explain(Held(), kHeld), "which held, decided by ns.pid");
  EXPECT_THAT(explain(HeldBy(Layer::kSeccomp), kHeld),
              AllOf(HasSubstr("decided by ns.pid"), HasSubstr("pid.signal")));
  EXPECT_THAT(explain(Held(), kBreached), AllOf(HasSubstr("which is breached (goal_seen)"),
                                                HasSubstr("canary process 3: killed by SIGKILL"),
                                                HasSubstr("kill a process of the host")));
  EXPECT_EQ(testing::PrintToString(kBreached),
            "pid.signal: breached (goal_seen): canary process 3: killed by SIGKILL");
}

TEST(Matchers, AFailureShowsTheEvidence) {
  EXPECT_NONFATAL_FAILURE(EXPECT_THAT(kBreached, HeldBy(Layer::kPid)),
                          "is a case that held, decided by ns.pid");
  EXPECT_NONFATAL_FAILURE(EXPECT_THAT(kBreached, Held()), "killed by SIGKILL");
}

TEST(TestName, OfAnId) {
  EXPECT_EQ(test_name("pid.signal_host_process").suite, "pid");
  EXPECT_EQ(test_name("pid.signal_host_process").test, "signal_host_process");
  EXPECT_EQ(test_name("proc.mask.kcore").test, "mask_kcore");
  EXPECT_EQ(test_name("pid").suite, "pid");
  EXPECT_EQ(test_name("pid").test, "pid");
}

TEST(RegisterCases, RefusesTwoIdsWithOneName) {
  Registry registry;
  for (const char* id : {"bridge.a.b", "bridge.a_b"}) {
    Case c;
    c.id = id;
    ASSERT_TRUE(registry.add(std::move(c)));
  }
  const auto twice = register_cases(registry);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().describe(), HasSubstr("bridge.a_b"));
  RunOptions unknown;
  unknown.globs = {"bridge.a.c"};
  const auto none = register_cases(registry, unknown);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().describe(), HasSubstr("did you mean 'bridge.a.b'"));
}

// ---- Real runs ---------------------------------------------------------------------------------

Case hostname_case() {
  Case c;
  c.id = "bridge.hostname";
  c.title = "change the host's name";
  c.expected = Layer::kUts;
  c.policy.namespaces = {{Ns::uts, ""}};
  c.attempt = {"sethostname", {"breached"}};
  c.goal = {Sight::hostname_changed, "", 0};
  c.contained = true;
  c.outside = true;
  return c;
}

bool cannot_run(const CaseRecord& r) { return r.verdict == Verdict::skipped; }

TEST(JudgeCase, Held) {
  const CaseRecord r = judge_case(hostname_case());
  if (cannot_run(r)) GTEST_SKIP() << r.reason;
  EXPECT_THAT(r, HeldBy(Layer::kUts));
  EXPECT_FALSE(r.run_id.empty());
}

TEST(JudgeCase, BreachedWhenTheLayerIsTakenOut) {
  RunOptions options;
  options.drop = [](const Step& step) { return step.layer == Layer::kUts; };
  const CaseRecord r = judge_case(hostname_case(), options);
  if (cannot_run(r)) GTEST_SKIP() << r.reason;
  EXPECT_THAT(r, Breached("goal_seen"));
  EXPECT_THAT(describe_record(r), HasSubstr("the decoy host's name is breached"));
}

TEST(JudgeCase, UnprovenWithoutAControlThatSucceeds) {
  Case c = hostname_case();
  c.attempt = {"exit", {}};
  const CaseRecord r = judge_case(c);
  if (cannot_run(r)) GTEST_SKIP() << r.reason;
  EXPECT_THAT(r, Unproven("control_failed"));
}

TEST(JudgeCase, SkippedForARequirement) {
  Case c = hostname_case();
  c.needs = {"path:/no/such/path"};
  EXPECT_THAT(judge_case(c), Skipped("*path:/no/such/path*"));
}

TEST(JudgeCase, UnderAPolicy) {
  RunOptions options;
  auto none = profile("none");
  ASSERT_TRUE(none);
  options.policy = *none;
  const CaseRecord r = judge_case(hostname_case(), options);
  if (cannot_run(r)) GTEST_SKIP() << r.reason;
  EXPECT_THAT(r, Breached());
  EXPECT_EQ(r.mode, "policy");
  Case inside = hostname_case();
  inside.outside = false;
  EXPECT_THAT(judge_case(inside, options), Skipped("not-judged:policy-mode"));
}

TEST(JudgeCase, SlowCasesAndShardsDoNotHideTheCase) {
  Case c = hostname_case();
  c.quick = false;
  RunOptions options;
  options.shard_index = 2;
  options.shard_count = 2;
  const CaseRecord r = judge_case(c, options);
  EXPECT_THAT(r, testing::AnyOf(Held(), Skipped()));
  EXPECT_EQ(r.id, c.id);
}

}  // namespace
}  // namespace ringfence

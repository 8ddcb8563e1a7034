// The exit code of a run: the first that applies; and the file of expected skips.
#include <gmock/gmock.h>

#include "harness/runner/runner.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunResult result_of(const std::vector<Verdict>& verdicts) {
  RunResult result;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    CaseRecord record;
    record.id = "case.n" + std::to_string(i);
    record.verdict = verdicts[i];
    if (verdicts[i] == Verdict::skipped) record.reason = "needs:cgroup2";
    result.cases.push_back(record);
  }
  return result;
}

SummaryRecord concluded(const std::vector<Verdict>& verdicts, const ExitRules& rules = {},
                        bool interrupted = false) {
  RunResult result = result_of(verdicts);
  result.summary.interrupted = interrupted;
  conclude(result, rules);
  return result.summary;
}

constexpr Verdict kH = Verdict::held;
constexpr Verdict kB = Verdict::breached;
constexpr Verdict kU = Verdict::unproven;
constexpr Verdict kS = Verdict::skipped;
constexpr Verdict kX = Verdict::broken;

ExitRules strict() {
  ExitRules rules;
  rules.expected_skips = std::vector<ExpectedSkip>();
  rules.min_held = 100;
  return rules;
}

TEST(ExitCode, EachAlone) {
  EXPECT_EQ(concluded({kH, kH}).exit_code, 0);
  EXPECT_EQ(concluded({kH, kB}).exit_code, 1);
  EXPECT_EQ(concluded({kH, kU}).exit_code, 2);
  EXPECT_EQ(concluded({kH, kX}).exit_code, 2);
  EXPECT_EQ(concluded({kH, kS}).exit_code, 0) << "a skip is no failure unless skips are listed";
  EXPECT_EQ(concluded({}).exit_code, 4);
  EXPECT_EQ(concluded({kS, kS}).exit_code, 4);
  EXPECT_EQ(concluded({kH}, {}, true).exit_code, 2) << "interrupted";
  ExitRules required;
  required.missing_facilities = {"kvm"};
  EXPECT_EQ(concluded({kH}, required).exit_code, 2);
}

TEST(ExitCode, TheFirstThatApplies) {
  ExitRules rules = strict();
  rules.missing_facilities = {"kvm"};
  EXPECT_EQ(concluded({kB, kU, kX, kS}, rules).exit_code, 1);
  EXPECT_EQ(concluded({kB}, rules, true).exit_code, 1);
  EXPECT_EQ(concluded({kU, kS}, strict()).exit_code, 2);
  EXPECT_EQ(concluded({kX, kS}, strict()).exit_code, 2);
  EXPECT_EQ(concluded({kH, kS}, rules).exit_code, 2);
  EXPECT_EQ(concluded({kH, kS}, strict()).exit_code, 3);
  EXPECT_EQ(concluded({kS}, strict()).exit_code, 3) << "before nothing ran";
  EXPECT_EQ(concluded({}, strict()).exit_code, 3);
}

TEST(ExitCode, CountsAndComplaints) {
  const SummaryRecord s = concluded({kH, kH, kB, kU, kS, kX});
  EXPECT_EQ(s.counts.at(kH), 2);
  EXPECT_EQ(s.counts.at(kB), 1);
  EXPECT_EQ(s.counts.at(kU), 1);
  EXPECT_EQ(s.counts.at(kS), 1);
  EXPECT_EQ(s.counts.at(kX), 1);
  EXPECT_THAT(s.complaints, Contains("1 breached"));
  EXPECT_THAT(s.complaints, Contains("1 unproven"));
  EXPECT_THAT(s.complaints, Contains("1 broken"));
  EXPECT_THAT(concluded({kH}).complaints, IsEmpty());
  EXPECT_THAT(concluded({kS}).complaints, Contains("nothing ran"));
  // Concluding twice does not count twice.
  RunResult twice = result_of({kH, kU});
  conclude(twice, {});
  twice.summary.complaints.clear();
  conclude(twice, {});
  EXPECT_EQ(twice.summary.counts.at(kH), 1);
}

TEST(ExitCode, MinHeld) {
  ExitRules rules;
  rules.min_held = 2;
  EXPECT_EQ(concluded({kH, kH}, rules).exit_code, 0);
  EXPECT_EQ(concluded({kH, kS}, rules).exit_code, 3);
  rules.min_held = 0;
  EXPECT_EQ(concluded({kH}, rules).exit_code, 0);
}

TEST(ExitCode, ExpectedSkips) {
  ExitRules rules;
  rules.expected_skips = {ExpectedSkip{"case.n1", "needs:cgroup2"}, ExpectedSkip{"other.*", "*"}};
  EXPECT_EQ(concluded({kH, kS}, rules).exit_code, 0);
  const SummaryRecord unexpected = concluded({kS, kH}, rules);
  EXPECT_EQ(unexpected.exit_code, 3);
  EXPECT_THAT(unexpected.complaints,
              Contains(HasSubstr("case.n0 was skipped unexpectedly: needs:cgroup2")));
  rules.expected_skips = {ExpectedSkip{"case.*", "host-lacks:*"}};
  EXPECT_EQ(concluded({kH, kS}, rules).exit_code, 3) << "for another reason";
  rules.expected_skips = {ExpectedSkip{"case.*", "needs:*"}};
  EXPECT_EQ(concluded({kH, kS}, rules).exit_code, 0);
}

TEST(ExpectedSkips, Lines) {
  const auto list = parse_expected_skips(
      "# this host\n"
      "\n"
      "  limit.*  needs:cgroup2   # v1 only\n"
      "seccomp.x\tkernel<6.14\n"
      "*  *",
      "skips.txt");
  ASSERT_TRUE(list) << list.error().describe();
  ASSERT_EQ(list->size(), 3U);
  EXPECT_EQ((*list)[0].glob, "limit.*");
  EXPECT_EQ((*list)[0].reason, "needs:cgroup2");
  EXPECT_EQ((*list)[1].glob, "seccomp.x");
  EXPECT_EQ((*list)[1].reason, "kernel<6.14");
  EXPECT_EQ((*list)[2].glob, "*");
  for (const char* nothing : {"", "\n\n", "# only\n  # comments"}) {
    const auto none = parse_expected_skips(nothing, "skips.txt");
    ASSERT_TRUE(none);
    EXPECT_THAT(*none, IsEmpty());
  }
}

TEST(ExpectedSkips, ErrorsNameFileAndLine) {
  for (const auto& [text, where] : std::vector<std::pair<std::string, std::string>>{
           {"limit.*", "skips.txt:1"},
           {"a b\n\nlimit.* needs cgroup2\n", "skips.txt:3"},
           {"a b\n# c\n  d # e f\n", "skips.txt:3"}}) {
    const auto list = parse_expected_skips(text, "skips.txt");
    ASSERT_FALSE(list) << text;
    EXPECT_EQ(list.error().kind, Error::Kind::usage);
    EXPECT_THAT(list.error().describe(), HasSubstr(where));
    EXPECT_THAT(list.error().describe(), HasSubstr("GLOB REASON"));
  }
}

}  // namespace
}  // namespace ringfence

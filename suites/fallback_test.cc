// All cases of the default suite once for each call that an older kernel lacks: with the stand-ins
// of the engine they end as they do without.
#include "suites/fallback.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/runner/kernel_watch.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Registry& cases_here() {
  static const Registry registry = [] {
    Registry all;
    auto builtin = attempts();
    for (const Case& c : builtin ? builtin->cases() : std::vector<Case>{}) {
      if (c.quick) (void)all.add(c);
    }
    return all;
  }();
  return registry;
}

struct World {
  Facts facts = Facts::probe();  // of the kernel as it is: they are not what is forced
  Result<Records> plain;
};
const World& world() {
  static const World one = [] {
    World w;
    (void)w.facts.all();
    w.plain = run_all(cases_here(), w.facts);
    return w;
  }();
  return one;
}

class Fallback : public ::testing::TestWithParam<Forced> {
 protected:
  void TearDown() override { sys::disarm_faults(); }
};

TEST_P(Fallback, TheVerdictsAreTheSame) {
  const auto listed = read_no_fallback(RINGFENCE_SUITES_DATA "/no_fallback.json");
  ASSERT_TRUE(listed) << listed.error().describe();
  if (!world().facts.satisfied("root")) GTEST_SKIP() << world().facts.why_not("root");
  ASSERT_TRUE(world().plain) << world().plain.error().describe();
  const Forced& forced = GetParam();
  // Only a trial that is watched is cloned into a group, as long as nothing limits it.
  if (forced.word == "clone3:into_cgroup" && witness_of_process() == nullptr) {
    GTEST_SKIP() << "needs:bpf";
  }
  ASSERT_TRUE(sys::arm_faults(forced.faults.data(), forced.faults.size()));
  const auto records = run_all(cases_here(), world().facts);
  const uint64_t refused = sys::faults_fired();
  sys::disarm_faults();
  ASSERT_TRUE(records) << records.error().describe();
  // On this kernel nobody needed it, or the force does not bite.
  EXPECT_GT(refused, 0U) << forced.word;
  const auto entry = listed->find(forced.word);
  const auto complaints =
      compare_forced(*world().plain, *records,
                     entry == listed->end() ? std::map<std::string, std::string>{} : entry->second);
  EXPECT_THAT(complaints, IsEmpty()) << fmt::format("{}", fmt::join(complaints, "\n"));
  const auto held = std::count_if(records->begin(), records->end(), [](const auto& entry_of) {
    return entry_of.second.verdict == Verdict::held;
  });
  fmt::print("without {}: {} calls refused, {} of {} cases held\n", forced.word, refused, held,
             records->size());
}
INSTANTIATE_TEST_SUITE_P(Without, Fallback, ::testing::ValuesIn(forced_fallbacks()),
                         [](const auto& row) {
                           std::string name = row.param.word;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return c == ':' || c == '.'; }, '_');
                           return name;
                         });

// ---- The comparison, with what it is to find really there
// ------------------------------------------------------------------------------------------

CaseRecord with(const std::string& id, Verdict verdict, std::string reason = {},
                std::string decided_by = {}) {
  CaseRecord record;
  record.id = id;
  record.verdict = verdict;
  record.reason = std::move(reason);
  record.decided_by = std::move(decided_by);
  return record;
}

TEST(CompareForced, WhatChangesMustBeListedAndWhatIsListedMustChange) {
  const Records plain = {{"a.b", with("a.b", Verdict::held, "", "ns.pid")},
                         {"c.d", with("c.d", Verdict::skipped, "needs:root")}};
  EXPECT_THAT(compare_forced(plain, plain, {}), IsEmpty());
  EXPECT_THAT(compare_forced(plain, plain, {{"a.*", "why"}}),
              ElementsAre("a.b holds, and is listed as a.*"));
  EXPECT_THAT(compare_forced(plain, plain, {{"x.*", "why"}}), ElementsAre("there is no case x.*"));
  EXPECT_THAT(compare_forced(plain, {}, {}), ElementsAre(HasSubstr("a.b"), HasSubstr("c.d")));
  for (const auto& [verdict, decided_by] :
       {std::pair{Verdict::unproven, ""}, std::pair{Verdict::broken, ""},
        std::pair{Verdict::skipped, ""}, std::pair{Verdict::held, "cap.KILL"}}) {
    Records forced = plain;
    forced["a.b"] = with("a.b", verdict, "", decided_by);
    EXPECT_THAT(compare_forced(plain, forced, {}), ElementsAre(HasSubstr("a.b: ")));
    EXPECT_THAT(compare_forced(plain, forced, {{"a.*", "why"}}), IsEmpty());
  }
}

TEST(CompareForced, NothingExcusesABreach) {
  const Records plain = {{"a.b", with("a.b", Verdict::held)}};
  const Records forced = {{"a.b", with("a.b", Verdict::breached, "goal_seen")}};
  EXPECT_THAT(compare_forced(plain, forced, {{"a.*", "why"}}),
              ElementsAre(HasSubstr("a.b: breached")));
}

TEST(CompareForced, WhatDoesNotHoldProvesNothing) {
  const Records plain = {{"a.b", with("a.b", Verdict::unproven, "control_failed")}};
  EXPECT_THAT(compare_forced(plain, plain, {}), ElementsAre(HasSubstr("control_failed")));
}

}  // namespace
}  // namespace ringfence::suites

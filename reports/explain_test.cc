#include "reports/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "reports/reasons.h"
#include "reports/testing.h"
#include "reports/text.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

TEST(Explain, Golden) {
  const auto sample = testing::sample_results();
  for (const auto& record : sample[0].cases) {
    if (record.id == "limit.memory") continue;  // as limit.pids
    EXPECT_EQ(testing::against_golden("explain_" + record.id + ".txt",
                                      render_explain(sample[0].header, record, Style{})),
              "");
  }
}

TEST(Explain, TimelineIsInOrderOfTimeWithTheDecidingLineMarked) {
  const auto run = testing::sample_results()[0];
  const std::string text = render_explain(run.header, run.cases[0], Style{});
  const size_t plan = text.find("0 us  plan    32 steps");
  const size_t inmate = text.find("1100 us  inmate  kill(3");
  const size_t canary = text.find("1203 us  canary  pid 3 is alive  <- decided");
  ASSERT_NE(plan, std::string::npos) << text;
  EXPECT_LT(plan, inmate);
  EXPECT_LT(inmate, canary);
  EXPECT_NE(canary, std::string::npos);
}

TEST(Explain, LostEventsAreShown) {
  const auto run = testing::sample_results()[0];
  EXPECT_THAT(render_explain(run.header, run.cases[1], Style{}), HasSubstr("(7 events lost)"));
}

TEST(Explain, FindsExactlyAndSuggests) {
  const auto sample = testing::sample_results();
  const auto found = find_case(sample, "pid.signal.init");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size(), 2U) << "one per run";
  EXPECT_EQ((*found)[1].run->header.target, "runc");
  const auto near = find_case(sample, "pid.signal.int");
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().kind, Error::Kind::usage);
  EXPECT_THAT(near.error().hint, HasSubstr("did you mean 'pid.signal.init'?"));
  const auto far = find_case(sample, "\x1b[2Jzzzzzzzzzzzzzzzzzz");
  ASSERT_FALSE(far);
  EXPECT_EQ(testing::unsafe_part(far.error().describe()), "");
}

TEST(Explain, HostileTextNeverReachesTheTerminal) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const auto results = testing::RandomResults(seed, true).results(1, 12);
    for (const auto& record : results[0].cases) {
      const std::string text = render_explain(results[0].header, record, Style{});
      EXPECT_EQ(testing::unsafe_part(text), "");
    }
  }
}

TEST(Reasons, EveryWordIsFoundAndExplained) {
  for (const std::string reason :
       {"control_failed", "liveness_failed", "no_witness", "other_layer", "inmate_contradicts",
        "timeout", "decoy_failed", "spawn_failed", "needs:cgroup2", "host-lacks:cap_sys_resource",
        "unenforced:/linux/intelRdt", "interrupted", "emulator-lacks:iret32", "kernel<6.14"}) {
    const Reason* entry = reason_for(reason);
    ASSERT_NE(entry, nullptr) << reason;
    EXPECT_GT(entry->meaning.size(), 20U);
    EXPECT_GT(entry->advice.size(), 10U);
  }
  EXPECT_EQ(reason_argument("needs:cgroup2"), "cgroup2");
  EXPECT_EQ(reason_argument("kernel<6.14"), "6.14");
  EXPECT_EQ(reason_for("timeout_more"), nullptr);
  EXPECT_EQ(reason_for(""), nullptr);
}

}  // namespace
}  // namespace ringfence

#include "bench/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include <nlohmann/json.hpp>

namespace ringfence::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A clock that moves only when a contestant says so.
struct FakeClock {
  int64_t now = 0;
  std::string order;
  Contestant costs(const std::string& name, std::function<int64_t()> cost) {
    return {name, [this, name, cost = std::move(cost)]() -> Status {
              order += name;
              now += cost();
              return {};
            }};
  }
  Contestant costs(const std::string& name, int64_t cost) {
    return costs(name, [cost] { return cost; });
  }
  CompareOptions options(size_t warmup, size_t rounds) {
    CompareOptions o;
    o.warmup = warmup;
    o.rounds = rounds;
    o.clock = [this] { return now; };
    return o;
  }
};

TEST(Compare, InterleavesAndTurnsRound) {
  FakeClock clock;
  auto result =
      compare({clock.costs("A", 1), clock.costs("B", 2), clock.costs("C", 3)}, clock.options(1, 3));
  ASSERT_TRUE(result);
  EXPECT_EQ(clock.order, "ABCCBAABCCBA");
  ASSERT_EQ(result->series.size(), 3U);
  EXPECT_THAT(result->series[0].samples, ElementsAre(1, 1, 1));
  EXPECT_THAT(result->series[2].samples, ElementsAre(3, 3, 3));
}

TEST(Compare, WhatComesBeforeARunIsNotTimed) {
  FakeClock clock;
  Contestant prepared = clock.costs("B", 5);
  prepared.before = [&clock]() -> Status {
    clock.order += "b";
    clock.now += 1000;
    return {};
  };
  auto result = compare({clock.costs("A", 1), prepared}, clock.options(0, 2));
  ASSERT_TRUE(result);
  EXPECT_EQ(clock.order, "AbBbBA");
  EXPECT_THAT(result->series[1].samples, ElementsAre(5, 5));
  prepared.before = [] { return Status(system_error("prepare", "B", ENOMEM)); };
  EXPECT_EQ(compare({clock.costs("A", 1), prepared}, clock.options(0, 2)).error().err, ENOMEM);
}

TEST(Compare, WarmUpIsNotKept) {
  FakeClock clock;
  int runs = 0;
  auto slow_first = [&runs] { return runs++ < 2 ? 1000 : 10; };
  auto result = compare({clock.costs("A", slow_first), clock.costs("B", 5)}, clock.options(2, 4));
  ASSERT_TRUE(result);
  EXPECT_THAT(result->series[0].samples, ElementsAre(10, 10, 10, 10));
}

TEST(Compare, RatioOfConstantCostsIsExact) {
  FakeClock clock;
  auto result = compare({clock.costs("A", 200), clock.costs("B", 500)}, clock.options(0, 20));
  ASSERT_TRUE(result);
  ASSERT_EQ(result->ratios.size(), 1U);
  EXPECT_EQ(result->ratios[0].name, "B");
  EXPECT_EQ(result->ratios[0].baseline, "A");
  EXPECT_DOUBLE_EQ(result->ratios[0].ratio, 2.5);
  EXPECT_DOUBLE_EQ(result->ratios[0].low, 2.5);
  EXPECT_DOUBLE_EQ(result->ratios[0].high, 2.5);
  EXPECT_TRUE(result->ratios[0].differs());
}

// Every run costs one more than the one before, whoever runs: no difference between the two.
TEST(Compare, DriftIsNobodysFault) {
  FakeClock clock;
  int64_t drift = 1000;
  auto drifting = [&drift] { return drift++; };
  auto result =
      compare({clock.costs("A", drifting), clock.costs("B", drifting)}, clock.options(0, 40));
  ASSERT_TRUE(result);
  EXPECT_NEAR(result->ratios[0].ratio, 1.0, 1e-3);
  EXPECT_FALSE(result->ratios[0].differs()) << result->ratios[0].low;
}

TEST(Compare, IntervalHoldsTheTruthAndNarrows) {
  std::mt19937_64 random(7);
  auto noisy = [&random](int64_t base) {
    return [&random, base] { return base + static_cast<int64_t>(random() % 100); };
  };
  double width[2] = {};
  int i = 0;
  for (const size_t rounds : {20, 2000}) {
    FakeClock clock;
    auto result = compare({clock.costs("A", noisy(1000)), clock.costs("B", noisy(1200))},
                          clock.options(0, rounds));
    ASSERT_TRUE(result);
    const Ratio& r = result->ratios[0];
    const double truth = 1249.5 / 1049.5;
    EXPECT_LT(r.low, truth);
    EXPECT_GT(r.high, truth);
    EXPECT_LE(r.low, r.ratio);
    EXPECT_GE(r.high, r.ratio);
    width[i++] = r.high - r.low;
  }
  EXPECT_LT(width[1], width[0] / 3);
}

TEST(Compare, SameSeedSameInterval) {
  const Series a{"A", {10, 12, 9, 14, 11, 30, 8}};
  const Series b{"B", {20, 19, 25, 22, 21, 40, 18}};
  CompareOptions options;
  const Ratio first = ratio(a, b, options);
  EXPECT_EQ(ratio(a, b, options).low, first.low);
  EXPECT_EQ(ratio(a, b, options).high, first.high);
  options.confidence = 0.5;
  EXPECT_LE(ratio(a, b, options).high - ratio(a, b, options).low, first.high - first.low);
}

TEST(Compare, ZeroBaselineIsInfinite) {
  const Ratio r = ratio({"A", {0, 0, 0}}, {"B", {1, 1, 1}}, {});
  EXPECT_TRUE(std::isinf(r.ratio));
}

TEST(Compare, SpreadOfKnownSamples) {
  std::vector<int64_t> samples;
  for (int64_t i = 100; i >= 0; --i) samples.push_back(i);
  const Spread s = spread(samples);
  EXPECT_DOUBLE_EQ(s.median, 50);
  EXPECT_DOUBLE_EQ(s.p5, 5);
  EXPECT_DOUBLE_EQ(s.p95, 95);
  EXPECT_DOUBLE_EQ(s.mad, 25);
  EXPECT_EQ(s.min, 0);
  EXPECT_EQ(s.max, 100);
  EXPECT_DOUBLE_EQ(spread({1, 2}).median, 1.5);
  // One outlier moves neither median nor MAD.
  EXPECT_DOUBLE_EQ(spread({10, 10, 10, 10, 100000}).mad, 0);
}

TEST(Compare, FailureEndsItAndSaysWhere) {
  FakeClock clock;
  int left = 3;
  Contestant failing{"B", [&left]() -> Status {
                       if (left-- == 0) return system_error("clone3", {}, EAGAIN);
                       return {};
                     }};
  auto result = compare({clock.costs("A", 1), failing}, clock.options(0, 10));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().err, EAGAIN);
  EXPECT_THAT(result.error().what, HasSubstr("B (round 3): clone3"));
}

TEST(Compare, RefusesWhatCannotWork) {
  FakeClock clock;
  const auto a = clock.costs("A", 1);
  const auto b = clock.costs("B", 1);
  EXPECT_FALSE(compare({a}, clock.options(0, 10)));
  EXPECT_FALSE(compare({a, a}, clock.options(0, 10)));
  EXPECT_FALSE(compare({a, {"B", nullptr}}, clock.options(0, 10)));
  EXPECT_FALSE(compare({a, b}, clock.options(0, 1)));
  auto options = clock.options(0, 10);
  options.confidence = 1;
  EXPECT_FALSE(compare({a, b}, options));
  options = clock.options(0, 10);
  options.resamples = 0;
  auto refused = compare({a, b}, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Error::Kind::usage);
  EXPECT_EQ(clock.order, "");
}

TEST(Compare, RealClockMovesForward) {
  CompareOptions options;
  options.rounds = 5;
  volatile int sink = 0;
  auto work = [&sink]() -> Status {
    for (int i = 0; i < 1000; ++i) sink = sink + 1;
    return {};
  };
  auto result = compare({{"A", work}, {"B", work}}, options);
  ASSERT_TRUE(result);
  for (const Series& series : result->series) {
    ASSERT_EQ(series.samples.size(), 5U);
    for (const int64_t sample : series.samples) EXPECT_GT(sample, 0);
  }
}

TEST(Compare, OutputsHoldEverySample) {
  FakeClock clock;
  int64_t cost = 0;
  auto result =
      compare({clock.costs("A", 2000), clock.costs("B", [&cost] { return cost += 1000; })},
              clock.options(0, 3));
  ASSERT_TRUE(result);
  const auto json = nlohmann::json::parse(to_json(*result, "start"));
  EXPECT_EQ(json["type"], "bench");
  EXPECT_EQ(json["group"], "start");
  EXPECT_THAT(json["contestants"][1]["samples"].get<std::vector<int64_t>>(),
              ElementsAre(1000, 2000, 3000));
  EXPECT_DOUBLE_EQ(json["ratios"][0]["ratio"].get<double>(), 1.0);
  EXPECT_EQ(to_json(*result, "start").find('\n'), std::string::npos);
  const std::string text = render(*result);
  EXPECT_THAT(text, HasSubstr("2.0 us"));
  EXPECT_THAT(text, HasSubstr("no difference seen"));
}

}  // namespace
}  // namespace ringfence::bench

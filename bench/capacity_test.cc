#include "bench/capacity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/attached.h"

namespace ringfence::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Told told(uint64_t read, uint64_t lost) {
  Told t;
  t.flood = {"a flood", 4096, true};
  t.made = 3000;
  t.read = read;
  t.lost = lost;
  t.burst = 1000;
  t.took = {.fastest = 500'000, .all = 3'000'000};
  t.without_loss = lost == 0 ? read : 700;
  return t;
}

TEST(Capacity, RatesOfTheWholeAndOfTheFastestBurst) {
  EXPECT_DOUBLE_EQ(told(3000, 0).per_second(), 1e6);
  EXPECT_DOUBLE_EQ(told(3000, 0).peak_per_second(), 2e6);
  EXPECT_DOUBLE_EQ(Told().per_second(), 0);
}

TEST(Capacity, WhatDoesNotAddUpIsSaid) {
  EXPECT_TRUE(told(3000, 0).exact());
  EXPECT_TRUE(told(1000, 2000).exact());
  EXPECT_FALSE(told(2999, 0).exact());
  EXPECT_FALSE(told(2999, 2).exact());
  EXPECT_THAT(render(told(2999, 0)), HasSubstr("WRONG"));
  EXPECT_THAT(render(told(3000, 0)), Not(HasSubstr("WRONG")));
}

TEST(Capacity, TheFirstLossIsToldOnlyWhereThereIsOne) {
  EXPECT_THAT(render(told(1000, 2000)), HasSubstr("none of the first 700"));
  EXPECT_THAT(render(told(3000, 0)), Not(HasSubstr("none of the first")));
}

TEST(Attached, WhatIsNotKnownIsLeft) {
  EXPECT_THAT(without({1, 2, 3, 5}, {2, 4, 5}), ElementsAre(1, 3));
  EXPECT_TRUE(without({1}, {1}).empty());
}

}  // namespace
}  // namespace ringfence::bench

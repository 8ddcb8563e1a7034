// What holds for every device after any sequence of accesses.
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/vmm/devices/board.h"
#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

using test::Op;
using test::random_ops;
using test::World;

constexpr unsigned kSeeds = 40;
constexpr unsigned kLength = 400;

class Property : public testing::TestWithParam<std::string_view> {};

std::vector<uint64_t> reads(const std::vector<uint64_t>& log) {
  std::vector<uint64_t> only;
  std::copy_if(log.begin(), log.end(), std::back_inserter(only),
               [](uint64_t entry) { return entry >> 56 == 0 || entry >> 56 == 11; });
  return only;
}

TEST_P(Property, SaveAndRestoreRoundTrip) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    std::mt19937_64 random(seed);
    World first(GetParam());
    first.apply(random_ops(GetParam(), random, kLength));
    const auto state = first.device().save();

    World second(GetParam());
    second.now = first.now;
    ASSERT_TRUE(second.device().restore(state)) << seed;
    EXPECT_EQ(second.device().save(), state) << seed;

    // From here on nobody can tell the two apart.
    for (unsigned n = 0; n < 3; ++n) EXPECT_EQ(first.line(n), second.line(n)) << seed;
    first.log.clear();
    second.log.clear();
    const auto more = random_ops(GetParam(), random, kLength);
    first.apply(more);
    second.apply(more);
    ASSERT_EQ(first.log, second.log) << seed;
    ASSERT_EQ(first.device().save(), second.device().save()) << seed;
  }
}

TEST_P(Property, TimeInOneStepOrInMany) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    std::mt19937_64 random(seed);
    const auto ops = random_ops(GetParam(), random, kLength);
    World whole(GetParam());
    World split(GetParam());
    for (const auto& op : ops) {
      whole.apply(op);
      if (op.kind != Op::Kind::wait) {
        split.apply(op);
        continue;
      }
      for (uint32_t left = op.value; left != 0;) {
        const auto part = std::max<uint32_t>(1, static_cast<uint32_t>(random() % (left + 1UL)));
        split.wait(part);
        left -= part;
      }
    }
    ASSERT_EQ(whole.device().save(), split.device().save()) << seed;
    ASSERT_EQ(reads(whole.log), reads(split.log)) << seed;
    for (unsigned n = 0; n < 3; ++n) EXPECT_EQ(whole.line(n), split.line(n)) << seed;
  }
}

TEST_P(Property, NothingHappensBeforeTheNextEvent) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    std::mt19937_64 random(seed);
    World world(GetParam());
    for (unsigned round = 0; round < 60; ++round) {
      world.apply(random_ops(GetParam(), random, 1 + round % 7));
      world.log.clear();
      const auto event = world.device().next_event();
      if (!event) {  // never: nothing in the next minute either
        world.wait(60'000'000'000);
        EXPECT_TRUE(world.log.empty()) << seed;
        continue;
      }
      ASSERT_GT(*event, world.now) << seed;
      world.wait(*event - world.now - 1);
      EXPECT_TRUE(world.log.empty()) << seed << " an effect before " << *event;
    }
  }
}

TEST_P(Property, ATimeBeforeTheLastOneIsTheLastOne) {
  std::mt19937_64 random(7);
  World world(GetParam());
  world.apply(random_ops(GetParam(), random, kLength));
  const auto before = world.device().save();
  world.device().advance(0);
  EXPECT_EQ(world.device().save(), before);
  world.device().advance(std::numeric_limits<Nanos>::max());
  world.device().advance(kLatest);
  EXPECT_TRUE(World(GetParam()).device().restore(world.device().save()));
}

TEST_P(Property, WhatIsNoStateIsRefusedAndChangesNothing) {
  std::mt19937_64 random(3);
  World source(GetParam());
  source.apply(random_ops(GetParam(), random, kLength));
  const auto good = source.device().save();

  World world(GetParam());
  const auto own = world.device().save();
  const auto refused = [&](std::vector<uint8_t> bad) {
    const auto done = world.device().restore(bad);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().err, EINVAL);
    EXPECT_EQ(world.device().save(), own);
  };
  refused({});
  for (size_t size = 0; size < good.size(); ++size) {
    refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  auto longer = good;
  longer.push_back(0);
  refused(longer);
  for (const size_t at : {0U, 3U, 4U, 5U}) {  // the tag and the version
    auto other = good;
    other[at] ^= 0x40;
    refused(other);
  }
  for (const auto device : test::kDevices) {
    if (device != GetParam()) refused(World(device).device().save());
  }
}

TEST_P(Property, ADamagedStateIsRefusedOrIsAState) {
  unsigned refused = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937_64 random(seed);
    World world(GetParam());
    world.apply(random_ops(GetParam(), random, 50));
    auto bytes = world.device().save();
    for (unsigned n = 0; n < 1 + seed % 3; ++n) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    World taker(GetParam());
    const auto own = taker.device().save();
    if (!taker.device().restore(bytes)) {
      ++refused;
      EXPECT_EQ(taker.device().save(), own) << seed;
      continue;
    }
    taker.now = kLatest / 2;
    taker.apply(random_ops(GetParam(), random, 200));
    EXPECT_TRUE(World(GetParam()).device().restore(taker.device().save())) << seed;
  }
  EXPECT_GT(refused, 0U);
}

TEST_P(Property, OtherWidthsAreUndefinedAndChangeNothing) {
  World world(GetParam());
  std::mt19937_64 random(5);
  world.apply(random_ops(GetParam(), random, 100));
  const auto before = world.device().save();
  for (const auto range : world.device().ports()) {
    for (unsigned n = 0; n < range.count; ++n) {
      const auto port = static_cast<uint16_t>(range.first + n);
      for (const unsigned width : {2U, 4U}) {
        if (GetParam() == "exit" || (GetParam() == "pmtimer" && width == 4 && n == 0)) continue;
        EXPECT_EQ(world.in(port, width), -1) << port;
        EXPECT_FALSE(world.out(port, 0, width)) << port;
      }
    }
  }
  EXPECT_EQ(world.device().save(), before);
}

INSTANTIATE_TEST_SUITE_P(Devices, Property, testing::ValuesIn(test::kDevices),
                         [](const auto& device) { return std::string(device.param); });

}  // namespace
}  // namespace ringfence::vmm

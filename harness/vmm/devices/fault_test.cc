// Every seeded fault changes what can be observed: for each there is a sequence of accesses that a
// clean device answers differently. A fault without an effect would be a control that proves
// nothing.
#include "harness/vmm/devices/fault.h"

#include <gtest/gtest.h>

#include <set>

#include "harness/vmm/devices/board.h"
#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

using test::random_ops;
using test::World;

std::vector<uint64_t> log_of(std::string_view device, std::string_view fault,
                             const test::Ops& ops) {
  World world(device, fault);
  EXPECT_TRUE(world.made()) << world.error;
  world.apply(ops);
  return world.log;
}

test::Op write(uint16_t port, uint32_t value) { return {test::Op::Kind::write, port, value, 1}; }
test::Op read(uint16_t port) { return {test::Op::Kind::read, port, 0, 1}; }
test::Op wait(uint32_t time) { return {test::Op::Kind::wait, 0, time, 1}; }
test::Op input(uint16_t which, uint32_t value) { return {test::Op::Kind::input, which, value, 1}; }

// For what chance meets too rarely.
std::vector<test::Ops> directed(std::string_view device) {
  if (device == "uart") {  // between three and four character times at 9600 baud
    return {{write(0x3F9, 1), write(0x3FB, 3), write(0x3FA, 0xC1), input(0, 'x'), wait(3'600'000),
             read(0x3FA)}};
  }
  if (device == "pic") {  // IRQ 12 comes and goes before it is acknowledged
    return {{write(0x20, 0x11),
             write(0x21, 8),
             write(0x21, 4),
             write(0x21, 1),
             write(0xA0, 0x11),
             write(0xA1, 0x70),
             write(0xA1, 2),
             write(0xA1, 1),
             input(12, 1),
             input(12, 0),
             {test::Op::Kind::acknowledge, 0, 0, 1},
             write(0x20, 0x0B),
             read(0x20)}};
  }
  if (device == "i8042") {
    test::Ops scan_set;
    for (const unsigned byte : {0xF0, 1, 0xF0, 0}) {
      scan_set.insert(scan_set.end(),
                      {write(0x60, byte), wait(200'000), read(0x60), wait(200'000)});
    }
    scan_set.push_back(read(0x60));
    test::Ops buffer{write(0x64, 0xAD), wait(20'000)};
    for (unsigned n = 1; n <= 16; ++n) buffer.push_back(input(0, n));
    buffer.push_back(write(0x64, 0xAE));
    for (unsigned n = 1; n <= 16; ++n) buffer.insert(buffer.end(), {wait(200'000), read(0x60)});
    return {scan_set, buffer};
  }
  return {};
}

class FaultsOf : public testing::TestWithParam<std::string_view> {};

TEST_P(FaultsOf, EachHasAnObservableEffect) {
  constexpr unsigned kSequences = 60;
  constexpr unsigned kLength = 800;
  std::vector<test::Ops> sequences = directed(GetParam());
  std::mt19937_64 random(1);
  while (sequences.size() < kSequences) {
    sequences.push_back(random_ops(GetParam(), random, kLength));
  }
  std::vector<std::vector<uint64_t>> clean;
  for (const auto& ops : sequences) clean.push_back(log_of(GetParam(), {}, ops));
  for (const auto& fault : test::faults_of(GetParam())) {
    bool seen = false;
    for (unsigned n = 0; n < kSequences && !seen; ++n) {
      seen = log_of(GetParam(), fault.id, sequences[n]) != clean[n];
    }
    EXPECT_TRUE(seen) << fault.id << ": " << fault.text;
  }
}

TEST_P(FaultsOf, AFaultyDeviceTakesItsOwnStateBack) {
  for (const auto& fault : test::faults_of(GetParam())) {
    for (unsigned seed = 0; seed < 3; ++seed) {
      std::mt19937_64 random(seed);
      World first(GetParam(), fault.id);
      first.apply(random_ops(GetParam(), random, 200));
      World second(GetParam(), fault.id);
      second.now = first.now;
      ASSERT_TRUE(second.device().restore(first.device().save())) << fault.id;
      EXPECT_EQ(second.device().save(), first.device().save()) << fault.id;
    }
  }
}

TEST_P(FaultsOf, TheCleanDeviceIsTheSameTwice) {
  std::mt19937_64 random(2);
  const auto ops = random_ops(GetParam(), random, 2000);
  EXPECT_EQ(log_of(GetParam(), {}, ops), log_of(GetParam(), {}, ops));
}

TEST_P(FaultsOf, IdsAreOfTheDeviceAndHaveRuleAndText) {
  for (const auto& fault : test::faults_of(GetParam())) {
    EXPECT_EQ(fault.id.substr(0, GetParam().size() + 1), std::string(GetParam()) + ".");
    EXPECT_FALSE(fault.rule.empty()) << fault.id;
    EXPECT_FALSE(fault.text.empty()) << fault.id;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, FaultsOf, testing::ValuesIn(test::kDevices),
                         [](const auto& device) { return std::string(device.param); });

TEST(Faults, AtLeastTwentyForEachOfTheFive) {
  for (const auto* device : {"uart", "pic", "pit", "i8042", "rtc"}) {
    EXPECT_GE(test::faults_of(device).size(), 20U) << device;
  }
}

TEST(Faults, IdsAreUnique) {
  std::set<std::string_view> ids;
  for (const auto& fault : all_faults()) EXPECT_TRUE(ids.insert(fault.id).second) << fault.id;
  EXPECT_GT(ids.size(), 300U);
}

TEST(Faults, AnUnknownIdIsAUsageErrorThatNamesTheNearest) {
  World world("uart", "uart.lsr.thre.stuck");
  EXPECT_FALSE(world.made());
  EXPECT_NE(world.error.find("uart.lsr.thre.stuck0"), std::string::npos) << world.error;
  const auto board = Board::make({{}, 24, "nothing.at.all"}, {});
  ASSERT_FALSE(board);
  EXPECT_EQ(board.error().kind, Error::Kind::usage);
  const auto other = Board::make({{}, 24, "pic.nothing"}, {});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, Error::Kind::usage);
}

TEST(Faults, ABoardHasTheFaultOfTheDeviceThatItsIdNames) {
  for (const auto& fault : all_faults()) {
    EXPECT_TRUE(Board::make({{}, 24, fault.id}, {})) << fault.id;
  }
  const auto board = Board::make({{}, 24, "uart.lsr.thre.stuck0"}, {});
  ASSERT_TRUE(board);
  EXPECT_EQ((*board)->read(0x3FD, 1, 0), 0x40U);
}

TEST(Faults, TheCleanPolicyIsEmptyAndItsAnswersAreConstants) {
  static_assert(std::is_empty_v<NoFaults>);
  static_assert(NoFaults::bits(3, 0x5A) == 0x5A && NoFaults::reset(3, 0x5A) == 0x5A);
  static_assert(!NoFaults::ignores(3) && !NoFaults::on(3));
}

}  // namespace
}  // namespace ringfence::vmm

// The small devices of the standard machine.
#include "harness/vmm/devices/platform.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

TEST(PmTimer, CountsAt3579545HertzIn24Bits) {
  test::World w("pmtimer");
  EXPECT_EQ(w.in(0x608, 4), 0);
  w.wait(1'000'000'000);
  EXPECT_EQ(w.in(0x608, 4), 3'579'545);
  w.wait(4'000'000'000);
  EXPECT_EQ(w.in(0x608, 4), 5 * 3'579'545 - (1 << 24));
}

TEST(PmTimer, Counts32BitsWhereItHasThem) {
  const auto timer = make_pmtimer({32, 0x608});
  ASSERT_TRUE(timer);
  uint32_t value = 0;
  ASSERT_TRUE((*timer)->read(0x608, 4, value, 10'000'000'000));
  EXPECT_EQ(value, 35'795'450U);
  ASSERT_TRUE((*timer)->read(0x608, 4, value, 1'200'000'000'000));
  EXPECT_EQ(value, static_cast<uint32_t>(uint64_t{1200} * 3'579'545));
}

TEST(PmTimer, IsReadOnlyAndFourBytesWide) {
  test::World w("pmtimer");
  EXPECT_FALSE(w.out(0x608, 0, 4));
  EXPECT_EQ(w.in(0x608, 1), -1);
  EXPECT_EQ(w.in(0x608, 2), -1);
  EXPECT_EQ(w.in(0x60A, 4), -1);
}

TEST(Post, Port80KeepsItsByte) {
  test::World w("post");
  EXPECT_EQ(w.in(0x80), 0);
  w.out(0x80, 0x5A);
  EXPECT_EQ(w.in(0x80), 0x5A);
}

TEST(Port92, FastA20) {
  test::World w("port92");
  EXPECT_FALSE(w.line());
  w.out(0x92, 0x02);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(w.in(0x92), 0x02);
  w.out(0x92, 0x00);
  EXPECT_FALSE(w.line());
  EXPECT_TRUE(w.resets.empty());
}

TEST(Port92, Bit0ResetsWhenItRises) {
  test::World w("port92");
  w.out(0x92, 0x01);
  w.out(0x92, 0x01);
  w.out(0x92, 0x00);
  EXPECT_EQ(w.resets.size(), 1U);
  w.out(0x92, 0x03);
  EXPECT_EQ(w.resets.size(), 2U);
}

TEST(DebugConsole, TakesBytesAndReadsE9) {
  test::World w("debugcon");
  EXPECT_EQ(w.in(0xE9), 0xE9);
  for (const char byte : std::string_view("Hi")) w.out(0xE9, static_cast<uint8_t>(byte));
  EXPECT_EQ(w.bytes, "Hi");
  EXPECT_EQ(w.in(0xE9), 0xE9);
}

TEST(ExitPort, TakesACodeOfOneTwoOrFourBytes) {
  test::World w("exit");
  w.out(0xF4, 0x01, 1);
  w.out(0xF4, 0x1234, 2);
  w.out(0xF4, 0x12345678, 4);
  EXPECT_EQ(w.exits, (std::vector<uint32_t>{0x01, 0x1234, 0x12345678}));
  EXPECT_EQ(w.in(0xF4), -1);
}

TEST(ResetControl, Bit2ResetsWhenItRises) {
  test::World w("reset");
  w.out(0xCF9, 0x02);
  EXPECT_TRUE(w.resets.empty());
  EXPECT_EQ(w.in(0xCF9), 0x02);
  w.out(0xCF9, 0x06);
  w.out(0xCF9, 0x06);
  w.out(0xCF9, 0x00);
  w.out(0xCF9, 0x04);
  w.out(0xCF9, 0x0A);
  w.out(0xCF9, 0x0E);
  EXPECT_EQ(w.resets, (std::vector<ResetKind>{ResetKind::hard, ResetKind::cpu, ResetKind::power}));
}

}  // namespace
}  // namespace ringfence::vmm

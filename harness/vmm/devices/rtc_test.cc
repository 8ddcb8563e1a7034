// The MC146818, clause by clause. The world's clock starts on 28 February 2020 at 23:59:58.
#include "harness/vmm/devices/rtc.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

constexpr Nanos kSecond = 1'000'000'000;

struct RtcTest : testing::Test {
  int get(unsigned index) {
    w.out(0x70, index);
    return w.in(0x71);
  }
  void set(unsigned index, unsigned value) {
    w.out(0x70, index);
    w.out(0x71, value);
  }
  void set_time(unsigned hour, unsigned minute, unsigned second) {
    set(4, hour);
    set(2, minute);
    set(0, second);
  }
  std::array<int, 3> time() { return {get(4), get(2), get(0)}; }
  std::array<int, 4> date() { return {get(9), get(8), get(7), get(6)}; }
  using Time = std::array<int, 3>;
  using Date = std::array<int, 4>;
  test::World w{"rtc"};
};

TEST_F(RtcTest, CountsInBcdAndKnowsLeapYears) {
  EXPECT_EQ(time(), (Time{0x23, 0x59, 0x58}));
  EXPECT_EQ(date(), (Date{0x20, 0x02, 0x28, 4}));
  EXPECT_EQ(get(0x32), 0x20);
  w.wait(2 * kSecond);
  EXPECT_EQ(time(), (Time{0, 0, 0}));
  EXPECT_EQ(date(), (Date{0x20, 0x02, 0x29, 5}));
  w.wait(86'400 * kSecond);
  EXPECT_EQ(date(), (Date{0x20, 0x03, 0x01, 6}));
}

TEST_F(RtcTest, CountsInBinary) {
  set(0x0B, 0x06);
  set_time(23, 59, 59);
  set(7, 31);
  set(8, 12);
  set(9, 99);
  set(6, 7);
  w.wait(kSecond);
  EXPECT_EQ(time(), (Time{0, 0, 0}));
  EXPECT_EQ(date(), (Date{0, 1, 1, 1}));
}

TEST_F(RtcTest, TwelveHoursWithPm) {
  set(0x0B, 0x00);
  set_time(0x11, 0x59, 0x59);
  w.wait(kSecond);
  EXPECT_EQ(time(), (Time{0x92, 0, 0}));  // noon
  w.wait(3600 * kSecond);
  EXPECT_EQ(get(4), 0x81);
  w.wait(11 * 3600 * kSecond);
  EXPECT_EQ(get(4), 0x12);  // midnight
  set(0x0B, 0x04);
  set_time(0x80 | 11, 59, 59);
  w.wait(kSecond);
  EXPECT_EQ(get(4), 12);
}

TEST_F(RtcTest, RegisterA) {
  EXPECT_EQ(get(0x0A) & 0x7F, 0x26);
  set(0x0A, 0xAF);
  EXPECT_EQ(get(0x0A) & 0x7F, 0x2F);  // UIP is read only
  const auto before = time();
  set(0x0A, 0x06);  // not the 32.768 kHz divider: stands still
  w.wait(10 * kSecond);
  EXPECT_EQ(time(), before);
}

TEST_F(RtcTest, TheDividerStartsHalfASecondAfterItsReset) {
  set(0x0A, 0x76);
  w.wait(10 * kSecond);
  set(0x0A, 0x26);
  w.wait(kSecond / 2 - 1'000'000);
  EXPECT_EQ(get(0), 0x58);
  w.wait(2'000'000);
  EXPECT_EQ(get(0), 0x59);
}

TEST_F(RtcTest, TheDividerKeepsItsPlaceInTheSecondWhenTheRateChanges) {
  w.wait(3 * 86'400 * kSecond + kSecond / 4);
  const int second = get(0);
  set(0x0A, 0x2F);
  const auto state = w.device().save();
  EXPECT_TRUE(w.device().restore(state));
  EXPECT_EQ(w.device().save(), state);
  w.wait(3 * kSecond / 4 - 1'000'000);
  EXPECT_EQ(get(0), second);
  w.wait(2'000'000);
  EXPECT_NE(get(0), second);
}

TEST_F(RtcTest, RegisterBSetStopsTheTimeAndClearsUie) {
  set(0x0B, 0x12);
  EXPECT_EQ(get(0x0B), 0x12);
  set(0x0B, 0x92);
  EXPECT_EQ(get(0x0B), 0x82);
  w.wait(5 * kSecond);
  EXPECT_EQ(get(0), 0x58);
  EXPECT_EQ(get(0x0C), 0x40);  // periodic alone
  set(0x0B, 0x02);
  w.wait(kSecond);
  EXPECT_EQ(get(0), 0x59);
}

TEST_F(RtcTest, RegisterCIsClearedByReadingAndReadOnly) {
  w.wait(kSecond);
  set(0x0C, 0x00);
  EXPECT_EQ(get(0x0C), 0x50);
  EXPECT_EQ(get(0x0C), 0x00);
}

TEST_F(RtcTest, RegisterDSaysValidAndIsReadOnly) {
  set(0x0D, 0x00);
  EXPECT_EQ(get(0x0D), 0x80);
}

TEST_F(RtcTest, UpdateInProgressBeforeTheSecondChanges) {
  w.wait(kSecond - 2'300'000);
  EXPECT_EQ(get(0x0A) & 0x80, 0);
  w.wait(100'000);
  EXPECT_EQ(get(0x0A) & 0x80, 0x80);
  EXPECT_EQ(get(0), 0x58);
  w.wait(2'199'999);
  EXPECT_EQ(get(0x0A) & 0x80, 0x80);
  w.wait(1);
  EXPECT_EQ(get(0x0A) & 0x80, 0);
  EXPECT_EQ(get(0), 0x59);
  set(0x0B, 0x82);
  w.wait(kSecond - 1'000'000);
  EXPECT_EQ(get(0x0A) & 0x80, 0);  // no updates, no UIP
}

TEST_F(RtcTest, UpdateEndedInterrupt) {
  set(0x0B, 0x12);
  get(0x0C);
  w.wait(kSecond - w.now - 1);
  EXPECT_FALSE(w.line());
  w.wait(1);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(get(0x0C) & 0x90, 0x90);
  EXPECT_FALSE(w.line());
}

TEST_F(RtcTest, AlarmMatchesTheTime) {
  set(1, 0x01);
  set(3, 0x00);
  set(5, 0x00);
  set(0x0B, 0x22);
  w.wait(2 * kSecond);
  EXPECT_EQ(get(0x0C) & 0xA0, 0);
  w.wait(kSecond);  // 00:00:01
  EXPECT_TRUE(w.line());
  EXPECT_EQ(get(0x0C) & 0xA0, 0xA0);
  w.wait(86'399 * kSecond);
  EXPECT_EQ(get(0x0C) & 0xA0, 0);
  w.wait(kSecond);  // once a day
  EXPECT_EQ(get(0x0C) & 0xA0, 0xA0);
}

TEST_F(RtcTest, AlarmWithDontCare) {
  set(1, 0xC0);
  set(3, 0xFF);
  set(5, 0xE5);
  set(0x0B, 0x22);
  for (unsigned n = 0; n < 3; ++n) {
    w.wait(kSecond);
    EXPECT_EQ(get(0x0C) & 0xA0, 0xA0);
  }
  set(1, 0x30);  // once a minute
  unsigned seen = 0;
  for (unsigned n = 0; n < 180; ++n) {
    w.wait(kSecond);
    seen += (get(0x0C) & 0x20) != 0 ? 1 : 0;
  }
  EXPECT_EQ(seen, 3U);
}

TEST_F(RtcTest, PeriodicInterruptRates) {
  const struct {
    unsigned rate;
    unsigned hertz;
  } rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {8, 256}, {15, 2}, {0, 0}};
  set(0x0B, 0x42);
  for (const auto& [rate, hertz] : rates) {
    set(0x0A, 0x20 | rate);
    get(0x0C);
    const unsigned before = w.rises();
    for (const Nanos end = w.now + kSecond; w.now < end;) {
      const auto event = w.device().next_event();
      w.wait(std::min(event.value_or(end), end) - w.now);
      get(0x0C);
    }
    EXPECT_NEAR(w.rises() - before, hertz, 1) << rate;
  }
}

TEST_F(RtcTest, FlagsAreSetWithoutTheirEnablesAndRaiseNoLine) {
  w.wait(kSecond);
  EXPECT_FALSE(w.line());
  set(0x0B, 0x12);  // enabled with the flag set
  EXPECT_TRUE(w.line());
}

TEST_F(RtcTest, ResetClearsEnablesAndFlagsAndKeepsTimeAndRam) {
  set(0x0B, 0x7A);
  set(0x40, 0x5A);
  w.wait(kSecond);
  EXPECT_TRUE(w.line());
  w.device().reset();
  EXPECT_FALSE(w.line());
  EXPECT_EQ(get(0x0B), 0x02);
  EXPECT_EQ(get(0x0C), 0x00);
  EXPECT_EQ(get(0x40), 0x5A);
  EXPECT_EQ(get(0), 0x59);
  EXPECT_EQ(get(0x0A) & 0x7F, 0x26);
}

TEST_F(RtcTest, TheIndexIgnoresTheNmiBitAndCannotBeRead) {
  set(0x80 | 0x40, 0x77);
  EXPECT_EQ(get(0x40), 0x77);
  EXPECT_EQ(w.in(0x70), -1);
}

TEST_F(RtcTest, AYearInOneStepIsAYearInSeconds) {
  test::World slow("rtc");
  for (unsigned n = 0; n < 366 * 24; ++n) slow.wait(3600 * kSecond);
  w.wait(Nanos{366} * 86'400 * kSecond);
  EXPECT_EQ(slow.device().save(), w.device().save());
  EXPECT_EQ(date(), (Date{0x21, 0x02, 0x28, 6}));
}

}  // namespace
}  // namespace ringfence::vmm

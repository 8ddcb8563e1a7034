// The 8254 and port 0x61, clause by clause.
#include "harness/vmm/devices/pit.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

struct PitTest : testing::Test {
  PitTest() {
    w.wait(1'000'000'000);  // a pulse of the clock comes just here
    base_ = Pit::kHertz;
  }
  // Lets clock pulses pass: `now` is the first nanosecond at which the last of them has come.
  void pulses(uint64_t n) {
    base_ += n;
    constexpr uint64_t kSecond = 1'000'000'000;
    const Nanos at = base_ / Pit::kHertz * kSecond +
                     (base_ % Pit::kHertz * kSecond + Pit::kHertz - 1) / Pit::kHertz;
    w.wait(at - w.now);
  }
  void control(unsigned counter, unsigned rw, unsigned mode, unsigned bcd = 0) {
    w.out(0x43, counter << 6 | rw << 4 | mode << 1 | bcd);
  }
  // Two bytes, counter 0.
  void start(unsigned mode, unsigned count, unsigned bcd = 0) {
    control(0, 3, mode, bcd);
    write(count);
  }
  void write(unsigned count) {
    w.out(0x40, count & 0xFF);
    w.out(0x40, count >> 8);
  }
  int read() {
    const int low = w.in(0x40);
    return low | w.in(0x40) << 8;
  }
  int latched() {
    w.out(0x43, 0x00);
    return read();
  }
  bool out() { return w.pit().output(0, w.now); }
  void gate(bool level) { w.pit().set_gate(0, level, w.now); }
  // The output after each of so many pulses, as a word of H and L.
  std::string shape(unsigned n) {
    std::string levels;
    for (; n != 0; --n) {
      pulses(1);
      levels.push_back(out() ? 'H' : 'L');
    }
    return levels;
  }
  test::World w{"pit"};
  uint64_t base_ = 0;
};

TEST_F(PitTest, Mode0InterruptOnTerminalCount) {
  start(0, 4);
  EXPECT_FALSE(out());
  EXPECT_EQ(shape(6), "LLLLHH");  // N + 1 pulses
  EXPECT_EQ(latched(), 0xFFFF);   // it counts on
  write(2);
  EXPECT_FALSE(out());
  EXPECT_EQ(shape(3), "LLH");
  EXPECT_EQ(w.rises(), 2U);
}

TEST_F(PitTest, Mode0FirstByteOfTwoHaltsCounting) {
  start(0, 0x0110);
  pulses(5);
  EXPECT_EQ(latched(), 0x010C);
  w.out(0x40, 0x03);
  EXPECT_FALSE(out());
  pulses(100);
  EXPECT_EQ(latched(), 0x010C);
  w.out(0x40, 0x00);
  EXPECT_EQ(shape(4), "LLLH");
  w.out(0x40, 0x03);  // low at once
  EXPECT_FALSE(out());
}

TEST_F(PitTest, Mode0GateLowFreezes) {
  start(0, 10);
  pulses(4);
  EXPECT_EQ(latched(), 7);
  gate(false);
  pulses(50);
  EXPECT_EQ(latched(), 7);
  gate(true);
  EXPECT_EQ(shape(8), "LLLLLLHH");
  gate(false);  // a count is loaded with the gate low, too
  write(2);
  pulses(5);
  EXPECT_EQ(latched(), 2);
  gate(true);
  EXPECT_EQ(shape(2), "LH");
}

TEST_F(PitTest, Mode1OneShotByGate) {
  start(1, 3);
  EXPECT_TRUE(out());
  EXPECT_EQ(shape(6), "HHHHHH");  // waits for a trigger
  gate(false);
  gate(true);
  EXPECT_EQ(shape(5), "LLLHH");
  gate(false);  // the level does nothing, the edge restarts
  gate(true);
  EXPECT_EQ(shape(2), "LL");
  gate(false);
  gate(true);
  EXPECT_EQ(shape(5), "LLLHH");
  write(2);
  EXPECT_EQ(shape(3), "HHH");  // for the next trigger
  gate(false);
  gate(true);
  EXPECT_EQ(shape(3), "LLH");
}

TEST_F(PitTest, Mode2RateGenerator) {
  start(2, 3);
  EXPECT_TRUE(out());
  EXPECT_EQ(shape(8), "HHLHHLHH");
  write(4);  // at the end of the cycle
  EXPECT_EQ(shape(6), "LHHHLH");
}

TEST_F(PitTest, Mode2GateLowStopsAndRaisesTheOutputAndAnEdgeReloads) {
  start(2, 5);
  EXPECT_EQ(shape(5), "HHHHL");
  gate(false);
  EXPECT_TRUE(out());
  EXPECT_EQ(shape(4), "HHHH");
  gate(true);
  EXPECT_EQ(shape(6), "HHHHLH");
}

TEST_F(PitTest, Mode3SquareWaveEvenAndOdd) {
  start(3, 4);
  EXPECT_EQ(shape(9), "HHLLHHLLH");
  start(3, 5);
  EXPECT_EQ(shape(11), "HHHLLHHHLLH");
  start(3, 6);
  pulses(1);
  EXPECT_EQ(latched(), 6);
  pulses(1);
  EXPECT_EQ(latched(), 4);
  pulses(1);
  EXPECT_EQ(latched(), 2);
  pulses(1);
  EXPECT_EQ(latched(), 6);
  EXPECT_FALSE(out());
  gate(false);
  EXPECT_TRUE(out());
}

TEST_F(PitTest, Mode3NewCountAtTheEndOfTheHalf) {
  start(3, 8);
  pulses(2);
  write(4);
  EXPECT_EQ(shape(7), "HHLLHHL");
}

TEST_F(PitTest, Mode4SoftwareStrobe) {
  start(4, 3);
  EXPECT_TRUE(out());
  EXPECT_EQ(shape(7), "HHHLHHH");
  EXPECT_EQ(shape(70), std::string(70, 'H'));  // once
  w.out(0x40, 2);
  EXPECT_EQ(shape(3), "HHH");  // half a count does nothing
  w.out(0x40, 0);
  EXPECT_EQ(shape(4), "HHLH");
}

TEST_F(PitTest, Mode5HardwareStrobe) {
  start(5, 3);
  EXPECT_EQ(shape(5), "HHHHH");
  gate(false);
  gate(true);
  EXPECT_EQ(shape(2), "HH");
  gate(false);
  gate(true);  // starts over
  EXPECT_EQ(shape(5), "HHHLH");
}

TEST_F(PitTest, Modes6And7AreModes2And3) {
  start(6, 3);
  EXPECT_EQ(shape(7), "HHLHHLH");
  start(7, 4);
  EXPECT_EQ(shape(7), "HHLLHHL");
  w.out(0x43, 0xE2);  // the status has the mode as it was written
  EXPECT_EQ(w.in(0x40) & 0x0E, 0x0E);
}

TEST_F(PitTest, BcdCountsInTens) {
  start(0, 0x1000, 1);
  pulses(2);
  EXPECT_EQ(latched(), 0x0999);
  pulses(999);
  EXPECT_TRUE(out());
  pulses(1);
  EXPECT_EQ(latched(), 0x9999);
}

TEST_F(PitTest, Count0Is65536Or10000) {
  start(0, 0);
  pulses(65536);
  EXPECT_FALSE(out());
  pulses(1);
  EXPECT_TRUE(out());
  start(0, 0, 1);
  pulses(10000);
  EXPECT_FALSE(out());
  pulses(1);
  EXPECT_TRUE(out());
}

TEST_F(PitTest, LsbMsbAndLsbThenMsb) {
  control(0, 1, 0);
  w.out(0x40, 0x12);
  pulses(1);
  EXPECT_EQ(w.in(0x40), 0x12);
  EXPECT_EQ(w.in(0x40), 0x12);
  control(0, 2, 0);
  w.out(0x40, 0x12);
  pulses(1);
  EXPECT_EQ(w.in(0x40), 0x12);
  pulses(1);
  EXPECT_EQ(w.in(0x40), 0x11);  // 0x11FF
  start(0, 0x3412);
  pulses(1);
  EXPECT_EQ(w.in(0x40), 0x12);
  EXPECT_EQ(w.in(0x40), 0x34);
}

TEST_F(PitTest, LatchHoldsTheCountAndASecondIsIgnored) {
  start(0, 0x1000);
  pulses(1);
  w.out(0x43, 0x00);
  pulses(0x123);
  w.out(0x43, 0x00);
  EXPECT_EQ(read(), 0x1000);
  EXPECT_EQ(read(), 0x0EDD);  // the counting element again
}

TEST_F(PitTest, ReadBackOfCountStatusAndBothInTheRightOrder) {
  start(2, 0x0203);
  pulses(1);
  w.out(0x43, 0xC2);  // both, counter 0
  EXPECT_EQ(w.in(0x40), 0x80 | 0x34);
  EXPECT_EQ(read(), 0x0203);
  pulses(1);
  w.out(0x43, 0xD2);  // count alone
  EXPECT_EQ(read(), 0x0202);
  w.out(0x43, 0xE2);  // status alone
  EXPECT_EQ(w.in(0x40), 0xB4);
  EXPECT_EQ(read(), 0x0202);
  w.out(0x43, 0xC4);  // another counter: nothing here
  EXPECT_EQ(read(), 0x0202);
  w.out(0x43, 0xE2);  // a second status is ignored
  start(0, 1);
  w.out(0x43, 0xE2);
  w.out(0x43, 0xE2);
  EXPECT_EQ(w.in(0x40), 0x70);
}

TEST_F(PitTest, NullCountIsSetUntilTheCountIsLoaded) {
  const auto null = [&] {
    w.out(0x43, 0xE2);
    return (w.in(0x40) & 0x40) != 0;
  };
  control(0, 3, 2);
  EXPECT_TRUE(null());
  w.out(0x40, 4);
  EXPECT_TRUE(null());
  w.out(0x40, 0);
  EXPECT_TRUE(null());
  pulses(1);
  EXPECT_FALSE(null());
  write(8);
  pulses(2);
  EXPECT_TRUE(null());  // waits for the end of the cycle
  pulses(3);
  EXPECT_FALSE(null());
}

TEST_F(PitTest, Port61GatesCounter2AndShowsItsOutput) {
  w.out(0x61, 0);
  control(2, 3, 0);
  w.out(0x42, 5);
  w.out(0x42, 0);
  pulses(100);
  EXPECT_EQ(w.in(0x61) & 0x20, 0);
  w.out(0x61, 1);
  pulses(4);
  EXPECT_EQ(w.in(0x61) & 0x20, 0);
  pulses(1);
  EXPECT_EQ(w.in(0x61) & 0x2F, 0x21);
  control(2, 1, 1);  // the gate's edge triggers
  w.out(0x42, 3);
  w.out(0x61, 0);
  w.out(0x61, 3);
  pulses(1);
  EXPECT_EQ(w.in(0x61) & 0x2F, 0x03);
  pulses(3);
  EXPECT_EQ(w.in(0x61) & 0x2F, 0x23);
  w.out(0x61, 0xFF);
  EXPECT_EQ(w.in(0x61) & 0xCF, 0x0F);
}

TEST_F(PitTest, TheRefreshToggleOfPort61) {
  unsigned changes = 0;
  int last = w.in(0x61) & 0x10;
  for (unsigned n = 0; n < 1000; ++n) {
    w.wait(1'000);
    const int level = w.in(0x61) & 0x10;
    changes += level != last ? 1 : 0;
    last = level;
  }
  EXPECT_NEAR(changes, 66, 1);  // a millisecond of 15.085 us each
}

TEST_F(PitTest, TheFrequencyIs1193182) {
  start(2, 11932);  // 100 Hz, nearly
  const unsigned before = w.rises();
  for (unsigned n = 0; n < 1000; ++n) w.wait(10'000'000);
  EXPECT_NEAR(w.rises() - before, 1000, 1);
  start(0, 0xFFFF);
  w.wait(10'000'000);
  EXPECT_NEAR(latched(), 0xFFFF - 11931, 2);
}

TEST_F(PitTest, AJumpOfTheClockCostsNothingAndLosesNoPhase) {
  start(3, 2);
  w.wait(uint64_t{3'600'000'000'000} * 24 * 365);
  base_ += Pit::kHertz * 3600 * 24 * 365;
  const bool level = out();
  pulses(1);
  EXPECT_NE(out(), level);
  EXPECT_GT(w.rises(), 0U);
}

TEST_F(PitTest, TheControlWordCannotBeRead) { EXPECT_EQ(w.in(0x43), -1); }

}  // namespace
}  // namespace ringfence::vmm

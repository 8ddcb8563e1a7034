// The 8042 with keyboard and mouse, clause by clause.
#include "harness/vmm/devices/i8042.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

constexpr unsigned kIrq1 = 0;
constexpr unsigned kIrq12 = 1;
constexpr unsigned kA20 = 2;

struct I8042Test : testing::Test {
  int status() { return w.in(0x64); }
  void settle() { w.wait(300'000); }
  void command(unsigned byte) {
    EXPECT_TRUE(w.out(0x64, byte));
    settle();
  }
  void command(unsigned byte, unsigned argument) {
    command(byte);
    data(argument);
  }
  void data(unsigned byte) {
    w.out(0x60, byte);
    settle();
  }
  // What is in the output buffer, or -1.
  int take() {
    if ((status() & 1) == 0) return -1;
    const int byte = w.in(0x60);
    settle();
    return byte;
  }
  void keys(std::initializer_list<uint8_t> codes) {
    w.i8042().keys({codes.begin(), codes.size()}, w.now);
    settle();
  }
  std::vector<int> all() {
    std::vector<int> bytes;
    for (int byte = take(); byte >= 0; byte = take()) bytes.push_back(byte);
    return bytes;
  }
  using Bytes = std::vector<int>;
  test::World w{"i8042"};
};

TEST_F(I8042Test, ObfIsSetByAnAnswerAndClearedByReading) {
  EXPECT_EQ(status() & 1, 0);
  command(0x20);
  EXPECT_EQ(status() & 1, 1);
  w.in(0x60);
  EXPECT_EQ(status() & 1, 0);
}

TEST_F(I8042Test, IbfIsSetUntilTheControllerHasTakenTheByte) {
  w.out(0x64, 0xAE);
  EXPECT_EQ(status() & 2, 2);
  w.wait(20'000);
  EXPECT_EQ(status() & 2, 0);
}

TEST_F(I8042Test, SysIsSetByTheSelfTestAndByTheCommandByte) {
  EXPECT_EQ(status() & 4, 0);
  command(0xAA);
  EXPECT_EQ(status() & 4, 4);
  command(0x60, 0x00);
  EXPECT_EQ(status() & 4, 0);
  command(0x60, 0x04);
  EXPECT_EQ(status() & 4, 4);
}

TEST_F(I8042Test, A2TellsCommandFromData) {
  command(0xAE);
  EXPECT_EQ(status() & 8, 8);
  data(0xEE);
  EXPECT_EQ(status() & 8, 0);
}

TEST_F(I8042Test, SelfTestAndInterfaceTests) {
  command(0xAA);
  EXPECT_EQ(take(), 0x55);
  command(0xAB);
  EXPECT_EQ(take(), 0x00);
  command(0xA9);
  EXPECT_EQ(take(), 0x00);
}

TEST_F(I8042Test, KeyboardOffAndOn) {
  command(0x60, 0x00);
  command(0xAD);
  command(0x20);
  EXPECT_EQ(take(), 0x10);
  keys({0x1C});
  EXPECT_EQ(take(), -1);
  command(0xAE);
  EXPECT_EQ(take(), 0x1C);
  command(0x20);
  EXPECT_EQ(take(), 0x00);
}

TEST_F(I8042Test, MouseOffAndOn) {
  command(0x60, 0x00);
  command(0xD4, 0xF4);
  EXPECT_EQ(take(), 0xFA);
  command(0xA7);
  command(0x20);
  EXPECT_EQ(take(), 0x20);
  const uint8_t byte = 0x08;
  w.i8042().mouse({&byte, 1}, w.now);
  settle();
  EXPECT_EQ(take(), -1);
  command(0xA8);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_EQ(take(), 0x08);
}

TEST_F(I8042Test, CommandByte) {
  command(0x60, 0xFF);
  command(0x20);
  EXPECT_EQ(take(), 0x77);
  command(0x60, 0x21);
  command(0x20);
  EXPECT_EQ(take(), 0x21);
  command(0x65, 0x5A);  // the other 31 bytes
  command(0x25);
  EXPECT_EQ(take(), 0x5A);
}

TEST_F(I8042Test, OutputPortByD0AndD1) {
  command(0xD0);
  EXPECT_EQ(take(), 0xCF);
  command(0xD1, 0xDD);
  command(0xD0);
  EXPECT_EQ(take() & 0x03, 0x01);
  command(0xD1, 0xDF);
  command(0xD0);
  EXPECT_EQ(take() & 0x03, 0x03);
  EXPECT_TRUE(w.resets.empty());
}

TEST_F(I8042Test, D2PutsAByteIntoTheOutputBufferAsTheKeyboards) {
  command(0x60, 0x03);
  command(0xD2, 0x5A);
  EXPECT_EQ(status() & 0x21, 0x01);
  EXPECT_TRUE(w.line(kIrq1));
  EXPECT_FALSE(w.line(kIrq12));
  EXPECT_EQ(take(), 0x5A);
}

TEST_F(I8042Test, D3PutsAByteIntoTheOutputBufferAsTheMouses) {
  command(0x60, 0x03);
  command(0xD3, 0xA5);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_TRUE(w.line(kIrq12));
  EXPECT_FALSE(w.line(kIrq1));
  EXPECT_EQ(take(), 0xA5);
  EXPECT_FALSE(w.line(kIrq12));
}

TEST_F(I8042Test, D4SendsToTheMouse) {
  command(0xD4, 0xF2);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_EQ(all(), (Bytes{0xFA, 0x00}));
  command(0xD4, 0xFF);
  EXPECT_EQ(all(), (Bytes{0xFA, 0xAA, 0x00}));
  command(0xD4, 0xE9);
  EXPECT_EQ(all(), (Bytes{0xFA, 0x00, 0x02, 0x64}));
  command(0xD4, 0xF3);
  command(0xD4, 0x0A);
  EXPECT_EQ(all(), (Bytes{0xFA, 0xFA}));
}

TEST_F(I8042Test, A20ByD1) {
  EXPECT_TRUE(w.line(kA20));
  command(0xD1, 0xDD);
  EXPECT_FALSE(w.line(kA20));
  command(0xD1, 0xDF);
  EXPECT_TRUE(w.line(kA20));
}

TEST_F(I8042Test, FeResetsAndSoDoesBit0OfTheOutputPort) {
  command(0xFF);
  command(0xF1);
  EXPECT_TRUE(w.resets.empty());
  command(0xFE);
  EXPECT_EQ(w.resets.size(), 1U);
  command(0xF0);
  EXPECT_EQ(w.resets.size(), 2U);
  command(0xD1, 0xDE);
  EXPECT_EQ(w.resets.size(), 3U);
}

TEST_F(I8042Test, TheKeyboardAnswers) {
  const struct {
    unsigned command;
    Bytes answer;
  } expected[] = {{0xF4, {0xFA}},
                  {0xF5, {0xFA}},
                  {0xF6, {0xFA}},
                  {0xEE, {0xEE}},
                  {0xF2, {0xFA, 0xAB, 0x83}},
                  {0xFF, {0xFA, 0xAA}},
                  {0x00, {0xFE}}};
  for (const auto& [byte, answer] : expected) {
    data(byte);
    EXPECT_EQ(all(), answer) << byte;
  }
  for (const unsigned byte : {0xEDU, 0x07U, 0xF3U, 0x20U, 0xF0U, 0x03U}) {
    data(byte);
    EXPECT_EQ(all(), Bytes{0xFA}) << byte;
  }
  data(0xF0);
  EXPECT_EQ(all(), Bytes{0xFA});
  data(0x00);
  EXPECT_EQ(all(), (Bytes{0xFA, 0x03}));
  data(0xFE);
  EXPECT_EQ(all(), Bytes{0x03});  // again
  data(0xED);
  data(0xF4);  // a command, not the argument
  data(0xEE);
  EXPECT_EQ(all().back(), 0xEE);
}

TEST_F(I8042Test, ScanCodesOnIrq1) {
  command(0x60, 0x41);
  keys({0x1C, 0xF0, 0x1C, 0xE0, 0x75});
  EXPECT_TRUE(w.line(kIrq1));
  EXPECT_EQ(w.in(0x60), 0x1E);
  EXPECT_FALSE(w.line(kIrq1));
  settle();
  EXPECT_TRUE(w.line(kIrq1));
  EXPECT_EQ(w.in(0x60), 0x9E);
  settle();
  EXPECT_EQ(all(), (Bytes{0xE0, 0x48}));
  command(0x60, 0x01);  // not translated
  keys({0x1C, 0xF0, 0x1C});
  EXPECT_EQ(all(), (Bytes{0x1C, 0xF0, 0x1C}));
  command(0x60, 0x00);
  keys({0x1C});
  EXPECT_FALSE(w.line(kIrq1));
  EXPECT_EQ(status() & 1, 1);
}

TEST_F(I8042Test, AKeyboardThatIsOffKeepsSixteenCodes) {
  command(0xAD);
  for (uint8_t n = 1; n <= 20; ++n) keys({n});
  command(0xAE);
  const auto seen = all();
  ASSERT_EQ(seen.size(), 16U);
  EXPECT_EQ(seen.back(), 16);
}

TEST_F(I8042Test, UnknownCommandsAreUndefined) {
  EXPECT_FALSE(w.out(0x64, 0x00));
  EXPECT_FALSE(w.out(0x64, 0x40));
  EXPECT_FALSE(w.out(0x64, 0xB7));
  EXPECT_EQ(status() & 2, 0);
}

}  // namespace
}  // namespace ringfence::vmm

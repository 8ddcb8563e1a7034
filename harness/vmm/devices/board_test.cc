// The standard machine: the devices wired together.
#include "harness/vmm/devices/board.h"

#include <gtest/gtest.h>

#include <random>

namespace ringfence::vmm {
namespace {

struct BoardTest : testing::Test, Line, ByteSink {
  BoardTest() {
    auto made = Board::make({}, {this, nullptr, nullptr, this});
    board = std::move(*made);
    for (const auto& [port, value] :
         std::initializer_list<std::pair<uint16_t, uint32_t>>{{0x20, 0x11},
                                                              {0x21, 0x08},
                                                              {0x21, 0x04},
                                                              {0x21, 0x01},
                                                              {0xA0, 0x11},
                                                              {0xA1, 0x70},
                                                              {0xA1, 0x02},
                                                              {0xA1, 0x01}}) {
      out(port, value);
    }
  }
  void set(bool high) override { intr = high; }
  void put(uint8_t byte) override { debug.push_back(static_cast<char>(byte)); }
  void out(uint16_t port, uint32_t value) { board->write(port, 1, value, now); }
  uint32_t in(uint16_t port) { return board->read(port, 1, now); }
  // Until INTR rises, as a CPU in HLT waits: the vector, or -1.
  int halt() {
    for (unsigned n = 0; n < 1000 && !board->intr(); ++n) {
      const auto event = board->next_event();
      if (!event) return -1;
      now = *event;
      board->advance(now);
    }
    return board->intr() ? board->acknowledge(now) : -1;
  }
  std::unique_ptr<Board> board;
  Nanos now = 0;
  bool intr = false;
  std::string debug;
};

TEST_F(BoardTest, TheTimerIsIrq0) {
  EXPECT_EQ(halt(), -1);
  out(0x43, 0x34);
  out(0x40, 0x64);
  out(0x40, 0x00);
  EXPECT_EQ(halt(), 0x08);
  const Nanos first = now;
  out(0x20, 0x20);
  EXPECT_EQ(halt(), 0x08);
  EXPECT_NEAR(static_cast<double>(now - first), 100e9 / 1193182, 1000);
}

TEST_F(BoardTest, TheKeyboardIsIrq1AndTheMouseIrq12) {
  out(0x64, 0x60);
  now += 20'000;
  out(0x60, 0x43);
  now += 20'000;
  const uint8_t code = 0x1C;
  board->keys({&code, 1}, now);
  EXPECT_EQ(halt(), 0x09);
  EXPECT_EQ(in(0x60), 0x1EU);
  out(0x20, 0x20);
  out(0x64, 0xD3);
  now += 20'000;
  out(0x60, 0x08);
  EXPECT_EQ(halt(), 0x74);
}

TEST_F(BoardTest, Com1IsIrq4) {
  out(0x3FB, 0x03);  // words have five bits after a reset
  out(0x3FC, 0x08);
  out(0x3F9, 0x01);
  board->serial_in('x', now);
  EXPECT_TRUE(intr);
  EXPECT_EQ(halt(), 0x0C);
  EXPECT_EQ(in(0x3F8), static_cast<uint32_t>('x'));
}

TEST_F(BoardTest, TheClockIsIrq8) {
  out(0x70, 0x0B);
  out(0x71, 0x12);
  EXPECT_EQ(halt(), 0x70);
  EXPECT_EQ(now, 1'000'000'000U);
}

TEST_F(BoardTest, A20IsOpenWhereEitherGateIsOpen) {
  const auto d1 = [&](unsigned value) {
    out(0x64, 0xD1);
    now += 20'000;
    out(0x60, value);
    now += 20'000;
    board->advance(now);
  };
  EXPECT_TRUE(board->a20());
  d1(0xDD);
  EXPECT_FALSE(board->a20());
  out(0x92, 0x02);
  EXPECT_TRUE(board->a20());
  out(0x92, 0x00);
  EXPECT_FALSE(board->a20());
  d1(0xDF);
  EXPECT_TRUE(board->a20());
}

TEST_F(BoardTest, ResetRequestsNameTheirDevice) {
  EXPECT_FALSE(board->take_reset());
  out(0x64, 0xFE);
  now += 20'000;
  board->advance(now);
  auto request = board->take_reset();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->device, "i8042");
  EXPECT_FALSE(board->take_reset());
  out(0xCF9, 0x06);
  request = board->take_reset();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->device, "reset");
  EXPECT_EQ(request->kind, ResetKind::hard);
}

TEST_F(BoardTest, ExitCodeDebugConsoleAndPostCode) {
  out(0xE9, 'G');
  EXPECT_EQ(debug, "G");
  out(0x80, 0x55);
  EXPECT_EQ(board->post_code(), 0x55);
  EXPECT_FALSE(board->exit_code());
  out(0xF4, 1);
  out(0xF4, 2);
  EXPECT_EQ(board->exit_code(), 1U);
}

TEST_F(BoardTest, ResetStartsOver) {
  out(0x3FC, 0x08);
  out(0x3F9, 0x02);
  EXPECT_TRUE(intr);
  out(0xF4, 3);
  board->reset();
  EXPECT_FALSE(intr);
  EXPECT_FALSE(board->exit_code());
  EXPECT_EQ(in(0x3F9), 0U);
  EXPECT_TRUE(board->bus().undefined().empty());
}

TEST_F(BoardTest, SaveAndRestoreWithTheLinesBetweenTheDevices) {
  std::mt19937_64 random(1);
  for (unsigned seed = 0; seed < 50; ++seed) {
    for (unsigned n = 0; n < 200; ++n) {
      const auto& devices = board->bus().devices();
      const auto ranges = devices[random() % devices.size()]->ports();
      const auto port =
          static_cast<uint16_t>(ranges[random() % ranges.size()].first + random() % 2);
      now += random() % 100'000;
      if (random() % 2 == 0) {
        in(port);
      } else {
        out(port, static_cast<uint8_t>(random()));
      }
    }
    const auto state = board->save();
    auto other = Board::make({}, {});
    ASSERT_TRUE(other);
    ASSERT_TRUE((*other)->restore(state)) << seed;
    EXPECT_EQ((*other)->save(), state) << seed;
    EXPECT_EQ((*other)->intr(), board->intr());
    EXPECT_EQ((*other)->a20(), board->a20());
    EXPECT_EQ((*other)->exit_code(), board->exit_code());
    for (unsigned n = 0; n < 50; ++n) {
      now += 50'000;
      EXPECT_EQ((*other)->read(0x3FD, 1, now), in(0x3FD));
      EXPECT_EQ((*other)->read(0x40, 1, now), in(0x40));
      EXPECT_EQ((*other)->intr(), board->intr());
    }
  }
}

TEST_F(BoardTest, ARefusedStateChangesNothing) {
  out(0x80, 0x11);
  const auto own = board->save();
  auto other = Board::make({}, {});
  (*other)->write(0x80, 1, 0x22, 0);
  (*other)->write(0x43, 1, 0x34, 0);
  auto state = (*other)->save();
  EXPECT_FALSE(board->restore({}));
  for (size_t size = 0; size < state.size(); size += 7) {
    EXPECT_FALSE(board->restore({state.data(), size}));
    EXPECT_EQ(board->save(), own);
  }
  state[state.size() - 1] = 2;  // the PIC's line, the last of all: neither 0 nor 1
  EXPECT_FALSE(board->restore(state));
  EXPECT_EQ(board->save(), own);
  state[state.size() - 1] = 0;
  EXPECT_TRUE(board->restore(state));
  EXPECT_EQ(board->post_code(), 0x22);
}

TEST_F(BoardTest, WithoutAnyWires) {
  const auto bare = Board::make({}, {});
  ASSERT_TRUE(bare);
  (*bare)->write(0xE9, 1, 'x', 0);
  (*bare)->write(0x3F8, 1, 'x', 0);
  (*bare)->drain();
  EXPECT_FALSE((*bare)->intr());
}

}  // namespace
}  // namespace ringfence::vmm

// The 16550, clause by clause. Section numbers are those of the PC16550D data sheet.
#include "harness/vmm/devices/uart.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

constexpr uint16_t kData = 0x3F8;
constexpr uint16_t kIer = 0x3F9;
constexpr uint16_t kIir = 0x3FA;
constexpr uint16_t kFcr = 0x3FA;
constexpr uint16_t kLcr = 0x3FB;
constexpr uint16_t kMcr = 0x3FC;
constexpr uint16_t kLsr = 0x3FD;
constexpr uint16_t kMsr = 0x3FE;
constexpr uint16_t kScr = 0x3FF;
constexpr Nanos kCharacter = 86'805;  // ten bits at 115200 baud

struct UartTest : testing::Test {
  UartTest() {
    w.out(kLcr, 0x83);
    w.out(kData, 1);
    w.out(kIer, 0);
    w.out(kLcr, 3);
  }
  void receive(std::string_view text, uint8_t errors = 0) {
    for (const char byte : text) w.uart().receive(static_cast<uint8_t>(byte), w.now, errors);
  }
  // Loopback, and the bytes all the way round.
  void loop(std::string_view text) {
    w.out(kMcr, 0x10);
    for (const char byte : text) {
      w.out(kData, static_cast<uint8_t>(byte));
      w.wait(kCharacter + 1);
    }
  }
  test::World w{"uart"};
};

TEST_F(UartTest, DlabOverlaysDataAndIerOnlyWhileSet) {
  w.out(kIer, 0x05);
  w.out(kLcr, 0x83);
  w.out(kData, 0x34);
  w.out(kIer, 0x12);
  EXPECT_EQ(w.in(kData), 0x34);
  EXPECT_EQ(w.in(kIer), 0x12);
  w.wait(100 * kCharacter);
  EXPECT_TRUE(w.bytes.empty());  // it was no character
  w.out(kLcr, 0x03);
  EXPECT_EQ(w.in(kIer), 0x05);
  w.uart().receive('A', w.now);
  EXPECT_EQ(w.in(kData), 'A');
  w.out(kLcr, 0x83);
  EXPECT_EQ(w.in(kData), 0x34);
  EXPECT_EQ(w.in(kIer), 0x12);
  for (const uint16_t port : {kIir, kMcr, kLsr, kMsr, kScr}) EXPECT_GE(w.in(port), 0);
}

TEST_F(UartTest, LcrMcrScrReadBack) {
  for (const unsigned value : {0x00U, 0x1FU, 0x2AU, 0x7FU, 0x55U}) {
    w.out(kLcr, value);
    EXPECT_EQ(w.in(kLcr), static_cast<int>(value));
    w.out(kScr, value ^ 0xFF);
    EXPECT_EQ(w.in(kScr), static_cast<int>(value ^ 0xFF));
    w.out(kMcr, value & 0x1F);
    EXPECT_EQ(w.in(kMcr), static_cast<int>(value & 0x1F));
  }
}

TEST_F(UartTest, McrBits5To7AndIerBits4To7Read0) {
  w.out(kMcr, 0xFF);
  EXPECT_EQ(w.in(kMcr), 0x1F);
  w.out(kIer, 0xFF);
  EXPECT_EQ(w.in(kIer), 0x0F);
}

TEST_F(UartTest, ResetValues) {  // table II
  w.out(kIer, 0x0F);
  w.out(kFcr, 0xC1);
  w.out(kLcr, 0x1B);
  w.out(kMcr, 0x0B);
  w.out(kScr, 0x5A);
  receive("abc", Uart::kParityError);
  w.device().reset();
  EXPECT_EQ(w.in(kIer), 0);
  EXPECT_EQ(w.in(kIir), 0x01);
  EXPECT_EQ(w.in(kLcr), 0);
  EXPECT_EQ(w.in(kMcr), 0);
  EXPECT_EQ(w.in(kLsr), 0x60);
  EXPECT_EQ(w.in(kMsr)&0x0F, 0);
  EXPECT_EQ(w.in(kScr), 0x5A);  // not reset
  EXPECT_FALSE(w.line());
  test::World fresh("uart");
  EXPECT_EQ(fresh.in(kLsr), 0x60);
  EXPECT_EQ(fresh.in(kIir), 0x01);
}

TEST_F(UartTest, DrIsSetByInputAndClearedByTheLastRead) {
  EXPECT_EQ(w.in(kLsr)&1, 0);
  w.out(kFcr, 1);
  receive("ab");
  EXPECT_EQ(w.in(kLsr)&1, 1);
  EXPECT_EQ(w.in(kData), 'a');
  EXPECT_EQ(w.in(kLsr)&1, 1);
  EXPECT_EQ(w.in(kData), 'b');
  EXPECT_EQ(w.in(kLsr)&1, 0);
}

TEST_F(UartTest, OverrunWithoutFifosTakesTheNewCharacterAndLsrClearsIt) {
  receive("ab");
  EXPECT_EQ(w.in(kLsr)&0x03, 0x03);
  EXPECT_EQ(w.in(kLsr)&0x03, 0x01);
  EXPECT_EQ(w.in(kData), 'b');
}

TEST_F(UartTest, OverrunWithFifosKeepsTheSixteen) {
  w.out(kFcr, 1);
  receive("0123456789abcdef");
  EXPECT_EQ(w.in(kLsr)&0x02, 0);
  EXPECT_EQ(w.uart().room(), 0U);
  receive("X");
  EXPECT_EQ(w.in(kLsr)&0x02, 0x02);
  EXPECT_EQ(w.in(kLsr)&0x02, 0);
  std::string seen;
  while ((w.in(kLsr)&1) != 0) seen.push_back(static_cast<char>(w.in(kData)));
  EXPECT_EQ(seen, "0123456789abcdef");
}

TEST_F(UartTest, ThreAndTemtDifferWhileTheShiftRegisterIsBusy) {
  w.out(kData, 'a');
  EXPECT_EQ(w.in(kLsr)&0x60, 0x20);  // THR moved on at once
  w.out(kData, 'b');
  EXPECT_EQ(w.in(kLsr)&0x60, 0x00);
  w.wait(kCharacter + 1);
  EXPECT_EQ(w.bytes, "a");
  EXPECT_EQ(w.in(kLsr)&0x60, 0x20);
  w.wait(kCharacter + 1);
  EXPECT_EQ(w.bytes, "ab");
  EXPECT_EQ(w.in(kLsr)&0x60, 0x60);
}

TEST_F(UartTest, ACharacterTakesItsBitsAtTheDivisor) {
  w.out(kLcr, 0x83);
  w.out(kData, 12);   // 9600 baud
  w.out(kLcr, 0x1F);  // 8 bits, even parity, 2 stop bits: 12 bits
  w.out(kData, 'x');
  w.wait(1'249'000);
  EXPECT_TRUE(w.bytes.empty());
  w.wait(2'000);
  EXPECT_EQ(w.bytes, "x");
  w.out(kLcr, 0x04);  // 5 bits, 1.5 stop bits: 7.5 bits
  w.out(kData, 0xFF);
  w.wait(780'000);
  EXPECT_EQ(w.bytes.size(), 1U);
  w.wait(2'000);
  EXPECT_EQ(w.bytes, "x\x1f");  // five bits of it
}

TEST_F(UartTest, IirPriority) {  // table IV
  w.out(kIer, 0x0F);
  w.in(kIir);  // THRE
  w.uart().set_modem(0, w.now);
  EXPECT_EQ(w.in(kIir), 0x00);
  w.out(kIer, 0x0D);
  w.out(kIer, 0x0F);
  EXPECT_EQ(w.in(kIir), 0x02);
  w.out(kIer, 0x0D);
  w.out(kIer, 0x0F);
  receive("a");
  EXPECT_EQ(w.in(kIir), 0x04);
  receive("b");  // overrun
  EXPECT_EQ(w.in(kIir), 0x06);
  w.in(kLsr);
  EXPECT_EQ(w.in(kIir), 0x04);
  w.in(kData);
  EXPECT_EQ(w.in(kIir), 0x02);
  EXPECT_EQ(w.in(kIir), 0x00);
  w.in(kMsr);
  EXPECT_EQ(w.in(kIir), 0x01);
}

TEST_F(UartTest, DataAndThreTogetherRead4) {
  w.out(kIer, 0x03);
  receive("a");
  EXPECT_EQ(w.in(kIir), 0x04);
  EXPECT_EQ(w.in(kIir), 0x04);
}

TEST_F(UartTest, ReadingIirClearsThreAlone) {
  w.out(kIer, 0x0F);
  EXPECT_EQ(w.in(kIir), 0x02);
  EXPECT_EQ(w.in(kIir), 0x01);
  w.uart().set_modem(0, w.now);
  EXPECT_EQ(w.in(kIir), 0x00);
  EXPECT_EQ(w.in(kIir), 0x00);
  receive("ab");
  EXPECT_EQ(w.in(kIir), 0x06);
  EXPECT_EQ(w.in(kIir), 0x06);
  w.in(kLsr);
  EXPECT_EQ(w.in(kIir), 0x04);
  EXPECT_EQ(w.in(kIir), 0x04);
  // THRE survives a read that showed another source.
  w.out(kIer, 0x00);
  w.out(kIer, 0x0F);
  EXPECT_EQ(w.in(kIir), 0x04);
  w.in(kData);
  EXPECT_EQ(w.in(kIir), 0x02);
}

TEST_F(UartTest, WritingThrClearsThre) {
  w.out(kIer, 0x02);
  EXPECT_TRUE(w.line() || (w.in(kMcr)&8) == 0);
  w.out(kData, 'a');
  w.out(kData, 'b');  // behind it: THR is full
  EXPECT_EQ(w.in(kIir), 0x01);
  w.wait(kCharacter + 1);
  EXPECT_EQ(w.in(kIir), 0x02);
}

TEST_F(UartTest, IirBits7And6AreOnesOnlyWithFifosOn) {
  EXPECT_EQ(w.in(kIir)&0xC0, 0);
  w.out(kFcr, 1);
  EXPECT_EQ(w.in(kIir)&0xC0, 0xC0);
  w.out(kFcr, 0xC0);  // bit 0 clear: off, and the rest is not programmed
  EXPECT_EQ(w.in(kIir)&0xC0, 0);
}

TEST_F(UartTest, FcrEnableChangesFlushBothFifos) {
  w.out(kFcr, 1);
  receive("abc");
  w.out(kData, '1');
  w.out(kData, '2');
  w.out(kFcr, 0);
  EXPECT_EQ(w.in(kLsr)&0x21, 0x20);
  w.wait(10 * kCharacter);
  EXPECT_EQ(w.bytes, "1");  // was in the shift register
}

TEST_F(UartTest, FcrFlushesReceiveAndTransmitApart) {
  w.out(kFcr, 1);
  receive("abc");
  w.out(kData, '1');
  w.out(kData, '2');
  w.out(kFcr, 3);
  EXPECT_EQ(w.in(kLsr)&0x21, 0x00);
  receive("d");
  w.out(kFcr, 5);
  EXPECT_EQ(w.in(kLsr)&0x21, 0x21);
  EXPECT_EQ(w.in(kData), 'd');
  w.wait(10 * kCharacter);
  EXPECT_EQ(w.bytes, "1");
}

TEST_F(UartTest, FcrBitsNeedBit0) {
  receive("a");
  w.out(kFcr, 0x06);
  EXPECT_EQ(w.in(kLsr)&1, 1);
}

TEST_F(UartTest, TriggerLevels1And4And8And14) {
  w.out(kIer, 1);
  const std::array<unsigned, 4> levels{1, 4, 8, 14};
  for (unsigned chosen = 0; chosen < 4; ++chosen) {
    w.out(kFcr, 0x03 | chosen << 6);
    for (unsigned n = 1; n < levels[chosen]; ++n) {
      receive("x");
      EXPECT_EQ(w.in(kIir), 0xC1) << chosen << " " << n;
    }
    receive("x");
    EXPECT_EQ(w.in(kIir), 0xC4) << chosen;
    w.in(kData);  // below the trigger again
    EXPECT_EQ(w.in(kIir), 0xC1) << chosen;
  }
}

TEST_F(UartTest, CharacterTimeoutAfterFourCharacterTimes) {
  w.out(kIer, 1);
  w.out(kFcr, 0xC1);
  receive("ab");
  w.wait(4 * kCharacter - 100);
  EXPECT_EQ(w.in(kIir), 0xC1);
  w.wait(200);
  EXPECT_EQ(w.in(kIir), 0xCC);
  EXPECT_EQ(w.in(kIir), 0xCC);
  EXPECT_EQ(w.in(kData), 'a');  // clears it and starts the timer anew
  EXPECT_EQ(w.in(kIir), 0xC1);
  w.wait(3 * kCharacter);
  receive("c");  // so does a character
  w.wait(3 * kCharacter);
  EXPECT_EQ(w.in(kIir), 0xC1);
  w.wait(kCharacter + 100);
  EXPECT_EQ(w.in(kIir), 0xCC);
  w.in(kData);
  w.in(kData);
  w.wait(100 * kCharacter);  // an empty FIFO has none
  EXPECT_EQ(w.in(kIir), 0xC1);
}

TEST_F(UartTest, AWriteToLcrNeverTouchesTheFifos) {
  w.out(kFcr, 0x81);
  receive("abc");
  for (const unsigned value : {0x00U, 0x83U, 0x1FU, 0x43U, 0x03U}) w.out(kLcr, value);
  EXPECT_EQ(w.in(kIir)&0xC0, 0xC0);
  std::string seen;
  while ((w.in(kLsr)&1) != 0) seen.push_back(static_cast<char>(w.in(kData)));
  EXPECT_EQ(seen, "abc");
  w.out(kIer, 1);  // the trigger is still 8
  receive("1234567");
  EXPECT_EQ(w.in(kIir), 0xC1);
  receive("8");
  EXPECT_EQ(w.in(kIir), 0xC4);
}

TEST_F(UartTest, IerWrittenWithAConditionPendingRaisesAtOnce) {
  w.out(kMcr, 8);
  w.out(kIer, 2);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(w.in(kIir), 0x02);
  EXPECT_FALSE(w.line());
  receive("a");
  w.out(kIer, 1);
  EXPECT_TRUE(w.line());
  w.out(kIer, 0);
  EXPECT_FALSE(w.line());
  receive("b");
  w.out(kIer, 4);
  EXPECT_TRUE(w.line());
  w.out(kIer, 0);
  w.uart().set_modem(0, w.now);
  w.out(kIer, 8);
  EXPECT_TRUE(w.line());
  w.in(kMsr);
  EXPECT_FALSE(w.line());
}

TEST_F(UartTest, Out2GatesTheLine) {
  w.out(kIer, 1);
  receive("a");
  EXPECT_FALSE(w.line());
  EXPECT_EQ(w.in(kIir), 0x04);  // the request is there
  w.out(kMcr, 8);
  EXPECT_TRUE(w.line());
  w.out(kMcr, 7);
  EXPECT_FALSE(w.line());
}

TEST_F(UartTest, LoopbackReturnsDataAndSendsNone) {
  w.uart().receive('?', w.now);
  w.in(kData);
  loop("Z");
  EXPECT_EQ(w.in(kData), 'Z');
  EXPECT_TRUE(w.bytes.empty());
  w.uart().receive('?', w.now);  // the input is cut off
  EXPECT_EQ(w.in(kLsr)&1, 0);
  w.out(kLcr, 0x01);  // six bits
  loop("\x7f");
  EXPECT_EQ(w.in(kData), 0x3F);
}

TEST_F(UartTest, LoopbackWiresTheModemLines) {
  const struct {
    unsigned mcr;
    int msr;
  } wired[] = {{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}, {0x00, 0x00}, {0x0F, 0xF0}};
  for (const auto& [mcr, msr] : wired) {
    w.out(kMcr, 0x10 | mcr);
    EXPECT_EQ(w.in(kMsr)&0xF0, msr) << mcr;
  }
  w.out(kMcr, 0x0F);
  EXPECT_EQ(w.in(kMsr)&0xF0, 0xB0);  // the inputs again
}

TEST_F(UartTest, MsrDeltasAreSetByChangesAndClearedByReading) {
  w.out(kMcr, 0x10);
  w.in(kMsr);
  w.out(kMcr, 0x12);  // RTS -> CTS
  EXPECT_EQ(w.in(kMsr), 0x11);
  EXPECT_EQ(w.in(kMsr), 0x10);
  w.out(kMcr, 0x13);
  EXPECT_EQ(w.in(kMsr), 0x32);
  w.out(kMcr, 0x1B);
  EXPECT_EQ(w.in(kMsr), 0xB8);
  w.out(kMcr, 0x1F);  // the leading edge of RI sets nothing
  EXPECT_EQ(w.in(kMsr), 0xF0);
  w.out(kMcr, 0x1B);
  EXPECT_EQ(w.in(kMsr), 0xB4);
  w.out(kMcr, 0x10);
  EXPECT_EQ(w.in(kMsr), 0x0B);
  EXPECT_EQ(w.in(kMsr), 0x00);
}

TEST_F(UartTest, ErrorsBelongToTheirCharacter) {
  w.out(kFcr, 1);
  receive("a");
  receive("b", Uart::kParityError);
  receive("c", Uart::kFramingError | Uart::kBreak);
  EXPECT_EQ(w.in(kLsr)&0x9E, 0x80);  // somewhere in the FIFO
  w.in(kData);
  EXPECT_EQ(w.in(kLsr)&0x9E, 0x84);
  EXPECT_EQ(w.in(kLsr)&0x9E, 0x80);
  w.in(kData);
  EXPECT_EQ(w.in(kLsr)&0x9E, 0x98);
  EXPECT_EQ(w.in(kLsr)&0x9E, 0x00);
}

TEST_F(UartTest, TheThreInterruptOfALoneCharacterIsLateInFifoMode) {  // 8.0 B
  w.out(kFcr, 1);
  w.out(kIer, 2);
  w.in(kIir);
  w.out(kData, 'a');
  EXPECT_EQ(w.in(kIir), 0xC2);  // the first after FCR0 changed is immediate
  w.wait(kCharacter + 1);
  w.out(kData, 'b');
  EXPECT_EQ(w.in(kIir), 0xC1);
  w.wait(kCharacter * 9 / 10 + 1);  // one character time less the stop bit
  EXPECT_EQ(w.in(kIir), 0xC2);
}

TEST_F(UartTest, UndefinedAccesses) {
  EXPECT_FALSE(w.out(kLsr, 0));
  EXPECT_FALSE(w.out(kMsr, 0));
  EXPECT_EQ(w.in(kData, 2), -1);
  EXPECT_FALSE(w.out(kData, 0, 4));
}

TEST_F(UartTest, DrainSendsWhatWaits) {
  w.out(kFcr, 1);
  for (const char byte : std::string_view("hello")) w.out(kData, static_cast<uint8_t>(byte));
  w.uart().drain();
  EXPECT_EQ(w.bytes, "hello");
  EXPECT_EQ(w.in(kLsr)&0x60, 0x60);
}

}  // namespace
}  // namespace ringfence::vmm

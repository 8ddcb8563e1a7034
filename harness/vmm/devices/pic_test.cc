// The 8259A pair, clause by clause.
#include "harness/vmm/devices/pic.h"

#include <gtest/gtest.h>

#include "harness/vmm/devices/test_world.h"

namespace ringfence::vmm {
namespace {

struct PicTest : testing::Test {
  PicTest() {
    init(0x20, 0x11, {0x08, 0x04, 0x01});
    init(0xA0, 0x11, {0x70, 0x02, 0x01});
  }
  void init(uint16_t base, unsigned icw1, std::initializer_list<unsigned> rest) {
    w.out(base, icw1);
    for (const auto word : rest) w.out(base + 1, word);
  }
  void up(unsigned irq) { w.pic().set_irq(irq, true); }
  void down(unsigned irq) { w.pic().set_irq(irq, false); }
  void pulse(unsigned irq) {
    down(irq);
    up(irq);
  }
  int ack() { return w.pic().acknowledge(w.now); }
  int irr(uint16_t base = 0x20) {
    w.out(base, 0x0A);
    return w.in(base);
  }
  int isr(uint16_t base = 0x20) {
    w.out(base, 0x0B);
    return w.in(base);
  }
  test::World w{"pic"};
};

TEST_F(PicTest, NoInterruptBeforeTheFirstSequenceIsComplete) {
  test::World fresh("pic");
  fresh.pic().set_irq(0, true);
  EXPECT_FALSE(fresh.line());
  fresh.out(0x20, 0x11);
  fresh.pic().set_irq(1, true);
  fresh.out(0x21, 0x08);
  fresh.out(0x21, 0x04);
  EXPECT_FALSE(fresh.line());
  fresh.out(0x21, 0x01);
  EXPECT_TRUE(fresh.line());
  EXPECT_EQ(fresh.pic().acknowledge(0), 0x09);  // IR0 rose before ICW1: its edge is forgotten
}

TEST_F(PicTest, SequenceWithIcw4) {
  init(0x20, 0x11, {0x40, 0x04, 0x03});  // automatic EOI
  w.out(0x21, 0x80);                     // OCW1 now
  EXPECT_EQ(w.in(0x21), 0x80);
  up(3);
  EXPECT_EQ(ack(), 0x43);
  EXPECT_EQ(isr(), 0);
}

TEST_F(PicTest, SequenceWithoutIcw4IsMcs80Mode) {
  init(0x20, 0x10, {0x40, 0x04});
  w.out(0x21, 0x7F);  // OCW1 already
  EXPECT_EQ(w.in(0x21), 0x7F);
  w.out(0x21, 0);
  up(3);
  EXPECT_EQ(ack(), 3 << 3);  // A7-A5 of ICW1 are 0, interval of 8
  init(0x20, 0xF4, {0x40, 0x04});
  pulse(3);
  EXPECT_EQ(ack(), 0xE0 | 3 << 2);  // interval of 4
}

TEST_F(PicTest, SingleModeHasNoIcw3) {
  init(0x20, 0x13, {0x40, 0x01});
  w.out(0x21, 0x5A);
  EXPECT_EQ(w.in(0x21), 0x5A);
  w.out(0x21, 0);
  up(8);  // the slave's request is the master's own IR2 now
  EXPECT_EQ(ack(), 0x42);
}

TEST_F(PicTest, Icw1InMidServiceStartsOver) {
  up(1);
  EXPECT_EQ(ack(), 0x09);
  w.out(0x20, 0x68);  // special mask mode
  w.out(0x21, 0xFF);
  w.out(0x20, 0xC3);  // IR4 is the highest
  EXPECT_EQ(isr(), 0x02);
  up(5);
  w.out(0x20, 0x11);
  EXPECT_EQ(w.in(0x20), 0);  // status read is IRR again, and the edges are forgotten
  w.out(0x21, 0x50);
  w.out(0x20, 0x11);  // and again within the sequence
  w.out(0x21, 0x60);
  w.out(0x21, 0x04);
  w.out(0x21, 0x01);
  EXPECT_EQ(w.in(0x21), 0);  // IMR
  EXPECT_EQ(isr(), 0);
  EXPECT_FALSE(w.line());
  pulse(5);
  pulse(1);
  EXPECT_EQ(ack(), 0x61);  // IR0 is the highest
  pulse(6);
  EXPECT_FALSE(w.line());  // fully nested, no special mask
}

TEST_F(PicTest, ImrMasksAndIrrShowsWhatIsMasked) {
  w.out(0x21, 0x10);
  up(4);
  EXPECT_FALSE(w.line());
  EXPECT_EQ(irr(), 0x10);
  w.out(0x21, 0);
  EXPECT_TRUE(w.line());
  w.out(0x21, 0x10);
  EXPECT_FALSE(w.line());
}

TEST_F(PicTest, IrrAndIsrReadsByOcw3) {
  up(3);
  EXPECT_EQ(irr(), 0x08);
  EXPECT_EQ(isr(), 0);
  EXPECT_EQ(ack(), 0x0B);
  EXPECT_EQ(w.in(0x20), 0x08);  // the selection stays: ISR
  EXPECT_EQ(irr(), 0);
  EXPECT_EQ(w.in(0x20), 0);
  up(12);
  EXPECT_EQ(irr(0xA0), 0x10);
  EXPECT_EQ(irr(), 0x04);
  w.out(0x20, 0x08);  // RR clear: no change
  EXPECT_EQ(w.in(0x20), 0x04);
}

TEST_F(PicTest, PollNamesTheLevelAndSetsIsr) {
  w.out(0x20, 0x0C);
  EXPECT_EQ(w.in(0x20), 0x00);
  up(5);
  up(6);
  w.out(0x20, 0x0C);
  EXPECT_EQ(w.in(0x20), 0x85);
  EXPECT_EQ(w.in(0x20), 0x40);  // IRR again: only the next read polls
  EXPECT_EQ(isr(), 0x20);
  EXPECT_FALSE(w.line());
  w.out(0x20, 0x0C);
  EXPECT_EQ(w.in(0x21), 0x00);  // IR6 is held back; either address polls
}

TEST_F(PicTest, EdgeInputsNeedAnEdge) {
  up(3);
  EXPECT_EQ(ack(), 0x0B);
  w.out(0x20, 0x20);
  EXPECT_FALSE(w.line());  // still high
  pulse(3);
  EXPECT_TRUE(w.line());
}

TEST_F(PicTest, LevelInputsByElcrStayRequested) {
  w.out(0x4D0, 0x08);
  EXPECT_EQ(w.in(0x4D0), 0x08);
  up(3);
  EXPECT_EQ(ack(), 0x0B);
  w.out(0x20, 0x20);
  EXPECT_TRUE(w.line());
  down(3);
  EXPECT_EQ(irr(), 0);
  w.out(0x4D0, 0xFF);
  EXPECT_EQ(w.in(0x4D0), 0xF8);  // 0, 1 and 2 are edge for ever
  w.out(0x4D1, 0xFF);
  EXPECT_EQ(w.in(0x4D1), 0xDE);  // 8 and 13
}

TEST_F(PicTest, LtimMakesAllInputsLevel) {
  up(4);
  init(0x20, 0x19, {0x08, 0x04, 0x01});
  EXPECT_TRUE(w.line());
}

TEST_F(PicTest, SpecificEoi) {
  up(6);
  ack();
  up(2 + 1);
  ack();
  EXPECT_EQ(isr(), 0x48);
  w.out(0x20, 0x66);
  EXPECT_EQ(isr(), 0x08);
  w.out(0x20, 0x63);
  EXPECT_EQ(isr(), 0);
}

TEST_F(PicTest, NonSpecificEoiEndsTheHighest) {
  up(6);
  ack();
  up(3);
  ack();
  w.out(0x20, 0x20);
  EXPECT_EQ(isr(), 0x40);
  w.out(0x20, 0x20);
  EXPECT_EQ(isr(), 0);
  w.out(0x20, 0x20);
  EXPECT_EQ(isr(), 0);
}

TEST_F(PicTest, AutomaticEoi) {
  init(0x20, 0x11, {0x08, 0x04, 0x03});
  up(3);
  ack();
  EXPECT_EQ(isr(), 0);
  up(5);
  EXPECT_TRUE(w.line());  // nothing holds it back
}

TEST_F(PicTest, Rotations) {
  // On non-specific EOI: the level served becomes the lowest.
  up(4);
  ack();
  w.out(0x20, 0xA0);
  EXPECT_EQ(isr(), 0);
  pulse(4);
  up(5);
  EXPECT_EQ(ack(), 0x0D);
  // On specific EOI.
  w.out(0x20, 0xE5);
  EXPECT_EQ(isr(), 0);
  pulse(5);
  pulse(6);
  EXPECT_EQ(ack(), 0x0E);
  w.out(0x20, 0x66);
  // Set priority.
  w.out(0x20, 0xC4);
  pulse(4);
  EXPECT_EQ(ack(), 0x0D);
  w.out(0x20, 0x65);
  EXPECT_EQ(ack(), 0x0C);
}

TEST_F(PicTest, RotationInAutomaticEoi) {
  init(0x20, 0x11, {0x08, 0x04, 0x03});
  w.out(0x20, 0x80);
  up(1);
  EXPECT_EQ(ack(), 0x09);
  pulse(1);
  up(3);
  EXPECT_EQ(ack(), 0x0B);
  w.out(0x20, 0x00);
  EXPECT_EQ(ack(), 0x09);
  pulse(1);
  pulse(3);
  EXPECT_EQ(ack(), 0x09);  // no longer rotated: IR3 stays the lowest
}

TEST_F(PicTest, SpecialMaskModeLetsLowerLevelsIn) {
  up(3);
  ack();
  up(6);
  EXPECT_FALSE(w.line());
  w.out(0x21, 0x08);
  EXPECT_FALSE(w.line());  // fully nested: masked or not, IR3 is in service
  w.out(0x20, 0x68);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(ack(), 0x0E);
  w.out(0x20, 0x20);  // a masked level is not ended by it
  EXPECT_EQ(isr(), 0x08);
  w.out(0x20, 0x48);
  pulse(6);
  EXPECT_FALSE(w.line());
}

TEST_F(PicTest, CascadePriority) {
  up(3);
  up(9);
  up(8);
  EXPECT_EQ(ack(), 0x70);
  EXPECT_EQ(isr(), 0x04);
  EXPECT_EQ(isr(0xA0), 0x01);
  up(1);
  EXPECT_EQ(ack(), 0x09);  // above the slave
  w.out(0x20, 0x20);
  w.out(0xA0, 0x20);
  w.out(0x20, 0x20);
  EXPECT_EQ(ack(), 0x71);  // IRQ 9 before IRQ 3
  w.out(0xA0, 0x20);
  w.out(0x20, 0x20);
  EXPECT_EQ(ack(), 0x0B);
}

TEST_F(PicTest, TheSlaveAnswersToItsIdOnly) {
  init(0xA0, 0x11, {0x70, 0x03, 0x01});
  up(9);
  EXPECT_EQ(ack(), 0xFF);  // nobody drives the bus
  init(0x20, 0x11, {0x08, 0x00, 0x01});
  init(0xA0, 0x11, {0x70, 0x02, 0x01});
  pulse(9);
  EXPECT_EQ(ack(), 0x0A);  // no slave there, says ICW3
}

TEST_F(PicTest, SpecialFullyNestedLetsTheSlaveInterruptItself) {
  up(12);
  EXPECT_EQ(ack(), 0x74);
  up(9);
  EXPECT_FALSE(w.line());  // the master holds IR2 back
  init(0x20, 0x11, {0x08, 0x04, 0x11});
  init(0xA0, 0x11, {0x70, 0x02, 0x01});
  pulse(12);
  EXPECT_EQ(ack(), 0x74);
  pulse(9);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(ack(), 0x71);
  EXPECT_EQ(isr(0xA0), 0x12);
  up(3);
  EXPECT_FALSE(w.line());  // lower ones are held back as ever
}

TEST_F(PicTest, SpuriousIr7WithIsrClear) {
  up(3);
  EXPECT_TRUE(w.line());
  down(3);
  EXPECT_EQ(irr(), 0);
  // (OCW3 resolved anew; so once more, undisturbed.)
  up(3);
  down(3);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(ack(), 0x0F);
  EXPECT_FALSE(w.line());
  EXPECT_EQ(isr(), 0);
}

TEST_F(PicTest, SpuriousIrq15SetsTheMastersIsrAlone) {
  up(12);
  down(12);
  EXPECT_EQ(ack(), 0x77);
  EXPECT_EQ(isr(0xA0), 0);
  EXPECT_EQ(isr(), 0x04);
}

TEST_F(PicTest, RequestsOfTheSlaveThatComeTogetherAreAllSeen) {
  init(0x20, 0x11, {0x08, 0x04, 0x03});
  init(0xA0, 0x11, {0x70, 0x02, 0x03});
  up(9);
  up(10);
  up(15);
  EXPECT_EQ(ack(), 0x71);
  EXPECT_TRUE(w.line());
  EXPECT_EQ(ack(), 0x72);
  EXPECT_EQ(ack(), 0x77);
  EXPECT_FALSE(w.line());
}

TEST_F(PicTest, InputTwoBelongsToTheSlave) {
  up(2);
  EXPECT_FALSE(w.line());
  w.pic().input(11).set(true);
  EXPECT_EQ(ack(), 0x73);
}

}  // namespace
}  // namespace ringfence::vmm

// Which device answers, what nobody answers, and who looks on.
#include "harness/vmm/devices/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/vmm/devices/platform.h"
#include "harness/vmm/devices/uart.h"

namespace ringfence::vmm {
namespace {

struct Recorder final : BusObserver {
  void access(const Access& access) override { seen.push_back(access); }
  std::vector<Access> seen;
};

struct BusTest : testing::Test {
  BusTest() {
    post = std::move(*make_post({}));
    timer = std::move(*make_pmtimer({}));
    EXPECT_TRUE(bus.add(*post));
    EXPECT_TRUE(bus.add(*timer));
  }
  std::unique_ptr<Device> post;
  std::unique_ptr<Device> timer;
  Bus bus;
};

TEST_F(BusTest, AnUnknownPortFloatsAndIsRecorded) {
  EXPECT_EQ(bus.read(0x999, 1, 0), 0xFFU);
  EXPECT_EQ(bus.read(0x999, 2, 0), 0xFFFFU);
  EXPECT_EQ(bus.read(0x999, 4, 0), 0xFFFF'FFFFU);
  bus.write(0x999, 1, 0x1FF, 0);
  bus.write(0x999, 1, 0x07, 0);
  ASSERT_EQ(bus.undefined().size(), 4U);
  EXPECT_EQ(bus.undefined()[0].device, nullptr);
  const auto& write = bus.undefined()[3];
  EXPECT_TRUE(write.write);
  EXPECT_EQ(write.count, 2U);
  EXPECT_EQ(write.last_value, 0x07U);
}

TEST_F(BusTest, AnUnknownWidthFloatsAndIsRecordedWithItsDevice) {
  bus.write(0x80, 1, 0x5A, 0);
  EXPECT_EQ(bus.read(0x80, 2, 0), 0xFFFFU);
  bus.write(0x80, 4, 0, 0);
  EXPECT_EQ(bus.read(0x80, 1, 0), 0x5AU);
  ASSERT_EQ(bus.undefined().size(), 2U);
  EXPECT_EQ(bus.undefined()[0].device, post.get());
  EXPECT_EQ(bus.undefined()[1].width, 4U);
  bus.forget_undefined();
  EXPECT_TRUE(bus.undefined().empty());
}

TEST_F(BusTest, ThousandsOfUnknownPortsStayBounded) {
  for (uint32_t port = 0x1000; port < 0x2000; ++port) bus.read(static_cast<uint16_t>(port), 1, 0);
  EXPECT_EQ(bus.undefined().size(), Bus::kMaxUndefined);
  EXPECT_EQ(bus.undefined_uncounted(), 0x1000 - Bus::kMaxUndefined);
}

TEST_F(BusTest, TheObserverSeesEveryAccess) {
  Recorder recorder;
  bus.observe(&recorder);
  bus.write(0x80, 1, 0x12, 5);
  bus.read(0x80, 1, 6);
  bus.read(0x81, 1, 7);
  bus.observe(nullptr);
  bus.read(0x80, 1, 8);
  ASSERT_EQ(recorder.seen.size(), 3U);
  EXPECT_TRUE(recorder.seen[0].write && recorder.seen[0].defined);
  EXPECT_EQ(recorder.seen[0].value, 0x12U);
  EXPECT_EQ(recorder.seen[1].value, 0x12U);
  EXPECT_EQ(recorder.seen[1].now, 6U);
  EXPECT_EQ(recorder.seen[1].device, post.get());
  EXPECT_FALSE(recorder.seen[2].defined);
  EXPECT_EQ(recorder.seen[2].value, 0xFFU);
}

TEST_F(BusTest, APortHasOneDevice) {
  const auto second = make_post({});
  const auto added = bus.add(**second);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().err, EEXIST);
  EXPECT_EQ(bus.devices().size(), 2U);
  OpenLine line;
  NullSink sink;
  const auto high = make_uart({line, sink, 0xFFFC});  // past the last port
  EXPECT_FALSE(bus.add(**high));
}

TEST_F(BusTest, DueEventsComeBeforeAnAccess) {
  struct Level final : Line {
    void set(bool high) override { level = high; }
    bool level = false;
  } line;
  NullSink sink;
  const auto uart = make_uart({line, sink, 0x3F8});
  ASSERT_TRUE(bus.add(**uart));
  bus.write(0x3FC, 1, 8, 0);
  bus.write(0x3F8, 1, 'a', 0);
  bus.write(0x3F8, 1, 'b', 0);
  bus.write(0x3F9, 1, 2, 0);
  EXPECT_FALSE(line.level);
  const auto event = bus.next_event();
  ASSERT_TRUE(event);
  bus.read(0x80, 1, *event - 1);
  EXPECT_FALSE(line.level);
  bus.read(0x80, 1, *event);  // of another device
  EXPECT_TRUE(line.level);
}

}  // namespace
}  // namespace ringfence::vmm

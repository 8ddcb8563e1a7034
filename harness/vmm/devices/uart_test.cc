#include "harness/vmm/devices/uart.h"

#include <gtest/gtest.h>

namespace ringfence::vmm {
namespace {

TEST(UartSmoke, ResetValues) {
  OpenLine irq;
  NullSink out;
  const auto uart = make_uart({irq, out});
  ASSERT_TRUE(uart);
  uint32_t value = 0;
  ASSERT_TRUE((*uart)->read(0x3FD, 1, value, 0));
  EXPECT_EQ(value, 0x60U);
  EXPECT_FALSE((*uart)->read(0x3FD, 2, value, 0));
  EXPECT_FALSE(make_uart({irq, out}, "uart.nothing"));
}

}  // namespace
}  // namespace ringfence::vmm

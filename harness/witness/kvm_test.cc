// The programs at KVM's tracepoints, without a guest; with one: runner/guest_case_test.cc and
// guests/kvm_test.py.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "harness/witness/kvm_devices.h"
#include "harness/witness/kvm_exits.h"

namespace ringfence {
namespace {

TEST(KvmDevices, APortThatNoDeviceOfTheKernelHasIsRefused) {
  constexpr std::array<uint16_t, 2> kPorts = {0x20, RF_KVM_PORTS};
  const auto ports = KvmDevices::attach(kPorts);
  ASSERT_FALSE(ports);
  EXPECT_EQ(ports.error().kind, Error::Kind::usage);
  EXPECT_EQ(ports.error().object, "0x800");
}

TEST(KvmExits, AThreadThatRunsNoVcpuHasNone) {
  const auto exits = KvmExits::attach();
  if (!exits) GTEST_SKIP() << "needs:bpf: " << exits.error().describe();
  std::optional<KvmExits::Count> count;
  {
    auto begun = exits->begin();
    ASSERT_TRUE(begun) << begun.error().describe();
    count.emplace(std::move(*begun));
  }
  const auto seen = count->so_far();
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_EQ(all_returns(*seen), 0U);
  EXPECT_EQ(seen->failed + seen->port_reads + seen->port_writes, 0U);
  count.reset();
  // Each thread has its own.
  std::thread([&] { EXPECT_TRUE(exits->begin()); }).join();
}

}  // namespace
}  // namespace ringfence

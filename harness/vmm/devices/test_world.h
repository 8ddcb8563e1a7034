#pragma once
// One device with everything around it recorded, for tests, fuzzers and the benchmark: what it was
// asked, what it answered, and what it did to its wires, as one log.
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "harness/vmm/devices/i8042.h"
#include "harness/vmm/devices/pic.h"
#include "harness/vmm/devices/pit.h"
#include "harness/vmm/devices/platform.h"
#include "harness/vmm/devices/rtc.h"
#include "harness/vmm/devices/uart.h"

namespace ringfence::vmm::test {

inline constexpr std::array<std::string_view, 11> kDevices{
    "uart", "pic", "pit", "i8042", "rtc", "pmtimer", "post", "port92", "debugcon", "exit", "reset"};

std::span<const Fault> faults_of(std::string_view device);

struct Op {
  enum class Kind : uint8_t { read, write, wait, input, acknowledge, reset };
  Kind kind = Kind::read;
  uint16_t port = 0;   // or, for an input, which
  uint32_t value = 0;  // or, for a wait, nanoseconds
  uint8_t width = 1;
};
using Ops = std::vector<Op>;

class World final : private ByteSink, private ResetWire, private ExitWire {
 public:
  explicit World(std::string_view device, std::string_view fault = {});
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] bool made() const { return device_ != nullptr; }
  Device& device() { return *device_; }
  Uart& uart() { return static_cast<Uart&>(*device_); }
  Pic& pic() { return static_cast<Pic&>(*device_); }
  Pit& pit() { return static_cast<Pit&>(*device_); }
  I8042& i8042() { return static_cast<I8042&>(*device_); }

  // For tests that say what they mean. An access that the device does not define is -1.
  int in(uint16_t port, unsigned width = 1);
  bool out(uint16_t port, uint32_t value, unsigned width = 1);
  void wait(Nanos time);
  [[nodiscard]] bool line(unsigned n = 0) const { return wires_[n].level; }
  [[nodiscard]] unsigned rises(unsigned n = 0) const { return wires_[n].rises; }

  void apply(const Op& op);
  void apply(const Ops& ops) {
    for (const auto& op : ops) apply(op);
  }

  Nanos now = 0;
  std::vector<uint64_t> log;
  std::string bytes;              // what went out of a sink
  std::vector<ResetKind> resets;  // requests
  std::vector<uint32_t> exits;    // codes
  std::string error;              // why the device was not made

 private:
  struct Wire final : Line {
    void set(bool high) override;
    World* world = nullptr;
    unsigned number = 0;
    bool level = false;
    unsigned rises = 0;
  };
  void put(uint8_t byte) override;
  void request(ResetKind kind, std::string_view device) override;
  void exit(uint32_t code) override;
  void input(const Op& op);
  template <typename Made>
  void take(Made made);

  std::array<Wire, 3> wires_;
  std::unique_ptr<Device> device_;
};

// A random sequence that knows what the device's registers are for.
Ops random_ops(std::string_view device, std::mt19937_64& random, unsigned count);
// What any bytes mean to a device: for fuzzers.
Ops ops_of(std::string_view device, const uint8_t* data, size_t size);

}  // namespace ringfence::vmm::test

#pragma once
// Devices of the mini-VMM: pure state machines behind port I/O.
//
// A device makes no syscall, has no thread and reads no clock. Time is handed in with every call,
// in nanoseconds since the machine was made; it never goes back (a time before the last one counts
// as the last one). Wires and byte sinks are handed in when the device is made and have to outlive
// it. So one device runs in the VMM, in a unit test with a fake clock, under a fuzzer and in a
// property test.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

using Nanos = uint64_t;
// Later times count as this one, 146 years: so sums of times do not overflow.
constexpr Nanos kLatest = uint64_t{1} << 62;

// An output wire: an interrupt request, INTR, the A20 gate. Called only when the level changes,
// and once more with the level that a restored state has.
struct Line {
  virtual ~Line() = default;
  virtual void set(bool level) = 0;
};

// Where the bytes of a serial line or of the debug console go.
struct ByteSink {
  virtual ~ByteSink() = default;
  virtual void put(uint8_t byte) = 0;
};

struct PortRange {
  uint16_t first = 0;
  uint16_t count = 1;
};

class Device {
 public:
  virtual ~Device() = default;
  // "uart", "pic", "pit", "i8042", "rtc", "pmtimer", "post", "port92", "debugcon", "exit", "reset":
  // the first word of the ids of its clauses and of its faults.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::vector<PortRange> ports() const = 0;
  // An access of `width` 1, 2 or 4 bytes. The answer is whether the device defines it. If not,
  // nothing happened: the bus answers all ones, as it floats, and records the access.
  virtual bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) = 0;
  virtual bool write(uint16_t port, unsigned width, uint32_t value, Nanos now) = 0;
  // Time passes. In one step or in many: the state is the same.
  virtual void advance(Nanos now) = 0;
  // When the device next does something by itself, if it will.
  [[nodiscard]] virtual std::optional<Nanos> next_event() const = 0;
  // The RESET wire. What the data sheet says is not reset keeps its value.
  virtual void reset() = 0;
  // Everything that the device knows, times included (they belong to the clock that it was given).
  [[nodiscard]] virtual std::vector<uint8_t> save() const = 0;
  // Takes a state that save() of the same device wrote, or changes nothing and says why not
  // (EINVAL).
  virtual Status restore(std::span<const uint8_t> state) = 0;
};

// A wire that goes nowhere, a sink that keeps nothing.
struct OpenLine final : Line {
  void set(bool) override {}
};
struct NullSink final : ByteSink {
  void put(uint8_t) override {}
};

}  // namespace ringfence::vmm

#pragma once
// Platform: what the machine asks of whatever stands behind its ports. The standard board
// (devices/) is one; a bare one with a debug console and an exit port is here.
//
// Everything is told the device time; nothing has a clock, a thread or a system call of its own.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

using Nanos = uint64_t;  // device time

class Platform {
 public:
  struct Access {
    const char* device = "";  // a literal; empty: nobody has this port
    bool defined = false;     // the device defines this access; else the bus floats (all ones)
    // There is nothing to fetch because of it: no output, no exit code, no request for a reset, and
    // A20 is on. What does not know says no.
    bool silent = false;
  };

  Platform() = default;
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;
  virtual ~Platform() = default;

  // Port accesses of 1, 2 or 4 bytes.
  virtual Access in(uint16_t port, unsigned width, uint32_t& value, Nanos now) = 0;
  virtual Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) = 0;

  // Time passes; and when something happens by itself next.
  virtual void advance(Nanos now) = 0;
  [[nodiscard]] virtual std::optional<Nanos> next_event() const = 0;

  // The INTR line of the CPU, and its INTA cycle, which gives the vector.
  [[nodiscard]] virtual bool intr() const = 0;
  virtual uint8_t acknowledge(Nanos now) = 0;
  // For a machine whose interrupt controllers are not the platform's: how the inputs of the
  // controllers changed since the last call, in order.
  struct InputChange {
    uint8_t input = 0;
    bool level = false;
    friend bool operator==(const InputChange&, const InputChange&) = default;
  };
  virtual std::vector<InputChange> take_inputs() { return {}; }
  [[nodiscard]] virtual bool a20() const { return true; }

  // What the guest asked for since the last call: a reset of the CPU.
  virtual bool take_reset() { return false; }
  // What it wrote to the exit port, once it did.
  [[nodiscard]] virtual std::optional<uint32_t> exit_code() const = 0;
  // What it wrote to the debug console and to the first serial port since the last call.
  virtual std::vector<uint8_t> take_debug() = 0;
  virtual std::vector<uint8_t> take_serial() { return {}; }
  virtual void serial_input(std::span<const uint8_t> bytes, Nanos now) {
    (void)bytes;
    (void)now;
  }

  // The machine ends: what still waits to go out goes.
  virtual void finish() {}
  virtual void reset() = 0;
  [[nodiscard]] virtual std::vector<uint8_t> save() const = 0;
  virtual Status restore(std::span<const uint8_t> state) = 0;
};

// What comes to a board from outside, at a time.
struct Input {
  enum class Kind : uint8_t {
    key,     // a scan code (set 2) from the keyboard
    serial,  // a character on COM1, with the errors that LSR has for it
    line,    // an input of the interrupt controllers rises
  };
  Kind kind = Kind::key;
  Nanos at = 0;  // 0: before the guest begins
  uint8_t value = 0;
  uint8_t errors = 0;
  friend bool operator==(const Input&, const Input&) = default;
};

// Debug console at 0xE9 (reads 0xE9), exit port at 0xF4, and nothing else. No interrupts.
class BarePlatform : public Platform {
 public:
  static constexpr uint16_t kDebugPort = 0xe9;
  static constexpr uint16_t kExitPort = 0xf4;

  Access in(uint16_t port, unsigned width, uint32_t& value, Nanos now) override;
  Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) override;
  void advance(Nanos /*now*/) override {}
  [[nodiscard]] std::optional<Nanos> next_event() const override { return std::nullopt; }
  [[nodiscard]] bool intr() const override { return line_; }
  uint8_t acknowledge(Nanos now) override;
  [[nodiscard]] std::optional<uint32_t> exit_code() const override { return code_; }
  std::vector<uint8_t> take_debug() override { return std::exchange(debug_, {}); }
  void reset() override;
  [[nodiscard]] std::vector<uint8_t> save() const override;
  Status restore(std::span<const uint8_t> state) override;

  // For those who play the interrupt controller: raises INTR until it is acknowledged.
  void raise(uint8_t vector) {
    vector_ = vector;
    line_ = true;
  }

 private:
  bool line_ = false;
  uint8_t vector_ = 0;
  std::optional<uint32_t> code_;
  std::vector<uint8_t> debug_;
};

}  // namespace ringfence::vmm

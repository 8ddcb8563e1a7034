#pragma once
// The standard machine: COM1 at 0x3F8 on IRQ4, the PIC pair, PIT on IRQ0 with port 0x61, i8042 on
// IRQ1 and IRQ12, RTC on IRQ8, PM timer at 0x608, and ports 0x80, 0x92, 0xE9, 0xF4 and 0xCF9.
//
// The board owns its devices. Whoever runs the machine hands it every port access with the time,
// calls advance() when next_event() is reached, and looks at the outputs after each.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/vmm/devices/bus.h"
#include "harness/vmm/devices/i8042.h"
#include "harness/vmm/devices/pic.h"
#include "harness/vmm/devices/pit.h"
#include "harness/vmm/devices/rtc.h"
#include "harness/vmm/devices/uart.h"

namespace ringfence::vmm {

struct BoardConfig {
  RtcTime start = {};
  unsigned pmtimer_bits = 24;
  std::string_view fault = {};  // id of one seeded fault of one of the devices; empty: none
};

// Where the board's outputs go. All optional: what is null goes nowhere. The levels can be asked,
// too.
struct BoardWires {
  Line* intr = nullptr;  // INTR to the CPU
  Line* a20 = nullptr;   // the A20 gate: 8042 or port 0x92
  ByteSink* serial = nullptr;
  ByteSink* debug = nullptr;
  // What the devices put on the inputs of the interrupt controllers, for a machine that has others
  // besides the board's own, which see it, too. By number; nobody drives 2, and of 0, which is the
  // timer's, a machine with another controller has another timer.
  std::array<Line*, 16> inputs{};
};

class Board {
 public:
  struct ResetRequest {
    ResetKind kind = ResetKind::cpu;
    std::string_view device;  // who asked
  };

  virtual ~Board() = default;
  // A usage error for a fault that no device has.
  static Result<std::unique_ptr<Board>> make(const BoardConfig& config, const BoardWires& wires);

  virtual Bus& bus() = 0;  // observe(), undefined(), devices()
  virtual Pic& pic() = 0;
  virtual Pit& pit() = 0;
  virtual Uart& uart() = 0;
  virtual I8042& i8042() = 0;
  virtual Rtc& rtc() = 0;

  virtual uint32_t read(uint16_t port, unsigned width, Nanos now) = 0;
  virtual void write(uint16_t port, unsigned width, uint32_t value, Nanos now) = 0;
  virtual void advance(Nanos now) = 0;
  [[nodiscard]] virtual std::optional<Nanos> next_event() const = 0;

  // The CPU takes the interrupt (INTA): the vector. Only while intr() is high, or spurious.
  virtual uint8_t acknowledge(Nanos now) = 0;

  [[nodiscard]] virtual bool intr() const = 0;
  [[nodiscard]] virtual bool a20() const = 0;
  // The first request since the last call, if there was one.
  virtual std::optional<ResetRequest> take_reset() = 0;
  // What the guest wrote to 0xF4 first.
  [[nodiscard]] virtual std::optional<uint32_t> exit_code() const = 0;
  // Neither of the two, and A20 is on.
  [[nodiscard]] virtual bool quiet() const = 0;
  [[nodiscard]] virtual uint8_t post_code() const = 0;  // port 0x80

  // An input of the interrupt controllers that no device drives.
  virtual void set_input(unsigned input, bool level) = 0;
  // A character arrives on the serial line; scan codes (set 2) from the keyboard.
  virtual void serial_in(uint8_t byte, Nanos now) = 0;
  virtual void keys(std::span<const uint8_t> scan_codes, Nanos now) = 0;
  // Sends what still waits in the UART's transmitter: when the machine ends.
  virtual void drain() = 0;

  // The RESET wire of every device. A20 is open and the exit code forgotten.
  virtual void reset() = 0;
  // All devices and outputs. The times belong to the machine's clock: restore that, too.
  [[nodiscard]] virtual std::vector<uint8_t> save() const = 0;
  virtual Status restore(std::span<const uint8_t> state) = 0;
};

// Every device's faults.
std::vector<Fault> all_faults();

}  // namespace ringfence::vmm

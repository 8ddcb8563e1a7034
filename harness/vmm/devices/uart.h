#pragma once
// 16550 UART. Source: National Semiconductor PC16550D data sheet (June 1995), section numbers
// below.
//
// The shift registers have their own time: a character takes start, data, parity and stop bits of
// 16 * divisor cycles of 1.8432 MHz, so THRE and TEMT differ and the character timeout (8.0, four
// character times) works. Choices where the data sheet leaves one:
// - OUT2 gates the line by its bit in MCR, in loopback, too (the Super I/O reading of 8.6.4: in
//   diagnostic mode the interrupts are fully operational).
// - The delay of the THRE interrupt in FIFO mode (8.0, FIFO interrupt mode, B) is one of the
//   interrupt; LSR tells the truth at once.
// - The divisor is not touched by reset; at power-up it is 12 (9600 baud). 0 counts as 65536.
// - Writes to LSR and MSR (factory test) are undefined accesses.
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm {

struct UartWires {
  Line& irq;      // INTR, behind the OUT2 gate
  ByteSink& out;  // characters, when their last stop bit is sent
  uint16_t base = 0x3F8;
};

class Uart : public Device {
 public:
  // Errors of a received character, as LSR has them.
  static constexpr uint8_t kParityError = 0x04;
  static constexpr uint8_t kFramingError = 0x08;
  static constexpr uint8_t kBreak = 0x10;
  // Modem inputs, as MSR has them.
  static constexpr uint8_t kCts = 0x10;
  static constexpr uint8_t kDsr = 0x20;
  static constexpr uint8_t kRi = 0x40;
  static constexpr uint8_t kDcd = 0x80;

  // A character was received whole at `now`. In loopback the input pin is cut off: it is lost.
  virtual void receive(uint8_t byte, Nanos now, uint8_t errors = 0) = 0;
  // How many more characters it can take without an overrun.
  [[nodiscard]] virtual unsigned room() const = 0;
  // The modem inputs change. At power-up: CTS, DSR and DCD.
  virtual void set_modem(uint8_t inputs, Nanos now) = 0;
  // Sends at once what waits in the transmitter: for a machine that ends.
  virtual void drain() = 0;
};

std::span<const Fault> uart_faults();
Result<std::unique_ptr<Uart>> make_uart(const UartWires& wires, std::string_view fault = {});

}  // namespace ringfence::vmm

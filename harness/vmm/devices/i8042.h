#pragma once
// Keyboard controller 8042 at 0x60 and 0x64 with a keyboard and, on its second port, a mouse that
// answers the basic commands. Source: IBM PS/2 Hardware Interface Technical Reference (1988),
// keyboard and auxiliary device controller; Intel 8042 data sheet for the status register.
//
// The controller takes a moment for what it is given (IBF is set meanwhile), and so does a byte
// from a device. A byte written while IBF is set is undefined on the real one; here what waits is
// done first.
#include <cstdint>
#include <memory>
#include <span>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm {

// What a reset request means. The machine decides what to do; the device goes on.
enum class ResetKind : uint8_t { cpu, hard, power };
struct ResetWire {
  virtual ~ResetWire() = default;
  virtual void request(ResetKind kind, std::string_view device) = 0;
};

struct I8042Wires {
  Line& irq1;
  Line& irq12;
  Line& a20;         // bit 1 of the output port
  ResetWire& reset;  // bit 0 of the output port goes low, or is pulsed
};

class I8042 : public Device {
 public:
  // Scan codes that the keyboard sends, of set 2 (the controller translates them to set 1 while bit
  // 6 of the command byte is set). Codes of a keyboard that is off, or past its buffer of 16, are
  // lost.
  virtual void keys(std::span<const uint8_t> scan_codes, Nanos now) = 0;
  // Bytes that the mouse sends, under the same conditions.
  virtual void mouse(std::span<const uint8_t> bytes, Nanos now) = 0;
};

std::span<const Fault> i8042_faults();
Result<std::unique_ptr<I8042>> make_i8042(const I8042Wires& wires, std::string_view fault = {});

}  // namespace ringfence::vmm

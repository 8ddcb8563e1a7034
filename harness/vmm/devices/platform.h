#pragma once
// The small devices of the standard machine.
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"
#include "harness/vmm/devices/i8042.h"  // ResetWire

namespace ringfence::vmm {

// ACPI power management timer: 3.579545 MHz, read only, 4 bytes wide. Source: ACPI 6.5, 4.8.3.3.
struct PmTimerWires {
  unsigned bits = 24;  // 24 or 32 (TMR_VAL_EXT)
  uint16_t base = 0x608;
};
std::span<const Fault> pmtimer_faults();
Result<std::unique_ptr<Device>> make_pmtimer(const PmTimerWires& wires,
                                             std::string_view fault = {});

// Port 0x80: the POST code; a write is the usual short delay. Reads what was written last.
struct PostWires {};
std::span<const Fault> post_faults();
Result<std::unique_ptr<Device>> make_post(const PostWires& wires, std::string_view fault = {});

// Port 0x92, system control port A: bit 0 0->1 resets the CPU, bit 1 is the fast A20 gate.
// Source: IBM PS/2 Hardware Interface Technical Reference, system control port A.
struct Port92Wires {
  Line& a20;
  ResetWire& reset;
};
std::span<const Fault> port92_faults();
Result<std::unique_ptr<Device>> make_port92(const Port92Wires& wires, std::string_view fault = {});

// Port 0xE9, the debug console of Bochs and QEMU: bytes out; reads 0xE9.
struct DebugConsoleWires {
  ByteSink& out;
};
std::span<const Fault> debugcon_faults();
Result<std::unique_ptr<Device>> make_debugcon(const DebugConsoleWires& wires,
                                              std::string_view fault = {});

// Port 0xF4: the guest ends, with a code of 1, 2 or 4 bytes. Source: QEMU's isa-debug-exit.
struct ExitWire {
  virtual ~ExitWire() = default;
  virtual void exit(uint32_t code) = 0;
};
struct ExitWires {
  ExitWire& out;
};
std::span<const Fault> exit_faults();
Result<std::unique_ptr<Device>> make_exit(const ExitWires& wires, std::string_view fault = {});

// Port 0xCF9, reset control: bit 2 0->1 resets; bit 1 makes it a hard reset, bit 3 a power cycle.
// Source: PIIX3 data sheet (290550), RC register.
struct ResetControlWires {
  ResetWire& reset;
};
std::span<const Fault> reset_faults();
Result<std::unique_ptr<Device>> make_reset(const ResetControlWires& wires,
                                           std::string_view fault = {});

}  // namespace ringfence::vmm

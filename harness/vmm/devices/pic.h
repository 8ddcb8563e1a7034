#pragma once
// A pair of 8259A interrupt controllers as in a PC: master at 0x20, slave at 0xA0 on IR2,
// edge/level registers (ELCR) at 0x4D0 and 0x4D1. Source: Intel 8259A data sheet (231468-003,
// 1988); ELCR from the 82371AB (PIIX4) data sheet.
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm {

struct PicWires {
  Line& intr;  // INTR of the master, to the CPU
};

class Pic : public Device {
 public:
  // Interrupt request inputs 0-7 of the master, 8-15 of the slave. Input 2 is the cascade and
  // belongs to the slave: what is set there is ignored.
  virtual void set_irq(unsigned input, bool level) = 0;
  // The same as a wire, which lives as long as the device.
  virtual Line& input(unsigned input) = 0;
  // The two INTA pulses of the CPU: the vector. Without a request any more: spurious IR7 of the
  // controller that was asked.
  virtual uint8_t acknowledge(Nanos now) = 0;
  // The level of INTR.
  [[nodiscard]] virtual bool intr() const = 0;
};

std::span<const Fault> pic_faults();
Result<std::unique_ptr<Pic>> make_pic(const PicWires& wires, std::string_view fault = {});

}  // namespace ringfence::vmm

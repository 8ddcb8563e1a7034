#pragma once
// 8254 interval timer at 0x40-0x43 and the NMI status and control port 0x61, which has the gate of
// counter 2 (bit 0), the speaker's gate (bit 1), the refresh toggle (bit 4) and counter 2's output
// (bit 5). Source: Intel 8254 data sheet (231164-005, 1993); port 0x61 from the PIIX4 data sheet.
// The clock is 1.193182 MHz, counted from time 0 without rounding errors that add up.
//
// Choices where the data sheet leaves one: at power-up no counter counts and outputs are low; count
// 1 in modes 2 and 3 (illegal) counts as 2; a BCD digit past 9 counts as what it weighs; the
// refresh toggle of port 0x61 goes as if counter 1 were programmed with 18; bits 2 and 3 of that
// port are kept and 6 and 7 are 0 (no NMI source). The control word cannot be read: an undefined
// access.
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm {

struct PitWires {
  Line& irq0;  // output of counter 0
};

class Pit : public Device {
 public:
  static constexpr uint64_t kHertz = 1'193'182;
  // The gates of counters 0 and 1, which a PC ties high: for tests. Counter 2's is port 0x61 bit 0.
  virtual void set_gate(unsigned counter, bool level, Nanos now) = 0;
  // The output of a counter at `now`.
  virtual bool output(unsigned counter, Nanos now) = 0;
};

std::span<const Fault> pit_faults();
Result<std::unique_ptr<Pit>> make_pit(const PitWires& wires, std::string_view fault = {});

}  // namespace ringfence::vmm

#pragma once
// CMOS real-time clock at 0x70 (index, write only; bit 7 masks NMI) and 0x71 (data), 128 bytes.
// Source: Motorola MC146818A data sheet (1984); the century is the byte at 0x32, as PCs have it.
//
// The registers change, and UF and AF are set, at the end of the update cycle; UIP is set for the
// 1984 us of the cycle and the 244 us before it. The clock runs with the 32.768 kHz divider setting
// (010) alone; 11x holds the divider in reset, every other setting stops it. Registers are kept as
// they are written; a value that is no time becomes one at its next carry. SQWE and DSE are kept
// and have no effect (there is no such pin in a PC; PIIX4 has no daylight saving). The century does
// not count.
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/device.h"
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm {

struct RtcTime {
  uint16_t year = 2020;
  uint8_t month = 1;
  uint8_t day = 1;
  uint8_t hour = 0;
  uint8_t minute = 0;
  uint8_t second = 0;
  uint8_t weekday = 4;  // 1 is Sunday
};

struct RtcWires {
  Line& irq8;
  RtcTime start = {};  // the time at 0: no wall clock is read
};

class Rtc : public Device {};

std::span<const Fault> rtc_faults();
Result<std::unique_ptr<Rtc>> make_rtc(const RtcWires& wires, std::string_view fault = {});

}  // namespace ringfence::vmm

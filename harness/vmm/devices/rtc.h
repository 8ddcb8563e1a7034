#pragma once
// CMOS real-time clock at 0x70 (index; bit 7 masks NMI and is kept) and 0x71 (data), 128 bytes.
// Source: Motorola MC146818A data sheet (1984); century byte at 0x32 as PCs have it.
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

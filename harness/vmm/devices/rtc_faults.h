#pragma once
// What can be wrong with an MC146818.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::rtc {

enum Reg : unsigned { kA, kB, kC, kD, kIndex, kData };

enum Behaviour : unsigned {
  kPfKept,
  kAfKept,
  kUfKept,
  kCReadOnlyIgnored,
  kSetIgnored,
  kSetKeepsUie,
  kUipShort,
  kUpdateDropped,
  kSecondsByTwo,
  kSecondCarry,
  kMinuteCarry,
  kHourCarry,
  kDayCarry,
  kLeapIgnored,
  kMonthCarry,
  kWeekdayStuck,
  kBcdIgnored,
  kBinaryIgnored,
  k24Ignored,
  k12NoPm,
  k12Noon,
  kAlarmDropped,
  kAlarmNoDontCare,
  kAlarmIgnoresSeconds,
  kAlarmIgnoresMinutes,
  kAlarmIgnoresHours,
  kAlarmDontCareAll,
  kPeriodicDropped,
  kPeriodicRateOffByOne,
  kPeriodicRate1,
  kUfDropped,
  kIrqDropped,
  kIrqKept,
  kPieIgnored,
  kAieIgnored,
  kUieIgnored,
  kDividerResetIgnored,
  kDividerNoHalfSecond,
  kRamIgnored,
  kNmiBitInAddress,
  kResetKeepsEnables,
};

const FaultTable& table();

}  // namespace ringfence::vmm::rtc

#include "harness/vmm/devices/rtc_faults.h"

#include "harness/vmm/devices/rtc.h"

namespace ringfence::vmm {
namespace rtc {
namespace {

constexpr FaultRegister kRegisters[] = {
    {kA, "a", "rs0 rs1 rs2 rs3 dv0 dv1 dv2 uip", true, 0},
    {kB, "b", "dse h24 dm sqwe uie aie pie set", true, 0},
    {kC, "c", "=b0 =b1 =b2 =b3 uf af pf irqf", false, 0x10},
    {kD, "d", "=b0 =b1 =b2 =b3 =b4 =b5 =b6 +vrt", false, 0},
    {kIndex, "index", "b0 b1 b2 b3 b4 b5 b6 -", true, 0},
    {kData, "data", "b0 b1 b2 b3 b4 b5 b6 b7", false, 0},
};

constexpr FaultBehaviour kBehaviours[] = {
    {kPfKept, "c.pf.kept", "kept", "reading register C does not clear PF"},
    {kAfKept, "c.af.kept", "kept", "reading register C does not clear AF"},
    {kUfKept, "c.uf.kept", "kept", "reading register C does not clear UF"},
    {kCReadOnlyIgnored, "c.written", "extra", "a write to register C clears its flags"},
    {kSetIgnored, "set.ignored", "dropped", "SET does not stop the updates"},
    {kSetKeepsUie, "set.uie.kept", "kept", "SET does not clear UIE"},
    {kUipShort, "uip.short", "off_by_one", "UIP is set for the 244 us alone"},
    {kUpdateDropped, "update.dropped", "dropped", "the time stands still"},
    {kSecondsByTwo, "seconds.off_by_one", "off_by_one", "a second counts two"},
    {kSecondCarry, "seconds.carry.off_by_one", "off_by_one", "a minute has 61 seconds"},
    {kMinuteCarry, "minutes.carry.off_by_one", "off_by_one", "an hour has 61 minutes"},
    {kHourCarry, "hours.carry.off_by_one", "off_by_one", "a day has 23 hours"},
    {kDayCarry, "day.carry.off_by_one", "off_by_one", "months have a day more"},
    {kLeapIgnored, "day.leap.ignored", "dropped", "there are no leap years"},
    {kMonthCarry, "month.carry.off_by_one", "off_by_one", "a year has 11 months"},
    {kWeekdayStuck, "weekday.kept", "kept", "the day of the week stays"},
    {kBcdIgnored, "bcd.ignored", "dropped", "the time is binary also where BCD is set"},
    {kBinaryIgnored, "binary.ignored", "dropped", "the time is BCD also where binary is set"},
    {k24Ignored, "hours24.ignored", "dropped", "hours are 1 to 12 also in 24 hour mode"},
    {k12NoPm, "hours12.pm.dropped", "dropped", "12 hour mode has no PM bit"},
    {k12Noon, "hours12.noon.off_by_one", "off_by_one", "noon and midnight are hour 0"},
    {kAlarmDropped, "alarm.dropped", "dropped", "there is no alarm"},
    {kAlarmNoDontCare, "alarm.dont_care.ignored", "dropped", "0xC0 to 0xFF match nothing"},
    {kAlarmIgnoresSeconds, "alarm.seconds.ignored", "dropped", "the alarm compares no seconds"},
    {kAlarmIgnoresMinutes, "alarm.minutes.ignored", "dropped", "the alarm compares no minutes"},
    {kAlarmIgnoresHours, "alarm.hours.ignored", "dropped", "the alarm compares no hours"},
    {kAlarmDontCareAll, "alarm.dont_care.all", "extra", "0x80 to 0xBF match everything, too"},
    {kPeriodicDropped, "periodic.dropped", "dropped", "PF is never set"},
    {kPeriodicRateOffByOne, "periodic.rate.off_by_one", "off_by_one",
     "rates are half of what is set"},
    {kPeriodicRate1, "periodic.rate1.as_table", "off_by_one",
     "rates 1 and 2 are 32768 and 16384 Hz, not 256 and 128"},
    {kUfDropped, "update_ended.dropped", "dropped", "UF is never set"},
    {kIrqDropped, "irq8.dropped", "dropped", "there is no IRQ 8"},
    {kIrqKept, "irq8.kept", "kept", "reading register C leaves the line high"},
    {kPieIgnored, "pie.ignored", "dropped", "PF interrupts without PIE"},
    {kAieIgnored, "aie.ignored", "dropped", "AF interrupts without AIE"},
    {kUieIgnored, "uie.ignored", "dropped", "UF interrupts without UIE"},
    {kDividerResetIgnored, "divider.reset.ignored", "dropped",
     "the divider cannot be held in reset"},
    {kDividerNoHalfSecond, "divider.half_second.dropped", "off_by_one",
     "after a divider reset the first update comes a second later, not half a second"},
    {kRamIgnored, "ram.write_ignored", "write_ignored", "writes to the RAM are ignored"},
    {kNmiBitInAddress, "index.nmi.in_address", "dropped", "bit 7 of the index selects nothing"},
    {kResetKeepsEnables, "reset.enables.kept", "kept", "a reset does not clear PIE, AIE and UIE"},
};

}  // namespace

const FaultTable& table() {
  static const FaultTable made("rtc", kRegisters, kBehaviours);
  return made;
}

}  // namespace rtc

std::span<const Fault> rtc_faults() { return rtc::table().faults(); }

}  // namespace ringfence::vmm

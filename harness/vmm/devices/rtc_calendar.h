#pragma once
// The calendar of an MC146818 on its raw registers. Internal to rtc.cc.
#include <array>
#include <cstdint>

#include "harness/vmm/devices/rtc_faults.h"

namespace ringfence::vmm::rtc {

enum Cell : unsigned {
  kSeconds,
  kSecondsAlarm,
  kMinutes,
  kMinutesAlarm,
  kHours,
  kHoursAlarm,
  kWeekday,
  kDay,
  kMonth,
  kYear
};
constexpr uint8_t kPm = 0x80;

// Counts registers up in the format that register B chooses. A field is written only when it
// counts, and one that is out of its range starts over then: so many seconds in one step are the
// same as one by one.
template <typename Faults>
class Calendar {
 public:
  Calendar(std::array<uint8_t, 128>& cells, bool binary, bool hours24, const Faults& faults)
      : cells_(cells),
        binary_((binary && !faults.on(kBinaryIgnored)) || (!binary && faults.on(kBcdIgnored))),
        hours24_(hours24 && !faults.on(k24Ignored)),
        f_(faults) {}

  void second() {
    if (f_.on(kSecondsByTwo)) bump_seconds();
    bump_seconds();
  }
  void seconds(uint64_t n) {
    if (f_.on(kSecondsByTwo) || f_.on(kSecondCarry) || f_.on(kMinuteCarry) || f_.on(kHourCarry)) {
      // The arithmetic below is that of a right clock.
      for (n %= 400'000; n != 0; --n) second();
      return;
    }
    while (n != 0 && decode(cells_[kSeconds]) != 0) bump_seconds(), --n;
    while (n >= 60 && decode(cells_[kMinutes]) != 0) bump_minutes(), n -= 60;
    while (n >= 3600 && hour() != 0) bump_hours(), n -= 3600;
    while (n >= 86'400) bump_day(), n -= 86'400;
    while (n >= 3600) bump_hours(), n -= 3600;
    while (n >= 60) bump_minutes(), n -= 60;
    while (n != 0) bump_seconds(), --n;
  }
  // Do the alarm's three bytes match the time?
  [[nodiscard]] bool alarm() const {
    if (f_.on(kAlarmDropped)) return false;
    return (matches(kSecondsAlarm, kSeconds) || f_.on(kAlarmIgnoresSeconds)) &&
           (matches(kMinutesAlarm, kMinutes) || f_.on(kAlarmIgnoresMinutes)) &&
           (matches(kHoursAlarm, kHours) || f_.on(kAlarmIgnoresHours));
  }

  [[nodiscard]] uint8_t encode(unsigned value) const {
    return static_cast<uint8_t>(binary_ ? value : (value / 10 << 4 | value % 10));
  }
  [[nodiscard]] uint8_t encode_hour(unsigned value) const {
    if (hours24_) return encode(value);
    const unsigned noon = f_.on(k12Noon) ? 0 : 12;
    const uint8_t half = encode(value % 12 == 0 ? noon : value % 12);
    return value >= 12 && !f_.on(k12NoPm) ? half | kPm : half;
  }

 private:
  [[nodiscard]] bool matches(Cell alarm, Cell time) const {
    if (cells_[alarm] >= (f_.on(kAlarmDontCareAll) ? 0x80 : 0xC0)) {
      return !f_.on(kAlarmNoDontCare);
    }
    return cells_[alarm] == cells_[time];
  }
  [[nodiscard]] unsigned decode(uint8_t raw) const {
    return binary_ ? raw : (raw >> 4) * 10U + (raw & 15U);
  }
  [[nodiscard]] unsigned hour() const {
    const uint8_t raw = cells_[kHours];
    if (hours24_) return decode(raw);
    return decode(raw & 0x7F) % 12 + ((raw & kPm) != 0 ? 12U : 0U);
  }
  // Counts a cell up from `first` to `last`; whether it started over.
  bool bump(Cell cell, unsigned first, unsigned last) {
    const unsigned value = decode(cells_[cell]);
    const bool over = value >= last;
    cells_[cell] = encode(over ? first : value + 1);
    return over;
  }
  void bump_seconds() {
    if (bump(kSeconds, 0, f_.on(kSecondCarry) ? 60 : 59)) bump_minutes();
  }
  void bump_minutes() {
    if (bump(kMinutes, 0, f_.on(kMinuteCarry) ? 60 : 59)) bump_hours();
  }
  void bump_hours() {
    const unsigned value = hour();
    const bool over = value >= (f_.on(kHourCarry) ? 22U : 23U);
    cells_[kHours] = encode_hour(over ? 0 : value + 1);
    if (over) bump_day();
  }
  void bump_day() {
    if (!f_.on(kWeekdayStuck)) bump(kWeekday, 1, 7);
    if (!bump(kDay, 1, days())) return;
    if (bump(kMonth, 1, f_.on(kMonthCarry) ? 11 : 12)) bump(kYear, 0, 99);
  }
  [[nodiscard]] unsigned days() const {
    constexpr std::array<uint8_t, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const unsigned month = decode(cells_[kMonth]);
    unsigned days = month >= 1 && month <= 12 ? kDays[month - 1] : 31;
    if (month == 2 && decode(cells_[kYear]) % 4 == 0 && !f_.on(kLeapIgnored)) ++days;
    return f_.on(kDayCarry) ? days + 1 : days;
  }

  std::array<uint8_t, 128>& cells_;
  bool binary_;
  bool hours24_;
  const Faults& f_;
};

}  // namespace ringfence::vmm::rtc

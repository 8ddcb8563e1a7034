#pragma once
// One counter of an 8254, in clock pulses. Internal to pit.cc.
//
// The counting element is never stepped one by one: between two changes of the output it is
// arithmetic, and whole periods of modes 2 and 3 are skipped.
#include <algorithm>
#include <cstdint>

#include "harness/vmm/devices/pit_faults.h"

namespace ringfence::vmm::pit {

struct CounterState {
  uint8_t control = 0x30;  // RW, mode and BCD as written last
  uint16_t reload = 0;     // CR as written
  uint16_t element = 0;    // CE, 0 to modulus - 1
  uint32_t left = 0;       // pulses until the output changes by counting; 0: it will not
  uint16_t latch = 0;      // OL
  uint8_t latch_left = 0;  // bytes of it still to be read
  uint8_t status = 0;
  uint8_t first_byte = 0;  // of a two-byte count
  bool status_latched = false;
  bool read_high = false;  // which byte comes next
  bool write_high = false;
  bool programmed = false;  // a control word was written
  bool written = false;     // a count was written since
  bool loaded = false;      // and has got into CE
  bool load = false;        // the next pulse loads CE
  bool halted = false;      // mode 0, between two bytes
  bool null_count = true;
  bool out = false;
  bool gate = true;

  template <typename Io>
  void fields(Io& io) {
    io.value(control, 0x3F);
    io.require((control & 0x30) != 0);
    io.value(reload);
    io.value(element);
    io.value(left, 65537);
    io.value(latch);
    io.value(latch_left, 2);
    io.value(status);
    io.value(first_byte);
    for (auto* flag : {&status_latched, &read_high, &write_high, &programmed, &written, &loaded,
                       &load, &halted, &null_count, &out, &gate}) {
      io.value(*flag);
    }
    io.require(element < ((control & 1) != 0 ? 10000U : 65536U));
    io.require(programmed || !written);
    io.require(written || !(loaded || load));
    // In modes 2 and 3 a loaded counter always has its next change ahead.
    const unsigned mode = control >> 1 & 7U;
    io.require(!loaded || left != 0 || (mode & 3U) < 2U);
  }
};

template <typename Faults>
class Counter {
 public:
  explicit Counter(const Faults& faults) : f_(faults) {}

  CounterState s;

  [[nodiscard]] unsigned mode() const {
    unsigned mode = s.control >> 1 & 7U;
    if (mode == 6 && f_.on(kAlias6)) return 4;
    if (mode == 7 && f_.on(kAlias7)) return 5;
    if (mode >= 6) mode -= 4;
    if (mode == 3 && f_.on(kMode3AsMode2)) return 2;
    return mode;
  }
  [[nodiscard]] bool bcd() const { return (s.control & 1) != 0 && !f_.on(kBcdIgnored); }
  [[nodiscard]] uint32_t modulus() const { return bcd() ? 10000 : 65536; }

  void control(uint8_t word) {
    const bool was_null = s.null_count;
    const auto kept_reload = s.reload;
    const bool gate = s.gate;
    const uint16_t element = s.element;
    s = CounterState{};
    s.control = word & 0x3F;
    s.gate = gate;
    s.programmed = true;
    s.element = static_cast<uint16_t>(element % modulus());
    if (f_.on(kRwOtherByteKept)) s.reload = kept_reload;
    s.null_count = f_.on(kNullSetByFirstByte) ? was_null : true;
    s.out = mode() != 0 || f_.on(kMode0OutHigh);
  }

  void write(uint8_t byte) {
    if (!s.programmed || f_.on(kCountIgnored)) return;  // undefined before a control word
    unsigned rw = s.control >> 4 & 3U;
    if (rw < 3 && f_.on(kRwOneByteSwapped)) rw = 3 - rw;
    switch (rw) {
      case 1:
        count(static_cast<uint16_t>(byte | (f_.on(kRwOtherByteKept) ? s.reload & 0xFF00 : 0)));
        break;
      case 2:
        count(static_cast<uint16_t>(byte << 8 | (f_.on(kRwOtherByteKept) ? s.reload & 0xFF : 0)));
        break;
      default:
        if (!s.write_high) {
          s.write_high = true;
          s.first_byte = byte;
          if (mode() == 0) {
            if (!f_.on(kMode0FirstByteCounts)) s.halted = true;
            if (!f_.on(kMode0RewriteNoLow)) s.out = false;
          }
          break;
        }
        s.write_high = false;
        count(static_cast<uint16_t>(f_.on(kRwReversed) ? s.first_byte << 8 | byte
                                                       : byte << 8 | s.first_byte));
        break;
    }
  }

  uint8_t read() {
    const bool latched = s.latch_left != 0;
    if (s.status_latched && !(latched && f_.on(kReadBackCountFirst))) {
      s.status_latched = false;
      return f_.bits(kStatus, s.status);
    }
    const uint16_t value = latched ? s.latch : shown();
    unsigned rw = s.control >> 4 & 3U;
    if (rw < 3 && f_.on(kRwOneByteSwapped)) rw = 3 - rw;
    bool high = rw == 2;
    if (rw == 3) {
      high = s.read_high != f_.on(kRwReversed);
      s.read_high = !s.read_high;
    }
    if (latched && !f_.on(kLatchSticky)) --s.latch_left;
    return high ? f_.bits(kHigh, static_cast<uint8_t>(value >> 8))
                : f_.bits(kLow, static_cast<uint8_t>(value));
  }

  void latch_count() {
    if (s.latch_left != 0 && !f_.on(kLatchSecondTaken)) return;
    s.latch = shown();
    s.latch_left = (s.control >> 4 & 3U) == 3 ? 2 : 1;
  }
  void latch_status() {
    if (s.status_latched && !f_.on(kReadBackSecondStatus)) return;
    s.status = static_cast<uint8_t>((s.out ? 0x80U : 0U) | (s.null_count ? 0x40U : 0U) | s.control);
    s.status_latched = true;
  }

  void set_gate(bool level) {
    if (level == s.gate) return;
    s.gate = level;
    const unsigned m = mode();
    if (!level) {
      if ((m == 2 || m == 3) && s.programmed && !f_.on(kGateLowOutKept)) s.out = true;
      return;
    }
    if (!s.written || m == 0 || m == 4 || f_.on(kGateEdgeIgnored)) return;
    if (m == 1 && s.loaded && f_.on(kMode1NoRetrigger)) return;
    s.load = true;
  }

  // `pulses` clock pulses pass; `changed` hears of each level of the output in order, but of whole
  // periods that nobody could tell apart only the last.
  template <typename Changed>
  void run(uint64_t pulses, Changed changed) {
    while (pulses != 0) {
      if (s.load) {
        load(changed);
        --pulses;
        continue;
      }
      if (!counting()) return;
      if (s.left == 0) {  // no change ahead: it wraps for ever
        if (f_.on(kWrapStops)) return;
        count_down(pulses);
        return;
      }
      const auto steps = std::min<uint64_t>(pulses, s.left);
      count_down(steps);
      s.left -= static_cast<uint32_t>(steps);
      pulses -= steps;
      if (s.left == 0) expire(pulses, changed);
    }
  }

  // Pulses until something happens to the output, 0 for never.
  [[nodiscard]] uint64_t ahead() const {
    if (s.load) return 1;
    return counting() ? s.left : 0;
  }

 private:
  [[nodiscard]] bool counting() const {
    if (!s.loaded || s.halted) return false;
    const unsigned m = mode();
    if (m == 1) return s.gate || !f_.on(kMode1GateFreezes);
    if (m == 5) return s.gate || !f_.on(kMode5GateFreezes);
    return s.gate || f_.on(kGateNoFreeze);
  }
  void count_down(uint64_t steps) {
    const uint64_t by = mode() == 3 && !f_.on(kMode3ByOne) ? 2 : 1;
    const uint64_t all = modulus();
    s.element = static_cast<uint16_t>((s.element + all - by * steps % all) % all);
  }
  [[nodiscard]] uint16_t shown() const {
    unsigned value = s.element;
    if (f_.on(kReadOffByOne)) value = (value + modulus() - 1) % modulus();
    if (!bcd()) return static_cast<uint16_t>(value);
    return static_cast<uint16_t>(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                                 value % 10);
  }
  // The count as a number of pulses. A BCD digit past 9 counts as what it weighs.
  [[nodiscard]] uint32_t pulses_of_reload() const {
    uint32_t value = s.reload;
    if (bcd()) {
      value = ((value >> 12) * 1000 + (value >> 8 & 15U) * 100 + (value >> 4 & 15U) * 10 +
               (value & 15U)) %
              10000;
    }
    if (value == 0) {
      value = modulus();
      if (f_.on(kZeroIsOne)) value = 1;
      if (bcd() && f_.on(kZeroBcdOffByOne)) value = 9999;
    }
    if (f_.on(kCountOffByOne)) ++value;
    const unsigned m = mode();
    return m == 2 || m == 3 ? std::max(value, 2U) : value;  // 1 is illegal there
  }

  void count(uint16_t value) {
    s.reload = value;
    s.halted = false;
    s.null_count = !f_.on(kNullClearedAtWrite);
    const bool first = !s.written;
    s.written = true;
    switch (mode()) {
      case 0:
        if (!f_.on(kMode0RewriteNoLow)) s.out = false;
        s.load = true;
        break;
      case 1:
        if (f_.on(kMode1AtWrite)) s.load = true;
        break;
      case 5:
        if (f_.on(kMode5AtWrite)) s.load = true;
        break;
      case 4:
        s.load = true;
        break;
      default:
        if (first || f_.on(kMode2NewCountAtOnce)) s.load = true;
        break;
    }
  }

  // CR gets into CE: by a pulse after a count or a trigger, and at the end of a cycle.
  template <typename Changed>
  void load(Changed& changed) {
    s.load = false;
    s.loaded = true;
    s.null_count = false;
    const uint32_t pulses = pulses_of_reload();
    s.element = static_cast<uint16_t>(pulses % modulus());
    s.left = pulses;
    switch (mode()) {
      case 0:
        if (f_.on(kMode0NoLoadTick) && pulses > 1) {
          --s.left;
          s.element = static_cast<uint16_t>(s.left % modulus());
        }
        break;
      case 1:
        drive(false, changed);
        break;
      case 2:
        drive(true, changed);
        s.left = pulses - 1;
        break;
      case 3:
        drive(true, changed);
        half(true);
        break;
      default:
        drive(true, changed);
        break;
    }
  }
  // Half a period of mode 3. An odd count minus one is loaded, and the high half is a pulse longer.
  void half(bool high) {
    uint32_t pulses = pulses_of_reload();
    if (f_.on(kMode3OddAsEven)) pulses &= ~1U;
    s.null_count = false;
    const bool longer = high != f_.on(kMode3OddReversed);
    s.left = longer ? (pulses + 1) / 2 : pulses / 2;
    s.element = static_cast<uint16_t>((pulses & ~1U) % modulus());
  }

  template <typename Changed>
  void expire(uint64_t& pulses, Changed& changed) {
    switch (mode()) {
      case 2:
        if (s.out && !f_.on(kMode2NoPulse)) {
          drive(false, changed);
          s.left = f_.on(kMode2LongPulse) ? 2 : 1;
        } else if (f_.on(kMode2OneShot)) {
          drive(true, changed);
        } else {
          load(changed);
          skip(pulses);
          s.left = std::max(s.left, 1U);
        }
        break;
      case 3:
        drive(!s.out, changed);
        half(s.out);
        if (s.out) skip(pulses);
        break;
      case 4:
      case 5:
        if (s.out && !f_.on(kMode4NoStrobe)) {
          drive(false, changed);
          if (!f_.on(kMode4Stays)) s.left = 1;
        } else {
          drive(true, changed);
          if (f_.on(kMode4Repeats)) s.left = modulus() - 1;
        }
        break;
      default:
        drive(true, changed);
        break;  // 0 and 1: until the next count or trigger
    }
  }
  // A cycle has just begun: all but the last of the whole ones that fit change nothing.
  void skip(uint64_t& pulses) const {
    uint64_t period = pulses_of_reload();
    if (f_.on(kMode3OddAsEven) && mode() == 3) period &= ~uint64_t{1};
    if (f_.on(kMode2LongPulse) && mode() == 2) ++period;
    if (pulses >= 2 * period) pulses -= (pulses / period - 1) * period;
  }
  template <typename Changed>
  void drive(bool level, Changed& changed) {
    if (s.out == level) return;
    s.out = level;
    changed(level);
  }

  const Faults& f_;
};

}  // namespace ringfence::vmm::pit

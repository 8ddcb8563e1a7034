#include "harness/vmm/devices/rtc.h"

#include <algorithm>
#include <array>

#include "harness/vmm/devices/rtc_calendar.h"
#include "harness/vmm/devices/rtc_faults.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

using namespace rtc;  // NOLINT(google-build-using-namespace): the names of the fault table

constexpr uint32_t kTag = state_tag("RTC ");
constexpr uint16_t kVersion = 1;
constexpr uint64_t kHertz = 32'768;
constexpr Nanos kSecond = 1'000'000'000;
constexpr Nanos kBeforeUpdate = 244'000;
constexpr Nanos kUpdate = 1'984'000;

constexpr unsigned kCentury = 0x32;
// Register B
constexpr uint8_t kHours24 = 0x02;
constexpr uint8_t kBinary = 0x04;
constexpr uint8_t kUie = 0x10;
constexpr uint8_t kSet = 0x80;
constexpr uint8_t kEnables = 0x70;  // where register C has the flags
// Register C
constexpr uint8_t kUf = 0x10;
constexpr uint8_t kAf = 0x20;
constexpr uint8_t kPf = 0x40;
constexpr uint8_t kIrqf = 0x80;

struct State {
  std::array<uint8_t, 128> cells{};  // those of registers A to D are unused
  uint8_t index = 0;
  uint8_t a = 0x26;
  uint8_t b = kHours24;
  uint8_t c = 0;
  bool line = false;
  Nanos started = 0;   // since when the divider counts
  uint64_t count = 0;  // what it had then, within its second
  Nanos now = 0;

  template <typename Io>
  void fields(Io& io) {
    for (auto& cell : cells) io.value(cell);
    io.value(index, 0xFF);
    io.value(a, 0x7F);
    io.value(b);
    io.value(c);
    io.require((c & ~0x70) == 0);
    io.value(line);
    io.value(started, kLatest);
    io.value(count, kHertz - 1);
    io.value(now, kLatest);
    io.require(started <= now);
  }
};

template <typename Faults>
class RtcModel final : public Rtc {
 public:
  RtcModel(const RtcWires& wires, Faults faults) : wires_(wires), f_(faults) {
    const auto& start = wires.start;
    s_.a = f_.bits(kA, s_.a);
    s_.b = f_.bits(kB, s_.b);
    const auto time = calendar();
    auto& cells = s_.cells;
    cells[kSeconds] = time.encode(start.second);
    cells[kMinutes] = time.encode(start.minute);
    cells[kHours] = time.encode_hour(start.hour);
    cells[kWeekday] = time.encode(start.weekday);
    cells[kDay] = time.encode(start.day);
    cells[kMonth] = time.encode(start.month);
    cells[kYear] = time.encode(start.year % 100U);
    cells[kCentury] = time.encode(start.year / 100U);
    s_.c = f_.reset(kC, 0) & 0x70;
    interrupts();
  }

  [[nodiscard]] std::string_view name() const override { return "rtc"; }
  [[nodiscard]] std::vector<PortRange> ports() const override { return {{0x70, 2}}; }

  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    if (width != 1 || port != 0x71) return false;
    advance(now);
    switch (address()) {
      case 0x0A:
        value = f_.bits(kA, s_.a | (updating() ? 0x80 : 0));
        break;
      case 0x0B:
        value = s_.b;
        break;
      case 0x0C:
        value = read_c();
        break;
      case 0x0D:
        value = f_.bits(kD, 0x80);
        break;  // VRT: RAM and time are valid
      default:
        value = f_.bits(kData, s_.cells[address()]);
        break;
    }
    return true;
  }

  bool write(uint16_t port, unsigned width, uint32_t wide, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    const auto value = static_cast<uint8_t>(wide);
    if (port == 0x70) {
      if (!f_.ignores(kIndex)) s_.index = f_.bits(kIndex, value);
      return true;
    }
    if (port != 0x71) return false;
    switch (address()) {
      case 0x0A:
        if (!f_.ignores(kA)) write_a(f_.bits(kA, value & 0x7F) & 0x7F);
        break;
      case 0x0B:
        if (!f_.ignores(kB)) write_b(f_.bits(kB, value));
        break;
      case 0x0C:  // read only, as D
        if (f_.on(kCReadOnlyIgnored)) s_.c = 0;
        break;
      case 0x0D:
        break;
      default:
        if (!f_.on(kRamIgnored)) s_.cells[address()] = value;
        break;
    }
    interrupts();
    return true;
  }

  void advance(Nanos now) override {
    now = std::min(now, kLatest);
    if (now <= s_.now) return;
    const uint64_t before = count_at(s_.now);
    const uint64_t after = count_at(now);
    s_.now = now;
    if (before == after) return;
    const auto period = this->period();
    if (period != 0 && before / period != after / period && !f_.on(kPeriodicDropped)) s_.c |= kPf;
    const uint64_t updates = after / kHertz - before / kHertz;
    if (updates != 0 && ((s_.b & kSet) == 0 || f_.on(kSetIgnored))) update(updates);
    interrupts();
  }

  [[nodiscard]] std::optional<Nanos> next_event() const override {
    if (!runs()) return std::nullopt;
    const uint64_t count = count_at(s_.now);
    const uint8_t waiting = (f_.on(kPieIgnored) || f_.on(kAieIgnored) || f_.on(kUieIgnored)
                                 ? uint8_t{kEnables}
                                 : static_cast<uint8_t>(s_.b & kEnables)) &
                            static_cast<uint8_t>(~s_.c);
    std::optional<Nanos> first;
    if ((waiting & kPf) != 0 && period() != 0) first = time_of((count / period() + 1) * period());
    if ((waiting & (kAf | kUf)) != 0 && (s_.b & kSet) == 0) {
      const Nanos at = time_of((count / kHertz + 1) * kHertz);
      first = std::min(first.value_or(at), at);
    }
    return first;
  }

  void reset() override {  // the RESET pin: time, RAM and register A stay
    if (!f_.on(kResetKeepsEnables)) s_.b &= static_cast<uint8_t>(~(kEnables | 0x08));
    s_.b = f_.bits(kB, s_.b);
    s_.c = f_.reset(kC, 0) & 0x70;
    interrupts();
  }
  [[nodiscard]] std::vector<uint8_t> save() const override {
    return save_state(kTag, kVersion, s_);
  }
  Status restore(std::span<const uint8_t> state) override {
    if (auto done = restore_state(name(), kTag, kVersion, state, s_, kStrict<Faults>); !done)
      return done;
    wires_.irq8.set(s_.line);
    return {};
  }

 private:
  Calendar<Faults> calendar() {
    return {s_.cells, (s_.b & kBinary) != 0, (s_.b & kHours24) != 0, f_};
  }
  [[nodiscard]] unsigned address() const {
    if (f_.on(kNmiBitInAddress) && (s_.index & 0x80) != 0) return 0x7F;
    return s_.index & 0x7FU;
  }

  // The divider.
  [[nodiscard]] bool held() const { return (s_.a & 0x60) == 0x60 && !f_.on(kDividerResetIgnored); }
  [[nodiscard]] bool runs() const {
    return (s_.a & 0x70) == 0x20 || (f_.on(kDividerResetIgnored) && (s_.a & 0x60) == 0x60);
  }
  [[nodiscard]] uint64_t count_at(Nanos time) const {
    if (!runs()) return s_.count;
    const Nanos passed = time - s_.started;
    return s_.count + passed / kSecond * kHertz + passed % kSecond * kHertz / kSecond;
  }
  [[nodiscard]] Nanos time_of(uint64_t count) const {
    const uint64_t passed = count - s_.count;
    return s_.started + passed / kHertz * kSecond +
           (passed % kHertz * kSecond + kHertz - 1) / kHertz;
  }
  // Of the periodic interrupt, in counts; 0: none.
  [[nodiscard]] uint64_t period() const {
    const unsigned rate = s_.a & 15U;
    if (rate == 0) return 0;
    unsigned shift = rate <= 2 && !f_.on(kPeriodicRate1) ? rate + 6 : rate - 1;
    if (f_.on(kPeriodicRateOffByOne)) ++shift;
    return uint64_t{1} << shift;
  }
  [[nodiscard]] bool updating() const {
    if (!runs() || (s_.b & kSet) != 0) return false;
    const Nanos next = time_of((count_at(s_.now) / kHertz + 1) * kHertz);
    const Nanos window = f_.on(kUipShort) ? kBeforeUpdate : kBeforeUpdate + kUpdate;
    return next - s_.now <= window;
  }
  void update(uint64_t seconds) {
    if (!f_.on(kUfDropped)) s_.c |= kUf;
    if (f_.on(kUpdateDropped)) return;
    auto time = calendar();
    // The time of day comes round in a day: an alarm that has not matched by then never will.
    for (unsigned n = 0; seconds != 0 && (s_.c & kAf) == 0 && n < 100'000; ++n) {
      time.second();
      --seconds;
      if (time.alarm()) s_.c |= kAf;
    }
    time.seconds(seconds);
  }

  void write_a(uint8_t value) {
    const uint64_t count = count_at(s_.now);
    const bool was_held = held();
    s_.a = value;
    if (!was_held && !held()) {
      s_.count = count % kHertz;  // every period divides a second
    } else {  // the first update comes half a second after the divider is released
      s_.count = f_.on(kDividerNoHalfSecond) ? 0 : kHertz / 2;
    }
    s_.started = s_.now;
  }
  void write_b(uint8_t value) {
    s_.b = value;
    if ((value & kSet) != 0 && !f_.on(kSetKeepsUie)) s_.b = f_.bits(kB, value & ~kUie);
  }
  uint8_t read_c() {
    const uint8_t value = s_.c | (pending() ? kIrqf : 0);
    uint8_t kept = 0;
    if (f_.on(kPfKept)) kept = kPf;
    if (f_.on(kAfKept)) kept = kAf;
    if (f_.on(kUfKept)) kept = kUf;
    s_.c &= kept;
    interrupts();
    return f_.bits(kC, value);
  }
  [[nodiscard]] bool pending() const {
    uint8_t enabled = s_.b & kEnables;
    if (f_.on(kPieIgnored)) enabled |= kPf;
    if (f_.on(kAieIgnored)) enabled |= kAf;
    if (f_.on(kUieIgnored)) enabled |= kUf;
    return (s_.c & enabled) != 0;
  }
  void interrupts() {
    const bool level = pending() && !f_.on(kIrqDropped);
    if (level == s_.line || (s_.line && f_.on(kIrqKept))) return;
    s_.line = level;
    wires_.irq8.set(level);
  }

  RtcWires wires_;
  [[no_unique_address]] Faults f_;
  State s_;
};

template class RtcModel<NoFaults>;
template class RtcModel<SwitchedFault>;

}  // namespace

Result<std::unique_ptr<Rtc>> make_rtc(const RtcWires& wires, std::string_view fault) {
  return make_device<Rtc, RtcModel>(table(), wires, fault);
}

}  // namespace ringfence::vmm

#include "harness/vmm/devices/pit.h"

#include <algorithm>
#include <array>

#include "harness/vmm/devices/pit_counter.h"
#include "harness/vmm/devices/pit_faults.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

using namespace pit;  // NOLINT(google-build-using-namespace): the names of the fault table

constexpr uint32_t kTag = state_tag("PIT ");
constexpr uint16_t kVersion = 1;
constexpr uint64_t kRefreshPulses = 18;  // 15.09 us, as counter 1 of a PC makes it

struct State {
  std::array<CounterState, 3> counters;
  uint8_t port61 = 0;
  bool irq0 = false;
  Nanos now = 0;

  template <typename Io>
  void fields(Io& io) {
    for (auto& counter : counters) counter.fields(io);
    io.value(port61, 0x0F);
    io.value(irq0);
    io.value(now, kLatest);
  }
};

template <typename Faults>
class PitModel final : public Pit {
 public:
  PitModel(const PitWires& wires, Faults faults)
      : wires_(wires), f_(faults), counters_{Counter(f_), Counter(f_), Counter(f_)} {
    power_up();
  }

  [[nodiscard]] std::string_view name() const override { return "pit"; }
  [[nodiscard]] std::vector<PortRange> ports() const override { return {{0x40, 4}, {0x61, 1}}; }

  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    if (port >= 0x40 && port <= 0x42) {
      value = counters_[port - 0x40U].read();
      return true;
    }
    if (port != 0x61) return false;  // the control word cannot be read
    const bool refresh = pulses_at(now_) / kRefreshPulses % 2 != 0;
    const bool out = counters_[f_.on(kPort61OtherOutput) ? 0 : 2].s.out;
    value =
        f_.bits(kPort61, static_cast<uint8_t>(port61_ | (refresh ? 0x10 : 0) | (out ? 0x20 : 0)));
    return true;
  }

  bool write(uint16_t port, unsigned width, uint32_t wide, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    const auto value = static_cast<uint8_t>(wide);
    if (port == 0x43) {
      if (!f_.ignores(kControl)) control(f_.bits(kControl, value));
    } else if (port >= 0x40 && port <= 0x42) {
      counters_[port - 0x40U].write(value);
    } else if (port == 0x61) {
      if (!f_.ignores(kPort61)) port61(f_.bits(kPort61, value & 0x0F) & 0x0F);
    } else {
      return false;
    }
    drive();
    return true;
  }

  void advance(Nanos now) override {
    now = std::min(now, kLatest);
    if (now <= now_) return;
    const uint64_t pulses = pulses_at(now) - pulses_at(now_);
    now_ = now;
    if (pulses == 0) return;
    counters_[0].run(pulses, [this](bool level) { drive(level); });
    counters_[1].run(pulses, [](bool) {});
    counters_[2].run(pulses, [](bool) {});
  }

  [[nodiscard]] std::optional<Nanos> next_event() const override {  // of counter 0, on IRQ 0
    const auto pulses = counters_[0].ahead();
    if (pulses == 0) return std::nullopt;
    return time_of(pulses_at(now_) + pulses);
  }

  void reset() override {  // the 8254 has no such pin; the machine's timer starts over
    for (auto& counter : counters_) counter.s = CounterState{};
    power_up();
  }
  [[nodiscard]] std::vector<uint8_t> save() const override {
    State state{{}, port61_, irq0_, now_};
    for (unsigned n = 0; n < 3; ++n) state.counters[n] = counters_[n].s;
    return save_state(kTag, kVersion, state);
  }
  Status restore(std::span<const uint8_t> bytes) override {
    State state;
    if (auto done = restore_state(name(), kTag, kVersion, bytes, state, kStrict<Faults>); !done)
      return done;
    for (unsigned n = 0; n < 3; ++n) counters_[n].s = state.counters[n];
    port61_ = state.port61;
    irq0_ = state.irq0;
    now_ = state.now;
    wires_.irq0.set(irq0_);
    return {};
  }

  void set_gate(unsigned counter, bool level, Nanos now) override {
    advance(now);
    counters_[counter % 3].set_gate(level);
    drive();
  }
  bool output(unsigned counter, Nanos now) override {
    advance(now);
    return counters_[counter % 3].s.out;
  }

 private:
  void power_up() {
    port61_ = 0;
    const uint8_t wrong = f_.bits(kPort61, f_.reset(kPort61, 0)) & 0x0F;
    counters_[2].s.gate = false;
    port61(wrong);
    drive();
  }

  [[nodiscard]] uint64_t hertz() const { return f_.on(kClockFast) ? 1'250'000 : kHertz; }
  [[nodiscard]] uint64_t pulses_at(Nanos time) const {
    constexpr uint64_t kSecond = 1'000'000'000;
    return time / kSecond * hertz() + time % kSecond * hertz() / kSecond;
  }
  [[nodiscard]] Nanos time_of(uint64_t pulse) const {  // the first time at which it has come
    constexpr uint64_t kSecond = 1'000'000'000;
    return pulse / hertz() * kSecond + (pulse % hertz() * kSecond + hertz() - 1) / hertz();
  }

  void control(uint8_t word) {
    const unsigned select = word >> 6;
    if (select == 3) {
      if (!f_.on(kReadBackIgnored)) read_back(word);
    } else if ((word & 0x30) == 0) {
      if (!f_.on(kLatchIgnored)) counters_[select].latch_count();
    } else {
      counters_[select].control(word);
    }
  }
  void read_back(uint8_t word) {
    for (unsigned n = 0; n < 3; ++n) {
      if ((word >> (n + 1) & 1U) == 0 && !f_.on(kReadBackSelectIgnored)) continue;
      if ((word & 0x20) == 0 && !f_.on(kReadBackCountIgnored)) counters_[n].latch_count();
      if ((word & 0x10) == 0 && !f_.on(kReadBackStatusIgnored)) counters_[n].latch_status();
    }
  }
  void port61(uint8_t value) {
    port61_ = value;
    if (!f_.on(kPort61GateIgnored)) counters_[2].set_gate((value & 1) != 0);
  }
  void drive() { drive(counters_[0].s.out); }
  void drive(bool level) {
    if (f_.on(kIrq0Dropped)) return;
    if (f_.on(kIrq0Inverted)) level = !level;
    if (level == irq0_) return;
    irq0_ = level;
    wires_.irq0.set(level);
  }

  PitWires wires_;
  [[no_unique_address]] Faults f_;
  std::array<Counter<Faults>, 3> counters_;
  uint8_t port61_ = 0;
  bool irq0_ = false;
  Nanos now_ = 0;
};

template class PitModel<NoFaults>;
template class PitModel<SwitchedFault>;

}  // namespace

Result<std::unique_ptr<Pit>> make_pit(const PitWires& wires, std::string_view fault) {
  return make_device<Pit, PitModel>(table(), wires, fault);
}

}  // namespace ringfence::vmm

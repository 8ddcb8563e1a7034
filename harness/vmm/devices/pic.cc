#include "harness/vmm/devices/pic.h"

#include <algorithm>
#include <array>

#include "harness/vmm/devices/pic_faults.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

using namespace pic;  // NOLINT(google-build-using-namespace): the names of the fault table

constexpr uint32_t kTag = state_tag("PIC ");
constexpr uint16_t kVersion = 1;
constexpr unsigned kCascade = 2;  // the master's input that the slave is wired to

// ICW1
constexpr uint8_t kIc4 = 0x01;
constexpr uint8_t kSngl = 0x02;
constexpr uint8_t kAdi = 0x04;
constexpr uint8_t kLtim = 0x08;
// ICW4
constexpr uint8_t kUpm = 0x01;
constexpr uint8_t kAeoi = 0x02;
constexpr uint8_t kSfnm = 0x10;

enum Step : uint8_t { kReady, kPowerUp, kIcw2, kIcw3, kIcw4 };

constexpr uint8_t bit(unsigned n) { return static_cast<uint8_t>(1U << n); }

struct Chip {
  uint8_t lines = 0;  // the inputs
  uint8_t edges = 0;  // the edge sense circuit: inputs that went high and were not acknowledged
  uint8_t isr = 0;
  uint8_t imr = 0;
  uint8_t elcr = 0;
  uint8_t icw1 = 0;
  uint8_t icw2 = 0;
  uint8_t icw3 = 0;
  uint8_t icw4 = 0;
  uint8_t lowest = 7;  // the level of lowest priority
  uint8_t step = kPowerUp;
  bool select_isr = false;
  bool poll = false;
  bool special_mask = false;
  bool rotate_aeoi = false;
  bool intr = false;  // INT output: stays until an acknowledge when the request goes away

  template <typename Io>
  void fields(Io& io) {
    for (auto* byte : {&lines, &edges, &isr, &imr, &elcr, &icw1, &icw2, &icw3, &icw4}) {
      io.value(*byte);
    }
    io.value(lowest, 7);
    io.value(step, kIcw4);
    for (auto* flag : {&select_isr, &poll, &special_mask, &rotate_aeoi, &intr}) io.value(*flag);
  }
};

struct State {
  std::array<Chip, 2> chips;
  bool line = false;

  template <typename Io>
  void fields(Io& io) {
    for (auto& chip : chips) chip.fields(io);
    io.value(line);
    io.require(((chips[0].lines & bit(kCascade)) != 0) == chips[1].intr);
    io.require(line == chips[0].intr);
  }
};

template <typename Faults>
class PicModel final : public Pic {
 public:
  PicModel(const PicWires& wires, Faults faults) : wires_(wires), f_(faults) {
    for (unsigned n = 0; n < inputs_.size(); ++n) inputs_[n] = Input(this, n);
    power_up();
  }

  [[nodiscard]] std::string_view name() const override { return "pic"; }
  [[nodiscard]] std::vector<PortRange> ports() const override {
    return {{0x20, 2}, {0xA0, 2}, {0x4D0, 2}};
  }

  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos /*now*/) override {
    if (width != 1) return false;
    if (port == 0x4D0 || port == 0x4D1) {
      value = s_.chips[port - 0x4D0U].elcr;
      return true;
    }
    if (port != 0x20 && port != 0x21 && port != 0xA0 && port != 0xA1) return false;
    const unsigned n = port >= 0xA0 ? 1 : 0;
    auto& chip = s_.chips[n];
    if (chip.poll) {
      if (!f_.on(kPollSticky)) chip.poll = false;
      value = polled(n);
    } else if ((port & 1) != 0) {
      value = chip.imr;
    } else if (chip.select_isr != f_.on(kSelectReversed) && !f_.on(kSelectIgnored)) {
      value = f_.bits(kIsr, chip.isr);
    } else {
      value = f_.bits(kIrr, requests(chip) & (f_.on(kIrrHidesMasked) ? ~chip.imr : 0xFF));
    }
    return true;
  }

  bool write(uint16_t port, unsigned width, uint32_t wide, Nanos /*now*/) override {
    if (width != 1) return false;
    const auto value = static_cast<uint8_t>(wide);
    switch (port) {
      case 0x20:
      case 0xA0:
        command(port == 0xA0 ? 1 : 0, value);
        break;
      case 0x21:
      case 0xA1:
        data(port == 0xA1 ? 1 : 0, value);
        break;
      case 0x4D0:
      case 0x4D1:
        // IRQ 0, 1, 2, 8 and 13 are edge triggered for ever (PIIX4, ELCR1 and ELCR2).
        if (f_.ignores(kElcr)) break;
        s_.chips[port - 0x4D0U].elcr = f_.bits(kElcr, value & (port == 0x4D0 ? 0xF8 : 0xDE));
        refresh(port - 0x4D0U);
        break;
      default:
        return false;
    }
    return true;
  }

  void advance(Nanos /*now*/) override {}
  [[nodiscard]] std::optional<Nanos> next_event() const override { return std::nullopt; }
  void reset() override {  // the 8259A has no such pin; the machine's PIC starts over, inputs stay
    const auto kept = s_;
    s_ = State{};
    s_.line = kept.line;
    for (unsigned n = 0; n < 2; ++n) s_.chips[n].lines = kept.chips[n].lines;
    s_.chips[0].lines &= static_cast<uint8_t>(~bit(kCascade));
    power_up();
  }
  [[nodiscard]] std::vector<uint8_t> save() const override {
    return save_state(kTag, kVersion, s_);
  }
  Status restore(std::span<const uint8_t> state) override {
    if (auto done = restore_state(name(), kTag, kVersion, state, s_, kStrict<Faults>); !done)
      return done;
    wires_.intr.set(s_.line);
    return {};
  }

  void set_irq(unsigned input, bool level) override {
    if (input > 15 || input == kCascade) return;
    set_line(input / 8, input % 8, level);
    cascade();
  }
  Line& input(unsigned n) override { return inputs_[n % inputs_.size()]; }
  [[nodiscard]] bool intr() const override { return s_.line; }

  uint8_t acknowledge(Nanos /*now*/) override {
    auto& master = s_.chips[0];
    const int level = take(0);
    auto vector = vector_of(master, level);
    const bool slaved = level >= 0 && (master.icw1 & kSngl) == 0 &&
                        (master.icw3 & bit(static_cast<unsigned>(level))) != 0 &&
                        !f_.on(kIcw3Ignored);
    if (slaved) vector = slave_vector(static_cast<unsigned>(level));
    cascade();
    return vector;
  }

 private:
  class Input final : public Line {
   public:
    Input() = default;
    Input(PicModel* pic, unsigned n) : pic_(pic), n_(n) {}
    void set(bool level) override { pic_->set_irq(n_, level); }

   private:
    PicModel* pic_ = nullptr;
    unsigned n_ = 0;
  };

  void power_up() {
    for (auto& chip : s_.chips) {
      chip.imr = f_.bits(kImr, 0);
      chip.elcr = f_.bits(kElcr, f_.reset(kElcr, 0));
    }
    drive();
  }

  // Requests and priorities.
  [[nodiscard]] uint8_t levels(const Chip& chip) const {  // level triggered inputs
    if (f_.on(kEdgeAsLevel)) return 0xFF;
    if ((chip.icw1 & kLtim) != 0 && !f_.on(kLtimIgnored)) return 0xFF;
    return f_.on(kElcrIgnored) ? 0 : chip.elcr;
  }
  [[nodiscard]] uint8_t requests(const Chip& chip) const {
    return static_cast<uint8_t>((chip.lines & levels(chip)) | chip.edges);
  }
  // The n-th level in the order of priority.
  [[nodiscard]] unsigned ranked(const Chip& chip, unsigned n) const {
    if (f_.on(kPriorityReversed)) n = 7 - n;
    const unsigned level = (chip.lowest + 1U + n) % 8;
    if (f_.on(kCascadeLast) && &chip == &s_.chips[0] && chip.lowest == 7 && n >= kCascade) {
      return n == 7 ? kCascade : n + 1;
    }
    return level;
  }
  [[nodiscard]] bool has_slave(const Chip& chip, unsigned level) const {
    return &chip == &s_.chips[0] && (chip.icw1 & kSngl) == 0 && (chip.icw3 & bit(level)) != 0;
  }
  // The request that INT is raised for, -1 for none.
  [[nodiscard]] int resolve(const Chip& chip) const {
    const uint8_t unmasked = f_.on(kImrIgnored) ? 0xFF : static_cast<uint8_t>(~chip.imr);
    const uint8_t wanted = requests(chip) & unmasked;
    if (wanted == 0 || chip.step != kReady) return -1;
    uint8_t holding = chip.isr;
    if (chip.special_mask && !f_.on(kSmmIgnored)) holding &= static_cast<uint8_t>(~chip.imr);
    if (f_.on(kNestingNone)) holding = 0;
    const bool nested = ((chip.icw4 & kSfnm) != 0 && !f_.on(kSfnmIgnored)) || f_.on(kSfnmAlways);
    for (unsigned n = 0; n < 8; ++n) {
      const unsigned level = ranked(chip, n);
      const bool want = (wanted & bit(level)) != 0;
      if ((holding & bit(level)) != 0) {
        const bool again = (nested && has_slave(chip, level)) || f_.on(kNestingSameLevel);
        return want && again ? static_cast<int>(level) : -1;
      }
      if (want) return static_cast<int>(level);
    }
    return -1;
  }
  void refresh(unsigned n, bool withdrawn = false) {
    auto& chip = s_.chips[n];
    if (resolve(chip) >= 0) {
      chip.intr = true;
    } else if (!withdrawn || f_.on(kSpuriousLost) || chip.step != kReady) {
      chip.intr = false;
    }
    if (n == 1) cascade();
    drive();
  }
  void set_line(unsigned n, unsigned level, bool high) {
    auto& chip = s_.chips[n];
    const bool was = (chip.lines & bit(level)) != 0;
    if (high == was) return;
    if (high) {
      chip.lines |= bit(level);
      chip.edges |= bit(level);
    } else {
      chip.lines &= static_cast<uint8_t>(~bit(level));
      if (!f_.on(kIrrKeptWhenLow)) chip.edges &= static_cast<uint8_t>(~bit(level));
    }
    refresh(n, !high);
  }
  void cascade() { set_line(0, kCascade, s_.chips[1].intr); }
  void drive() {
    if (s_.chips[0].intr == s_.line) return;
    s_.line = s_.chips[0].intr;
    wires_.intr.set(s_.line);
  }

  // What the first INTA pulse does: the level taken, or -1: the request has gone.
  int take(unsigned n) {
    auto& chip = s_.chips[n];
    const int taken = resolve(chip);
    chip.intr = false;
    if (taken < 0) {
      if (f_.on(kSpuriousSetsIsr)) chip.isr |= bit(7);
      refresh(n);
      return -1;
    }
    const auto level = static_cast<unsigned>(taken);
    if (!f_.on(kIrrKeptOnAck)) chip.edges &= static_cast<uint8_t>(~bit(level));
    // In MCS-80 mode the end is a third pulse, which this CPU does not give.
    const bool automatic = (chip.icw4 & (kAeoi | kUpm)) == (kAeoi | kUpm) && !f_.on(kAeoiIgnored);
    if (automatic) {
      if (chip.rotate_aeoi && !f_.on(kRotateAeoiIgnored)) rotate(chip, level);
    } else if (!f_.on(kAckNoIsr)) {
      chip.isr |= bit(level);
    }
    refresh(n);
    return taken;
  }
  [[nodiscard]] uint8_t vector_of(const Chip& chip, int taken) const {
    unsigned level = taken < 0 ? 7U : static_cast<unsigned>(taken);
    if (taken < 0 && f_.on(kSpuriousWrongVector)) level = 0;
    if (f_.on(kVectorOffByOne)) level = (level + 1) % 8;
    if ((chip.icw4 & kUpm) != 0 || f_.on(kModeIgnored)) {
      return static_cast<uint8_t>(f_.on(kIcw2LowBitsKept) ? chip.icw2 | level
                                                          : (chip.icw2 & 0xF8U) | level);
    }
    // MCS-80/85: the low byte of the CALL's address comes with the second pulse.
    if ((chip.icw1 & kAdi) != 0) return static_cast<uint8_t>((chip.icw1 & 0xE0U) | level << 2);
    return static_cast<uint8_t>((chip.icw1 & 0xC0U) | level << 3);
  }
  // The slave whose id is on the cascade lines answers, asked or not; if none has it, the bus
  // floats.
  uint8_t slave_vector(unsigned id) {
    auto& slave = s_.chips[1];
    const bool addressed = (slave.icw3 & 7U) == id || f_.on(kSlaveIdIgnored);
    if (!addressed || slave.step != kReady || (slave.icw1 & kSngl) != 0) return 0xFF;
    const int level = take_slave();
    if (level < 0 && f_.on(kSpurious15MasterClear)) {
      s_.chips[0].isr &= static_cast<uint8_t>(~bit(id));
      refresh(0);
    }
    return vector_of(slave, level);
  }
  int take_slave() {
    // INT goes low with the acknowledge and rises again for what is left: an edge for the master.
    set_line(0, kCascade, false);
    return take(1);
  }
  uint8_t polled(unsigned n) {
    auto& chip = s_.chips[n];
    int level = resolve(chip);
    if (level < 0) {
      chip.intr = false;
      refresh(n);
      return 0;
    }
    const uint8_t before = chip.isr;
    if (n == 1) set_line(0, kCascade, false);
    level = take(n);
    if (f_.on(kPollNoIsr)) {
      chip.isr = before;
      refresh(n);
    }
    if (f_.on(kPollOffByOne)) level = (level + 1) % 8;
    return static_cast<uint8_t>(0x80 | level);
  }

  // Commands.
  void command(unsigned n, uint8_t value) {
    auto& chip = s_.chips[n];
    if ((value & 0x10) != 0) {
      if (f_.on(kIcw1IgnoredInSequence) && chip.step > kPowerUp) return;
      icw1(chip, value);
    } else if ((value & 0x08) != 0) {
      ocw3(chip, value);
    } else {
      ocw2(chip, value);
    }
    refresh(n);
  }
  void icw1(Chip& chip, uint8_t value) {
    chip.icw1 = value;
    if (!f_.on(kIcw1EdgeKept)) chip.edges = 0;
    chip.imr = f_.bits(kImr, f_.reset(kImr, 0));
    if (!f_.on(kIcw1IsrKept)) chip.isr = 0;
    if (!f_.on(kIcw1PriorityKept)) chip.lowest = 7;
    chip.icw3 = &chip == &s_.chips[1] ? 7 : 0;
    if (!f_.on(kIcw1SmmKept)) chip.special_mask = false;
    if (!f_.on(kIcw1SelectKept)) chip.select_isr = false;
    chip.poll = false;
    chip.rotate_aeoi = false;
    if ((value & kIc4) == 0 && !f_.on(kIcw4Kept)) chip.icw4 = 0;
    chip.step = kIcw2;
  }
  void data(unsigned n, uint8_t value) {
    auto& chip = s_.chips[n];
    const bool wants4 =
        ((chip.icw1 & kIc4) != 0 && !f_.on(kIcw4NeverExpected)) || f_.on(kIcw4AlwaysExpected);
    switch (chip.step) {
      case kIcw2:
        chip.icw2 = value;
        if ((chip.icw1 & kSngl) == 0 || f_.on(kSingleIgnored)) {
          chip.step = kIcw3;
        } else {
          chip.step = wants4 ? kIcw4 : kReady;
        }
        break;
      case kIcw3:
        chip.icw3 = value;
        chip.step = wants4 ? kIcw4 : kReady;
        break;
      case kIcw4:
        chip.icw4 = value;
        chip.step = kReady;
        break;
      default:
        if (f_.ignores(kImr)) break;
        chip.imr = f_.bits(kImr, value);
        if (f_.on(kImrClearsIrr)) chip.edges &= static_cast<uint8_t>(~value);
        break;
    }
    refresh(n);
  }
  void ocw3(Chip& chip, uint8_t value) {
    if ((value & 0x60) == 0x60) chip.special_mask = true;
    if ((value & 0x60) == 0x40 && !f_.on(kSmmNeverReset)) chip.special_mask = false;
    if ((value & 0x04) != 0) {  // overrides a register read
      chip.poll = !f_.on(kPollIgnored);
      return;
    }
    if (f_.on(kPollSticky)) chip.poll = false;
    if ((value & 0x02) != 0) chip.select_isr = (value & 0x01) != 0;
  }
  void ocw2(Chip& chip, uint8_t value) {
    unsigned level = value & 7U;
    switch (value >> 5) {
      case 0:
        chip.rotate_aeoi = false;
        break;
      case 4:
        chip.rotate_aeoi = true;
        break;
      case 1:
      case 5: {
        const int highest = in_service(chip);
        if (highest < 0 || f_.on(kEoiNonSpecificIgnored)) break;
        level = static_cast<unsigned>(highest);
        chip.isr &= static_cast<uint8_t>(~bit(level));
        if (value >> 5 == 5 && !f_.on(kRotateNonSpecificIgnored)) rotate(chip, level);
        break;
      }
      case 3:
      case 7: {
        unsigned cleared = level;
        if (f_.on(kEoiSpecificOffByOne)) cleared = (level + 1) % 8;
        if (f_.on(kEoiSpecificAsNonSpecific)) {
          cleared = static_cast<unsigned>(std::max(0, in_service(chip)));
        }
        if (!f_.on(kEoiSpecificIgnored)) chip.isr &= static_cast<uint8_t>(~bit(cleared));
        if (value >> 5 == 7 && !f_.on(kRotateSpecificIgnored)) rotate(chip, level);
        break;
      }
      case 6:
        if (!f_.on(kSetPriorityIgnored)) rotate(chip, level);
        break;
      default:
        break;  // 2: no operation
    }
  }
  // The level that a non-specific EOI ends, -1 for none.
  [[nodiscard]] int in_service(const Chip& chip) const {
    uint8_t seen = chip.isr;
    if (chip.special_mask && !f_.on(kSmmEoiClearsMasked)) seen &= static_cast<uint8_t>(~chip.imr);
    int found = -1;
    for (unsigned n = 0; n < 8; ++n) {
      const unsigned level = ranked(chip, n);
      if ((seen & bit(level)) == 0) continue;
      found = static_cast<int>(level);
      if (!f_.on(kEoiNonSpecificLowest)) break;
    }
    return found;
  }
  void rotate(Chip& chip, unsigned lowest) {
    chip.lowest = static_cast<uint8_t>((lowest + (f_.on(kRotateOffByOne) ? 1U : 0U)) % 8);
  }

  PicWires wires_;
  [[no_unique_address]] Faults f_;
  State s_;
  std::array<Input, 16> inputs_;
};

template class PicModel<NoFaults>;
template class PicModel<SwitchedFault>;

}  // namespace

Result<std::unique_ptr<Pic>> make_pic(const PicWires& wires, std::string_view fault) {
  return make_device<Pic, PicModel>(table(), wires, fault);
}

}  // namespace ringfence::vmm

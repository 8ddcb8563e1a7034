#include "harness/vmm/devices/i8042.h"

#include <algorithm>
#include <array>

#include "harness/vmm/devices/i8042_faults.h"
#include "harness/vmm/devices/ps2_device.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

using namespace kbc;  // NOLINT(google-build-using-namespace): the names of the fault table

constexpr uint32_t kTag = state_tag("8042");
constexpr uint16_t kVersion = 1;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max();
constexpr Nanos kControllerTakes = 10'000;
constexpr Nanos kDeviceByteTakes = 100'000;

// Status
constexpr uint8_t kObf = 0x01;
constexpr uint8_t kIbf = 0x02;
constexpr uint8_t kSys = 0x04;
constexpr uint8_t kA2 = 0x08;
constexpr uint8_t kNotInhibited = 0x10;
constexpr uint8_t kAuxObf = 0x20;
// Command byte
constexpr uint8_t kInt1 = 0x01;
constexpr uint8_t kInt12 = 0x02;
constexpr uint8_t kKeyboardOff = 0x10;
constexpr uint8_t kAuxOff = 0x20;
constexpr uint8_t kTranslate = 0x40;
// Output port
constexpr uint8_t kNoReset = 0x01;
constexpr uint8_t kA20 = 0x02;

// Scan code set 2 to set 1; from 0x85 on codes stay what they are.
constexpr std::array<uint8_t, 0x85> kSet1{
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
    0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
    0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
    0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
    0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
    0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
    0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
    0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
    0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54};

enum Source : uint8_t { kController, kKeyboard, kAux };

struct State {
  uint8_t command_byte = kKeyboardOff | kAuxOff;
  uint8_t output_port = 0xCF;  // lines idle high, A20 open
  uint8_t output = 0;          // the output buffer
  uint8_t source = kController;
  uint8_t input = 0;  // the input buffer
  uint8_t argument_of = 0;
  std::array<uint8_t, 32> ram{};  // 0 unused: the command byte is there
  bool full = false;              // OBF
  bool pending = false;           // IBF
  bool pending_command = false;   // A2
  bool break_code = false;        // 0xF0 went by
  bool irq1 = false;
  bool irq12 = false;
  Ps2State keyboard;
  Ps2State aux;
  Nanos done_at = kNever;     // when the controller has done what is in the input buffer
  Nanos deliver_at = kNever;  // when a device's byte is in
  Nanos now = 0;

  template <typename Io>
  void fields(Io& io) {
    for (auto* byte : {&command_byte, &output_port, &output}) io.value(*byte);
    io.require((output_port & kNoReset) != 0);
    io.value(source, kAux);
    io.value(input);
    io.value(argument_of);
    for (auto& byte : ram) io.value(byte);
    for (auto* flag : {&full, &pending, &pending_command, &break_code, &irq1, &irq12}) {
      io.value(*flag);
    }
    keyboard.fields(io);
    aux.fields(io);
    io.value(done_at);
    io.value(deliver_at);
    io.value(now, kLatest);
    io.require(pending == (done_at != kNever));
    io.require(std::min(done_at, deliver_at) > now);
  }
};

template <typename Faults>
class I8042Model final : public I8042 {
 public:
  I8042Model(const I8042Wires& wires, Faults faults) : wires_(wires), f_(faults) { power_up(); }

  [[nodiscard]] std::string_view name() const override { return "i8042"; }
  [[nodiscard]] std::vector<PortRange> ports() const override { return {{0x60, 1}, {0x64, 1}}; }

  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    if (port == 0x64) {
      value = status();
      return true;
    }
    if (port != 0x60) return false;
    value = f_.bits(kDataOut, s_.output);
    if (s_.full && !f_.on(kObfKept)) {
      s_.full = false;
      schedule();
    }
    interrupts();
    return true;
  }

  bool write(uint16_t port, unsigned width, uint32_t wide, Nanos now) override {
    if (width != 1 || (port != 0x60 && port != 0x64)) return false;
    const auto value = static_cast<uint8_t>(wide);
    if (port == 0x64 && !known(value)) return false;
    advance(now);
    if (s_.pending) process();
    s_.input = value;
    s_.pending = true;
    s_.pending_command = port == 0x64;
    s_.done_at = s_.now + kControllerTakes;
    return true;
  }

  void advance(Nanos now) override {
    now = std::min(now, kLatest);
    while (next() <= now) {
      const auto at = next();
      s_.now = std::max(s_.now, at);
      if (s_.done_at == at) {
        process();
      } else {
        deliver();
      }
    }
    s_.now = std::max(s_.now, now);
  }
  [[nodiscard]] std::optional<Nanos> next_event() const override {
    return next() == kNever ? std::nullopt : std::optional(next());
  }

  void reset() override {
    const auto kept = s_;
    s_ = State{};
    s_.now = kept.now;
    s_.irq1 = kept.irq1;
    s_.irq12 = kept.irq12;
    power_up();
    wires_.a20.set((s_.output_port & kA20) != 0);
  }
  [[nodiscard]] std::vector<uint8_t> save() const override {
    return save_state(kTag, kVersion, s_);
  }
  Status restore(std::span<const uint8_t> state) override {
    if (auto done = restore_state(name(), kTag, kVersion, state, s_, kStrict<Faults>); !done)
      return done;
    wires_.irq1.set(s_.irq1);
    wires_.irq12.set(s_.irq12);
    wires_.a20.set((s_.output_port & kA20) != 0);
    return {};
  }

  void keys(std::span<const uint8_t> scan_codes, Nanos now) override {
    advance(now);
    for (const auto code : scan_codes) {
      if (s_.keyboard.scanning) s_.keyboard.push(code, places());
    }
    schedule();
  }
  void mouse(std::span<const uint8_t> bytes, Nanos now) override {
    advance(now);
    for (const auto byte : bytes) {
      if (s_.aux.scanning) s_.aux.push(byte);
    }
    schedule();
  }

 private:
  void power_up() {
    s_.aux.scanning = false;
    s_.command_byte = f_.bits(kCommandByte, f_.reset(kCommandByte, s_.command_byte));
    s_.output_port = f_.reset(kOutputPort, s_.output_port);
    interrupts();
  }
  [[nodiscard]] Nanos next() const { return std::min(s_.done_at, s_.deliver_at); }
  [[nodiscard]] unsigned places() const {
    return Ps2State::kPlaces - (f_.on(kBufferOffByOne) ? 1U : 0U);
  }

  [[nodiscard]] uint8_t status() const {
    uint8_t value = kNotInhibited | (s_.command_byte & kSys);
    if (s_.full) value |= kObf;
    if (s_.full && s_.source == kAux) value |= kAuxObf;
    if (s_.pending) value |= kIbf;
    if (s_.pending_command != f_.on(kA2Inverted)) value |= kA2;
    return f_.bits(kbc::kStatus, value);
  }
  static bool known(uint8_t command) {
    if ((command & 0xE0) == 0x20 || (command & 0xE0) == 0x60) return true;
    if (command >= 0xF0) return true;
    constexpr std::array<uint8_t, 14> kKnown{0xA4, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD,
                                             0xAE, 0xC0, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4};
    return std::find(kKnown.begin(), kKnown.end(), command) != kKnown.end() || command == 0xE0;
  }

  // What the controller does with its input buffer.
  void process() {
    s_.pending = false;
    s_.done_at = kNever;
    if (s_.pending_command) {
      command(s_.input);
    } else if (s_.argument_of != 0) {
      const uint8_t to = s_.argument_of;
      s_.argument_of = 0;
      argument(to, s_.input);
    } else {
      if (!f_.on(kWriteKeepsDisabled)) s_.command_byte &= static_cast<uint8_t>(~kKeyboardOff);
      s_.command_byte = f_.bits(kCommandByte, s_.command_byte);
      keyboard_command(s_.keyboard, s_.input, f_);
    }
    interrupts();
    schedule();
  }
  void command(uint8_t value) {
    s_.argument_of = 0;
    if (value >= 0x20 && value <= 0x3F) {
      if (value != 0x20) return answer(s_.ram[value & 0x1FU]);
      if (!f_.on(k20Ignored)) answer(s_.command_byte);
      return;
    }
    if (value >= 0x60 && value <= 0x7F) {
      s_.argument_of = value;
      return;
    }
    if (value >= 0xF0) return pulse(value & 0x0F);
    switch (value) {
      case 0xA4:
        return answer(0xF1);  // no password installed
      case 0xA7:
        if (!f_.on(kA7Ignored)) set_command_byte(s_.command_byte | kAuxOff);
        return;
      case 0xA8:
        if (!f_.on(kA8Ignored)) set_command_byte(s_.command_byte & ~kAuxOff);
        return;
      case 0xA9:
        return answer(f_.on(kA9Wrong) ? 1 : 0);
      case 0xAA:
        if (!f_.on(kAaNoSys)) set_command_byte(s_.command_byte | kSys);
        return answer(f_.on(kAaWrong) ? 0x54 : 0x55);
      case 0xAB:
        return answer(f_.on(kAbWrong) ? 1 : 0);
      case 0xAD:
        if (!f_.on(kAdIgnored)) set_command_byte(s_.command_byte | kKeyboardOff);
        return;
      case 0xAE:
        if (!f_.on(kAeIgnored)) set_command_byte(s_.command_byte & ~kKeyboardOff);
        return;
      case 0xC0:
        return answer(0xA0);  // keyboard not inhibited, no manufacturing jumper
      case 0xD0: {
        if (f_.on(kD0Ignored)) return;
        unsigned port = s_.output_port & ~0x30U;
        if (s_.full && s_.source != kAux) port |= 0x10;
        if (s_.full && s_.source == kAux) port |= 0x20;
        return answer(f_.bits(kOutputPort, static_cast<uint8_t>(port)));
      }
      case 0xD1:
      case 0xD2:
      case 0xD3:
      case 0xD4:
        s_.argument_of = value;
        return;
      case 0xE0:
        return answer(0);  // test inputs: both clocks low
      default:
        return;
    }
  }
  void argument(uint8_t command, uint8_t value) {
    if (command == 0x60) {
      if (!f_.ignores(kCommandByte)) set_command_byte(value);
      return;
    }
    if (command > 0x60 && command <= 0x7F) {
      if (!f_.on(kRamIgnored)) s_.ram[command & 0x1FU] = value;
      return;
    }
    switch (command) {
      case 0xD1:
        return set_output_port(value);
      case 0xD2:
        if (!f_.on(kD2Ignored)) put(value, f_.on(kD2AsAux) ? kAux : kKeyboard);
        return;
      case 0xD3:
        if (!f_.on(kD3Ignored)) put(value, f_.on(kD3AsKeyboard) ? kKeyboard : kAux);
        return;
      case 0xD4:
        if (f_.on(kD4Ignored)) return;
        if (f_.on(kD4ToKeyboard)) return keyboard_command(s_.keyboard, value, f_);
        set_command_byte(s_.command_byte & ~kAuxOff);
        return mouse_command(s_.aux, value, f_);
      default:
        return;
    }
  }
  void set_command_byte(unsigned value) { s_.command_byte = f_.bits(kCommandByte, value & 0x77U); }
  void set_output_port(uint8_t value) {
    if (f_.ignores(kOutputPort)) return;
    const bool was = (s_.output_port & kA20) != 0;
    if (f_.on(kD1A20Ignored)) value = static_cast<uint8_t>((value & ~kA20) | (was ? kA20 : 0));
    s_.output_port = value | kNoReset;
    const bool is = (s_.output_port & kA20) != 0;
    if (is != was) wires_.a20.set(is);
    if ((value & kNoReset) == 0 && !f_.on(kD1ResetIgnored)) reset_machine();
  }
  void pulse(uint8_t mask) {  // the bits that are 0 go low for 6 us; only bit 0 has an effect
    if (mask == 0x0F && f_.on(kFfResets)) reset_machine();
    if ((mask & kNoReset) == 0 && !f_.on(kFeIgnored)) reset_machine();
  }
  void reset_machine() { wires_.reset.request(ResetKind::cpu, name()); }

  // The output buffer. What was in it is overwritten.
  void answer(uint8_t byte) { put(byte, kController); }
  void put(uint8_t byte, Source source) {
    s_.output = byte;
    s_.source = source;
    s_.full = true;
  }
  [[nodiscard]] bool keyboard_ready() const {
    return s_.keyboard.count != 0 &&
           ((s_.command_byte & kKeyboardOff) == 0 || f_.on(kDisabledSends));
  }
  [[nodiscard]] bool aux_ready() const {
    return s_.aux.count != 0 && ((s_.command_byte & kAuxOff) == 0 || f_.on(kAuxDisabledSends));
  }
  // While the output buffer is full the controller holds the devices' clocks low.
  void schedule() {
    const bool wanted = !s_.full && (keyboard_ready() || aux_ready());
    if (!wanted) {
      s_.deliver_at = kNever;
    } else if (s_.deliver_at == kNever) {
      s_.deliver_at = s_.now + kDeviceByteTakes;
    }
  }
  void deliver() {
    s_.deliver_at = kNever;
    if (keyboard_ready()) {
      if (f_.on(kOrderReversed)) {
        auto& keyboard = s_.keyboard;
        std::swap(keyboard.queue[keyboard.head],
                  keyboard.queue[(keyboard.head + keyboard.count - 1U) % Ps2State::kPlaces]);
      }
      translated(s_.keyboard.pop());
    } else if (aux_ready()) {
      put(s_.aux.pop(), kAux);
    }
    interrupts();
    schedule();
  }
  void translated(uint8_t code) {
    if ((s_.command_byte & kTranslate) == 0 || f_.on(kTranslateIgnored)) {
      return put(code, kKeyboard);
    }
    if (code == 0xF0) {
      s_.break_code = true;
      return;
    }
    if (code < kSet1.size()) code = kSet1[code];
    if (s_.break_code && !f_.on(kTranslateBreak)) code |= 0x80;
    s_.break_code = false;
    put(code, kKeyboard);
  }
  void interrupts() {
    const bool from_aux = s_.full && s_.source == kAux;
    const bool from_keyboard = s_.full && s_.source != kAux;
    const bool enabled1 = (s_.command_byte & kInt1) != 0 || f_.on(kIrq1EnableIgnored);
    const bool enabled12 = (s_.command_byte & kInt12) != 0 || f_.on(kIrq12EnableIgnored);
    drive(wires_.irq1, s_.irq1, from_keyboard && enabled1 && !f_.on(kIrq1Dropped));
    drive(wires_.irq12, s_.irq12, from_aux && enabled12 && !f_.on(kIrq12Dropped));
  }
  void drive(Line& wire, bool& level, bool wanted) {
    if (level == wanted || (level && f_.on(kIrqKept))) return;
    level = wanted;
    wire.set(level);
  }

  I8042Wires wires_;
  [[no_unique_address]] Faults f_;
  State s_;
};

template class I8042Model<NoFaults>;
template class I8042Model<SwitchedFault>;

}  // namespace

Result<std::unique_ptr<I8042>> make_i8042(const I8042Wires& wires, std::string_view fault) {
  return make_device<I8042, I8042Model>(table(), wires, fault);
}

}  // namespace ringfence::vmm

#include "harness/vmm/devices/uart.h"

#include <algorithm>
#include <array>

#include "harness/vmm/devices/state_io.h"
#include "harness/vmm/devices/uart_faults.h"

namespace ringfence::vmm {
namespace {

using namespace uart;  // NOLINT(google-build-using-namespace): the names of the fault table

constexpr uint32_t kTag = state_tag("UART");
constexpr uint16_t kVersion = 1;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max();
constexpr unsigned kDepth = 16;

// LSR
constexpr uint8_t kDataReady = 0x01;
constexpr uint8_t kOverrun = 0x02;
constexpr uint8_t kCharacterErrors = Uart::kParityError | Uart::kFramingError | Uart::kBreak;
constexpr uint8_t kThre = 0x20;
constexpr uint8_t kTemt = 0x40;
constexpr uint8_t kFifoError = 0x80;
// MCR
constexpr uint8_t kDtr = 0x01;
constexpr uint8_t kRts = 0x02;
constexpr uint8_t kOut1 = 0x04;
constexpr uint8_t kOut2 = 0x08;
constexpr uint8_t kLoop = 0x10;
// LCR
constexpr uint8_t kDlab = 0x80;
// IIR
constexpr uint8_t kNone = 0x01;
constexpr uint8_t kModem = 0x00;
constexpr uint8_t kThrEmpty = 0x02;
constexpr uint8_t kData = 0x04;
constexpr uint8_t kLineStatus = 0x06;
constexpr uint8_t kTimeout = 0x0C;

struct Fifo {
  std::array<uint8_t, kDepth> bytes{};
  std::array<uint8_t, kDepth> errors{};
  uint8_t head = 0;
  uint8_t count = 0;

  [[nodiscard]] unsigned index(unsigned n) const { return (head + n) % kDepth; }
  void push(uint8_t byte, uint8_t error) {
    bytes[index(count)] = byte;
    errors[index(count)] = error;
    ++count;
  }
  void pop() {
    head = static_cast<uint8_t>((head + 1U) % kDepth);
    --count;
  }
  template <typename Io>
  void fields(Io& io) {
    for (auto& byte : bytes) io.value(byte);
    for (auto& error : errors) {
      io.value(error);
      io.require((error & ~kCharacterErrors) == 0);
    }
    io.value(head, kDepth - 1);
    io.value(count, kDepth);
  }
};

struct State {
  uint8_t ier = 0;
  uint8_t lcr = 0;
  uint8_t mcr = 0;
  uint8_t scr = 0;
  uint8_t dll = 12;
  uint8_t dlm = 0;
  uint8_t fcr = 0;         // bit 0 and the trigger
  uint8_t lsr_errors = 0;  // OE, PE, FE, BI
  uint8_t msr_delta = 0;
  uint8_t inputs = Uart::kCts | Uart::kDsr | Uart::kDcd;
  uint8_t last_read = 0;  // what RBR shows while it is empty
  Fifo receive;
  Fifo transmit;
  uint8_t shift = 0;
  bool shifting = false;
  bool thre_pending = false;
  bool timeout_pending = false;
  bool two_since_empty = false;   // two bytes at once in the transmit FIFO since the last THRE
  bool first_after_fcr0 = false;  // no delay for the first THRE interrupt after FCR0 changed
  bool line = false;
  Nanos shift_done = kNever;
  Nanos timeout_at = kNever;
  Nanos thre_at = kNever;
  Nanos now = 0;

  template <typename Io>
  void fields(Io& io) {
    for (auto* byte : {&ier, &lcr, &mcr, &scr, &dll, &dlm, &fcr}) io.value(*byte);
    io.value(lsr_errors);
    io.require((lsr_errors & ~(kOverrun | kCharacterErrors)) == 0);
    io.require((ier & 0xF0) == 0 && (mcr & 0xE0) == 0 && (fcr & ~0xC1) == 0);
    io.value(msr_delta, 0x0F);
    io.value(inputs);
    io.require((inputs & 0x0F) == 0);
    io.value(last_read);
    receive.fields(io);
    transmit.fields(io);
    io.value(shift);
    for (auto* flag :
         {&shifting, &thre_pending, &timeout_pending, &two_since_empty, &first_after_fcr0, &line}) {
      io.value(*flag);
    }
    for (auto* time : {&shift_done, &timeout_at, &thre_at}) io.value(*time);
    io.value(now, kLatest);
    io.require(shifting == (shift_done != kNever));
    io.require(shifting || transmit.count == 0);
    io.require(std::min({shift_done, timeout_at, thre_at}) > now);
  }
};

template <typename Faults>
class UartModel final : public Uart {
 public:
  UartModel(const UartWires& wires, Faults faults) : wires_(wires), f_(faults) { power_up(); }

  [[nodiscard]] std::string_view name() const override { return "uart"; }
  [[nodiscard]] std::vector<PortRange> ports() const override { return {{wires_.base, 8}}; }

  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    const bool overlaid = (s_.lcr & kDlab) != 0 && !f_.on(kDlabReadIgnored);
    switch (port - wires_.base) {
      case 0:
        value = overlaid ? s_.dll : read_rbr();
        return true;
      case 1:
        value = overlaid ? s_.dlm : s_.ier;
        return true;
      case 2:
        value = read_iir();
        return true;
      case 3:
        value = s_.lcr;
        return true;
      case 4:
        value = s_.mcr;
        return true;
      case 5:
        value = read_lsr();
        return true;
      case 6:
        value = read_msr();
        return true;
      case 7:
        value = s_.scr;
        return true;
      default:
        return false;
    }
  }

  bool write(uint16_t port, unsigned width, uint32_t wide, Nanos now) override {
    if (width != 1) return false;
    advance(now);
    const auto value = static_cast<uint8_t>(wide);
    const bool overlaid = (s_.lcr & kDlab) != 0 && !f_.on(kDlabWriteIgnored);
    switch (port - wires_.base) {
      case 0:
        if (overlaid) {
          if (!f_.ignores(kDll)) s_.dll = f_.bits(kDll, value);
        } else if (!f_.ignores(kThr)) {
          write_thr(f_.bits(kThr, value));
        }
        break;
      case 1:
        if (overlaid) {
          if (!f_.ignores(kDlm)) s_.dlm = f_.bits(kDlm, value);
        } else if (!f_.ignores(kIer)) {
          write_ier(f_.bits(kIer, value & 0x0F));
        }
        break;
      case 2:
        if (!f_.ignores(kFcr)) write_fcr(f_.bits(kFcr, value));
        break;
      case 3:
        if (f_.ignores(kLcr)) break;
        s_.lcr = f_.bits(kLcr, value);
        if (f_.on(kLcrTouchesFifo)) flush_receive();
        break;
      case 4:
        if (!f_.ignores(kMcr)) {
          const auto before = modem();
          s_.mcr = f_.bits(kMcr, value & 0x1F);
          modem_changed(before);
        }
        break;
      case 7:
        if (!f_.ignores(kScr)) s_.scr = f_.bits(kScr, value);
        break;
      default:
        return false;
    }
    update();
    return true;
  }

  void advance(Nanos now) override {
    now = std::min(now, kLatest);
    while (next() <= now) step();
    s_.now = std::max(s_.now, now);
  }

  [[nodiscard]] std::optional<Nanos> next_event() const override {
    const auto first = next();
    return first == kNever ? std::nullopt : std::optional(first);
  }

  void reset() override {  // 8.0, table II: what is not named there stays
    const auto kept = s_;
    s_ = State{};
    s_.scr = kept.scr;
    s_.dll = kept.dll;
    s_.dlm = kept.dlm;
    s_.inputs = kept.inputs;
    s_.now = kept.now;
    s_.line = kept.line;
    power_up();
  }

  [[nodiscard]] std::vector<uint8_t> save() const override {
    return save_state(kTag, kVersion, s_);
  }
  Status restore(std::span<const uint8_t> state) override {
    if (auto done = restore_state(name(), kTag, kVersion, state, s_, kStrict<Faults>); !done)
      return done;
    wires_.irq.set(s_.line);
    return {};
  }

  void receive(uint8_t byte, Nanos now, uint8_t errors) override {
    advance(now);
    if ((s_.mcr & kLoop) != 0 && !f_.on(kLoopInputConnected)) return;
    received(byte, errors & kCharacterErrors, s_.now);
    update();
  }
  [[nodiscard]] unsigned room() const override {
    return capacity() > s_.receive.count ? capacity() - s_.receive.count : 0;
  }
  void set_modem(uint8_t inputs, Nanos now) override {
    advance(now);
    const auto before = modem();
    s_.inputs = inputs & 0xF0;
    modem_changed(before);
    update();
  }
  void drain() override {
    while (s_.shifting) {
      s_.now = std::max(s_.now, s_.shift_done);
      step();
    }
  }

 private:
  void power_up() {
    s_.ier = f_.bits(kIer, f_.reset(kIer, 0));
    s_.lcr = f_.bits(kLcr, f_.reset(kLcr, 0));
    s_.mcr = f_.bits(kMcr, f_.reset(kMcr, 0));
    s_.lsr_errors = f_.reset(kLsr, 0) & (kOverrun | kCharacterErrors);
    s_.msr_delta = f_.reset(kMsr, 0) & 0x0F;
    update();
  }

  [[nodiscard]] bool fifos() const { return (s_.fcr & 1) != 0; }
  [[nodiscard]] unsigned capacity() const {
    if (!fifos()) return 1;
    return f_.on(kDepthOffByOne) ? kDepth - 1 : kDepth;
  }
  [[nodiscard]] unsigned trigger() const {
    constexpr std::array<uint8_t, 4> kLevels{1, 4, 8, 14};
    const unsigned chosen = s_.fcr >> 6;
    const unsigned level = kLevels[f_.on(kTriggerReversed) ? 3 - chosen : chosen];
    return f_.on(kTriggerOffByOne) ? level + 1 : level;
  }

  // Time, in half bits of 8 * divisor cycles.
  [[nodiscard]] Nanos half_bits(unsigned count) const {
    unsigned divisor = s_.dll | s_.dlm << 8;
    if (divisor == 0) divisor = 65536;
    if (f_.on(kDivisorOffByOne)) ++divisor;
    return uint64_t{count} * divisor * 1'000'000'000 / 230'400;
  }
  [[nodiscard]] unsigned word_bits() const {
    return f_.on(kWordLengthIgnored) ? 8U : 5U + (s_.lcr & 3U);
  }
  [[nodiscard]] unsigned stop_half_bits() const {
    if ((s_.lcr & 4) == 0) return 2;
    return word_bits() == 5 ? 3 : 4;
  }
  [[nodiscard]] unsigned character_half_bits() const {
    unsigned bits = 1 + word_bits() + ((s_.lcr & 8) != 0 ? 1 : 0);
    if (f_.on(kCharacterBitsOffByOne)) ++bits;
    return 2 * bits + stop_half_bits();
  }

  // Events.
  [[nodiscard]] Nanos next() const { return std::min({s_.shift_done, s_.timeout_at, s_.thre_at}); }
  void step() {
    const auto at = next();
    s_.now = std::max(s_.now, at);
    if (s_.thre_at == at) {
      s_.thre_at = kNever;
      s_.thre_pending = true;
    } else if (s_.timeout_at == at) {
      s_.timeout_at = kNever;
      s_.timeout_pending = !f_.on(kTimeoutDropped);
    } else {
      sent(at);
    }
    update();
  }

  // Transmitter.
  void write_thr(uint8_t byte) {
    auto& fifo = s_.transmit;
    if (fifo.count < (fifos() ? kDepth : 1)) {
      fifo.push(byte, 0);
    } else if (!fifos()) {
      fifo.bytes[fifo.head] = byte;
    }
    s_.thre_pending = false;
    s_.thre_at = kNever;
    if (fifo.count >= 2) s_.two_since_empty = true;
    if (!s_.shifting) load_shift(s_.now);
  }
  void load_shift(Nanos at) {
    s_.shift = s_.transmit.bytes[s_.transmit.head];
    s_.transmit.pop();
    s_.shifting = true;
    const Nanos takes = half_bits(character_half_bits());
    s_.shift_done = at + takes;
    if (s_.transmit.count != 0) return;
    if (!fifos() || s_.two_since_empty || s_.first_after_fcr0) {
      s_.thre_pending = true;
    } else {
      s_.thre_at = at + takes - half_bits(stop_half_bits());
    }
    s_.two_since_empty = false;
    s_.first_after_fcr0 = false;
  }
  void sent(Nanos at) {
    const auto byte = static_cast<uint8_t>(s_.shift & word_mask());
    s_.shifting = false;
    s_.shift_done = kNever;
    if (s_.transmit.count != 0) load_shift(at);
    if ((s_.mcr & kLoop) == 0) {
      wires_.out.put(byte);
      return;
    }
    if (f_.on(kLoopLeaks)) wires_.out.put(byte);
    if (!f_.on(kLoopDataDropped)) received(byte, 0, at);
  }
  void flush_transmit() {
    if (s_.transmit.count == 0) return;
    s_.transmit.count = 0;
    s_.two_since_empty = false;
    s_.thre_pending = true;
  }

  // Receiver.
  [[nodiscard]] uint8_t word_mask() const {
    return static_cast<uint8_t>(0xFFU >> (8 - word_bits()));
  }
  void received(uint8_t byte, uint8_t errors, Nanos at) {
    auto& fifo = s_.receive;
    byte &= word_mask();
    if (fifo.count < capacity()) {
      fifo.push(byte, errors);
      if (fifo.count == 1 || f_.on(kErrorNotWithCharacter)) reveal(fifo.count - 1U);
    } else {
      s_.lsr_errors |= kOverrun;
      if (!fifos() && !f_.on(kOverrunKeepsOld)) {
        fifo.bytes[fifo.head] = byte;
        fifo.errors[fifo.head] = errors;
        reveal(0);
      } else if (fifos() && f_.on(kOverrunOverwritesFifo)) {
        fifo.bytes[fifo.index(fifo.count - 1U)] = byte;
      }
    }
    if (fifos() && !(f_.on(kTimeoutReceiveNoRestart) && s_.timeout_at != kNever)) {
      restart_timeout(at);
    }
  }
  // A character's errors show when it gets to the top of the FIFO.
  void reveal(unsigned n) {
    auto& errors = s_.receive.errors[s_.receive.index(n)];
    s_.lsr_errors |= errors;
    errors = 0;
  }
  void restart_timeout(Nanos at) {
    const unsigned characters = f_.on(kTimeoutEarly) ? 3 : 4;
    s_.timeout_at = at + half_bits(characters * character_half_bits());
  }
  void flush_receive() {
    s_.receive.count = 0;
    s_.timeout_pending = false;
    s_.timeout_at = kNever;
  }
  uint8_t read_rbr() {
    auto& fifo = s_.receive;
    if (fifo.count != 0) {
      if (f_.on(kReceiveOrderReversed)) {
        std::swap(fifo.bytes[fifo.head], fifo.bytes[fifo.index(fifo.count - 1U)]);
      }
      s_.last_read = fifo.bytes[fifo.head];
      if (!f_.on(kDrKept)) {
        fifo.pop();
        if (fifo.count != 0) reveal(0);
      }
      s_.timeout_pending = false;
      if (fifo.count == 0) {
        s_.timeout_at = kNever;
      } else if (fifos() && !f_.on(kTimeoutReadNoRestart)) {
        restart_timeout(s_.now);
      }
      update();
    }
    return f_.bits(kRbr, s_.last_read);
  }

  // Registers.
  void write_ier(uint8_t value) {
    const bool thre_enabled = (value & ~s_.ier & 2) != 0;
    s_.ier = value;
    if (thre_enabled && s_.transmit.count == 0 && s_.thre_at == kNever && !f_.on(kIerNotAtOnce)) {
      s_.thre_pending = true;
    }
    if (thre_enabled && f_.on(kIerNotAtOnce)) s_.thre_pending = false;
  }
  void write_fcr(uint8_t value) {
    const bool enable = (value & 1) != 0;
    if (enable != fifos()) {
      if (!f_.on(kFcrKeepsData)) {
        flush_receive();
        flush_transmit();
      }
      s_.first_after_fcr0 = enable;
      s_.thre_at = kNever;
    }
    if (enable || f_.on(kFcrWithoutEnable)) {
      if ((value & 2) != 0) flush_receive();
      if ((value & 4) != 0) flush_transmit();
    }
    s_.fcr = enable ? value & 0xC1 : 0;
  }
  uint8_t read_lsr() {
    const bool holding_empty = s_.transmit.count == 0;
    const bool all_empty = holding_empty && !s_.shifting;
    uint8_t value = s_.lsr_errors;
    if (s_.receive.count != 0) value |= kDataReady;
    if (f_.on(kThreLate) ? all_empty : holding_empty) value |= kThre;
    if (f_.on(kTemtEarly) ? holding_empty : all_empty) value |= kTemt;
    if (fifos() && ((value & kCharacterErrors) != 0 || errors_waiting())) value |= kFifoError;
    uint8_t kept = 0;
    if (f_.on(kOeKept)) kept = kOverrun;
    if (f_.on(kPeKept)) kept = kParityError;
    if (f_.on(kFeKept)) kept = kFramingError;
    if (f_.on(kBiKept)) kept = kBreak;
    if ((s_.lsr_errors & ~kept) != 0) {
      s_.lsr_errors &= kept;
      update();
    }
    return f_.bits(kLsr, value);
  }
  [[nodiscard]] bool errors_waiting() const {
    for (unsigned n = 0; n < s_.receive.count; ++n) {
      if (s_.receive.errors[s_.receive.index(n)] != 0) return true;
    }
    return false;
  }
  [[nodiscard]] uint8_t modem() const {
    if ((s_.mcr & kLoop) == 0 || f_.on(kLoopIgnored)) return s_.inputs;
    uint8_t lines = 0;
    if ((s_.mcr & kRts) != 0) lines |= f_.on(kLoopRtsDtrCrossed) ? kDsr : kCts;
    if ((s_.mcr & kDtr) != 0) lines |= f_.on(kLoopRtsDtrCrossed) ? kCts : kDsr;
    if ((s_.mcr & kOut1) != 0) lines |= f_.on(kLoopOutCrossed) ? kDcd : kRi;
    if ((s_.mcr & kOut2) != 0) lines |= f_.on(kLoopOutCrossed) ? kRi : kDcd;
    return lines;
  }
  void modem_changed(uint8_t before) {
    if (f_.on(kDeltaDropped)) return;
    const uint8_t after = modem();
    uint8_t edges = before ^ after;
    if ((after & kRi) != 0 && !f_.on(kTeriBothEdges)) edges &= static_cast<uint8_t>(~kRi);
    s_.msr_delta = static_cast<uint8_t>(s_.msr_delta | edges >> 4);
  }
  uint8_t read_msr() {
    const uint8_t value = modem() | s_.msr_delta;
    uint8_t kept = 0;
    if (f_.on(kDctsKept)) kept = 1;
    if (f_.on(kDdsrKept)) kept = 2;
    if (f_.on(kTeriKept)) kept = 4;
    if (f_.on(kDdcdKept)) kept = 8;
    if ((s_.msr_delta & ~kept) != 0) {
      s_.msr_delta &= kept;
      update();
    }
    return f_.bits(kMsr, value);
  }

  // Interrupts.
  [[nodiscard]] uint8_t source() const {
    if (s_.ier == 0) return kNone;
    const bool line_status = (s_.ier & 4) != 0 && s_.lsr_errors != 0;
    const bool timeout = (s_.ier & 1) != 0 && s_.timeout_pending;
    const bool data = (s_.ier & 1) != 0 && s_.receive.count >= (fifos() ? trigger() : 1);
    const bool thre = (s_.ier & 2) != 0 && s_.thre_pending;
    const bool modem = (s_.ier & 8) != 0 && s_.msr_delta != 0;
    if (f_.on(kPriorityReversed)) {
      if (modem) return kModem;
      if (thre) return kThrEmpty;
    }
    if (f_.on(kThreOverData) && thre && !line_status) return kThrEmpty;
    if (f_.on(kModemOverThre) && thre && modem && !line_status && !data && !timeout) return kModem;
    if (f_.on(kDataOrThre) && thre && data && !line_status) return kData | kThrEmpty;
    const bool line_status_last = f_.on(kPriorityReversed) || f_.on(kLineStatusLast);
    if (line_status && !line_status_last) return kLineStatus;
    if (timeout) return f_.on(kTimeoutAsData) ? kData : kTimeout;
    if (data) return kData;
    if (thre) return kThrEmpty;
    if (modem) return kModem;
    return line_status ? kLineStatus : kNone;
  }
  uint8_t read_iir() {
    const uint8_t id = source();
    if ((id == kThrEmpty && !f_.on(kIirThreKept)) || f_.on(kIirClearsUnseen)) {
      s_.thre_pending = false;
      update();
    }
    return f_.bits(kIir, id | (fifos() ? 0xC0 : 0));
  }
  void update() {
    const bool gate =
        f_.on(kOut2Inverted) ? (s_.mcr & kOut2) == 0 : (s_.mcr & kOut2) != 0 || f_.on(kOut2Ignored);
    const bool line = gate && source() != kNone;
    if (line == s_.line) return;
    s_.line = line;
    wires_.irq.set(line);
  }

  UartWires wires_;
  [[no_unique_address]] Faults f_;
  State s_;
};

template class UartModel<NoFaults>;
template class UartModel<SwitchedFault>;

}  // namespace

Result<std::unique_ptr<Uart>> make_uart(const UartWires& wires, std::string_view fault) {
  return make_device<Uart, UartModel>(table(), wires, fault);
}

}  // namespace ringfence::vmm

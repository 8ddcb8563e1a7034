#include "harness/vmm/devices/board.h"

#include <array>
#include <string>
#include <utility>

#include "harness/vmm/devices/platform.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

constexpr uint32_t kTag = state_tag("BRD ");
constexpr uint16_t kVersion = 1;

using FaultsOf = std::span<const Fault> (*)();
constexpr std::array<FaultsOf, 11> kTables{
    uart_faults, pic_faults,    pit_faults,      i8042_faults, rtc_faults,  pmtimer_faults,
    post_faults, port92_faults, debugcon_faults, exit_faults,  reset_faults};

class BoardModel final : public Board, private ResetWire, private ExitWire {
 public:
  BoardModel(BoardConfig config, const BoardWires& wires) : config_(config), wires_(wires) {}

  Status build() {
    ByteSink& serial = wires_.serial != nullptr ? *wires_.serial : no_sink_;
    ByteSink& debug = wires_.debug != nullptr ? *wires_.debug : no_sink_;
    Line& intr = wires_.intr != nullptr ? *wires_.intr : no_line_;
    if (auto made = take(pic_, make_pic({intr}, fault("pic"))); !made) return made;
    if (auto made = take(uart_, make_uart({input(4), serial, 0x3F8}, fault("uart"))); !made) {
      return made;
    }
    if (auto made = take(pit_, make_pit({pic_->input(0)}, fault("pit"))); !made) return made;
    if (auto made =
            take(i8042_, make_i8042({input(1), input(12), a20_kbc_, *this}, fault("i8042")));
        !made) {
      return made;
    }
    if (auto made = take(rtc_, make_rtc({input(8), config_.start}, fault("rtc"))); !made) {
      return made;
    }
    if (auto made = small(make_pmtimer({config_.pmtimer_bits, 0x608}, fault("pmtimer"))); !made) {
      return made;
    }
    if (auto made = small(make_post({}, fault("post"))); !made) return made;
    post_ = small_.back().get();
    if (auto made = small(make_port92({a20_92_, *this}, fault("port92"))); !made) return made;
    if (auto made = small(make_debugcon({debug}, fault("debugcon"))); !made) return made;
    if (auto made = small(make_exit({*this}, fault("exit"))); !made) return made;
    if (auto made = small(make_reset({*this}, fault("reset"))); !made) return made;
    return {};
  }

  Bus& bus() override { return bus_; }
  Pic& pic() override { return *pic_; }
  Pit& pit() override { return *pit_; }
  Uart& uart() override { return *uart_; }
  I8042& i8042() override { return *i8042_; }
  Rtc& rtc() override { return *rtc_; }

  uint32_t read(uint16_t port, unsigned width, Nanos now) override {
    return bus_.read(port, width, now);
  }
  void write(uint16_t port, unsigned width, uint32_t value, Nanos now) override {
    bus_.write(port, width, value, now);
  }
  void advance(Nanos now) override { bus_.advance(now); }
  [[nodiscard]] std::optional<Nanos> next_event() const override { return bus_.next_event(); }
  uint8_t acknowledge(Nanos now) override {
    bus_.advance(now);
    return pic_->acknowledge(now);
  }

  [[nodiscard]] bool intr() const override { return pic_->intr(); }
  [[nodiscard]] bool a20() const override { return a20_kbc_.level || a20_92_.level; }
  std::optional<ResetRequest> take_reset() override { return std::exchange(reset_, std::nullopt); }
  [[nodiscard]] std::optional<uint32_t> exit_code() const override { return exit_; }
  [[nodiscard]] bool quiet() const override {
    return !reset_ && !exit_ && (a20_kbc_.level || a20_92_.level);
  }
  [[nodiscard]] uint8_t post_code() const override {
    uint32_t value = 0;
    (void)post_->read(0x80, 1, value, 0);  // a register without side effects
    return static_cast<uint8_t>(value);
  }

  void set_input(unsigned input, bool level) override {
    pic_->set_irq(input, level);
    if (Line* other = wires_.inputs.at(input)) other->set(level);
  }
  void serial_in(uint8_t byte, Nanos now) override {
    uart_->receive(byte, now);
    bus_.touched();
  }
  void keys(std::span<const uint8_t> scan_codes, Nanos now) override {
    i8042_->keys(scan_codes, now);
    bus_.touched();
  }
  void drain() override { uart_->drain(); }

  void reset() override {
    for (auto* device : bus_.devices()) device->reset();
    reset_.reset();
    exit_.reset();
    bus_.touched();
  }

  [[nodiscard]] std::vector<uint8_t> save() const override {
    StateWriter writer;
    auto tag = kTag;
    auto version = kVersion;
    writer.value(tag);
    writer.value(version);
    bool ended = exit_.has_value();
    uint32_t code = exit_.value_or(0);
    writer.value(ended);
    writer.value(code);
    auto bytes = writer.take();
    for (const auto* device : bus_.devices()) {
      const auto state = device->save();
      bytes.push_back(static_cast<uint8_t>(state.size()));
      bytes.push_back(static_cast<uint8_t>(state.size() >> 8));
      bytes.insert(bytes.end(), state.begin(), state.end());
    }
    return bytes;
  }

  Status restore(std::span<const uint8_t> state) override {
    constexpr size_t kHeader = 4 + 2 + 1 + 4;
    uint32_t tag = 0;
    uint16_t version = 0;
    bool ended = false;
    uint32_t code = 0;
    StateReader header(state.first(std::min(state.size(), kHeader)));
    header.value(tag);
    header.value(version);
    header.value(ended);
    header.value(code);
    const auto refused = [](const char* why) {
      return system_error("restore state", "board", EINVAL, why);
    };
    if (!header.complete() || tag != kTag || version != kVersion) {
      return refused("not a state of a board, or of another version");
    }
    std::vector<std::span<const uint8_t>> parts;
    state = state.subspan(kHeader);
    while (state.size() >= 2 && parts.size() < bus_.devices().size()) {
      const size_t size = state[0] | state[1] << 8;
      if (state.size() - 2 < size) break;
      parts.push_back(state.subspan(2, size));
      state = state.subspan(2 + size);
    }
    if (parts.size() != bus_.devices().size() || !state.empty()) {
      return refused("cut off, or too long");
    }
    // The PIC is the last device: it takes no notice of what the others' lines do meanwhile.
    const auto devices = bus_.devices();
    std::vector<std::vector<uint8_t>> before;
    for (const auto* device : devices) before.push_back(device->save());
    for (size_t n = 0; n < devices.size(); ++n) {
      if (auto done = devices[n]->restore(parts[n]); !done) {
        // What every device wrote itself a moment ago, it takes; the PIC last again.
        for (size_t back = 0; back < devices.size(); ++back) {
          (void)devices[back]->restore(before[back]);
        }
        return done;
      }
    }
    exit_ = ended ? std::optional(code) : std::nullopt;
    reset_.reset();
    bus_.touched();
    return {};
  }

  Status connect() {
    for (Device* device :
         std::initializer_list<Device*>{uart_.get(), pit_.get(), i8042_.get(), rtc_.get()}) {
      if (auto added = bus_.add(*device); !added) return added;
    }
    for (const auto& device : small_) {
      if (auto added = bus_.add(*device); !added) return added;
    }
    return bus_.add(*pic_);
  }

 private:
  struct A20Input final : Line {
    explicit A20Input(BoardModel& to, bool first) : board(to), level(first) {}
    void set(bool high) override {
      const bool before = board.a20();
      level = high;
      if (board.a20() != before && board.wires_.a20 != nullptr) {
        board.wires_.a20->set(board.a20());
      }
    }
    BoardModel& board;
    bool level;
  };

  // Both the board's own controllers and whoever else listens.
  struct Input final : Line {
    void set(bool level) override { board->set_input(number, level); }
    BoardModel* board = nullptr;
    unsigned number = 0;
  };
  Line& input(unsigned number) {
    if (wires_.inputs.at(number) == nullptr) return pic_->input(number);
    Input& to = inputs_.at(number);
    to.board = this;
    to.number = number;
    return to;
  }

  [[nodiscard]] std::string_view fault(std::string_view device) const {
    const auto id = config_.fault;
    const bool its = id.size() > device.size() && id.substr(0, device.size()) == device &&
                     id[device.size()] == '.';
    return its ? id : std::string_view{};
  }
  template <typename To, typename Made>
  static Status take(To& to, Made made) {
    if (!made) return tl::unexpected(made.error());
    to = std::move(*made);
    return {};
  }
  Status small(Result<std::unique_ptr<Device>> made) {
    return take(small_.emplace_back(), std::move(made));
  }

  void request(ResetKind kind, std::string_view device) override {
    if (!reset_) reset_ = ResetRequest{kind, device};
  }
  void exit(uint32_t code) override {
    if (!exit_) exit_ = code;
  }

  BoardConfig config_;
  BoardWires wires_;
  OpenLine no_line_;
  NullSink no_sink_;
  std::array<Input, 16> inputs_{};
  A20Input a20_kbc_{*this, true};
  A20Input a20_92_{*this, false};
  std::optional<ResetRequest> reset_;
  std::optional<uint32_t> exit_;
  std::unique_ptr<Pic> pic_;
  std::unique_ptr<Uart> uart_;
  std::unique_ptr<Pit> pit_;
  std::unique_ptr<I8042> i8042_;
  std::unique_ptr<Rtc> rtc_;
  std::vector<std::unique_ptr<Device>> small_;
  Device* post_ = nullptr;
  Bus bus_;
};

}  // namespace

Result<std::unique_ptr<Board>> Board::make(const BoardConfig& config, const BoardWires& wires) {
  if (!config.fault.empty()) {
    bool known = false;
    for (const auto table : kTables) {
      const auto first = table().front().id;
      const auto device = first.substr(0, first.find('.') + 1);
      known = known || config.fault.substr(0, device.size()) == device;
    }
    if (!known) {
      return usage_error("seeded fault", std::string(config.fault),
                         "an id begins with the name of a device and a dot");
    }
  }
  auto board = std::make_unique<BoardModel>(config, wires);
  if (auto built = board->build(); !built) return tl::unexpected(built.error());
  if (auto connected = board->connect(); !connected) return tl::unexpected(connected.error());
  return board;
}

std::vector<Fault> all_faults() {
  std::vector<Fault> all;
  for (const auto table : kTables) all.insert(all.end(), table().begin(), table().end());
  return all;
}

}  // namespace ringfence::vmm

#include "harness/vmm/board_platform.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "harness/vmm/devices/board.h"

namespace ringfence::vmm {
namespace {

struct Bytes final : ByteSink {
  void put(uint8_t byte) override { bytes.push_back(byte); }
  std::vector<uint8_t> bytes;
};

// Notes of the last access who answered, and whether it is defined.
struct Last final : BusObserver {
  void access(const Access& access) override {
    // Devices are named by literals.
    device = access.device != nullptr ? access.device->name().data() : "";
    defined = access.defined;
  }
  const char* device = "";
  bool defined = false;
};

class BoardPlatform final : public Platform {
 public:
  Status make(std::string_view fault, std::vector<Input> inputs, bool note_inputs) {
    BoardConfig config;
    config.fault = fault;
    BoardWires wires;
    wires.serial = &serial_;
    wires.debug = &debug_;
    for (unsigned n = 1; note_inputs && n < wires.inputs.size(); ++n) {
      noted_.at(n).changes = &changes_;
      noted_.at(n).number = static_cast<uint8_t>(n);
      wires.inputs.at(n) = &noted_.at(n);
    }
    auto board = Board::make(config, wires);
    if (!board) return tl::unexpected(board.error());
    board_ = std::move(*board);
    board_->bus().observe(&last_);
    inputs_ = std::move(inputs);
    take(0);
    return {};
  }

  Access in(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    take(now);
    value = board_->read(port, width, now);
    return {last_.device, last_.defined, silent()};
  }
  Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) override {
    take(now);
    board_->write(port, width, value, now);
    return {last_.device, last_.defined, silent()};
  }
  void advance(Nanos now) override {
    take(now);
    board_->advance(now);
  }
  [[nodiscard]] std::optional<Nanos> next_event() const override {
    const auto event = board_->next_event();
    if (taken_ == inputs_.size()) return event;
    return std::min(event.value_or(inputs_[taken_].at), inputs_[taken_].at);
  }
  [[nodiscard]] bool intr() const override { return board_->intr(); }
  uint8_t acknowledge(Nanos now) override { return board_->acknowledge(now); }
  std::vector<InputChange> take_inputs() override { return std::exchange(changes_, {}); }
  [[nodiscard]] bool a20() const override { return board_->a20(); }
  // A reset of the whole machine resets the devices, one of the CPU does not.
  bool take_reset() override {
    const auto request = board_->take_reset();
    if (!request) return false;
    if (request->kind != ResetKind::cpu) board_->reset();
    return true;
  }
  [[nodiscard]] std::optional<uint32_t> exit_code() const override { return board_->exit_code(); }
  std::vector<uint8_t> take_debug() override { return std::exchange(debug_.bytes, {}); }
  std::vector<uint8_t> take_serial() override { return std::exchange(serial_.bytes, {}); }
  void serial_input(std::span<const uint8_t> bytes, Nanos now) override {
    for (const uint8_t byte : bytes) board_->serial_in(byte, now);
  }
  void finish() override { board_->drain(); }
  void reset() override { board_->reset(); }
  // The board's, and how many of the inputs have come.
  [[nodiscard]] std::vector<uint8_t> save() const override {
    std::vector<uint8_t> state(sizeof taken_);
    std::memcpy(state.data(), &taken_, sizeof taken_);
    const auto board = board_->save();
    state.insert(state.end(), board.begin(), board.end());
    return state;
  }
  Status restore(std::span<const uint8_t> state) override {
    size_t taken = 0;
    if (state.size() < sizeof taken) return usage_error("restore board", {}, "not its state");
    std::memcpy(&taken, state.data(), sizeof taken);
    if (taken > inputs_.size()) return usage_error("restore board", {}, "not its state");
    if (auto ok = board_->restore(state.subspan(sizeof taken)); !ok) return ok;
    taken_ = taken;
    serial_.bytes.clear();
    debug_.bytes.clear();
    return {};
  }

 private:
  [[nodiscard]] bool silent() const {
    return debug_.bytes.empty() && serial_.bytes.empty() && board_->quiet();
  }
  void take(Nanos now) {
    for (; taken_ < inputs_.size() && inputs_[taken_].at <= now; ++taken_) {
      const Input& input = inputs_[taken_];
      board_->advance(input.at);
      switch (input.kind) {
        case Input::Kind::key:
          board_->keys(std::span(&input.value, 1), input.at);
          break;
        case Input::Kind::serial:
          board_->uart().receive(input.value, input.at, input.errors);
          board_->bus().touched();
          break;
        case Input::Kind::line:
          board_->set_input(input.value, true);
          break;
      }
    }
  }

  struct Noted final : Line {
    void set(bool level) override { changes->push_back({number, level}); }
    std::vector<InputChange>* changes = nullptr;
    uint8_t number = 0;
  };
  Bytes serial_;
  Bytes debug_;
  std::vector<InputChange> changes_;
  std::array<Noted, 16> noted_{};
  Last last_;
  std::vector<Input> inputs_;
  size_t taken_ = 0;
  std::unique_ptr<Board> board_;  // goes first: it has the wires
};

}  // namespace

Result<std::unique_ptr<Platform>> make_board_platform(std::string_view fault,
                                                      std::vector<Input> inputs, bool note_inputs) {
  auto platform = std::make_unique<BoardPlatform>();
  if (auto ok = platform->make(fault, std::move(inputs), note_inputs); !ok)
    return tl::unexpected(ok.error());
  return platform;
}

}  // namespace ringfence::vmm

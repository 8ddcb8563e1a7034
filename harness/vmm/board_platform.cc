#include "harness/vmm/board_platform.h"

#include <algorithm>
#include <cstring>

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
    device = access.device != nullptr ? access.device->name() : std::string_view();
    defined = access.defined;
  }
  std::string_view device;
  bool defined = false;
};

class BoardPlatform final : public Platform {
 public:
  Status make(std::string_view fault, std::vector<OutsideEvent> events) {
    events_ = std::move(events);
    std::stable_sort(events_.begin(), events_.end(),
                     [](const OutsideEvent& a, const OutsideEvent& b) { return a.at < b.at; });
    BoardConfig config;
    config.fault = fault;
    BoardWires wires;
    wires.serial = &serial_;
    wires.debug = &debug_;
    auto board = Board::make(config, wires);
    if (!board) return tl::unexpected(board.error());
    board_ = std::move(*board);
    board_->bus().observe(&last_);
    return {};
  }

  Access in(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    value = board_->read(port, width, now);
    return {last_.device, last_.defined};
  }
  Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) override {
    board_->write(port, width, value, now);
    return {last_.device, last_.defined};
  }
  void advance(Nanos now) override {
    for (; taken_ < events_.size() && events_[taken_].at <= now; ++taken_) deliver(events_[taken_]);
    board_->advance(now);
  }
  [[nodiscard]] std::optional<Nanos> next_event() const override {
    const auto next = board_->next_event();
    if (taken_ == events_.size()) return next;
    return std::min(next.value_or(events_[taken_].at), events_[taken_].at);
  }
  [[nodiscard]] bool intr() const override { return board_->intr(); }
  uint8_t acknowledge(Nanos now) override { return board_->acknowledge(now); }
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
  // The board's state behind the number of events that have come.
  [[nodiscard]] std::vector<uint8_t> save() const override {
    std::vector<uint8_t> state(sizeof taken_);
    std::memcpy(state.data(), &taken_, sizeof taken_);
    const auto board = board_->save();
    state.insert(state.end(), board.begin(), board.end());
    return state;
  }
  Status restore(std::span<const uint8_t> state) override {
    size_t taken = 0;
    if (state.size() < sizeof taken) return system_error("restore board", "its state", EINVAL);
    std::memcpy(&taken, state.data(), sizeof taken);
    if (taken > events_.size()) return system_error("restore board", "its state", EINVAL);
    if (auto ok = board_->restore(state.subspan(sizeof taken)); !ok) return ok;
    taken_ = taken;
    serial_.bytes.clear();
    debug_.bytes.clear();
    return {};
  }

 private:
  void deliver(const OutsideEvent& event) {
    board_->advance(event.at);
    switch (event.kind) {
      case OutsideEvent::Kind::key:
        board_->keys(std::span(&event.value, 1), event.at);
        break;
      case OutsideEvent::Kind::serial:
        board_->uart().receive(event.value, event.at, event.errors);
        board_->bus().touched();
        break;
      case OutsideEvent::Kind::line:
        board_->pic().set_irq(event.value, true);
        break;
    }
  }

  std::vector<OutsideEvent> events_;
  size_t taken_ = 0;
  Bytes serial_;
  Bytes debug_;
  Last last_;
  std::unique_ptr<Board> board_;  // goes first: it has the wires
};

}  // namespace

Result<std::unique_ptr<Platform>> make_board_platform(std::string_view fault,
                                                      std::vector<OutsideEvent> events) {
  auto platform = std::make_unique<BoardPlatform>();
  if (auto ok = platform->make(fault, std::move(events)); !ok) return tl::unexpected(ok.error());
  return platform;
}

}  // namespace ringfence::vmm

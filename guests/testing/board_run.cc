#include "guests/testing/board_run.h"

#include <algorithm>
#include <utility>

#include "harness/vmm/devices/board.h"

namespace ringfence::vmm {
namespace {

struct Bytes final : ByteSink {
  void put(uint8_t byte) override { bytes.push_back(byte); }
  std::vector<uint8_t> bytes;
};

class TypedBoard final : public Platform {
 public:
  Status make(const BoardRunOptions& options) {
    BoardConfig config;
    config.fault = options.fault;
    BoardWires wires;
    wires.serial = &serial_;
    wires.debug = &debug_;
    auto board = Board::make(config, wires);
    if (!board) return tl::unexpected(board.error());
    board_ = std::move(*board);
    if (!options.keys.empty()) board_->keys(options.keys, 0);
    return {};
  }

  Access in(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    value = board_->read(port, width, now);
    return {"board", true};
  }
  Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) override {
    board_->write(port, width, value, now);
    return {"board", true};
  }
  void advance(Nanos now) override { board_->advance(now); }
  [[nodiscard]] std::optional<Nanos> next_event() const override { return board_->next_event(); }
  [[nodiscard]] bool intr() const override { return board_->intr(); }
  uint8_t acknowledge(Nanos now) override { return board_->acknowledge(now); }
  [[nodiscard]] bool a20() const override { return board_->a20(); }
  bool take_reset() override {
    const auto request = board_->take_reset();
    if (!request) return false;
    if (request->kind != ResetKind::cpu) board_->reset();
    return true;
  }
  [[nodiscard]] std::optional<uint32_t> exit_code() const override { return board_->exit_code(); }
  std::vector<uint8_t> take_debug() override { return std::exchange(debug_.bytes, {}); }
  std::vector<uint8_t> take_serial() override { return std::exchange(serial_.bytes, {}); }
  void reset() override { board_->reset(); }
  [[nodiscard]] std::vector<uint8_t> save() const override { return board_->save(); }
  Status restore(std::span<const uint8_t> state) override { return board_->restore(state); }

 private:
  Bytes serial_;
  Bytes debug_;
  std::unique_ptr<Board> board_;  // goes first: it has the sinks
};

}  // namespace

bool BoardRun::whole() const {
  if (!report.ended || end.kind != End::Kind::exited) return false;
  return (end.code != 0) == std::ranges::any_of(report.lines, [](const GuestLine& line) {
           return line.kind == GuestLine::Kind::failed;
         });
}
bool BoardRun::held(std::string_view clause) const {
  return std::ranges::any_of(report.lines, [&](const GuestLine& line) {
    return line.kind == GuestLine::Kind::held && line.name == clause;
  });
}
bool BoardRun::failed(std::string_view clause) const {
  return std::ranges::any_of(report.lines, [&](const GuestLine& line) {
    return line.kind == GuestLine::Kind::failed && line.name == clause;
  });
}

Result<BoardRun> run_on_board(const Kvm& kvm, const Guest& guest, const BoardRunOptions& options) {
  auto board = std::make_unique<TypedBoard>();
  if (auto made = board->make(options); !made) return tl::unexpected(made.error());
  const bool firmware = options.machine.form == Form::firmware;
  auto machine = Machine::create(kvm, firmware ? guest.firmware : guest.flat, std::move(board),
                                 options.machine);
  if (!machine) return tl::unexpected(machine.error());
  BoardRun run;
  run.end = (*machine)->run();
  if (run.end.kind == End::Kind::failed && run.end.error) return tl::unexpected(*run.end.error);
  run.said = (*machine)->debug_text();
  run.report = parse_guest_report(run.said);
  run.exits = (*machine)->exit_count();
  return run;
}

}  // namespace ringfence::vmm

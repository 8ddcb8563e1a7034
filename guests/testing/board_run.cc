#include "guests/testing/board_run.h"

#include <algorithm>
#include <utility>

#include "harness/vmm/board_platform.h"

namespace ringfence::vmm {

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
  auto board = make_board_platform(options.fault, options.inputs);
  if (!board) return tl::unexpected(board.error());
  const bool firmware = options.machine.form == Form::firmware;
  auto machine = Machine::create(kvm, firmware ? guest.firmware : guest.flat, std::move(*board),
                                 options.machine);
  if (!machine) return tl::unexpected(machine.error());
  BoardRun run;
  run.end = (*machine)->run();
  if (run.end.kind == End::Kind::failed && run.end.error) return tl::unexpected(*run.end.error);
  run.said = (*machine)->debug_text();
  run.serial = (*machine)->serial_text();
  run.report = parse_guest_report(run.said);
  run.exits = (*machine)->exit_count();
  return run;
}

}  // namespace ringfence::vmm

#pragma once
// Runs a guest on the standard board in the mini-VMM, clean or with one seeded fault, under stepped
// time. For the tests of the guests.
#include <string>
#include <string_view>
#include <vector>

#include "guests/guests.h"
#include "harness/vmm/machine.h"

namespace ringfence::vmm {

struct BoardRun {
  End end;
  GuestReport report;
  std::string said;    // as it came
  std::string serial;  // what it sent on COM1
  uint64_t exits = 0;

  // The guest came to its end, and the exit code is the one of its last line.
  [[nodiscard]] bool whole() const;
  // Whether some expectation of the clause held, and whether some did not.
  [[nodiscard]] bool held(std::string_view clause) const;
  [[nodiscard]] bool failed(std::string_view clause) const;
};

struct BoardRunOptions {
  std::string_view fault = {};
  std::vector<Input> inputs = {};  // in the order of time
  MachineOptions machine = {};
};

Result<BoardRun> run_on_board(const Kvm& kvm, const Guest& guest, const BoardRunOptions& options);

}  // namespace ringfence::vmm

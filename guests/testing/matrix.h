#pragma once
// The mutation matrix: every seeded fault of every device against the guests that judge it.
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "guests/testing/board_run.h"
#include "guests/testing/device_table.h"

namespace ringfence::vmm {

// What one guest says of one board.
struct Sight {
  std::set<std::string> held, failed, not_judged;  // clauses
  bool whole = false;                              // BoardRun::whole()
  std::string end;                                 // in words
};

class Matrix {
 public:
  Matrix(const Kvm& kvm, const DeviceTable& table) : kvm_(kvm), table_(table) {}

  // The guest on the board with the fault (empty: clean), as its clauses want it run: with keys
  // typed, or in real time with the TSC's rate in CPUID.
  Result<Sight> look(const std::string& guest, const std::string& fault) const;
  // The guests that judge the device of a fault, in the table's order.
  [[nodiscard]] std::vector<std::string> judges(const std::string& fault) const;
  [[nodiscard]] std::vector<std::string> guests() const;

 private:
  const Kvm& kvm_;
  const DeviceTable& table_;
};

// What is wrong with the table; empty: nothing. On the clean board: clauses that do not hold, that
// are not reported, or reported and not in the table; guests that do not end.
std::vector<std::string> check_clean(const Matrix& matrix, const DeviceTable& table);
// With the faults: listed ones that are not seen, clauses without any, faults of the devices that
// are nowhere, survivors that are seen. `score` in percent: of all faults, those that are listed
// and seen.
std::vector<std::string> check_faults(const Matrix& matrix, const DeviceTable& table,
                                      const std::vector<std::string>& faults, double& score);
// The table with what the matrix says: each fault at the clause that fewest others turn red, and
// every clause with one at least. Reasons of survivors are kept, new ones have none.
DeviceTable fill(const Matrix& matrix, const DeviceTable& table,
                 const std::vector<std::string>& faults);

// Runs jobs on all processors; the first error of each is kept in order.
void in_parallel(size_t jobs, const std::function<void(size_t)>& job);

}  // namespace ringfence::vmm

#pragma once
// The counters of a target's ports (witness/port.h) in one trial, in the words of the judge.
#include <optional>
#include <string>

#include "harness/judge/trial.h"
#include "harness/spawn/plan.h"
#include "harness/witness/port.h"

namespace ringfence {

class PortWatch {
 public:
  // Never fails: where there can be no such program, collect() says so.
  static PortWatch begin();
  // For SpawnRequest::port_program; -1 where there is none.
  [[nodiscard]] int program() const { return port_ ? port_->program() : -1; }
  // After the target's end: KernelFacts::port, and a line of evidence. What should have been
  // counted and was not is lost, so that it proves no absence.
  void collect(const Plan& plan, TrialOutcome& outcome) const;

 private:
  std::optional<Port> port_;
  std::string absent_;
};

}  // namespace ringfence

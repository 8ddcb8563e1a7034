#pragma once
// RunExtras: what a run has beside the eBPF witness because a case or the user asks for it: users'
// probes, the brackets of the inmate's image, the clock of time on CPU, KVM's exits. Each is
// attached once for the run, before its first trial, and detached after its last.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/case.h"
#include "harness/runner/runner.h"
#include "harness/witness/bracket.h"
#include "harness/witness/cpu_clock.h"
#include "harness/witness/kvm_exits.h"
#include "harness/witness/probe.h"

namespace ringfence {

struct RunExtras {
  std::optional<Probes> probes;
  std::optional<Bracket> bracket;
  std::optional<CpuClock> clock;
  std::optional<KvmExits> kvm_exits;
  std::vector<std::string> notes;  // what could not be had, and why

  // A probe that cannot be had is an error; without the others the run goes on.
  static Result<RunExtras> open(const Witness& witness, const RunOptions& options,
                                std::span<const Case* const> cases, int inmate_fd);
};

}  // namespace ringfence

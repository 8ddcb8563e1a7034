#pragma once
// TrialOutcome: everything that is known after one execution of an attempt. Filled by the runner
// from what the decoy host saw and from what the inmate said; the two are kept apart.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/judge/case.h"
#include "harness/judge/result.h"
#include "harness/witness/facts.h"

namespace ringfence {

// The inmate's own word.
struct Claim {
  enum class Kind : uint8_t { none, achieved, denied, unable };
  Kind kind = Kind::none;
  int err = 0;
  [[nodiscard]] std::string describe() const;  // "achieved", "denied EPERM", "nothing"
};

// A deciding syscall, as the inmate reports it.
struct CallClaim {
  uint32_t nr = 0;
  int64_t ret = 0;
  std::array<uint64_t, 6> args{};
};

// Whether the harness saw something, with its own eyes, and in which words.
struct Seen {
  Goal goal;
  bool yes = false;
  std::string says;     // "pid 3 is gone", "CapEff lacks CAP_SYS_ADMIN"
  std::string witness;  // canary, proc, cgroup, wait
};

struct TrialOutcome {
  // How far it got.
  enum class Stage : uint8_t { none, decoy_ready, spawned, began, inspected, ended };
  Stage stage = Stage::none;
  std::string error;        // why the harness could not go on; empty when it could
  std::string error_word;   // decoy_failed, spawn_failed, timeout, cgroup_failed
  std::string failed_step;  // the key of the step that failed in spawn
  Layer failed_layer;
  int failed_errno = 0;

  bool exited = false;
  bool signaled = false;
  int exit_code = 0;  // or the signal
  Claim claim;
  std::vector<CallClaim> calls;
  Seen goal;
  std::vector<Seen> proofs;
  // Layers that stood around the inspected process, as seen from outside: namespaces that are not
  // the decoy host's, a root of its own, a filter.
  std::vector<Layer> in_force;
  uint64_t cap_effective = 0;  // of the inspected process, when there was an inspection
  uint64_t lost = 0;           // messages or evidence that had no room
  uint64_t messages = 0;       // answers that arrived
  int counted_ports = 0;       // outer ends of the target's veths that the program of a port has
  KernelFacts kernel;          // what the eBPF witness saw, filled when the target is gone
  std::vector<EvidenceLine> evidence;
  int64_t began_ns = 0;  // CLOCK_MONOTONIC: the zero of the evidence's times; 0: it never began
  int64_t duration_ns = 0;
  int64_t lived_ns = 0;  // of it, from the start of the target's program to its end
};

}  // namespace ringfence

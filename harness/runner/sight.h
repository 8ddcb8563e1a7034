#pragma once
// What the decoy host sees of a target's process in /proc, from outside the target.
// Source: proc(5), namespaces(7), ioctl_ns(2), pidfd_getfd(2) (Linux 5.6).
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/judge/case.h"
#include "harness/judge/trial.h"

namespace ringfence {

struct Inspection {
  int pid = 0;                            // the process that waits to be inspected
  std::vector<int> not_targets;           // pids that are the decoy host's own: init and canaries
  bool planned_userns = false;            // the policy makes a user namespace
  std::vector<std::string> secrets_read;  // S messages so far
  std::map<std::string, int> canaries{};  // pids of the process canaries by their kind
  std::string group{};                    // the name of its v2 group; empty: it has none
};

// The answer for a goal that concerns the inspected process; nothing for a goal of another kind.
std::optional<Seen> look_at_process(const Goal& goal, const Inspection& at);

// The errors that are answers to the question of this sight (ENOENT: it is not there); any other
// means that the look failed.
std::span<const int> answers_for(Sight sight);

// Pids in this /proc, other than `not_targets`.
std::vector<int> target_pids(const std::vector<int>& not_targets);

// The text of a line such as "CapBnd" of /proc/PID/status (0: of this process), empty when there is
// none.
std::string status_field(int pid, std::string_view name);

// The layers that stand around a process, as far as /proc shows them from outside: ns.*,
// mount.root, seccomp, no_new_privs.
std::vector<Layer> layers_in_force(int pid);

// CapEff of a process, 0 when it cannot be read.
uint64_t effective_caps(int pid);

}  // namespace ringfence

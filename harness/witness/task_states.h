#pragma once
// The tasks of a trial's group as they are at one moment, by the kernel's own list (an eBPF
// iterator) and not by /proc; and whether what the policy keeps apart is still apart.
//
// Needs a Witness with the hook "tasks" (Linux 5.8). A reader sees those of its own pid namespace
// and of those below it: a task that went up from there shows only to a reader above.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/policy/policy.h"

struct rf_task;

namespace ringfence {

struct TaskState {
  uint32_t tgid = 0, tid = 0;  // in the initial pid namespace
  uint32_t here = 0;           // tid as the reader knows it, 0: it does not
  uint32_t uid = 0, gid = 0;   // in the initial user namespace
  uint32_t user_level = 0;     // user namespaces above its own
  uint32_t seccomp = 0;        // SECCOMP_MODE_*
  bool no_new_privs = false;
  uint64_t cap_effective = 0, cap_permitted = 0, cap_bounding = 0;
  uint64_t cgroup = 0;
  // Inodes, by Ns; 0: the kernel has no such namespace. The one that it is in itself.
  std::array<uint32_t, kAllNs.size()> ns{};
  std::string comm;
  [[nodiscard]] uint32_t in(Ns kind) const { return ns[static_cast<size_t>(kind)]; }
  // "task 7 (inmate)"
  [[nodiscard]] std::string name() const;
  friend bool operator==(const TaskState&, const TaskState&) = default;
};

TaskState state_of(const rf_task& task);

// One look: the reader itself, and the tasks of the trial.
struct TaskStates {
  TaskState reader;
  std::vector<TaskState> tasks;
};

// What a policy keeps apart from the harness.
struct Separation {
  std::vector<Ns> apart;       // namespaces that it makes
  std::optional<CapSet> caps;  // all that a target may ever hold; nothing: any
  bool user = false;           // it makes a user namespace, whose capabilities count, too
  static Separation of(const Policy& policy);
};

// A task that is not apart from the harness any more.
struct Stray {
  Layer layer;
  std::string says;  // "task 7 (inmate) is in the host's ns.uts"
};

// The first of the tasks that is in a namespace of one of `hosts` although the policy made a new
// one, or that holds a capability which the policy grants to none, in a user namespace where the
// policy counts: the harness's own or the policy's, not one that the task made below it.
std::optional<Stray> find_stray(std::span<const TaskState> tasks, std::span<const TaskState> hosts,
                                const Separation& apart);

// The tasks of the trial that the iterator (a link) lists, as far as the caller's pid namespace
// shows them, and the caller itself.
Result<TaskStates> read_tasks(int iterator_fd, uint64_t trial);

// What /proc says of a process, next to its state: nothing when the two agree, otherwise what does
// not ("the kernel has ns.uts 4026531838, /proc has 4026532000"). A text that is empty or of
// another form is no number, and disagrees.
struct ProcView {
  std::array<std::string, kAllNs.size()> ns;  // links: "uts:[4026531838]"
  std::string cap_effective, cap_bounding;    // hexadecimal
  std::string no_new_privs, seccomp;
};
std::optional<std::string> disagreement(const TaskState& state, const ProcView& proc);

}  // namespace ringfence

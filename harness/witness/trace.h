#pragma once
// Tracer: the denied operations of processes, each with the layer that denied it, as they happen.
//
// What is watched ("scope") has to be right from the first instruction, and to stay right when a
// container runtime moves what it starts to a group of its own. So it is the process tree, which
// the kernel's fork hook extends, and not a cgroup:
//   children   this process puts itself into the scope before it starts the command, whose first
//              instruction is then watched because it was forked from a watched process. What this
//              process does itself is left out. No group is made, so the command sees the world
//              that it would see without the tracer.
//   process    the process, and its present descendants, found by walking /proc/PID/task/*/children
//              until a walk finds nobody new; each is in the scope before its children are read.
//   container  the pid namespace of its init, since what is started in it later (exec) is no child
//              of that init; the process tree as well; and the v2 group where init has no pid
//              namespace of its own, and the group is named after the container.
// A task that was in a syscall when it came into the scope ends that call without a beginning: it
// gives no denial, and is not counted as a loss, once for each task that was there.
//
// Needs a Witness. A process is named by pid, and the kernel's hooks know those of the initial pid
// namespace only: `process` is `unsupported` in any other; `children` finds its own number there.
//
// Sources: proc(5), pid_namespaces(7), seccomp(2).
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/witness/attribution.h"
#include "harness/witness/container.h"
#include "harness/witness/witness.h"

namespace ringfence {

// One operation that failed.
struct Denial {
  int64_t at_ns = 0;      // CLOCK_MONOTONIC
  int tgid = 0, tid = 0;  // in the initial pid namespace
  uint32_t uid = 0;       // of the task then, in the initial user namespace
  std::string comm;       // of the task then; any bytes
  std::string call;       // "chroot"
  std::string operation;  // `chroot("/tmp")`; any bytes
  std::string path;       // that it was given, if any; any bytes
  std::string result;     // "EPERM", "SIGSYS", "0"
  Attribution decided;
  // Something refused it. Otherwise it failed for a reason of its own (ENOENT, EAGAIN, ...).
  bool refused = true;
};

// Events to denials. Pure but for what `noise` knows.
class DenialReader {
 public:
  using Noise = std::function<uint64_t(uint32_t nr, bool compat)>;
  explicit DenialReader(Noise noise) : noise_(std::move(noise)) {}
  // Nothing for an event that is no failed operation.
  std::optional<Denial> read(const rf_event& event, size_t size, const Surroundings& around);

 private:
  Noise noise_;
  // A filter that kills or traps: the signal is told of first, then the end of the same call.
  std::map<int, CallRecord> by_signal_;
};

// What has been seen, in groups of one kind: repeated ones are told of once.
class DenialLog {
 public:
  struct Group {
    Denial first;
    uint64_t count = 0;
  };
  struct Total {  // of one layer
    Layer layer;
    uint64_t count = 0;
    // Calls by their count, most first: {"chroot", 3}.
    std::vector<std::pair<std::string, uint64_t>> calls;
  };
  // True when nothing like it was seen before: the same task's name, operation, result and layer.
  // Past `kGroupsMax` groups, operations differ by their call alone, so that a target which makes
  // up names fills no memory.
  bool add(const Denial& denial);
  // In the order of their first.
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  // Most first, and what is unattributed last.
  [[nodiscard]] std::vector<Total> totals() const;
  [[nodiscard]] uint64_t count() const { return count_; }
  static constexpr size_t kGroupsMax = 4096;

 private:
  std::map<std::string, size_t> index_;
  std::vector<Group> groups_;
  std::map<Layer, std::map<std::string, uint64_t>> layers_;
  uint64_t count_ = 0;
};

struct TraceLoss {
  uint64_t events = 0;  // that had no room, or came without their beginning
  std::string what;     // in words
};

// A line that a user's probe told.
struct ProbeLine {
  int64_t at_ns = 0;
  int tgid = 0, tid = 0;
  std::string comm;  // any bytes
  uint32_t probe = 0;
  std::string text;
};

// This process's number in the initial pid namespace.
Result<int> own_tgid(const Witness& witness);

class Tracer {
 public:
  // Every child that this process forks from now on, by fork or clone3.
  static Result<Tracer> children(const Witness& witness);
  static Result<Tracer> process(const Witness& witness, int pid);
  static Result<Tracer> container(const Witness& witness, const Container& container);

  // Readable when there are events.
  [[nodiscard]] int fd() const { return watch_.story_fd(); }
  // Hands over what there is, oldest first; how many denials.
  Result<size_t> drain(const std::function<void(const Denial&)>& tell,
                       const std::function<void(const ProbeLine&)>& tell_probe = {});
  // The watch's, for what is attached beside the witness.
  [[nodiscard]] uint64_t id() const { return watch_.id(); }
  // Processes that were there at the beginning; of `children` none.
  [[nodiscard]] const std::set<int>& processes() const { return processes_; }
  [[nodiscard]] Result<TraceLoss> loss() const;
  // Tasks that were there at the beginning.
  [[nodiscard]] size_t present() const { return present_; }

 private:
  Tracer(const Witness& witness, Watch watch);
  Status take_in_tree(int pid);
  const Witness* witness_;
  Watch watch_;
  DenialReader reader_;
  uint64_t misses_before_ = 0, security_misses_before_ = 0;
  std::set<int> processes_;
  int own_tgid_ = -1;   // left out
  size_t present_ = 0;  // tasks that may have been in a syscall
};

// `tgid` and its descendants in the order in which they are found, by /proc; `seen` is what is
// known already. Calls `take` for each process before it reads its children.
Status walk_tree(int pid, std::set<int>& seen, const std::function<Status(int)>& take);

}  // namespace ringfence

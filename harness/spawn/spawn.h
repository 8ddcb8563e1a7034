#pragma once
// Spawning a target under a Plan, and waiting for it.
//
// The child between clone and exec walks the plan's steps: it allocates nothing, throws nothing,
// takes no lock, and reports {step, operation, errno} through memory shared with the parent.
// Two ways to clone, chosen by the plan: *fast*, clone3 with CLONE_PIDFD, CLONE_VM and CLONE_VFORK
// (a helper thread writes id maps, since the caller is suspended); *apart*, without CLONE_VM.
// Needs clone3 (Linux 5.3) and pidfds. Sources: clone(2), pidfd_open(2), execveat(2).
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"

namespace ringfence {

class HookRunner;
class Supervisor;

struct SpawnRequest {
  const Plan* plan = nullptr;
  // What to execute: a descriptor (execveat with AT_EMPTY_PATH), or a path resolved inside the
  // target (with the PATH of `env` when it has no slash).
  int exe_fd = -1;
  std::string exe_path;
  std::vector<std::string> args;  // argv, with argv[0]
  std::vector<std::string> env;
  // Descriptors that the target gets: {number inside, descriptor here}. All others are closed when
  // the plan says so. Numbers inside are below 16.
  std::vector<std::pair<int, int>> fds;
  // The process whose namespaces Plan::by_pidfd asks for; not owned.
  int join_pidfd = -1;
  // The group to run in, when the plan has limits; may be null otherwise.
  const CgroupLeaf* cgroup = nullptr;
  // A prepared network namespace that nobody else is in (NetnsPool), in place of the new one that
  // the plan makes; -1: none. Not for a target with a user namespace of its own.
  int netns_fd = -1;
  // What else was prepared for a plan that is the rest of one (SandboxPool): its mount namespace,
  // and its cgroup namespace, -1 for none. Nobody else may be in them.
  int mntns_fd = -1;
  int cgroupns_fd = -1;
  // An XDP program that counts at the outer end of each of the target's veths, from before it is
  // up; -1: none.
  int port_program = -1;
  // Where to put how many ends have it; may be null. That one could not be attached is no failure.
  int* counted_ports = nullptr;
  // Kill the target when the thread that spawns it ends (PR_SET_PDEATHSIG).
  bool die_with_parent = true;
  // The signals that the program starts with blocked, bit N - 1 for signal N; unset: the caller's.
  std::optional<uint64_t> signal_mask;
  // Told of poststart and poststop hooks that failed, which fail nothing else; may be empty. Called
  // by spawn(), and by whoever learns of the end: Child::wait(), or the end of the handle.
  std::function<void(const Error&)> warn;
};

// Where a child failed before its program started.
struct SpawnFailure {
  size_t step = 0;
  std::string key;  // Step::key, or "exec"
  Layer layer;
  long nr = -1;  // the syscall
  int err = 0;
};

struct ExitStatus {
  bool signaled = false;
  int code = 0;  // exit code, or signal number
  bool core = false;
  [[nodiscard]] std::string describe() const;  // "exit 0", "killed by SIGSYS"
};

// A running target. Destroying it kills and reaps it: a child never outlives its handle.
class Child {
 public:
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Waits for the end, or until the time is over (nothing then). The plan's poststop hooks run
  // then, for which the time does not count.
  Result<std::optional<ExitStatus>> wait(std::optional<std::chrono::milliseconds> timeout = {});
  Status kill(int signal = 9);
  // How many notified calls were answered by the harness, so far.
  [[nodiscard]] uint64_t answered() const;
  // Our end of the terminal that the plan gives it, -1 without one. It hangs up with the handle.
  [[nodiscard]] int terminal() const { return terminal_.get(); }

 private:
  friend Result<Child> spawn(const SpawnRequest& request, SpawnFailure* failure);
  Child();
  void finish();
  int pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd terminal_;
  std::optional<ExitStatus> ended_;
  std::unique_ptr<Supervisor> supervisor_;  // answers until the child's handle is gone
  std::unique_ptr<HookRunner> hooks_;
};

// Returns once the program has started (exec succeeded) or a step failed; then the child is gone,
// the Error names step, syscall and errno, and `failure` (when given) is filled. With hooks, also
// those before the start and poststart have ended; one before the start that fails is such a step.
Result<Child> spawn(const SpawnRequest& request, SpawnFailure* failure = nullptr);

}  // namespace ringfence

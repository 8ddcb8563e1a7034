#pragma once
// The floors of a start: what starting a process costs by hand, without the spawner.
//
// Floor A is clone3(2) with the namespaces, execveat(2) and waitid(2), and nothing else. Floor B is
// the bare list of the syscalls that a plan makes: the same clone3, then each call of the plan in
// its order, the exec, the wait; the calls are made by the syscall instruction alone, from a list
// that was made before. What the spawner takes beyond B is its own: preparing, the child's signals,
// reports, the seam. Sources: clone(2), execveat(2), waitid(2), pidfd_open(2).
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/plan.h"

namespace ringfence::bench {

// A freestanding program that ends at once (true.S), in memory, so that no file system is measured.
Result<UniqueFd> make_true();

class NamespacesAlone {
 public:
  // `flags`: CLONE_NEW*. With `shared` memory, as the spawner does where it can.
  NamespacesAlone(int program, uint64_t flags, bool shared);
  Status run();

 private:
  int program_;
  uint64_t flags_;
  std::vector<char> stack_;
};

class BarePlan {
 public:
  // `plan` must outlive it. `unsupported` for a plan with more than calls in the child: id maps or
  // interfaces made by a helper, limits, an init, namespaces to join.
  static Result<std::shared_ptr<BarePlan>> make(const Plan& plan, int program);
  ~BarePlan();

  // Starts and waits. An error when a call fails that the plan does not tolerate, or one is needed
  // that stands in for a syscall which this kernel has not: then it is no floor here.
  Status run();

  // The same with a look at the clock after each call: what each step cost in nanoseconds, by the
  // time stamp counter, between "clone3" and "exec", "end and wait".
  struct Cost {
    std::string step;
    double ns = 0;
  };
  Result<std::vector<Cost>> run_by_steps();

 private:
  struct Start;  // what the child reads and writes
  BarePlan();
  Status clone_and_wait();
  std::unique_ptr<Start> start_;
  std::vector<std::string> keys_;  // by step
  uint64_t flags_ = 0;
  UniqueFd self_;
  std::vector<char> stack_;
};

// Time stamp counts in a nanosecond, measured over some milliseconds.
double counts_per_ns();

}  // namespace ringfence::bench

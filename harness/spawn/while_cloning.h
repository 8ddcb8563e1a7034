#pragma once
// What the thread that clones a child lends it, or keeps from it, and has again at the end of the
// scope. Internal to spawn/.
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>

#include "harness/base/sys.h"
#include "harness/confine/scheduling.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/plan.h"

namespace ringfence {

// Blocks every signal while it lives: a handler must not run in the child on the parent's memory.
class BlockedSignals {
 public:
  Status block() {
    const uint64_t all = ~0ULL;
    const int64_t r =
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before_), 8);
    if (r < 0) return system_error("rt_sigprocmask", {}, static_cast<int>(-r));
    blocked_ = true;
    return {};
  }
  ~BlockedSignals() {
    if (!blocked_) return;
    if (sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, 8) < 0) {
      sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, 8);
    }
  }
  [[nodiscard]] uint64_t before() const { return before_; }

 private:
  uint64_t before_ = 0;
  bool blocked_ = false;
};

// A child that shares our memory and changes its ids makes us undumpable, prctl(2): what we were
// before is put back.
class KeptDumpable {
 public:
  KeptDumpable() : before_(sys::call(SYS_prctl, PR_GET_DUMPABLE)) {}
  KeptDumpable(const KeptDumpable&) = delete;
  KeptDumpable& operator=(const KeptDumpable&) = delete;
  ~KeptDumpable() {
    if (before_ == 1 && sys::call(SYS_prctl, PR_GET_DUMPABLE) != 1) {
      sys::call(SYS_prctl, PR_SET_DUMPABLE, 1);
    }
  }

 private:
  int64_t before_;
};

// The CPUs that this thread has while it clones, which the child starts with; then its own again.
class BorrowedCpus {
 public:
  BorrowedCpus() = default;
  BorrowedCpus(const BorrowedCpus&) = delete;
  BorrowedCpus& operator=(const BorrowedCpus&) = delete;
  Status take(const Plan& plan) {
    const Step* step = plan.find(kInitialCpus);
    if (step == nullptr) return {};
    const int64_t size =
        sys::call(SYS_sched_getaffinity, 0, sizeof before_, sys::arg(before_.data()));
    if (size < 0) return system_error("sched_getaffinity", {}, static_cast<int>(-size));
    const Op& op = step->ops.front();
    const std::string& mask = plan.bytes.at(op.args.at(2).value);
    const int64_t r = sys::call(op.nr, 0, op.args.at(1).value, sys::arg(mask.data()));
    if (r < 0) {
      return system_error(fmt::format("step {}: {}", step->key, call_name(op.nr)), step->text,
                          static_cast<int>(-r));
    }
    size_ = static_cast<uint64_t>(size);
    return {};
  }
  ~BorrowedCpus() {
    if (size_ > 0) sys::call(SYS_sched_setaffinity, 0, size_, sys::arg(before_.data()));
  }

 private:
  std::array<uint64_t, (kMostCpu + 1) / 64> before_{};
  uint64_t size_ = 0;
};

}  // namespace ringfence

#pragma once
// Watchdog: interrupts a vCPU from outside at a fixed interval, however long the guest spins.
//
// A timer of the kernel (timer_create(2), SIGEV_THREAD_ID) sends a signal to the thread that runs
// the vCPU. The signal is blocked in the thread and open only while the guest runs
// (KVM_SET_SIGNAL_MASK), so KVM_RUN comes back with EINTR and no handler is ever called: nothing
// that two machines in one process would share. One watchdog a thread looks at a time.
#include <chrono>
#include <cstdint>

#include "harness/base/result.h"
#include "harness/vmm/kvm/vcpu.h"

namespace ringfence::vmm {

class Watchdog {
 public:
  // Begins to look.
  static Result<Watchdog> start(const Vcpu& vcpu, std::chrono::nanoseconds interval);
  Watchdog(Watchdog&& other) noexcept;
  Watchdog& operator=(Watchdog&&) = delete;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  // No longer looks: the timer is still, the thread's mask is as it was.
  void pause();
  // Looks again, at that interval, if this is still the thread that it was made for and the mask
  // is the same; else false, and a new one has to be started.
  [[nodiscard]] bool resume(std::chrono::nanoseconds interval);

  [[nodiscard]] bool looks() const { return looks_; }

  // Lets the signal end runs of another vCPU in the same thread, too.
  [[nodiscard]] Status open_in(const Vcpu& vcpu) const;
  // Takes the signal that made the last run end; false when there was none.
  [[nodiscard]] bool take() const;

 private:
  Watchdog() = default;
  [[nodiscard]] Status arm(std::chrono::nanoseconds interval) const;
  int timer_ = -1;
  uint64_t thread_ = 0;  // the number of the one that it was made for
  uint64_t before_ = 0;  // the thread's mask
  bool looks_ = false;
};

}  // namespace ringfence::vmm

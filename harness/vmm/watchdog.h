#pragma once
// Watchdog: interrupts a vCPU from outside at a fixed interval, however long the guest spins.
//
// A timer of the kernel (timer_create(2), SIGEV_THREAD_ID) sends a signal to the thread that runs
// the vCPU. The signal is blocked in the thread and open only while the guest runs
// (KVM_SET_SIGNAL_MASK), so KVM_RUN comes back with EINTR and no handler is ever called: nothing
// that two machines in one process would share. One watchdog a thread at a time.
#include <chrono>
#include <cstdint>

#include "harness/base/result.h"
#include "harness/vmm/kvm/vcpu.h"

namespace ringfence::vmm {

class Watchdog {
 public:
  static Result<Watchdog> start(const Vcpu& vcpu, std::chrono::nanoseconds interval);
  Watchdog(Watchdog&& other) noexcept;
  Watchdog& operator=(Watchdog&&) = delete;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  // Lets the signal end runs of another vCPU in the same thread, too.
  [[nodiscard]] Status open_in(const Vcpu& vcpu) const;
  // Takes the signal that made the last run end; false when there was none.
  [[nodiscard]] bool take() const;

 private:
  Watchdog() = default;
  int timer_ = -1;
  uint64_t before_ = 0;  // the thread's mask
};

}  // namespace ringfence::vmm

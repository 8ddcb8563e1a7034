#include "harness/vmm/watchdog.h"

#include <csignal>
#include <ctime>
#include <utility>

namespace ringfence::vmm {
namespace {

// One of the real-time signals, which nobody else uses by accident. glibc keeps 32 and 33 to
// itself.
constexpr int kSignal = 40;
constexpr uint64_t kBit = 1ULL << (kSignal - 1);
constexpr size_t kSetSize = 8;  // the kernel's sigset_t
constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

Result<Watchdog> Watchdog::start(const Vcpu& vcpu, std::chrono::nanoseconds interval) {
  Watchdog dog;
  const uint64_t set = kBit;
  int64_t r =
      sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&set), sys::arg(&dog.before_), kSetSize);
  if (r < 0) return system_error("rt_sigprocmask", "watchdog", static_cast<int>(-r));
  if (auto ok = dog.open_in(vcpu); !ok) return tl::unexpected(ok.error());
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kSignal;
  event._sigev_un._tid = static_cast<pid_t>(sys::call(SYS_gettid));
  int timer = -1;
  r = sys::call(SYS_timer_create, CLOCK_MONOTONIC, sys::arg(&event), sys::arg(&timer));
  if (r < 0) return system_error("timer_create", "watchdog", static_cast<int>(-r));
  dog.timer_ = timer;
  itimerspec when{};
  when.it_interval.tv_sec = interval.count() / kSecond;
  when.it_interval.tv_nsec = interval.count() % kSecond;
  when.it_value = when.it_interval;
  r = sys::call(SYS_timer_settime, static_cast<uint64_t>(timer), 0, sys::arg(&when), 0);
  if (r < 0) return system_error("timer_settime", "watchdog", static_cast<int>(-r));
  return dog;
}

Watchdog::Watchdog(Watchdog&& other) noexcept
    : timer_(std::exchange(other.timer_, -1)), before_(std::exchange(other.before_, kBit)) {}

Watchdog::~Watchdog() {
  if (timer_ >= 0) (void)sys::call(SYS_timer_delete, static_cast<uint64_t>(timer_));
  while (take()) {
  }
  // A watchdog that was moved from, or that a caller nests in a thread that blocks the signal
  // anyway, leaves the mask alone.
  if ((before_ & kBit) != 0) return;
  (void)sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, kSetSize);
}

Status Watchdog::open_in(const Vcpu& vcpu) const { return vcpu.set_signal_mask(before_ & ~kBit); }

bool Watchdog::take() const {
  const uint64_t set = kBit;
  const timespec now{};
  return sys::call(SYS_rt_sigtimedwait, sys::arg(&set), 0, sys::arg(&now), kSetSize) == kSignal;
}

}  // namespace ringfence::vmm

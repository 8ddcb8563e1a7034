#include "harness/vmm/watchdog.h"

#include <atomic>
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

// A number of this thread that no other thread of the process gets, as a thread id may be.
uint64_t this_thread() {
  static std::atomic<uint64_t> last{0};
  thread_local const uint64_t number = ++last;
  return number;
}

// Blocks the signal in this thread; `before` is the mask until then.
Status block(uint64_t& before) {
  const uint64_t set = kBit;
  const int64_t r =
      sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&set), sys::arg(&before), kSetSize);
  if (r < 0) return system_error("rt_sigprocmask", "watchdog", static_cast<int>(-r));
  return {};
}

}  // namespace

Result<Watchdog> Watchdog::start(const Vcpu& vcpu, std::chrono::nanoseconds interval) {
  Watchdog dog;
  if (auto ok = block(dog.before_); !ok) return tl::unexpected(ok.error());
  dog.looks_ = true;
  if (auto ok = dog.open_in(vcpu); !ok) return tl::unexpected(ok.error());
  dog.thread_ = this_thread();
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kSignal;
  event._sigev_un._tid = static_cast<pid_t>(sys::call(SYS_gettid));
  int timer = -1;
  const int64_t r =
      sys::call(SYS_timer_create, CLOCK_MONOTONIC, sys::arg(&event), sys::arg(&timer));
  if (r < 0) return system_error("timer_create", "watchdog", static_cast<int>(-r));
  dog.timer_ = timer;
  if (auto ok = dog.arm(interval); !ok) return tl::unexpected(ok.error());
  return dog;
}

Watchdog::Watchdog(Watchdog&& other) noexcept
    : timer_(std::exchange(other.timer_, -1)),
      thread_(other.thread_),
      before_(other.before_),
      looks_(std::exchange(other.looks_, false)) {}

Watchdog::~Watchdog() {
  if (looks_) pause();
  if (timer_ >= 0) (void)sys::call(SYS_timer_delete, static_cast<uint64_t>(timer_));
}

Status Watchdog::arm(std::chrono::nanoseconds interval) const {
  itimerspec when{};
  when.it_interval.tv_sec = interval.count() / kSecond;
  when.it_interval.tv_nsec = interval.count() % kSecond;
  when.it_value = when.it_interval;
  const int64_t r =
      sys::call(SYS_timer_settime, static_cast<uint64_t>(timer_), 0, sys::arg(&when), 0);
  if (r < 0) return system_error("timer_settime", "watchdog", static_cast<int>(-r));
  return {};
}

void Watchdog::pause() {
  looks_ = false;
  if (timer_ >= 0) (void)arm(std::chrono::nanoseconds(0));
  while (take()) {
  }
  // Where a caller blocks the signal anyway, the mask stays.
  if ((before_ & kBit) != 0) return;
  (void)sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, kSetSize);
}

bool Watchdog::resume(std::chrono::nanoseconds interval) {
  if (this_thread() != thread_) return false;
  uint64_t before = 0;
  if (!block(before)) return false;
  looks_ = true;
  if (before == before_ && arm(interval)) return true;
  before_ = before;
  pause();
  return false;
}

Status Watchdog::open_in(const Vcpu& vcpu) const { return vcpu.set_signal_mask(before_ & ~kBit); }

bool Watchdog::take() const {
  const uint64_t set = kBit;
  const timespec now{};
  return sys::call(SYS_rt_sigtimedwait, sys::arg(&set), 0, sys::arg(&now), kSetSize) == kSignal;
}

}  // namespace ringfence::vmm

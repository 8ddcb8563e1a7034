#include "harness/base/sys.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "harness/base/failure_watch.h"
#include "harness/base/raw_syscall.h"

namespace ringfence::sys {
namespace {

constexpr size_t kNumbers = 512;  // x86-64 numbers end at 467 in Linux 6.18
constexpr size_t kFaults = 32;

struct Table {
  std::atomic<bool> counting{false};
  std::atomic<uint64_t> fired{0};
  std::atomic<uint32_t> faults_used{0};
  std::array<Fault, kFaults> faults{};
  std::array<std::atomic<uint64_t>, kNumbers> counts{};
};

// Null in every ordinary run: then a call costs one predicted branch more.
std::atomic<Table*> table{nullptr};

Status ensure_table() {
  if (table.load(std::memory_order_acquire) != nullptr) return {};
  void* memory =
      ::mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return system_error("mmap fault table");
  table.store(new (memory) Table, std::memory_order_release);
  return {};
}

// Null but while somebody wants to know.
std::atomic<FailureWatch*> watcher{nullptr};

// -errno of a matching fault, or 0.
int faulted(Table& t, long nr, const uint64_t* args) noexcept {
  if (nr < 0 || static_cast<size_t>(nr) >= kNumbers) return 0;
  const uint64_t index = t.counts[nr].fetch_add(1, std::memory_order_relaxed);
  const uint32_t used = t.faults_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    const Fault& fault = t.faults[i];
    if (fault.nr == nr && (fault.index == kEvery || fault.index == index) &&
        (fault.when == nullptr || fault.when(args))) {
      t.fired.fetch_add(1, std::memory_order_relaxed);
      return -fault.err;
    }
  }
  return 0;
}

}  // namespace

namespace {

// Apart, since the caller may be a child on a stack of its own, whose scopes a sanitizer must not
// mark: an exec never comes back to unmark them.
__attribute__((noinline, no_sanitize("address"))) int faulted_call(Table& t, long nr, uint64_t a0,
                                                                   uint64_t a1, uint64_t a2,
                                                                   uint64_t a3, uint64_t a4,
                                                                   uint64_t a5) noexcept {
  const std::array<uint64_t, 6> args = {a0, a1, a2, a3, a4, a5};
  return faulted(t, nr, args.data());
}

int64_t make(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
             uint64_t a5) noexcept {
  if (Table* t = table.load(std::memory_order_acquire); t != nullptr) [[unlikely]] {
    if (const int err = faulted_call(*t, nr, a0, a1, a2, a3, a4, a5); err != 0) return err;
  }
  return raw_syscall(nr, a0, a1, a2, a3, a4, a5);
}

}  // namespace

int64_t call(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
             uint64_t a5) noexcept {
  const int64_t result = make(nr, a0, a1, a2, a3, a4, a5);
  if (result < 0 && result > -4096) {
    if (auto* w = watcher.load(std::memory_order_acquire); w != nullptr) [[unlikely]] {
      w->failed(nr, static_cast<int>(-result));
    }
  }
  return result;
}

FailureWatch::FailureWatch(std::span<const int> answers)
    : answers_(answers), outer_(watcher.exchange(this)) {}
FailureWatch::~FailureWatch() { watcher.store(outer_); }
void FailureWatch::failed(long nr, int err) noexcept {
  if (nr_ >= 0 || err == EINTR) return;
  for (const int answer : answers_) {
    if (answer == err) return;
  }
  nr_ = nr;
  err_ = err;
}

Status arm_fault(const Fault& fault) { return arm_faults(&fault, 1); }

Status arm_faults(const Fault* faults, size_t count) {
  if (count > kFaults) return usage_error("arm faults", std::to_string(count), "at most 32");
  if (auto made = ensure_table(); !made) return made;
  Table& t = *table.load();
  t.fired = 0;
  for (auto& n : t.counts) n = 0;
  for (size_t i = 0; i < count; ++i) t.faults[i] = faults[i];
  t.faults_used = static_cast<uint32_t>(count);
  return {};
}

void disarm_faults() {
  if (Table* t = table.load()) t->faults_used = 0;
}

bool fault_fired() { return faults_fired() > 0; }

uint64_t faults_fired() {
  const Table* t = table.load();
  return t == nullptr ? 0 : t->fired.load();
}

Status start_counting() {
  if (auto made = ensure_table(); !made) return made;
  for (auto& n : table.load()->counts) n = 0;
  return {};
}

uint64_t count(long nr) {
  const Table* t = table.load();
  return t == nullptr || nr < 0 || static_cast<size_t>(nr) >= kNumbers ? 0 : t->counts[nr].load();
}

Result<UniqueFd> openat(int dirfd, const char* path, int flags, mode_t mode) {
  for (;;) {
    const int64_t fd = call(SYS_openat, dirfd, arg(path), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (fd != -EINTR) return system_error("open", path, static_cast<int>(-fd));
  }
}

Result<UniqueFd> open(const char* path, int flags, mode_t mode) {
  return openat(AT_FDCWD, path, flags, mode);
}

Result<size_t> read_full(int fd, void* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    const int64_t n = call(SYS_read, fd, arg(static_cast<char*>(buffer) + done), size - done);
    if (n == -EINTR) continue;
    if (n < 0) return system_error("read", {}, static_cast<int>(-n));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Status write_full(int fd, const void* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const int64_t n = call(SYS_write, fd, arg(static_cast<const char*>(data) + done), size - done);
    if (n == -EINTR) continue;
    if (n < 0) return system_error("write", {}, static_cast<int>(-n));
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace ringfence::sys

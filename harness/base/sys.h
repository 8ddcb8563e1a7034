#pragma once
// The one syscall seam. Every syscall that the harness itself makes goes through sys::call or one
// of the named wrappers over it, so that a test can make any of them fail with any errno, force
// every fallback, and list what a run does.
//
// Safe between clone and exec: no allocation, no lock, errno untouched (results are -errno).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence::sys {

// Returns the syscall's value, or -errno.
int64_t call(long nr, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0,
             uint64_t a4 = 0, uint64_t a5 = 0) noexcept;

template <typename T>
uint64_t arg(T* pointer) noexcept {
  return reinterpret_cast<uint64_t>(pointer);
}

// --- Faults -----------------------------------------------------------------------------------
// A fault table lives in shared memory, so that one table counts over all processes of a run.
struct Fault {
  long nr = -1;        // the syscall, -1 for none
  uint64_t index = 0;  // which call of that number, from 0; kEvery for all
  int err = 0;         // what it answers instead of being made
  // Only for calls whose arguments look so; null for all. It runs in the process that calls, so it
  // may follow their pointers.
  bool (*when)(const uint64_t* args) = nullptr;
};
inline constexpr uint64_t kEvery = ~0ULL;

// Arms one fault (for tests, and for `--fault` of test builds). Not thread safe; before the run.
Status arm_fault(const Fault& fault);
// Several faults at once: all occurrences of each number (for forced fallbacks).
Status arm_faults(const Fault* faults, size_t count);
void disarm_faults();
// True once an armed fault has answered a call, in whichever process.
bool fault_fired();
// How many calls the armed faults have answered.
uint64_t faults_fired();
// Counts calls per number from now on (all processes forked after); count() reads.
Status start_counting();
uint64_t count(long nr);

// --- Wrappers over call, for the parent side ----------------------------------------------------
// Each gives the descriptor CLOEXEC, retries EINTR where that is right, and keeps errno in Error.
Result<UniqueFd> open(const char* path, int flags, mode_t mode = 0);
Result<UniqueFd> openat(int dirfd, const char* path, int flags, mode_t mode = 0);
// Reads until the end or `size`; the count read.
Result<size_t> read_full(int fd, void* buffer, size_t size);
Status write_full(int fd, const void* data, size_t size);

}  // namespace ringfence::sys

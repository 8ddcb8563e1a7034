#pragma once
// The syscall instruction and nothing else: beneath the seam (sys.h), and for what is measured
// against it. Everything else calls sys::call. Source: the System V ABI for x86-64, A.2.1.
#include <cstdint>

namespace ringfence::sys {

// The kernel's answer: a value, or -errno. Inline wherever it is called, so that it has the
// caller's sanitizers, or none.
__attribute__((always_inline)) inline int64_t raw_syscall(long nr, uint64_t a0 = 0, uint64_t a1 = 0,
                                                          uint64_t a2 = 0, uint64_t a3 = 0,
                                                          uint64_t a4 = 0,
                                                          uint64_t a5 = 0) noexcept {
  int64_t result;
  register uint64_t r10 asm("r10") = a3;
  register uint64_t r8 asm("r8") = a4;
  register uint64_t r9 asm("r9") = a5;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace ringfence::sys

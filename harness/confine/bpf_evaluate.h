#pragma once
// Runs a classic BPF seccomp program in user space: which action does it give a syscall?
// Source: seccomp(2), kernel Documentation/userspace-api/seccomp_filter.rst, net/core/filter.c.
#include <array>
#include <cstdint>
#include <span>

namespace ringfence {

struct SeccompInput {
  uint32_t nr = 0;
  uint32_t arch = 0xc000003e;  // AUDIT_ARCH_X86_64
  std::array<uint64_t, 6> args{};
};

// `program` is an array of sock_filter, 8 bytes each. Returns SECCOMP_RET_* with its data, or
// SECCOMP_RET_KILL_PROCESS for a program that the kernel would refuse.
uint32_t bpf_evaluate(std::span<const uint64_t> program, const SeccompInput& input);

}  // namespace ringfence

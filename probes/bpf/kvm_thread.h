/* Which thread runs the vCPU, by its number in the harness's own pid namespace. Included by the
 * programs at KVM's tracepoints. */
#ifndef RINGFENCE_PROBES_BPF_KVM_THREAD_H
#define RINGFENCE_PROBES_BPF_KVM_THREAD_H

// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_helpers.h>

struct bpf_pidns_info {
  __u32 pid, tgid;
};

const volatile __u64 pidns_dev = 0;
const volatile __u64 pidns_ino = 0;

/* 0: not of that namespace. */
static __always_inline __u32 own_thread(void) {
  struct bpf_pidns_info self = {};
  if (bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, &self, sizeof self)) return 0;
  return self.pid;
}

#endif

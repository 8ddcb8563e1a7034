/* For the table of denials: programs of type lsm that say no, to the groups that are named to them
 * and in one hook each. Loaded in machines that are there for the test alone. */
// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_helpers.h>

#include "probes/bpf/security_hooks.h"

char _license[] SEC("license") = "GPL";

/* v2 cgroup id -> hook << 16 | errno: EPERM, or any other for EACCES. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u64);
  __type(value, __u32);
} denied SEC(".maps");

static __always_inline int answer(__u32 hook) {
  __u64 group = bpf_get_current_task_btf()->cgroups->dfl_cgrp->kn->id;
  const __u32* no = bpf_map_lookup_elem(&denied, &group);
  if (!no || *no >> 16 != hook) return 0;
  if ((*no & 0xffff) == 1) return -1;
  return -13;
}

#define RF_X(hook, function) \
  SEC("lsm/" #hook)          \
  int hook##__deny(void* ctx) { return answer(RF_HOOK_##hook); }
RF_SECURITY_HOOKS(RF_X)
#undef RF_X

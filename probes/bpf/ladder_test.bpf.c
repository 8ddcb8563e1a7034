/* For the test of the ladder: programs that no kernel loads, each for a reason of its own, above
 * ones that every kernel does. */
// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} numbers SEC(".maps");

/* The verifier refuses it: the value may not be there. */
SEC("raw_tp/sys_enter")
int enter__careless(void* ctx) {
  __u32 key = 0;
  __u64* value = bpf_map_lookup_elem(&numbers, &key);
  return (int)*value;
}
SEC("raw_tp/sys_enter")
int enter__careful(void* ctx) {
  __u32 key = 0;
  __u64* value = bpf_map_lookup_elem(&numbers, &key);
  return value != 0;
}

SEC("tp_btf/rf_no_such_tracepoint")
int exit__nowhere(void* ctx) { return 0; }
SEC("raw_tp/sys_exit")
int exit__here(void* ctx) { return 0; }

/* A hook without any that loads. */
SEC("tp_btf/rf_no_such_tracepoint")
int lost__nowhere(void* ctx) { return 0; }

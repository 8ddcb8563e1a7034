/* For the tests of --probe: a probe whose second program the verifier refuses. */
// clang-format off: the types first
#include "probes/bpf/probe.h"
// clang-format on

SEC("raw_tp/sys_enter")
int fine(void* ctx) { return 0; }

SEC("raw_tp/sys_exit")
int careless(void* ctx) {
  __u64 key = 1;
  __u64* value = bpf_map_lookup_elem(&rf_scopes, &key);
  return (int)*value; /* it may not be there */
}

/* For the test of debug output: compiled twice, with it (debug_test) and without
 * (debug_test_silent). Run by BPF_PROG_TEST_RUN, attached to nothing. */
// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_helpers.h>

#include "probes/bpf/debug.h"

char _license[] SEC("license") = "GPL";

volatile __u64 run_number = 0;

SEC("tc")
int says__tc(void* ctx) {
  rf_debug("debug test %llu", run_number);
  return 7;
}

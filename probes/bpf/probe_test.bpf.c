/* For the tests of --probe: a probe such as a user writes. */
// clang-format off: the types first
#include "probes/bpf/probe.h"
// clang-format on

#define NR_getpgid 121

SEC("raw_tp/sys_enter")
int asks_for_a_group(struct bpf_raw_tracepoint_args* ctx) {
  if (ctx->args[1] != NR_getpgid || !rf_trial()) return 0;
  const struct pt_regs* regs = (const struct pt_regs*)ctx->args[0];
  long pid = BPF_CORE_READ(regs, di);
  rf_tell(ctx, "getpgid", pid);
  rf_tell(ctx, "no number");
  rf_tell(ctx, "four", 1, -2, 3, pid);
  rf_count("calls");
  rf_count_add("sum", pid);
  return 0;
}

SEC("uprobe//proc/self/exe:rf_probe_test_function")
int BPF_KPROBE(calls_a_function, const char* text) {
  rf_tell_user_string(ctx, "called with", text);
  rf_tell_user_string(ctx, "called with", (void*)8);
  return 0;
}

/* Time on CPU: a sample of each watched task for every period that it has been on a CPU
 * (PERF_COUNT_SW_CPU_CLOCK), counted by whether it was in user space or in the kernel. Attached by
 * harness/witness/cpu_clock.h to the watched tasks alone.
 */
// clang-format off: the types first
#include "probes/bpf/probe.h"
// clang-format on
#include "probes/bpf/cpu_clock_abi.h"

/* struct bpf_perf_event_data, include/uapi/linux/bpf_perf_event.h, as the verifier lets it be
 * read: the registers first, no relocation. */
struct perf_regs {
  __u64 before_cs[17];
  __u64 cs;
};

/* By Watch::id(): its place in `samples`. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, RF_CPU_SLOTS);
  __type(key, __u64);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RF_CPU_SLOTS);
  __type(key, __u32);
  __type(value, struct rf_cpu_samples);
} samples SEC(".maps");

SEC("perf_event")
int on_cpu(struct perf_regs* ctx) {
  /* What inherits the event may have left the watch: asked each time. */
  __u64 trial = rf_trial();
  if (!trial) return 0;
  __u32* slot = bpf_map_lookup_elem(&slots, &trial);
  if (!slot) return 0;
  __u32 at = *slot;
  struct rf_cpu_samples* sum = bpf_map_lookup_elem(&samples, &at);
  if (!sum) return 0;
  /* The code segment's privilege level. */
  __sync_fetch_and_add((ctx->cs & 3) == 3 ? &sum->user : &sum->kernel, 1);
  return 0;
}

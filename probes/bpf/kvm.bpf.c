/* What KVM does for the vCPUs that a thread of ours runs, counted at its tracepoints: each return
 * of KVM_RUN by its reason, port and memory accesses, injected interrupts. It only counts. Attached
 * once for a run by harness/witness/kvm_exits.h.
 *
 * Sources: include/trace/events/kvm.h, arch/x86/kvm/trace.h, bpf-helpers(7).
 */
#include "probes/bpf/kvm_abi.h"
#include "probes/bpf/kvm_thread.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct rf_kvm_counts);
} counts SEC(".maps");

static __always_inline struct rf_kvm_counts* counts_of_self(void) {
  __u32 thread = own_thread();
  return thread ? bpf_map_lookup_elem(&counts, &thread) : 0;
}

SEC("raw_tp/kvm_userspace_exit")
int userspace_exit(struct bpf_raw_tracepoint_args* ctx) {
  struct rf_kvm_counts* seen = counts_of_self();
  if (!seen) return 0;
  __u32 reason = ctx->args[0];
  if ((int)ctx->args[1] < 0) {
    ++seen->failed;
    return 0;
  }
  if (reason >= RF_KVM_REASONS) reason = RF_KVM_REASONS - 1;
  ++seen->returns[reason];
  return 0;
}

SEC("raw_tp/kvm_pio")
int pio(struct bpf_raw_tracepoint_args* ctx) {
  struct rf_kvm_counts* seen = counts_of_self();
  if (!seen) return 0;
  const __u32 count = ctx->args[3];
  if (ctx->args[0] & 1) {
    seen->port_writes += count;
  } else {
    seen->port_reads += count;
  }
  return 0;
}

/* Read: with the value (1), or when there is none yet and user space is asked (0); write (2). */
SEC("raw_tp/kvm_mmio")
int mmio(struct bpf_raw_tracepoint_args* ctx) {
  struct rf_kvm_counts* seen = counts_of_self();
  if (!seen) return 0;
  const int type = ctx->args[0];
  if (type == 1) ++seen->mmio_reads;
  if (type == 2) ++seen->mmio_writes;
  return 0;
}

SEC("raw_tp/kvm_inj_virq")
int injected(struct bpf_raw_tracepoint_args* ctx) {
  struct rf_kvm_counts* seen = counts_of_self();
  if (seen) ++seen->injected;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";

/* What a guest does to the devices that KVM has in the kernel: its accesses to their ports and
 * memory, with the values, and the interrupts that it is given, in order. They come to no event
 * loop. Attached for one machine by harness/witness/kvm_devices.h.
 *
 * Sources: arch/x86/kvm/trace.h (kvm_pio, kvm_inj_virq,
 * kvm_apic_accept_irq), include/trace/events/kvm.h (kvm_mmio).
 */
#include "probes/bpf/kvm_abi.h"
#include "probes/bpf/kvm_thread.h"

const volatile __u32 thread = 0;
const volatile __u8 wanted[RF_KVM_PORTS] = {0};
/* kvm_inj_virq says so since Linux 6.0; before, it has the vector alone. */
const volatile bool tells_reinjected = true;
__u64 lost = 0;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} accesses SEC(".maps");

static __always_inline bool give(__u32 kind, __u32 width, __u64 address, __u64 value) {
  struct rf_kvm_access* access = bpf_ringbuf_reserve(&accesses, sizeof *access, 0);
  if (!access) {
    __sync_fetch_and_add(&lost, 1);
    return false;
  }
  access->kind = kind;
  access->width = width;
  access->address = address;
  access->value = value;
  bpf_ringbuf_submit(access, BPF_RB_NO_WAKEUP); /* the reader comes when the guest exits */
  return true;
}

SEC("raw_tp/kvm_pio")
int pio(struct bpf_raw_tracepoint_args* ctx) {
  if (own_thread() != thread) return 0;
  const __u32 port = ctx->args[1];
  if (port >= RF_KVM_PORTS || !wanted[port & (RF_KVM_PORTS - 1)]) return 0;
  const __u32 width = ctx->args[2];
  const char* data = (const char*)ctx->args[4];
  for (__u32 i = 0; i < RF_KVM_STRING && i < (__u32)ctx->args[3]; ++i) {
    __u32 value = 0;
    if (bpf_probe_read_kernel(&value, width & 7, data + i * width)) {
      __sync_fetch_and_add(&lost, 1);
      break;
    }
    give(ctx->args[0] & 1 ? RF_KVM_OUT : RF_KVM_IN, width, port, value);
  }
  return 0;
}

/* Told once with the value (1: read, 2: write) also where a device of the kernel answers; 0 is a
 * read that user space is asked for. Nobody else is at these two pages while the local APIC is
 * enabled. */
SEC("raw_tp/kvm_mmio")
int mmio(struct bpf_raw_tracepoint_args* ctx) {
  const __u32 type = ctx->args[0];
  const __u64 width = ctx->args[1] & 15;
  const __u64 address = ctx->args[2];
  const __u64 page = address & ~(RF_KVM_PAGE - 1);
  if (type != 1 && type != 2) return 0;
  if (page != RF_KVM_IOAPIC && page != RF_KVM_LAPIC) return 0;
  if (own_thread() != thread) return 0;
  __u64 value = 0;
  if (width == 0 || width > sizeof value ||
      bpf_probe_read_kernel(&value, width, (const void*)ctx->args[3])) {
    __sync_fetch_and_add(&lost, 1);
    return 0;
  }
  give(type == 2 ? RF_KVM_MMIO_WRITE : RF_KVM_MMIO_READ, width, address, value);
  return 0;
}

SEC("raw_tp/kvm_inj_virq")
int injected(struct bpf_raw_tracepoint_args* ctx) {
  /* What an exit came between is given again, and is the same interrupt. */
  if (tells_reinjected && (ctx->args[2] & 1)) return 0;
  if (own_thread() == thread) give(RF_KVM_INTERRUPT, 0, 0, ctx->args[0]);
  return 0;
}

SEC("raw_tp/kvm_apic_accept_irq")
int accepted(struct bpf_raw_tracepoint_args* ctx) {
  if (own_thread() == thread) give(RF_KVM_ACCEPTED, 0, 0, ctx->args[3] & 0xff);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";

/* What the counting programs of KVM and the harness share: plain C. */
#ifndef RINGFENCE_PROBES_BPF_KVM_ABI_H
#define RINGFENCE_PROBES_BPF_KVM_ABI_H

#define RF_KVM_REASONS 64 /* KVM_EXIT_* of linux/kvm.h; what is beyond counts as the last */

struct rf_kvm_counts {
  unsigned long long returns[RF_KVM_REASONS]; /* of KVM_RUN, with an exit for user space */
  unsigned long long failed;                  /* with an error: EINTR, EAGAIN */
  unsigned long long port_reads, port_writes; /* as KVM tells them: also of its own devices */
  unsigned long long mmio_reads, mmio_writes;
  unsigned long long injected; /* interrupts that user space or KVM's own PIC gave the guest */
};

#endif

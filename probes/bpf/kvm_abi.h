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

#define RF_KVM_PORTS 2048 /* those of KVM's own devices are below */
#define RF_KVM_STRING 64  /* elements of a string access that are told of */

enum rf_kvm_kind { RF_KVM_IN, RF_KVM_OUT, RF_KVM_INTERRUPT };

struct rf_kvm_access {
  unsigned char kind;
  unsigned char width; /* bytes */
  unsigned short port;
  unsigned int value; /* or the vector */
};

#endif

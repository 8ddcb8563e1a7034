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

/* KVM's I/O APIC and local APIC: a page each. */
#define RF_KVM_IOAPIC 0xfec00000ULL
#define RF_KVM_LAPIC 0xfee00000ULL
#define RF_KVM_PAGE 0x1000ULL

enum rf_kvm_kind {
  RF_KVM_IN,
  RF_KVM_OUT,
  RF_KVM_INTERRUPT, /* given to the processor */
  RF_KVM_ACCEPTED,  /* by its local APIC */
  RF_KVM_MMIO_READ,
  RF_KVM_MMIO_WRITE
};

struct rf_kvm_access {
  unsigned char kind;
  unsigned char width;        /* bytes */
  unsigned long long address; /* port, guest-physical address */
  unsigned long long value;   /* or the vector */
};

#endif

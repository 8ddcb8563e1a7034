/* What the CPU clock (cpu_clock.bpf.c) and the harness share: plain C, no code. */
#ifndef RINGFENCE_PROBES_BPF_CPU_CLOCK_ABI_H
#define RINGFENCE_PROBES_BPF_CPU_CLOCK_ABI_H

#include "probes/bpf/probe_abi.h"

#define RF_CPU_SLOTS 256

/* Samples of one watch's tasks, by what they did. */
struct rf_cpu_samples {
  __u64 user;
  __u64 kernel;
};

#endif

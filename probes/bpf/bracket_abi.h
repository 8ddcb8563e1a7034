/* What the brackets (bracket.bpf.c) and the harness share: plain C, no code. */
#ifndef RINGFENCE_PROBES_BPF_BRACKET_ABI_H
#define RINGFENCE_PROBES_BPF_BRACKET_ABI_H

#include "probes/bpf/probe_abi.h"

struct rf_bracket_key {
  __u64 trial;
  char attempt[RF_PROBE_NAME]; /* cut, zeroes after its end */
};
struct rf_bracket {
  __u64 began;
  __u64 ended;
  __s64 result; /* of the last: >= 0, or -errno */
};

#endif

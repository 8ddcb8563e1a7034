/* What a probe (probes/bpf/probe.h: a user's own BPF object beside the witness) and the harness
 * share: plain C, no code, the same layout on both sides. The maps that hold the facts of a trial
 * (abi.h) are not among it.
 */
#ifndef RINGFENCE_PROBES_BPF_PROBE_ABI_H
#define RINGFENCE_PROBES_BPF_PROBE_ABI_H

#include "probes/bpf/abi.h"

#define RF_PROBE_ABI 1 /* changes with anything in this file, or in struct rf_event */
#define RF_PROBE_NAME 32
#define RF_PROBE_TEXT 64
#define RF_PROBE_NUMBERS 4

/* Beside those of enum rf_event_kind. */
#define RF_EV_PROBE 64
#define RF_EV_ATTEMPT 65 /* of the inmate's brackets: probes/bpf/bracket.bpf.c */

/* In the object's section .rodata.ringfence: for which header it was compiled; and which of the
 * run's probes it is, filled in by the harness. */
struct rf_probe_id {
  __u32 abi;
  __u32 probe;
  __u32 left_out;      /* a process of the watch that is not looked at: of `trace` itself */
  __u32 story_by_perf; /* through perf buffers, where there are no ring buffers */
};

/* By trial: where its story goes. */
struct rf_story {
  __u64 ring;
  __u64 lost;  /* lines and counts that had no room */
  __u64 wakes; /* a line wakes who waits for the story */
};

/* A line that a probe tells. ATTEMPT: `text` is the attempt's name, `name` is empty and a number is
 * there at its end: what came of it. */
struct rf_event_probe {
  struct rf_event head;
  __u32 probe;
  __u32 numbers;
  char name[RF_PROBE_NAME];
  __s64 number[RF_PROBE_NUMBERS];
  char text[RF_PROBE_TEXT]; /* empty: none */
};

struct rf_count_key {
  __u64 trial;
  char name[RF_PROBE_NAME]; /* zeroes after its end */
};

#endif

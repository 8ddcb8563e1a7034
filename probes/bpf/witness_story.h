/* How the witness tells the story: through a ring buffer, or a perf buffer for each CPU where the
 * kernel has none. What had no room is counted in the trial, event by event, and decides nothing.
 * Included by witness.bpf.c alone. */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_STORY_H
#define RINGFENCE_PROBES_BPF_WITNESS_STORY_H

#include "probes/bpf/witness_state.h"

/* Found by trial (harness/witness/story_ring.h). A constant once loaded: the verifier never comes
 * to the other way, whose map is not made. */
const volatile bool story_by_perf = false;

struct ring {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
/* One ring for each trial at a time, so that a talkative one takes nobody else's room. Changing a
 * map of maps waits for every program that runs, milliseconds: so trials that follow one another
 * share. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __array(values, struct ring);
} rings SEC(".maps");

struct perf_ring {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, 1); /* one for each CPU: the loader knows how many there are */
  __type(key, __u32);
  __type(value, __u32);
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __array(values, struct perf_ring);
} perf_rings SEC(".maps");

/* Where an event of `size` is written: in the ring itself, or in `staged`, from which a perf buffer
 * copies it. Null: no room, and that is counted. What it gives goes to give(), after a
 * barrier_var(): else the compiler works out addresses in it before it looks whether it is null,
 * and the verifier refuses that. */
static __always_inline void* room(struct rf_trial* trial, void* staged, __u64 size) {
  if (story_by_perf) {
    __builtin_memset(staged, 0, size);
    return staged;
  }
  void* ring = bpf_map_lookup_elem(&rings, &trial->ring);
  void* at = ring ? bpf_ringbuf_reserve(ring, size, 0) : 0;
  if (!at) {
    __sync_fetch_and_add(&trial->ring_lost, 1);
    rf_debug("no room in ring %llu", trial->ring);
  }
  return at;
}

/* A wakeup is an interrupt, which costs several times the event: only for a reader who sleeps. Of a
 * perf buffer its reader says when. */
static __always_inline __u64 wake(const struct rf_trial* trial) {
  return trial->wakes ? 0 : BPF_RB_NO_WAKEUP;
}

/* A perf buffer that is full, or that nobody reads, says so at once (perf_event_output(), from
 * Linux 5.1: older ones have no BTF to load this with): each loss is counted here, and what a
 * PERF_RECORD_LOST tells the reader later is the same ones. */
static __always_inline void give(void* ctx, struct rf_trial* trial, void* event, __u64 size) {
  if (!story_by_perf) {
    bpf_ringbuf_submit(event, wake(trial));
    return;
  }
  void* ring = bpf_map_lookup_elem(&perf_rings, &trial->ring);
  if (!ring || bpf_perf_event_output(ctx, ring, BPF_F_CURRENT_CPU, event, size)) {
    __sync_fetch_and_add(&trial->ring_lost, 1);
  }
}

static __always_inline void fill_head_at(struct rf_event* head, const struct task_struct* self,
                                         __u64 at, __u64 trial, __u32 kind) {
  head->at = at;
  head->trial = trial;
  head->kind = kind;
  head->tgid = self->tgid;
  head->tid = self->pid;
  head->uid = self->cred->uid.val;
  /* A byte at a time, as BTF has it: still a third of what bpf_get_current_comm() costs. */
  for (int i = 0; i < RF_COMM; ++i) head->comm[i] = self->comm[i];
}

static __always_inline void fill_head(struct rf_event* head, __u64 trial, __u32 kind) {
  fill_head_at(head, bpf_get_current_task_btf(), bpf_ktime_get_ns(), trial, kind);
}

/* On the stack until it is given: a program in an interrupt may tell of a signal in the middle of
 * another that tells of a call, and both use the same CPU's scratch. */
static __always_inline void tell_number(void* ctx, __u64 id, __u32 kind, __s64 number, __s64 a,
                                        __s64 b, __s64 c) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return;
  struct rf_event_number staged;
  struct rf_event_number* e = room(trial, &staged, sizeof *e);
  if (!e) return;
  barrier_var(e);
  fill_head(&e->head, id, kind);
  e->number = number;
  e->more[0] = a;
  e->more[1] = b;
  e->more[2] = c;
  give(ctx, trial, e, sizeof *e);
}

static __always_inline void tell_text(void* ctx, __u64 id, __u32 kind, __u64 number,
                                      const char* text) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return;
  struct rf_event_text staged;
  struct rf_event_text* e = room(trial, &staged, sizeof *e);
  if (!e) return;
  barrier_var(e);
  fill_head(&e->head, id, kind);
  e->number = number;
  if (bpf_probe_read_kernel_str(e->text, sizeof e->text, text) < 0) e->text[0] = 0;
  give(ctx, trial, e, sizeof *e);
}

#endif

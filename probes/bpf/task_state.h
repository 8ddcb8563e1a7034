/* The state of a watched task, for the witness's objects: witness.bpf.c keeps it, security.bpf.c
 * adds what security hooks said. */
#ifndef RINGFENCE_PROBES_BPF_TASK_STATE_H
#define RINGFENCE_PROBES_BPF_TASK_STATE_H

// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probes/bpf/abi.h"

/* What security hooks said in a syscall: RF_HOOK_*, 0 none. */
struct lsm_state {
  __u8 hook; /* the last that said no, with no capability asked for after it */
  __u8 by;   /* RF_LSM_* */
  __s16 ret;
  __u8 landlock; /* the last that Landlock said no in */
  __u8 asked;    /* ... that the module bpf was asked in */
  __u8 bpf;      /* ... that a program of the module bpf said no in */
  __u8 pad;
};

/* By task_struct, never by tid: execve of a thread changes that, and numbers come again. */
struct task_state {
  __u64 born; /* start_boottime: tells a task from the next one at the same address */
  __u64 trial;
  __u64 began;
  __u64 caps_failed;
  __s32 nr; /* the syscall it is in, or -1 */
  __s32 cap_last, cap_last_ret;
  __u32 cap_userns, cred_userns;
  __u32 flags;
  __u32 matched; /* a bit for each want */
  __u32 has_path;
  __u32 fresh;                /* forked, and not yet out of its parent's clone */
  __u64 cap_cred, cap_target; /* between entry and return of cap_capable() */
  __s32 cap_asked;
  __u32 pad;
  struct lsm_state lsm;
  __u64 args[6];
  char path[RF_PATH];
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct task_state);
} tasks SEC(".maps");

static __always_inline struct task_state* state_of(struct task_struct* task) {
  __u64 key = (__u64)task;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (state && state->born != BPF_CORE_READ(task, start_boottime)) return 0;
  return state;
}

/* The same for a task as bpf_get_current_task_btf() gives it: read without a call. */
static __always_inline struct task_state* state_of_self(struct task_struct* self) {
  __u64 key = (__u64)self;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (state && state->born != self->start_boottime) return 0;
  return state;
}

#endif

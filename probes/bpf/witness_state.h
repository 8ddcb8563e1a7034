/* What the witness keeps: whom it watches, each trial's facts, each task's state. Included by
 * witness.bpf.c alone. */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_STATE_H
#define RINGFENCE_PROBES_BPF_WITNESS_STATE_H

// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probes/bpf/abi.h"
#include "probes/bpf/debug.h"
#include "probes/bpf/probe_abi.h"
#include "probes/bpf/task_state.h"

#define NR_vfork 58
#define NR_clone 56
#define NR_fork 57
#define NR_clone3 435
#define COMPAT_NR_fork 2
#define COMPAT_NR_clone 120
#define COMPAT_NR_vfork 190
#define EFAULT 14
#define EINPROGRESS 115
/* Errors of the kernel's own (include/linux/errno.h): a signal came, and the call is made again. */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516
#define SIGSYS 31
#define SYS_SECCOMP 1 /* si_code; another is user dispatch's, and anybody may send the signal */
#define SIGXFSZ 25
/* si_code of what kill(2), sigqueue(3) and tgkill(2) send. */
#define SI_USER 0
#define SI_QUEUE (-1)
#define SI_TKILL (-6)
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */
#define AUDIT_ARCH_I386 0x40000003
#define MAX_ERRNO 4095

/* Always 0, which the verifier does not know. */
volatile __u64 nothing = 0;
/* What is known of `value` is forgotten: the verifier goes on from here once, and not once for each
 * way that led here. */
#define forget(value) ((value) ^= nothing)

/* By the prototype in this kernel's BTF: mark_victim gives a task (from 6.9), or a pid. */
const volatile bool victim_is_task = false;

struct signal_struct {
  unsigned int flags;
} RF_CORE;
/* The helper is there from Linux 5.15. */
enum bpf_func_id___task_pt_regs { BPF_FUNC_task_pt_regs___task_pt_regs = 175 };
struct task_struct___signal {
  struct signal_struct* signal;
} RF_CORE;
/* Whether to look at by_tgid and by_pidns at all. */
volatile bool scope_by_tgid = false;
volatile bool scope_by_pidns = false;

/* Whether a group with an id of these low bits was ever watched. Set before `scopes`, never
 * cleared: whoever is not watched pays for one byte, and seldom for a lookup. */
#define RF_HINTS 8192
volatile __u8 scope_hint[RF_HINTS] = {0};

/* v2 cgroup id -> trial. Groups made below a watched one are added as they come. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, __u64);
} scopes SEC(".maps");

/* For targets in groups that are not ours alone: a process and what it forks; a pid namespace. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u32);
  __type(value, __u64);
} by_tgid SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u64);
} by_pidns SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64);
  __type(value, struct rf_trial);
} trials SEC(".maps");

/* Syscall number (the top bit: 32-bit table) -> capabilities whose check failed in one that
 * succeeded all the same. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2048);
  __type(key, __u32);
  __type(value, __u64);
} noise SEC(".maps");

/* Capabilities that `noise` had no room for: what failed without harm is not known to any trial. */
__u64 noise_lost = 0;

/* For programs of other objects (probes/bpf/probe.h): where a trial's story goes. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, struct rf_story);
} stories SEC(".maps");

struct scratch {
  struct task_state fresh;
  struct rf_call call;
  struct rf_event_path event; /* on its way into a perf buffer */
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline __u64 scope_of(struct task_struct* task) {
  __u64 id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
  __u64* trial = bpf_map_lookup_elem(&scopes, &id);
  if (trial) return *trial;
  if (scope_by_tgid) {
    __u32 tgid = BPF_CORE_READ(task, tgid);
    trial = bpf_map_lookup_elem(&by_tgid, &tgid);
    if (trial) return *trial;
  }
  if (scope_by_pidns) {
    struct pid* pid = BPF_CORE_READ(task, thread_pid);
    unsigned int level = BPF_CORE_READ(pid, level);
    struct upid last;
    if (level > 32) return 0;
    bpf_core_read(&last, sizeof last,
                  (void*)&pid->numbers + level * bpf_core_type_size(struct upid));
    __u32 inum = BPF_CORE_READ(last.ns, ns.inum);
    trial = bpf_map_lookup_elem(&by_pidns, &inum);
    if (trial) return *trial;
  }
  return 0;
}

/* What bpf_get_current_cgroup_id() gives, without the call: calls are most of what a program that
 * is not interested costs. */
static __always_inline __u64 group_of_self(const struct task_struct* self) {
  return self->cgroups->dfl_cgrp->kn->id;
}

/* Whether to look at all. */
static __always_inline bool is_hinted(__u64 group) {
  return scope_hint[group % RF_HINTS] || scope_by_tgid || scope_by_pidns;
}

static __always_inline __u64 scope_of_self(struct task_struct* self) {
  __u64 id = group_of_self(self);
  if (!is_hinted(id)) return 0;
  if (!scope_by_tgid && !scope_by_pidns) {
    __u64* trial = bpf_map_lookup_elem(&scopes, &id);
    return trial ? *trial : 0;
  }
  return scope_of(self);
}
static __always_inline __u64 scope_of_current(void) {
  return scope_of_self(bpf_get_current_task_btf());
}

/* --- State of a task ------------------------------------------------------------------------ */

static __always_inline struct task_state* new_state(struct task_struct* task, __u64 trial) {
  __u32 zero = 0;
  struct scratch* s = bpf_map_lookup_elem(&scratches, &zero);
  if (!s) return 0;
  __u64 key = (__u64)task;
  __builtin_memset(&s->fresh, 0, sizeof s->fresh);
  s->fresh.born = BPF_CORE_READ(task, start_boottime);
  s->fresh.trial = trial;
  s->fresh.nr = -1;
  s->fresh.cap_last = RF_NO_CAP;
  bpf_map_update_elem(&tasks, &key, &s->fresh, BPF_ANY);
  return bpf_map_lookup_elem(&tasks, &key);
}

#endif

/* The witness: what the kernel itself knows of a watched target's syscalls, capability checks,
 * processes, signals and groups.
 *
 * A program is called HOOK__RUNG. The loader takes, for each hook, the first rung that this kernel
 * lets it load (harness/witness/ladder.h); the body is the same.
 */
// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probes/bpf/abi.h"

char _license[] SEC("license") = "GPL";

#define NR_vfork 58
#define NR_clone 56
#define NR_fork 57
#define NR_clone3 435
#define COMPAT_NR_fork 2
#define COMPAT_NR_clone 120
#define COMPAT_NR_vfork 190
#define NR_rt_sigreturn 15
#define NR_execve 59
#define NR_execveat 322
#define COMPAT_NR_execve 11
#define COMPAT_NR_execveat 358
#define EFAULT 14
/* Errors of the kernel's own (include/linux/errno.h): a signal came, and the call is made again. */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516
#define SIGSYS 31
#define SYS_SECCOMP 1 /* si_code; another is user dispatch's, and anybody may send the signal */
#define SIGXFSZ 25
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */
#define AUDIT_ARCH_I386 0x40000003
#define MAX_ERRNO 4095

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
  __u32 fresh; /* forked, and not yet out of its parent's clone */
  __u64 args[6];
  char path[RF_PATH];
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct task_state);
} tasks SEC(".maps");

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

struct scratch {
  struct task_state fresh;
  struct rf_call call;
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

static __always_inline __u64 scope_of_current(void) {
  if (!scope_by_tgid && !scope_by_pidns) {
    __u64 id = bpf_get_current_cgroup_id();
    __u64* trial = bpf_map_lookup_elem(&scopes, &id);
    return trial ? *trial : 0;
  }
  return scope_of((struct task_struct*)bpf_get_current_task());
}

/* --- The story ------------------------------------------------------------------------------ */

static __always_inline void* room(struct rf_trial* trial, __u64 id, __u64 size) {
  void* ring = bpf_map_lookup_elem(&rings, &trial->ring);
  void* at = ring ? bpf_ringbuf_reserve(ring, size, 0) : 0;
  if (!at) __sync_fetch_and_add(&trial->ring_lost, 1);
  return at;
}

static __always_inline void fill_head(struct rf_event* head, __u64 trial, __u32 kind) {
  __u64 ids = bpf_get_current_pid_tgid();
  head->at = bpf_ktime_get_ns();
  head->trial = trial;
  head->kind = kind;
  head->tgid = ids >> 32;
  head->tid = (__u32)ids;
  head->pad = 0;
  bpf_get_current_comm(head->comm, sizeof head->comm);
}

static __always_inline void tell_number(__u64 id, __u32 kind, __s64 number, __s64 a, __s64 b,
                                        __s64 c) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return;
  void* ring = bpf_map_lookup_elem(&rings, &trial->ring);
  struct rf_event_number* e = ring ? bpf_ringbuf_reserve(ring, sizeof *e, 0) : 0;
  if (!e) {
    __sync_fetch_and_add(&trial->ring_lost, 1);
    return;
  }
  fill_head(&e->head, id, kind);
  e->number = number;
  e->more[0] = a;
  e->more[1] = b;
  e->more[2] = c;
  bpf_ringbuf_submit(e, 0);
}

static __always_inline void tell_text(__u64 id, __u32 kind, __u64 number, const char* text) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return;
  void* ring = bpf_map_lookup_elem(&rings, &trial->ring);
  struct rf_event_text* e = ring ? bpf_ringbuf_reserve(ring, sizeof *e, 0) : 0;
  if (!e) {
    __sync_fetch_and_add(&trial->ring_lost, 1);
    return;
  }
  fill_head(&e->head, id, kind);
  e->number = number;
  if (bpf_probe_read_kernel_str(e->text, sizeof e->text, text) < 0) e->text[0] = 0;
  bpf_ringbuf_submit(e, 0);
}

/* --- State of a task ------------------------------------------------------------------------ */

static __always_inline struct task_state* state_of(struct task_struct* task) {
  __u64 key = (__u64)task;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (state && state->born != BPF_CORE_READ(task, start_boottime)) return 0;
  return state;
}

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

/* Which argument of a syscall of the 64-bit table is a path: for the story. */
static __always_inline int path_argument(__u32 nr) {
  switch (nr) {
    case 2:   /* open */
    case 4:   /* stat */
    case 6:   /* lstat */
    case 21:  /* access */
    case 59:  /* execve */
    case 76:  /* truncate */
    case 80:  /* chdir */
    case 82:  /* rename */
    case 83:  /* mkdir */
    case 84:  /* rmdir */
    case 85:  /* creat */
    case 86:  /* link */
    case 87:  /* unlink */
    case 89:  /* readlink */
    case 90:  /* chmod */
    case 92:  /* chown */
    case 94:  /* lchown */
    case 133: /* mknod */
    case 137: /* statfs */
    case 155: /* pivot_root */
    case 161: /* chroot */
    case 166: /* umount2 */
    case 167: /* swapon */
    case 170: /* sethostname */
    case 171: /* setdomainname */
    case 188: /* setxattr */
      return 0;
    case 165: /* mount: its target */
    case 257: /* openat */
    case 258: /* mkdirat */
    case 259: /* mknodat */
    case 260: /* fchownat */
    case 262: /* newfstatat */
    case 263: /* unlinkat */
    case 264: /* renameat */
    case 265: /* linkat */
    case 267: /* readlinkat */
    case 268: /* fchmodat */
    case 269: /* faccessat */
    case 303: /* name_to_handle_at */
    case 316: /* renameat2 */
    case 322: /* execveat */
    case 332: /* statx */
    case 428: /* open_tree */
    case 437: /* openat2 */
    case 439: /* faccessat2 */
    case 442: /* mount_setattr */
    case 452: /* fchmodat2 */
      return 1;
    default:
      return -1;
  }
}

static __always_inline __u64 argument(const struct task_state* state, int index) {
  switch (index) {
    case 0:
      return state->args[0];
    case 1:
      return state->args[1];
    case 2:
      return state->args[2];
    case 3:
      return state->args[3];
    case 4:
      return state->args[4];
    default:
      return state->args[5];
  }
}

/* The string argument `index`, with zeroes after its end. A page that is not there yet cannot be
 * read here; after a syscall that used it, it can. */
static __always_inline bool read_path(struct task_state* state, int index) {
  __builtin_memset(state->path, 0, sizeof state->path);
  state->has_path =
      bpf_probe_read_user_str(state->path, sizeof state->path, (void*)argument(state, index)) > 0;
  return state->has_path;
}

/* Compares the call in `state` with what the trial looks for. False: an argument could not be read.
 */
static __always_inline bool match(struct rf_trial* trial, struct task_state* state, __u32 nr,
                                  bool compat, bool args_known) {
  bool readable = true;
  state->matched = 0;
  state->has_path = 0;
  for (__u32 w = 0; w < RF_WANTS; ++w) {
    struct rf_want* want = &trial->want[w];
    if (w >= trial->wants || want->nr != nr || (want->compat != 0) != compat) continue;
    if (!args_known && (want->args || want->path >= 0)) {
      readable = false;
      continue;
    }
    bool same = true;
    for (int i = 0; i < 6; ++i) {
      if ((want->args & (1 << i)) && (state->args[i] & want->mask[i]) != want->value[i])
        same = false;
    }
    if (!same) continue;
    if (want->path >= 0) {
      if (!read_path(state, want->path)) {
        readable = false;
        continue;
      }
      const __u64* wanted = (const __u64*)want->path_is;
      const __u64* seen = (const __u64*)state->path;
      __u64 differs = 0;
      for (int i = 0; i < RF_PATH / 8; ++i) differs |= wanted[i] ^ seen[i];
      if (differs) continue;
    }
    state->matched |= 1u << w;
  }
  if (!state->has_path && !compat && args_known) {
    const int shown = path_argument(nr);
    if (shown >= 0) (void)read_path(state, shown);
  }
  return readable;
}

/* --- Syscalls ------------------------------------------------------------------------------- */

static __always_inline bool is_compat(struct task_struct* task) {
  return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline void read_args(__u64* args, struct pt_regs* regs, bool compat) {
  if (compat) {
    args[0] = (__u32)BPF_CORE_READ(regs, bx);
    args[1] = (__u32)BPF_CORE_READ(regs, cx);
    args[2] = (__u32)BPF_CORE_READ(regs, dx);
    args[3] = (__u32)BPF_CORE_READ(regs, si);
    args[4] = (__u32)BPF_CORE_READ(regs, di);
    args[5] = (__u32)BPF_CORE_READ(regs, bp);
  } else {
    args[0] = BPF_CORE_READ(regs, di);
    args[1] = BPF_CORE_READ(regs, si);
    args[2] = BPF_CORE_READ(regs, dx);
    args[3] = BPF_CORE_READ(regs, r10);
    args[4] = BPF_CORE_READ(regs, r8);
    args[5] = BPF_CORE_READ(regs, r9);
  }
}

/* `regs`, or `args` where the hook gives only those. */
static __always_inline int on_enter(struct pt_regs* regs, const unsigned long* args, long nr) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct task_state* state = state_of(task);
  if (!state) state = new_state(task, id);
  if (!state) {
    __sync_fetch_and_add(&trial->orphans, 1);
    return 0;
  }
  const bool compat = is_compat(task);
  state->trial = id;
  state->nr = nr;
  state->flags = compat ? RF_COMPAT : 0;
  state->caps_failed = 0;
  state->cap_last = RF_NO_CAP;
  state->cap_last_ret = 0;
  state->began = bpf_ktime_get_ns();
  if (regs) {
    read_args(state->args, regs, compat);
  } else if (args) {
    for (int i = 0; i < 6; ++i) state->args[i] = args[i];
  }
  /* Not readable yet: on_exit() looks again. */
  if (!match(trial, state, nr, compat, true)) state->matched = ~0u;
  return 0;
}

static __always_inline bool is_interrupted(long ret) {
  return ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK;
}

static __always_inline void remember(struct rf_trial* trial, __u32 matched,
                                     const struct rf_call* call, bool denied) {
  for (__u32 w = 0; w < RF_WANTS; ++w) {
    if (!(matched & (1u << w))) continue;
    struct rf_seen* seen = &trial->seen[w];
    if (__sync_fetch_and_add(&seen->count, 1) == 0) seen->first = *call;
    seen->last = *call;
    if (is_interrupted(call->ret)) continue;
    if (denied) {
      __sync_fetch_and_add(&seen->denied, 1);
      if (call->flags & RF_NO_ENTER) __sync_fetch_and_add(&seen->no_enter, 1);
      seen->last_denied = *call;
    } else {
      __sync_fetch_and_add(&seen->allowed, 1);
    }
  }
}

static __always_inline void learn_noise(const struct rf_call* call) {
  __u32 key = call->nr | (call->flags & RF_COMPAT ? 1u << 31 : 0);
  __u64* known = bpf_map_lookup_elem(&noise, &key);
  if (known) {
    __sync_fetch_and_or(known, call->caps_failed);
  } else {
    bpf_map_update_elem(&noise, &key, &call->caps_failed, BPF_NOEXIST);
  }
}

static __always_inline bool is_first_return(__s64 nr, long ret, bool compat) {
  if (ret != 0) return false;
  if (compat)
    return nr == COMPAT_NR_fork || nr == COMPAT_NR_clone || nr == COMPAT_NR_vfork ||
           nr == NR_clone3;
  return nr == NR_clone || nr == NR_fork || nr == NR_vfork || nr == NR_clone3;
}

static __always_inline int end_of_call(__u64 id, struct pt_regs* regs, __s64 nr_here, long ret) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct task_state* state = state_of(task);
  const bool compat = is_compat(task);
  __u32 flags = 0;
  if (!state) {
    /* A new task comes out of its parent's clone; any other end without a state is a fact lost. */
    if (!is_first_return(nr_here, ret, compat)) __sync_fetch_and_add(&trial->orphans, 1);
    new_state(task, id);
    return 0;
  }
  __s64 nr = state->nr;
  bool args_known = true;
  if (nr < 0) {
    nr = nr_here;
    if (nr < 0) return 0; /* cancelled by a tracer or by rt_sigreturn */
    const bool fresh = state->fresh;
    state->fresh = 0;
    /* Only once: a filter that answers 0 to a later clone looks the same. */
    if (fresh && is_first_return(nr, ret, compat)) return 0;
    flags = RF_NO_ENTER | (compat ? RF_COMPAT : 0);
    state->caps_failed = 0;
    state->cap_last = RF_NO_CAP;
    state->cap_last_ret = 0;
    state->began = 0;
    if (regs) {
      read_args(state->args, regs, compat);
    } else {
      args_known = false;
      flags |= RF_NO_ARGS;
      __builtin_memset(state->args, 0, sizeof state->args);
    }
    state->matched = ~0u;
  } else {
    flags = state->flags;
    state->fresh = 0;
    /* Out of rt_sigreturn comes the number -1, and what the interrupted code had in its register:
     * not a result. */
    if (nr_here < 0) ret = 0;
  }
  /* What the kernel could not read either, it was not asked for. */
  if (state->matched == ~0u && !match(trial, state, nr, flags & RF_COMPAT, args_known) &&
      ret != -EFAULT) {
    __sync_fetch_and_add(&trial->unreadable, 1);
  }
  /* The page of a name may come only when the kernel itself reads it: of a call that failed, it is
   * read again. */
  if (ret < 0 && !state->has_path && args_known && !(flags & RF_COMPAT)) {
    const int shown = path_argument(nr);
    if (shown >= 0) (void)read_path(state, shown);
  }
  __u32 zero = 0;
  struct scratch* s = bpf_map_lookup_elem(&scratches, &zero);
  if (!s) return 0;
  struct rf_call* call = &s->call;
  __builtin_memset(call, 0, sizeof *call);
  call->at = bpf_ktime_get_ns();
  call->began = state->began;
  call->ret = ret;
  for (int i = 0; i < 6; ++i) call->args[i] = state->args[i];
  call->caps_failed = state->caps_failed;
  call->nr = nr;
  call->cap_last = state->cap_last;
  call->cap_last_ret = state->cap_last_ret;
  call->cap_userns = state->cap_userns;
  const struct cred* cred = BPF_CORE_READ(task, cred);
  call->cred_userns = BPF_CORE_READ(cred, user_ns, ns.inum);
  bpf_core_read(&call->cap_effective, sizeof call->cap_effective, &cred->cap_effective);
  call->seccomp = BPF_CORE_READ(task, seccomp.mode);
  if (BPF_CORE_READ(task, ptrace)) flags |= RF_TRACED;
  if (bpf_core_field_exists(task->thread_info.syscall_work) &&
      (BPF_CORE_READ(task, thread_info.syscall_work) & SYSCALL_WORK_USER_DISPATCH)) {
    flags |= RF_DISPATCHED;
  }
  call->flags = flags;
  __u64 ids = bpf_get_current_pid_tgid();
  call->tgid = ids >> 32;
  call->tid = (__u32)ids;

  /* What the gate refuses may carry any value; what enters fails with -1 to -4095. */
  const bool denied =
      !is_interrupted(ret) && ((flags & RF_NO_ENTER) || (ret < 0 && ret >= -MAX_ERRNO));
  __sync_fetch_and_add(&trial->calls, 1);
  remember(trial, state->matched, call, denied);
  if (!denied && call->caps_failed && !is_interrupted(ret)) learn_noise(call);
  state->nr = -1;
  if (!denied && trial->denials_only) return 0;
  if (state->has_path) {
    struct rf_event_path* e = room(trial, id, sizeof *e);
    if (!e) return 0;
    fill_head(&e->head, id, RF_EV_CALL);
    e->head.pad = 1;
    e->call = *call;
    __builtin_memcpy(e->path, state->path, sizeof e->path);
    bpf_ringbuf_submit(e, 0);
  } else {
    struct rf_event_call* e = room(trial, id, sizeof *e);
    if (!e) return 0;
    fill_head(&e->head, id, RF_EV_CALL);
    e->call = *call;
    bpf_ringbuf_submit(e, 0);
  }
  return 0;
}

static __always_inline int on_exit(struct pt_regs* regs, __s64 nr_here, long ret) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  return end_of_call(id, regs, nr_here, ret);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter__tp_btf, struct pt_regs* regs, long nr) { return on_enter(regs, 0, nr); }
SEC("raw_tp/sys_enter")
int enter__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_enter((struct pt_regs*)ctx->args[0], 0, ctx->args[1]);
}
SEC("tp/raw_syscalls/sys_enter")
int enter__tp(struct trace_event_raw_sys_enter* ctx) {
  const unsigned long args[6] = {ctx->args[0], ctx->args[1], ctx->args[2],
                                 ctx->args[3], ctx->args[4], ctx->args[5]};
  return on_enter(0, args, ctx->id);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit__tp_btf, struct pt_regs* regs, long ret) {
  return on_exit(regs, BPF_CORE_READ(regs, orig_ax), ret);
}
SEC("raw_tp/sys_exit")
int exit__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  struct pt_regs* regs = (struct pt_regs*)ctx->args[0];
  return on_exit(regs, BPF_CORE_READ(regs, orig_ax), ctx->args[1]);
}
SEC("tp/raw_syscalls/sys_exit")
int exit__tp(struct trace_event_raw_sys_exit* ctx) { return on_exit(0, ctx->id, ctx->ret); }

/* --- Capability checks ---------------------------------------------------------------------- */

static __always_inline int on_cap(const struct cred* cred, struct user_namespace* target, int cap,
                                  int ret) {
  struct task_state* state = state_of((struct task_struct*)bpf_get_current_task());
  /* Only what a watched task asks for itself, in a syscall. */
  if (!state || state->nr < 0 || cap < 0 || cap > 63) return 0;
  state->cap_last = cap;
  state->cap_last_ret = ret;
  state->cap_userns = BPF_CORE_READ(target, ns.inum);
  state->cred_userns = BPF_CORE_READ(cred, user_ns, ns.inum);
  if (ret == 0) return 0;
  state->caps_failed |= 1ULL << (cap & 63);
  __u64 id = state->trial;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  struct rf_event_cap* e = room(trial, id, sizeof *e);
  if (!e) return 0;
  fill_head(&e->head, id, RF_EV_CAP);
  e->cap = cap;
  e->ret = ret;
  e->userns = state->cap_userns;
  e->cred_userns = state->cred_userns;
  bpf_ringbuf_submit(e, 0);
  return 0;
}

/* The tracepoint is in Linux 6.14 and later. */
SEC("tp_btf/cap_capable")
int BPF_PROG(cap__tp_btf, const struct cred* cred, struct user_namespace* target,
             const struct user_namespace* capable, int cap, int ret) {
  return on_cap(cred, target, cap, ret);
}
SEC("raw_tp/cap_capable")
int cap__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_cap((const struct cred*)ctx->args[0], (struct user_namespace*)ctx->args[1],
                (int)ctx->args[3], (int)ctx->args[4]);
}
SEC("fexit/cap_capable")
int BPF_PROG(cap__fexit, const struct cred* cred, struct user_namespace* target, int cap,
             unsigned int opts, int ret) {
  return on_cap(cred, target, cap, ret);
}

/* --- Processes ------------------------------------------------------------------------------ */

static __always_inline int on_fork(struct task_struct* child) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  __sync_fetch_and_add(&trial->tasks, 1);
  struct task_state* state = new_state(child, id);
  if (state) {
    state->fresh = 1;
  } else {
    __sync_fetch_and_add(&trial->orphans, 1);
  }
  const __u32 tid = BPF_CORE_READ(child, pid);
  const __u32 tgid = BPF_CORE_READ(child, tgid);
  if (scope_by_tgid && tid == tgid) {
    const __u32 self = bpf_get_current_pid_tgid() >> 32;
    /* Without room it is not followed: a loss. */
    if (bpf_map_lookup_elem(&by_tgid, &self) &&
        bpf_map_update_elem(&by_tgid, &tgid, &id, BPF_ANY)) {
      __sync_fetch_and_add(&trial->orphans, 1);
    }
  }
  tell_number(id, RF_EV_FORK, tid, tgid, 0, 0);
  return 0;
}
SEC("tp_btf/sched_process_fork")
int BPF_PROG(fork__tp_btf, struct task_struct* parent, struct task_struct* child) {
  return on_fork(child);
}
SEC("raw_tp/sched_process_fork")
int fork__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_fork((struct task_struct*)ctx->args[1]);
}

static __always_inline int on_exec(struct linux_binprm* binprm) {
  __u64 id = scope_of_current();
  /* A thread that executes takes the leader's place, its pid and its time of birth (de_thread(),
   * fs/exec.c). It is the same task, in the middle of this call. */
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  __u64 key = (__u64)task;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (state && state->trial == id) state->born = BPF_CORE_READ(task, start_boottime);
  if (id) tell_text(id, RF_EV_EXEC, 0, BPF_CORE_READ(binprm, filename));
  return 0;
}
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec__tp_btf, struct task_struct* task, int old_pid, struct linux_binprm* binprm) {
  return on_exec(binprm);
}
SEC("raw_tp/sched_process_exec")
int exec__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_exec((struct linux_binprm*)ctx->args[2]);
}

static __always_inline int on_end(struct task_struct* task) {
  __u64 key = (__u64)task;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (!state) return 0;
  const __u64 id = state->trial;
  const int code = BPF_CORE_READ(task, exit_code);
  /* SECCOMP_RET_KILL_THREAD, where there are other threads, sends no signal and comes back to no
   * exit of the syscall: the task ends on the spot, as if by SIGSYS, and it alone. */
  struct task_struct___signal* group = (struct task_struct___signal*)task;
  if (bpf_core_enum_value_exists(enum bpf_func_id___task_pt_regs,
                                 BPF_FUNC_task_pt_regs___task_pt_regs) &&
      (code & 0x7f) == SIGSYS && state->nr < 0 &&
      state->born == BPF_CORE_READ(task, start_boottime) &&
      !(BPF_CORE_READ(group, signal, flags) & SIGNAL_GROUP_EXIT)) {
    struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
    const __s64 nr = BPF_CORE_READ(regs, orig_ax);
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) {
      __sync_fetch_and_add(&trial->sigsys, 1);
      trial->sigsys_nr = nr;
      trial->sigsys_compat = is_compat(task);
    }
    (void)end_of_call(id, regs, nr, nr);
  }
  bpf_map_delete_elem(&tasks, &key);
  if (scope_by_tgid) {
    __u32 tid = BPF_CORE_READ(task, pid);
    if (tid == (__u32)BPF_CORE_READ(task, tgid)) bpf_map_delete_elem(&by_tgid, &tid);
  }
  tell_number(id, RF_EV_EXIT, code, 0, 0, 0);
  return 0;
}
SEC("tp_btf/sched_process_exit")
int BPF_PROG(end__tp_btf, struct task_struct* task) { return on_end(task); }
SEC("raw_tp/sched_process_exit")
int end__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_end((struct task_struct*)ctx->args[0]);
}

/* --- Signals -------------------------------------------------------------------------------- */

/* siginfo of SIGSYS, after number, error and code: address, syscall (include/uapi/asm-generic). */
struct sigsys_info {
  int signo, error, code, gap;
  __u64 address;
  int nr;
  __u32 arch;
};

static __always_inline int on_signal(int sig, void* info, struct task_struct* task) {
  __u64 id = scope_of(task);
  if (!id) id = scope_of_current();
  if (!id) return 0;
  if (sig == SIGXFSZ && task == (struct task_struct*)bpf_get_current_task()) {
    struct task_state* state = state_of(task);
    if (state && state->nr >= 0) state->flags |= RF_FILE_SIZE;
  }
  struct sigsys_info copy = {};
  /* 0 and 1 are SEND_SIG_NOINFO and SEND_SIG_PRIV. */
  if ((__u64)info > 1) bpf_probe_read_kernel(&copy, sizeof copy, info);
  if (sig == SIGSYS && copy.code == SYS_SECCOMP) {
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) {
      __sync_fetch_and_add(&trial->sigsys, 1);
      trial->sigsys_nr = copy.nr;
      trial->sigsys_compat = copy.arch == AUDIT_ARCH_I386;
    }
  }
  tell_number(id, RF_EV_SIGNAL, sig, copy.code, BPF_CORE_READ(task, pid),
              sig != SIGSYS || copy.code <= 0 ? -1
              : copy.arch == AUDIT_ARCH_I386  ? -2 - copy.nr
                                              : copy.nr);
  return 0;
}
SEC("tp_btf/signal_generate")
int BPF_PROG(signal__tp_btf, int sig, void* info, struct task_struct* task) {
  return on_signal(sig, info, task);
}
SEC("raw_tp/signal_generate")
int signal__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_signal((int)ctx->args[0], (void*)ctx->args[1], (struct task_struct*)ctx->args[2]);
}

/* --- Groups --------------------------------------------------------------------------------- */

static __always_inline int on_attach(const char* path, struct task_struct* task) {
  struct task_state* state = state_of(task);
  if (!state) return 0;
  const __u64 id = state->trial;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  /* Only v2 counts for the scope; a v1 group is told of, too. */
  if (scope_of(task) != id) __sync_fetch_and_add(&trial->moved, 1);
  tell_text(id, RF_EV_CGROUP_ATTACH, BPF_CORE_READ(task, pid), path);
  return 0;
}
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(attach__tp_btf, struct cgroup* to, const char* path, struct task_struct* task) {
  return on_attach(path, task);
}
SEC("raw_tp/cgroup_attach_task")
int attach__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_attach((const char*)ctx->args[1], (struct task_struct*)ctx->args[2]);
}

/* A group made by a watched task is watched: its maker could go there. */
static __always_inline int on_mkdir(struct cgroup* made, const char* path) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  __u64 group = BPF_CORE_READ(made, kn, id);
  if (bpf_map_update_elem(&scopes, &group, &id, BPF_ANY)) {
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) __sync_fetch_and_add(&trial->orphans, 1);
  }
  tell_text(id, RF_EV_CGROUP_MKDIR, group, path);
  return 0;
}
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(mkdir__tp_btf, struct cgroup* made, const char* path) { return on_mkdir(made, path); }
SEC("raw_tp/cgroup_mkdir")
int mkdir__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_mkdir((struct cgroup*)ctx->args[0], (const char*)ctx->args[1]);
}

static __always_inline int on_freeze(struct cgroup* group, const char* path, bool frozen) {
  __u64 id = BPF_CORE_READ(group, kn, id);
  __u64* trial = bpf_map_lookup_elem(&scopes, &id);
  if (trial) tell_text(*trial, RF_EV_CGROUP_FREEZE, frozen, path);
  return 0;
}
SEC("tp_btf/cgroup_freeze")
int BPF_PROG(freeze__tp_btf, struct cgroup* group, const char* path) {
  return on_freeze(group, path, true);
}
SEC("tp_btf/cgroup_unfreeze")
int BPF_PROG(thaw__tp_btf, struct cgroup* group, const char* path) {
  return on_freeze(group, path, false);
}

/* --- Memory --------------------------------------------------------------------------------- */

static __always_inline int on_victim(__u64 who) {
  __u64 id = 0;
  __u32 pid = who;
  if (victim_is_task) {
    struct task_struct* victim = (struct task_struct*)who;
    id = scope_of(victim);
    pid = BPF_CORE_READ(victim, pid);
  }
  if (!id) id = scope_of_current(); /* a group's own limit kills from within the group */
  if (!id) return 0;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (trial) __sync_fetch_and_add(&trial->oom_kills, 1);
  tell_number(id, RF_EV_OOM, pid, 0, 0, 0);
  return 0;
}
SEC("tp_btf/mark_victim")
int victim__tp_btf(__u64* ctx) { return on_victim(ctx[0]); }
SEC("raw_tp/mark_victim")
int victim__raw_tp(struct bpf_raw_tracepoint_args* ctx) { return on_victim(ctx->args[0]); }

/* --- vsyscall: neither enter nor exit -------------------------------------------------------- */

static __always_inline int on_vsyscall(int nr) {
  __u64 id = scope_of_current();
  if (id) tell_number(id, RF_EV_VSYSCALL, nr, 0, 0, 0);
  return 0;
}
SEC("tp_btf/emulate_vsyscall")
int BPF_PROG(vsyscall__tp_btf, int nr) { return on_vsyscall(nr); }
SEC("raw_tp/emulate_vsyscall")
int vsyscall__raw_tp(struct bpf_raw_tracepoint_args* ctx) { return on_vsyscall(ctx->args[0]); }

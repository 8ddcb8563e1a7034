/* The witness: what the kernel itself knows of a watched target's syscalls, capability checks,
 * processes, signals and groups.
 *
 * A program is called HOOK__RUNG. The loader takes, for each hook, the first rung that this kernel
 * lets it load (harness/witness/ladder.h); the body is the same.
 */
#include "probes/bpf/witness_calls.h"
#include "probes/bpf/witness_group.h"
#include "probes/bpf/witness_tasks.h"

char _license[] SEC("license") = "GPL";

/* --- Syscalls ------------------------------------------------------------------------------- */

/* `self` comes from bpf_get_current_task_btf(), `regs` from a typed hook or from
 * bpf_task_pt_regs(): the verifier knows what they point to, and a member is one load, where
 * bpf_probe_read_kernel() would cost more than all the rest. */
static __always_inline bool is_compat(struct task_struct* self) {
  return self->thread_info.status & TS_COMPAT;
}

static __always_inline void read_args(__u64* args, struct pt_regs* regs, bool compat) {
  if (compat) {
    args[0] = (__u32)regs->bx;
    args[1] = (__u32)regs->cx;
    args[2] = (__u32)regs->dx;
    args[3] = (__u32)regs->si;
    args[4] = (__u32)regs->di;
    args[5] = (__u32)regs->bp;
  } else {
    args[0] = regs->di;
    args[1] = regs->si;
    args[2] = regs->dx;
    args[3] = regs->r10;
    args[4] = regs->r8;
    args[5] = regs->r9;
  }
}

/* `regs`, or `args` where the hook gives only those. */
static __always_inline int on_enter(struct pt_regs* regs, const unsigned long* args, long nr) {
  struct task_struct* self = bpf_get_current_task_btf();
  __u64 id = scope_of_self(self);
  if (!id) return 0;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  struct task_state* state = state_of_self(self);
  if (!state) state = new_state(self, id);
  if (!state) {
    __sync_fetch_and_add(&trial->no_room, 1);
    return 0;
  }
  const bool compat = is_compat(self);
  state->trial = id;
  state->nr = nr;
  state->flags = compat ? RF_COMPAT : 0;
  state->caps_failed = 0;
  state->cap_last = RF_NO_CAP;
  state->cap_last_ret = 0;
  state->lsm = (struct lsm_state){};
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

/* Neither denied nor allowed: a signal came, or what was asked for goes on. */
static __always_inline bool is_unsettled(__u32 flags, long ret) {
  if (ret == -EINPROGRESS) return !(flags & RF_NO_ENTER);
  return ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK;
}

static __always_inline void remember(struct rf_trial* trial, const struct task_state* state,
                                     const struct rf_call* call, __u64 denied, __u64 unsettled) {
  if (!state->matched) return;
  for (__u32 w = 0; w < RF_WANTS; ++w) {
    /* Read each time: of one that is kept the verifier follows every combination of its bits. */
    if (!(*(volatile const __u32*)&state->matched & (1u << w))) continue;
    forget(denied);
    forget(unsettled);
    struct rf_seen* seen = &trial->seen[w];
    if (__sync_fetch_and_add(&seen->count, 1) == 0) seen->first = *call;
    seen->last = *call;
    if (unsettled) continue;
    if (denied) {
      __sync_fetch_and_add(&seen->denied, 1);
      if (call->flags & RF_NO_ENTER) __sync_fetch_and_add(&seen->no_enter, 1);
      seen->last_denied = *call;
      if (state->has_path) {
        __builtin_memcpy(seen->denied_path, state->path, sizeof seen->denied_path);
      } else {
        seen->denied_path[0] = 0;
      }
    } else {
      __sync_fetch_and_add(&seen->allowed, 1);
    }
  }
}

static __always_inline void learn_noise(const struct rf_call* call) {
  __u32 key = call->nr | (call->flags & RF_COMPAT ? 1u << 31 : 0);
  __u64* known = bpf_map_lookup_elem(&noise, &key);
  if (!known) {
    if (!bpf_map_update_elem(&noise, &key, &call->caps_failed, BPF_NOEXIST)) return;
    known = bpf_map_lookup_elem(&noise, &key); /* another CPU was faster, or there is no room */
  }
  if (known) {
    __sync_fetch_and_or(known, call->caps_failed);
  } else {
    __sync_fetch_and_add(&noise_lost, 1);
  }
}

static __always_inline int end_of_call(void* ctx, __u64 id, struct task_struct* self,
                                       struct task_state* state, struct pt_regs* regs,
                                       __s64 nr_here, long ret) {
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  const bool compat = is_compat(self);
  __u32 flags = 0;
  if (!state) {
    /* A new task comes out of its parent's clone; any other end without a state is a fact lost. */
    if (!is_first_return(nr_here, ret, compat)) {
      __sync_fetch_and_add(&trial->orphans, 1);
      rf_debug("trial %llu: syscall %lld ends without a beginning", id, nr_here);
    }
    if (!new_state(self, id)) __sync_fetch_and_add(&trial->no_room, 1);
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
    state->lsm = (struct lsm_state){};
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
  forget(flags);
  forget(nr);
  forget(ret);
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
  /* What the gate refuses may carry any value; what enters fails with -1 to -4095. */
  __u64 unsettled = is_unsettled(flags, ret);
  __u64 denied = !unsettled && ((flags & RF_NO_ENTER) || (ret < 0 && ret >= -MAX_ERRNO));
  forget(unsettled);
  forget(denied);
  __sync_fetch_and_add(&trial->calls, 1);
  if (!denied && trial->denials_only && !state->matched && !state->caps_failed) {
    state->nr = -1; /* Nobody asks for more of it. */
    return 0;
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
  call->lsm_hook = state->lsm.hook;
  call->lsm_by = state->lsm.by;
  call->lsm_ret = state->lsm.ret;
  const struct cred* cred = self->cred;
  call->cred_userns = cred->user_ns->ns.inum;
  call->cap_effective = cred->cap_effective.val;
  call->seccomp = self->seccomp.mode;
  if (self->ptrace) flags |= RF_TRACED;
  if (bpf_core_field_exists(self->thread_info.syscall_work) &&
      (self->thread_info.syscall_work & SYSCALL_WORK_USER_DISPATCH)) {
    flags |= RF_DISPATCHED;
  }
  call->flags = flags;
  call->tgid = self->tgid;
  call->tid = self->pid;

  remember(trial, state, call, denied, unsettled);
  if (!denied && call->caps_failed && !unsettled) learn_noise(call);
  state->nr = -1;
  if (!denied && trial->denials_only) return 0;
  if (state->has_path) {
    struct rf_event_path* e = room(trial, &s->event, sizeof *e);
    if (!e) return 0;
    barrier_var(e);
    fill_head_at(&e->head, self, call->at, id, RF_EV_CALL);
    e->call = *call;
    __builtin_memcpy(e->path, state->path, sizeof e->path);
    give(ctx, trial, e, sizeof *e);
  } else {
    struct rf_event_call* e = room(trial, &s->event, sizeof *e);
    if (!e) return 0;
    barrier_var(e);
    fill_head_at(&e->head, self, call->at, id, RF_EV_CALL);
    e->call = *call;
    give(ctx, trial, e, sizeof *e);
  }
  return 0;
}

/* Without `regs` the hook gives the number. */
static __always_inline int on_exit(void* ctx, struct pt_regs* regs, __s64 nr_here, long ret) {
  struct task_struct* self = bpf_get_current_task_btf();
  if (!is_hinted(group_of_self(self))) return 0;
  struct task_state* state = state_of_self(self);
  /* Whom a call belongs to was found out when it began. */
  __u64 id = state && state->nr >= 0 ? state->trial : scope_of_self(self);
  if (!id) return 0;
  return end_of_call(ctx, id, self, state, regs, regs ? (__s64)regs->orig_ax : nr_here, ret);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter__tp_btf, struct pt_regs* regs, long nr) { return on_enter(regs, 0, nr); }
SEC("raw_tp/sys_enter")
int enter__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_enter((struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf()), 0, ctx->args[1]);
}
SEC("tp/raw_syscalls/sys_enter")
int enter__tp(struct trace_event_raw_sys_enter* ctx) {
  const unsigned long args[6] = {ctx->args[0], ctx->args[1], ctx->args[2],
                                 ctx->args[3], ctx->args[4], ctx->args[5]};
  return on_enter(0, args, ctx->id);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit__tp_btf, struct pt_regs* regs, long ret) { return on_exit(ctx, regs, 0, ret); }
SEC("raw_tp/sys_exit")
int exit__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_exit(ctx, (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf()), 0,
                 ctx->args[1]);
}
SEC("tp/raw_syscalls/sys_exit")
int exit__tp(struct trace_event_raw_sys_exit* ctx) { return on_exit(ctx, 0, ctx->id, ctx->ret); }

/* --- Capability checks ---------------------------------------------------------------------- */

/* `typed`: the verifier knows what the arguments point to. */
static __always_inline int on_cap(void* ctx, const struct cred* cred, struct user_namespace* target,
                                  int cap, int ret, bool typed) {
  struct task_struct* self = bpf_get_current_task_btf();
  if (!is_hinted(group_of_self(self))) return 0;
  struct task_state* state = state_of_self(self);
  /* Only what a watched task asks for itself, in a syscall. */
  if (!state || state->nr < 0 || cap < 0 || cap > 63) return 0;
  state->cap_last = cap;
  state->cap_last_ret = ret;
  state->flags &= ~RF_DEVICE;
  state->lsm.hook = RF_HOOK_NONE;
  state->cap_userns = typed ? target->ns.inum : BPF_CORE_READ(target, ns.inum);
  state->cred_userns = typed ? cred->user_ns->ns.inum : BPF_CORE_READ(cred, user_ns, ns.inum);
  if (ret == 0) return 0;
  state->caps_failed |= 1ULL << (cap & 63);
  __u64 id = state->trial;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  struct rf_event_cap staged;
  struct rf_event_cap* e = room(trial, &staged, sizeof *e);
  if (!e) return 0;
  barrier_var(e);
  fill_head(&e->head, id, RF_EV_CAP);
  e->cap = cap;
  e->ret = ret;
  e->userns = state->cap_userns;
  e->cred_userns = state->cred_userns;
  give(ctx, trial, e, sizeof *e);
  return 0;
}

/* The tracepoint is in Linux 6.14 and later. */
SEC("tp_btf/cap_capable")
int BPF_PROG(cap__tp_btf, const struct cred* cred, struct user_namespace* target,
             const struct user_namespace* capable, int cap, int ret) {
  return on_cap(ctx, cred, target, cap, ret, true);
}
SEC("raw_tp/cap_capable")
int cap__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_cap(ctx, (const struct cred*)ctx->args[0], (struct user_namespace*)ctx->args[1],
                (int)ctx->args[3], (int)ctx->args[4], false);
}
SEC("fexit/cap_capable")
int BPF_PROG(cap__fexit, const struct cred* cred, struct user_namespace* target, int cap,
             unsigned int opts, int ret) {
  return on_cap(ctx, cred, target, cap, ret, true);
}

/* Where only kprobes are: what is asked for is known at the function's entry, the answer at its
 * return. x86-64's registers of the first three arguments. */
SEC("kprobe/cap_capable")
int capargs__kprobe(struct pt_regs* regs) {
  struct task_struct* self = bpf_get_current_task_btf();
  if (!is_hinted(group_of_self(self))) return 0;
  struct task_state* state = state_of_self(self);
  if (!state) return 0;
  state->cap_cred = regs->di;
  state->cap_target = regs->si;
  state->cap_asked = (__s32)regs->dx;
  return 0;
}
SEC("kretprobe/cap_capable")
int cap__kretprobe(struct pt_regs* regs) {
  struct task_struct* self = bpf_get_current_task_btf();
  if (!is_hinted(group_of_self(self))) return 0;
  struct task_state* state = state_of_self(self);
  if (!state || !state->cap_cred) return 0;
  const struct cred* cred = (const struct cred*)state->cap_cred;
  state->cap_cred = 0;
  return on_cap(regs, cred, (struct user_namespace*)state->cap_target, state->cap_asked,
                (int)regs->ax, false);
}

/* --- Processes ------------------------------------------------------------------------------ */

static __always_inline int on_fork(void* ctx, struct task_struct* child) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  __sync_fetch_and_add(&trial->tasks, 1);
  struct task_state* state = new_state(child, id);
  if (state) {
    state->fresh = 1;
  } else {
    __sync_fetch_and_add(&trial->no_room, 1);
  }
  const __u32 tid = BPF_CORE_READ(child, pid);
  const __u32 tgid = BPF_CORE_READ(child, tgid);
  if (scope_by_tgid && tid == tgid) {
    const __u32 self = bpf_get_current_pid_tgid() >> 32;
    /* Without room it is not followed: a loss. */
    if (bpf_map_lookup_elem(&by_tgid, &self) &&
        bpf_map_update_elem(&by_tgid, &tgid, &id, BPF_ANY)) {
      __sync_fetch_and_add(&trial->no_room, 1);
    }
  }
  tell_number(ctx, id, RF_EV_FORK, tid, tgid, 0, 0);
  return 0;
}
SEC("tp_btf/sched_process_fork")
int BPF_PROG(fork__tp_btf, struct task_struct* parent, struct task_struct* child) {
  return on_fork(ctx, child);
}
SEC("raw_tp/sched_process_fork")
int fork__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_fork(ctx, (struct task_struct*)ctx->args[1]);
}

static __always_inline int on_exec(void* ctx, struct linux_binprm* binprm) {
  __u64 id = scope_of_current();
  /* A thread that executes takes the leader's place, its pid and its time of birth (de_thread(),
   * fs/exec.c). It is the same task, in the middle of this call. */
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  __u64 key = (__u64)task;
  struct task_state* state = bpf_map_lookup_elem(&tasks, &key);
  if (state && state->trial == id) state->born = BPF_CORE_READ(task, start_boottime);
  if (id) tell_text(ctx, id, RF_EV_EXEC, 0, BPF_CORE_READ(binprm, filename));
  return 0;
}
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec__tp_btf, struct task_struct* task, int old_pid, struct linux_binprm* binprm) {
  return on_exec(ctx, binprm);
}
SEC("raw_tp/sched_process_exec")
int exec__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_exec(ctx, (struct linux_binprm*)ctx->args[2]);
}

static __always_inline int on_end(void* ctx, struct task_struct* task) {
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
    struct task_struct* self = bpf_get_current_task_btf();
    struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(self);
    const __s64 nr = regs->orig_ax;
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) {
      __sync_fetch_and_add(&trial->sigsys, 1);
      trial->sigsys_nr = nr;
      trial->sigsys_compat = is_compat(self);
    }
    (void)end_of_call(ctx, id, self, state, regs, nr, nr);
  }
  bpf_map_delete_elem(&tasks, &key);
  if (scope_by_tgid) {
    __u32 tid = BPF_CORE_READ(task, pid);
    if (tid == (__u32)BPF_CORE_READ(task, tgid)) bpf_map_delete_elem(&by_tgid, &tid);
  }
  tell_number(ctx, id, RF_EV_EXIT, code, 0, 0, 0);
  return 0;
}
SEC("tp_btf/sched_process_exit")
int BPF_PROG(end__tp_btf, struct task_struct* task) { return on_end(ctx, task); }
SEC("raw_tp/sched_process_exit")
int end__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_end(ctx, (struct task_struct*)ctx->args[0]);
}

/* --- Signals -------------------------------------------------------------------------------- */

/* siginfo of SIGSYS, after number, error and code: address, syscall (include/uapi/asm-generic). */
struct sigsys_info {
  int signo, error, code, gap;
  __u64 address;
  int nr;
  __u32 arch;
};

static __always_inline int on_signal(void* ctx, int sig, void* info, struct task_struct* task) {
  struct sigsys_info copy = {};
  /* 0 and 1 are SEND_SIG_NOINFO and SEND_SIG_PRIV. */
  if ((__u64)info > 1) bpf_probe_read_kernel(&copy, sizeof copy, info);
  __u64 id = scope_of(task);
  /* A timer's signal, or that of a device, comes in an interrupt of whoever happens to run: only
     what is sent by a call is the current task's doing. */
  const bool by_call =
      (__u64)info != 1 && (copy.code == SI_USER || copy.code == SI_QUEUE || copy.code == SI_TKILL);
  if (!id && by_call) id = scope_of_current();
  if (!id) return 0;
  /* To itself: in a syscall, or at the gate, where none has begun yet. */
  const bool own = task == (struct task_struct*)bpf_get_current_task();
  struct task_state* state = own ? state_of(task) : 0;
  const bool in_call = state && state->nr >= 0;
  if (sig == SIGXFSZ && in_call) state->flags |= RF_FILE_SIZE;
  /* With rt_sigqueueinfo(2) a process may send itself the siginfo of any filter: in that call. */
  const bool of_gate = sig == SIGSYS && copy.code > 0 && own && !in_call;
  if (of_gate && copy.code == SYS_SECCOMP) {
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) {
      __sync_fetch_and_add(&trial->sigsys, 1);
      trial->sigsys_nr = copy.nr;
      trial->sigsys_compat = copy.arch == AUDIT_ARCH_I386;
    }
  }
  tell_number(ctx, id, RF_EV_SIGNAL, sig, copy.code, BPF_CORE_READ(task, pid),
              !of_gate                       ? -1
              : copy.arch == AUDIT_ARCH_I386 ? -2 - copy.nr
                                             : copy.nr);
  return 0;
}
SEC("tp_btf/signal_generate")
int BPF_PROG(signal__tp_btf, int sig, void* info, struct task_struct* task) {
  return on_signal(ctx, sig, info, task);
}
SEC("raw_tp/signal_generate")
int signal__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_signal(ctx, (int)ctx->args[0], (void*)ctx->args[1], (struct task_struct*)ctx->args[2]);
}

/* --- Groups --------------------------------------------------------------------------------- */

static __always_inline int on_attach(void* ctx, const char* path, struct task_struct* task) {
  struct task_state* state = state_of(task);
  if (!state) return 0;
  const __u64 id = state->trial;
  struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
  if (!trial) return 0;
  /* Only v2 counts for the scope; a v1 group is told of, too. */
  __u64 now = scope_of(task);
  if (now != id) {
    __sync_fetch_and_add(&trial->moved, 1);
    /* What it does in another trial's group would pass for that target's doing. */
    struct rf_trial* other = bpf_map_lookup_elem(&trials, &now);
    if (other) __sync_fetch_and_add(&other->joined, 1);
  }
  tell_text(ctx, id, RF_EV_CGROUP_ATTACH, BPF_CORE_READ(task, pid), path);
  return 0;
}
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(attach__tp_btf, struct cgroup* to, const char* path, struct task_struct* task) {
  return on_attach(ctx, path, task);
}
SEC("raw_tp/cgroup_attach_task")
int attach__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_attach(ctx, (const char*)ctx->args[1], (struct task_struct*)ctx->args[2]);
}

/* A group made by a watched task is watched: its maker could go there. */
static __always_inline int on_mkdir(void* ctx, struct cgroup* made, const char* path) {
  __u64 id = scope_of_current();
  if (!id) return 0;
  __u64 group = BPF_CORE_READ(made, kn, id);
  scope_hint[group % RF_HINTS] = 1;
  if (bpf_map_update_elem(&scopes, &group, &id, BPF_ANY)) {
    struct rf_trial* trial = bpf_map_lookup_elem(&trials, &id);
    if (trial) __sync_fetch_and_add(&trial->no_room, 1);
  }
  tell_text(ctx, id, RF_EV_CGROUP_MKDIR, group, path);
  return 0;
}
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(mkdir__tp_btf, struct cgroup* made, const char* path) {
  return on_mkdir(ctx, made, path);
}
SEC("raw_tp/cgroup_mkdir")
int mkdir__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_mkdir(ctx, (struct cgroup*)ctx->args[0], (const char*)ctx->args[1]);
}

static __always_inline int on_freeze(void* ctx, struct cgroup* group, const char* path,
                                     bool frozen) {
  __u64 id = BPF_CORE_READ(group, kn, id);
  __u64* trial = bpf_map_lookup_elem(&scopes, &id);
  if (trial) tell_text(ctx, *trial, RF_EV_CGROUP_FREEZE, frozen, path);
  return 0;
}
SEC("tp_btf/cgroup_freeze")
int BPF_PROG(freeze__tp_btf, struct cgroup* group, const char* path) {
  return on_freeze(ctx, group, path, true);
}
SEC("tp_btf/cgroup_unfreeze")
int BPF_PROG(thaw__tp_btf, struct cgroup* group, const char* path) {
  return on_freeze(ctx, group, path, false);
}

/* --- Memory --------------------------------------------------------------------------------- */

static __always_inline int on_victim(void* ctx, __u64 who) {
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
  tell_number(ctx, id, RF_EV_OOM, pid, 0, 0, 0);
  return 0;
}
SEC("tp_btf/mark_victim")
int victim__tp_btf(__u64* ctx) { return on_victim(ctx, ctx[0]); }
SEC("raw_tp/mark_victim")
int victim__raw_tp(struct bpf_raw_tracepoint_args* ctx) { return on_victim(ctx, ctx->args[0]); }

/* --- vsyscall: neither enter nor exit -------------------------------------------------------- */

static __always_inline int on_vsyscall(void* ctx, int nr) {
  __u64 id = scope_of_current();
  if (id) tell_number(ctx, id, RF_EV_VSYSCALL, nr, 0, 0, 0);
  return 0;
}
SEC("tp_btf/emulate_vsyscall")
int BPF_PROG(vsyscall__tp_btf, int nr) { return on_vsyscall(ctx, nr); }
SEC("raw_tp/emulate_vsyscall")
int vsyscall__raw_tp(struct bpf_raw_tracepoint_args* ctx) { return on_vsyscall(ctx, ctx->args[0]); }

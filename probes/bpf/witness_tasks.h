/* Iterator: the tasks of watched groups as they are now, of those that the reader's pid namespace
 * shows. Nothing runs until somebody reads it. Included by witness.bpf.c alone.
 *
 * Sources: Documentation/bpf/bpf_iterators.rst, kernel/bpf/task_iter.c (Linux 5.8),
 * include/linux/{nsproxy,cred,user_namespace,sched}.h.
 */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_TASKS_H
#define RINGFENCE_PROBES_BPF_WITNESS_TASKS_H

#include "probes/bpf/witness_group.h"

/* In each of these the member `ns` has the inode number. */
struct uts_namespace {
  struct ns_common ns;
} RF_CORE;
struct ipc_namespace {
  struct ns_common ns;
} RF_CORE;
struct mnt_namespace {
  struct ns_common ns;
} RF_CORE;
struct cgroup_namespace {
  struct ns_common ns;
} RF_CORE;
struct time_namespace {
  struct ns_common ns;
} RF_CORE;
struct nsproxy {
  struct uts_namespace* uts_ns;
  struct ipc_namespace* ipc_ns;
  struct mnt_namespace* mnt_ns;
  struct net* net_ns;
  struct time_namespace* time_ns;
  struct cgroup_namespace* cgroup_ns;
} RF_CORE;

struct user_namespace___level {
  int level;
} RF_CORE;
typedef struct {
  __u32 val;
} kgid_t;
struct cred___state {
  kuid_t uid;
  kgid_t gid;
  kernel_cap_t cap_permitted, cap_effective, cap_bset;
  struct user_namespace* user_ns;
} RF_CORE;
struct task_struct___state {
  struct nsproxy* nsproxy;
  struct cred___state* cred;
  unsigned long atomic_flags;
  char comm[RF_COMM];
} RF_CORE;

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
} RF_CORE;
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
} RF_CORE;

#define PFA_NO_NEW_PRIVS 0 /* include/linux/sched.h */

static __always_inline struct upid pid_at(struct pid* pid, unsigned int level) {
  struct upid found = {};
  if (level <= 32) {
    bpf_core_read(&found, sizeof found,
                  (void*)&pid->numbers + level * bpf_core_type_size(struct upid));
  }
  return found;
}

/* False: it is ending, and has no namespaces any more. */
static __always_inline bool state_of_task(struct rf_task* out, struct task_struct* task,
                                          unsigned int reader_level) {
  struct task_struct___state* more = (struct task_struct___state*)task;
  struct nsproxy* ns = BPF_CORE_READ(more, nsproxy);
  struct pid* pid = BPF_CORE_READ(task, thread_pid);
  if (!ns || !pid) return false;
  const unsigned int level = BPF_CORE_READ(pid, level);
  struct cred___state* cred = BPF_CORE_READ(more, cred);
  out->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
  out->tgid = BPF_CORE_READ(task, tgid);
  out->tid = BPF_CORE_READ(task, pid);
  out->here = level >= reader_level ? pid_at(pid, reader_level).nr : 0;
  out->uid = BPF_CORE_READ(cred, uid.val);
  out->gid = BPF_CORE_READ(cred, gid.val);
  bpf_core_read(&out->cap_effective, sizeof out->cap_effective, &cred->cap_effective);
  bpf_core_read(&out->cap_permitted, sizeof out->cap_permitted, &cred->cap_permitted);
  bpf_core_read(&out->cap_bounding, sizeof out->cap_bounding, &cred->cap_bset);
  out->seccomp = BPF_CORE_READ(task, seccomp.mode);
  out->no_new_privs = BPF_CORE_READ(more, atomic_flags) >> PFA_NO_NEW_PRIVS & 1;
  struct user_namespace* user = BPF_CORE_READ(cred, user_ns);
  out->user_level = BPF_CORE_READ((struct user_namespace___level*)user, level);
  out->ns[RF_NS_PID] = BPF_CORE_READ(pid_at(pid, level).ns, ns.inum);
  out->ns[RF_NS_MNT] = BPF_CORE_READ(ns, mnt_ns, ns.inum);
  out->ns[RF_NS_NET] = BPF_CORE_READ(ns, net_ns, ns.inum);
  out->ns[RF_NS_UTS] = BPF_CORE_READ(ns, uts_ns, ns.inum);
  out->ns[RF_NS_IPC] = BPF_CORE_READ(ns, ipc_ns, ns.inum);
  out->ns[RF_NS_USER] = BPF_CORE_READ(user, ns.inum);
  out->ns[RF_NS_CGROUP] = BPF_CORE_READ(ns, cgroup_ns, ns.inum);
  if (bpf_core_field_exists(ns->time_ns)) {
    out->ns[RF_NS_TIME] = BPF_CORE_READ(ns, time_ns, ns.inum);
  }
  bpf_core_read(out->comm, sizeof out->comm, &more->comm);
  return true;
}

/* The reader itself, with trial 0, for comparison, and all of watched groups. */
SEC("iter/task")
int tasks__iter(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (!task) return 0;
  struct task_struct* reader = (struct task_struct*)bpf_get_current_task();
  struct rf_task out = {};
  if (task != reader) {
    __u64 group = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
    __u64* trial = bpf_map_lookup_elem(&scopes, &group);
    if (!trial) return 0;
    out.trial = *trial;
  }
  if (!state_of_task(&out, task, BPF_CORE_READ(reader, thread_pid, level))) return 0;
  bpf_seq_write(ctx->meta->seq, &out, sizeof out);
  return 0;
}

#endif

/* The kernel's types that the witnesses read, kept by hand: only the members that are used, with
 * offsets relocated at load time (CO-RE, preserve_access_index), so that no build needs the BTF of
 * the machine it runs on. A member that some kernel lacks is asked for with
 * bpf_core_field_exists().
 *
 * Sources: include/linux/{sched,cred,user_namespace,cgroup-defs,kernfs}.h,
 * arch/x86/include/asm/{ptrace,thread_info}.h, as of Linux 6.1 to 6.18.
 */
#ifndef RINGFENCE_PROBES_BPF_KERNEL_TYPES_H
#define RINGFENCE_PROBES_BPF_KERNEL_TYPES_H
#define RF_KERNEL_TYPES

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
#include <stdbool.h>

/* include/uapi/linux/bpf.h: what these programs use of it. */
enum bpf_map_type {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
  BPF_MAP_TYPE_PERCPU_ARRAY = 6,
  BPF_MAP_TYPE_LRU_HASH = 9,
  BPF_MAP_TYPE_HASH_OF_MAPS = 13,
  BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1 };
#define BPF_F_CURRENT_CPU 0xffffffffULL
enum { BPF_RB_NO_WAKEUP = 1 };

struct bpf_raw_tracepoint_args {
  __u64 args[0];
};

#define RF_CORE __attribute__((preserve_access_index))

struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
      flags, sp, ss;
} RF_CORE;

struct ns_common {
  unsigned int inum;
} RF_CORE;

struct user_namespace {
  struct ns_common ns;
} RF_CORE;

struct kernfs_node {
  __u64 id;
} RF_CORE;

struct cgroup {
  struct kernfs_node* kn;
} RF_CORE;

struct css_set {
  struct cgroup* dfl_cgrp;
} RF_CORE;

struct pid_namespace {
  struct ns_common ns;
} RF_CORE;

struct upid {
  int nr;
  struct pid_namespace* ns;
} RF_CORE;

struct pid {
  unsigned int level;
  struct upid numbers[1];
} RF_CORE;

typedef struct {
  __u64 val;
} kernel_cap_t;

typedef struct {
  __u32 val;
} kuid_t;
struct cred {
  kuid_t uid;
  kernel_cap_t cap_effective;
  struct user_namespace* user_ns;
} RF_CORE;

struct thread_info {
  unsigned long syscall_work;
  __u32 status;
} RF_CORE;

struct seccomp {
  int mode;
} RF_CORE;

struct task_struct {
  struct thread_info thread_info;
  unsigned int ptrace;
  int exit_code;
  char comm[16];
  int pid;
  int tgid;
  __u64 start_boottime;
  struct pid* thread_pid;
  const struct cred* cred;
  struct css_set* cgroups;
  struct seccomp seccomp;
} RF_CORE;

struct linux_binprm {
  const char* filename;
} RF_CORE;

/* Tracepoints by name: their fields in the order of the format file, relocated as well. */
struct trace_entry {
  unsigned short type;
} RF_CORE;
struct trace_event_raw_sys_enter {
  long id;
  unsigned long args[6];
} RF_CORE;
struct trace_event_raw_sys_exit {
  long id;
  long ret;
} RF_CORE;

#define TS_COMPAT 0x0002                  /* arch/x86/include/asm/thread_info.h */
#define SYSCALL_WORK_USER_DISPATCH 0x20UL /* include/linux/thread_info.h */

#endif

/* What the eBPF witness and the harness share: plain C, no code, the same layout on both sides.
 *
 * A trial is watched by the id of its v2 cgroup. The facts that decide a verdict are kept in
 * struct rf_trial, updated in place, so that they cannot be lost; the ring buffer only tells the
 * story, and what it had no room for is counted in `ring_lost`.
 *
 * Sources: Documentation/bpf/, include/trace/events/{syscalls,sched,signal,cgroup,oom}.h,
 * include/trace/events/capability.h (Linux 6.14).
 */
#ifndef RINGFENCE_PROBES_BPF_ABI_H
#define RINGFENCE_PROBES_BPF_ABI_H

#ifndef RF_KERNEL_TYPES
#include <linux/types.h>
#endif

#include "probes/bpf/security_hooks.h"

#define RF_WANTS 7 /* six of a case, and the sentinel */
#define RF_PATH 64
#define RF_TEXT 64
#define RF_COMM 16 /* TASK_COMM_LEN */
#define RF_NO_CAP (-1)

/* A syscall to look out for. Compared: the number, the table, each argument i whose bit is set in
 * `args`, under its mask, and the string that argument `path` points to (cut to RF_PATH - 1). */
struct rf_want {
  __u32 nr;
  __u8 compat;
  __u8 args;
  __s8 path; /* -1: none */
  __u8 pad;
  __u64 mask[6];
  __u64 value[6];
  char path_is[RF_PATH]; /* zeroes after its end */
};

/* How a syscall went. */
enum rf_call_flags {
  RF_NO_ENTER = 1,    /* left without having entered: refused at the gate */
  RF_FIRST = 2,       /* the first thing ever seen of this task: enter may be from before */
  RF_COMPAT = 4,      /* the 32-bit table */
  RF_TRACED = 8,      /* a ptracer may have changed it */
  RF_DISPATCHED = 16, /* syscall user dispatch is on */
  RF_NO_ARGS = 32,    /* this hook does not give the arguments of a refused syscall */
  RF_FILE_SIZE = 64,  /* SIGXFSZ was sent in it: beyond RLIMIT_FSIZE */
  RF_DEVICE = 1024,   /* the device controller was asked, and no capability after it */
  RF_SENT = 2048,     /* a packet went out of the stack in it */
  RF_LEFT = 4096,     /* ... by another device than loopback */
};

struct rf_call {
  __u64 at; /* CLOCK_MONOTONIC, of the end */
  __u64 began;
  __s64 ret;
  __u64 args[6];
  __u64 caps_failed;   /* capabilities whose checks failed in it, a bit each */
  __u64 cap_effective; /* of the task, at the end */
  __u32 nr;
  __u32 flags;
  __s32 cap_last; /* the last check in it, RF_NO_CAP: none */
  __s32 cap_last_ret;
  __u32 cap_userns;  /* inode of the user namespace that the last check asked about */
  __u32 cred_userns; /* ... and that the task's credentials belong to */
  __u32 seccomp;     /* SECCOMP_MODE_* of the task */
  __u32 tgid, tid;   /* in the initial pid namespace */
  __u8 lsm_hook;     /* RF_HOOK_*: the last security hook that said no */
  __u8 lsm_by;       /* RF_LSM_*: who said it there */
  __s16 lsm_ret;     /* ... and what */
};

/* What became of one want. */
struct rf_seen {
  __u64 count;
  __u64 allowed;  /* returned no error */
  __u64 denied;   /* returned an error, gate included */
  __u64 no_enter; /* ... never entered */
  struct rf_call first;
  struct rf_call last;        /* of all */
  struct rf_call last_denied; /* of those with an error */
  char denied_path[RF_PATH];  /* the string that this one was given; empty: none is known */
};

/* Of the sockets of a trial's group (cgroup programs). */
struct rf_net {
  __u64 packets_out, bytes_out;
  __u64 packets_in, bytes_in;
  __u64 left; /* packets that went out by another device than loopback */
  __u64 sockets, connects;
};

/* One watched trial: what to look for (written by the harness before the target starts), and what
 * was seen. */
struct rf_trial {
  __u32 wants;
  __u32 denials_only; /* the story has no syscall that succeeded */
  __u64 ring;         /* which of the rings takes its story */
  __u64 wakes;        /* an event wakes who waits at that ring */
  struct rf_want want[RF_WANTS];

  __u64 calls;     /* syscalls that ended */
  __u64 ring_lost; /* events that had no room in the ring, or no ring */
  __u64 orphans;   /* a task's state was not there: an end without its beginning */
  __u64 no_room;   /* a map had none: a task's state, a forked process, a new group */
  __u64 tasks;     /* processes and threads seen to start, the first not included */
  __u64 moved;     /* attached to another cgroup */
  __u64 joined;    /* ... to this one, from another trial's */
  __u64 oom_kills;
  __u64 sigsys;
  __u32 sigsys_nr;     /* of the last SIGSYS */
  __u32 sigsys_compat; /* ... in the 32-bit table */
  __u32 pad;
  __u32 unreadable; /* a string argument that could not be read, or a refused call without args */
  struct rf_net net;
  __u64 devices; /* times that the device controller was asked */
  struct rf_seen seen[RF_WANTS];
};

enum rf_ns {
  RF_NS_PID,
  RF_NS_MNT,
  RF_NS_NET,
  RF_NS_UTS,
  RF_NS_IPC,
  RF_NS_USER,
  RF_NS_CGROUP,
  RF_NS_TIME,
  RF_NS_COUNT
};

/* A task as it is, as the iterator gives it: a read(2) is a sequence of these. */
struct rf_task {
  __u64 trial; /* 0: the reader itself */
  __u64 cgroup;
  __u64 cap_effective, cap_permitted, cap_bounding;
  __u32 tgid, tid;  /* in the initial pid namespace */
  __u32 here;       /* tid in the reader's, 0: it has none there */
  __u32 uid, gid;   /* in the initial user namespace */
  __u32 user_level; /* user namespaces above its own */
  __u32 seccomp;    /* SECCOMP_MODE_* */
  __u32 no_new_privs;
  __u32 ns[RF_NS_COUNT]; /* inodes; the one that it is in, not its children's */
  char comm[RF_COMM];
};

enum rf_event_kind {
  RF_EV_CALL = 1,
  RF_EV_CAP,
  RF_EV_FORK,
  RF_EV_EXEC,
  RF_EV_EXIT,
  RF_EV_SIGNAL,
  RF_EV_CGROUP_ATTACH,
  RF_EV_CGROUP_MKDIR,
  RF_EV_CGROUP_FREEZE,
  RF_EV_OOM,
  RF_EV_VSYSCALL,
  RF_EV_SOCKET = 32,
  RF_EV_CONNECT,
  RF_EV_SOCK_STATE,
  RF_EV_DEVICE,
};

struct rf_event {
  __u64 at; /* CLOCK_MONOTONIC */
  __u64 trial;
  __u32 kind;
  __u32 tgid, tid;
  __u32 uid;          /* real, of the task, in the initial user namespace */
  char comm[RF_COMM]; /* of the task, as it was then */
};
struct rf_event_call {
  struct rf_event head;
  struct rf_call call;
};
struct rf_event_path { /* the same, longer by the string that the syscall was given */
  struct rf_event head;
  struct rf_call call;
  char path[RF_PATH];
};
struct rf_event_cap {
  struct rf_event head;
  __s32 cap;
  __s32 ret;
  __u32 userns;
  __u32 cred_userns;
};
/* FORK: a child's tid; EXIT: code as wait(2) gives it; SIGNAL: number, si_code, tid that it is for,
 * and of a SIGSYS from the gate the syscall (-2 - nr: of the 32-bit table), else -1;
 * OOM: tid of the victim; FREEZE: 1 or 0;
 * VSYSCALL: the address.
 * SOCKET: family, type, protocol; CONNECT: family, port and address as in the packet (an IPv4 one
 * in the first four bytes); SOCK_STATE: protocol, old state << 8 | new, own port << 16 | the
 * other's, inode of the network namespace, tgid 0; DEVICE: type, access, major, minor
 * (BPF_DEVCG_*). */
struct rf_event_number {
  struct rf_event head;
  __s64 number;
  __s64 more[3];
};
/* EXEC: file; CGROUP_ATTACH, CGROUP_MKDIR: path of the group. */
struct rf_event_text {
  struct rf_event head;
  __u64 number;
  char text[RF_TEXT];
};

#endif

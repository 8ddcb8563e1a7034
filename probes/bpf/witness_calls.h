/* Which calls a trial looks for: arguments and paths, compared. Included by witness.bpf.c alone. */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_CALLS_H
#define RINGFENCE_PROBES_BPF_WITNESS_CALLS_H

#include "probes/bpf/witness_state.h"
#include "probes/bpf/witness_story.h"

/* Which argument of a syscall of the 64-bit table is a path, counted from 1: for the story. A
 * table, since the verifier follows each case of a switch on its own. */
enum { FIRST = 1, SECOND = 2 };
static const __u8 path_arguments[512] = {
    [2] = FIRST,    /* open */
    [4] = FIRST,    /* stat */
    [6] = FIRST,    /* lstat */
    [21] = FIRST,   /* access */
    [59] = FIRST,   /* execve */
    [76] = FIRST,   /* truncate */
    [80] = FIRST,   /* chdir */
    [82] = FIRST,   /* rename */
    [83] = FIRST,   /* mkdir */
    [84] = FIRST,   /* rmdir */
    [85] = FIRST,   /* creat */
    [86] = FIRST,   /* link */
    [87] = FIRST,   /* unlink */
    [89] = FIRST,   /* readlink */
    [90] = FIRST,   /* chmod */
    [92] = FIRST,   /* chown */
    [94] = FIRST,   /* lchown */
    [133] = FIRST,  /* mknod */
    [137] = FIRST,  /* statfs */
    [155] = FIRST,  /* pivot_root */
    [161] = FIRST,  /* chroot */
    [166] = FIRST,  /* umount2 */
    [167] = FIRST,  /* swapon */
    [170] = FIRST,  /* sethostname */
    [171] = FIRST,  /* setdomainname */
    [188] = FIRST,  /* setxattr */
    [165] = SECOND, /* mount: its target */
    [257] = SECOND, /* openat */
    [258] = SECOND, /* mkdirat */
    [259] = SECOND, /* mknodat */
    [260] = SECOND, /* fchownat */
    [262] = SECOND, /* newfstatat */
    [263] = SECOND, /* unlinkat */
    [264] = SECOND, /* renameat */
    [265] = SECOND, /* linkat */
    [267] = SECOND, /* readlinkat */
    [268] = SECOND, /* fchmodat */
    [269] = SECOND, /* faccessat */
    [303] = SECOND, /* name_to_handle_at */
    [316] = SECOND, /* renameat2 */
    [322] = SECOND, /* execveat */
    [332] = SECOND, /* statx */
    [428] = SECOND, /* open_tree */
    [437] = SECOND, /* openat2 */
    [439] = SECOND, /* faccessat2 */
    [442] = SECOND, /* mount_setattr */
    [452] = SECOND, /* fchmodat2 */
};

static __always_inline int path_argument(__u32 nr) {
  if (nr >= sizeof path_arguments) return -1;
  barrier_var(nr); /* the compiler knows the bound, the verifier needs to see it */
  return path_arguments[nr & (sizeof path_arguments - 1)] - 1;
}

static __always_inline __u64 argument(const struct task_state* state, int index) {
  return (__u32)index < 6 ? state->args[index] : 0;
}

/* The string argument `index`, with zeroes after its end. A page that is not there yet cannot be
 * read here; after a syscall that used it, it can. */
static __always_inline bool read_path(struct task_state* state, int index) {
  __builtin_memset(state->path, 0, sizeof state->path);
  void* at = (void*)argument(state, index);
  /* A null pointer is no rare argument, and a fault costs more than a syscall. */
  state->has_path = at && bpf_probe_read_user_str(state->path, sizeof state->path, at) > 0;
  return state->has_path;
}

/* Compares the call in `state` with what the trial looks for. False: an argument could not be read.
 */
static __always_inline bool match(struct rf_trial* trial, struct task_state* state, __u32 nr,
                                  __u64 compat, bool args_known) {
  __u64 unreadable = 0;
  compat = compat != 0;
  forget(compat);
  state->matched = 0;
  state->has_path = 0;
  for (__u32 w = 0; w < RF_WANTS && w < trial->wants; ++w) {
    struct rf_want* want = &trial->want[w];
    forget(unreadable);
    if ((want->nr ^ nr) | ((want->compat != 0) ^ compat)) continue;
    if (!args_known && (want->args || want->path >= 0)) {
      unreadable = 1;
      continue;
    }
    /* Without a branch for each: the verifier would follow every combination of them. */
    __u64 other = 0;
    for (int i = 0; i < 6; ++i) {
      other |= ((state->args[i] & want->mask[i]) ^ want->value[i]) & -(__u64)(want->args >> i & 1);
    }
    if (other) continue;
    if (want->path >= 0) {
      if (!read_path(state, want->path)) {
        unreadable = 1;
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
  return !unreadable;
}

/* How a new task comes out of its parent's call. */
static __always_inline bool is_first_return(__s64 nr, long ret, bool compat) {
  if (ret != 0) return false;
  if (compat)
    return nr == COMPAT_NR_fork || nr == COMPAT_NR_clone || nr == COMPAT_NR_vfork ||
           nr == NR_clone3;
  return nr == NR_clone || nr == NR_fork || nr == NR_vfork || nr == NR_clone3;
}

#endif

/* Which calls a trial looks for: arguments and paths, compared. Included by witness.bpf.c alone. */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_CALLS_H
#define RINGFENCE_PROBES_BPF_WITNESS_CALLS_H

#include "probes/bpf/witness_state.h"
#include "probes/bpf/witness_story.h"

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
  void* at = (void*)argument(state, index);
  /* A null pointer is no rare argument, and a fault costs more than a syscall. */
  state->has_path = at && bpf_probe_read_user_str(state->path, sizeof state->path, at) > 0;
  return state->has_path;
}

/* Compares the call in `state` with what the trial looks for. False: an argument could not be read.
 */
static __always_inline bool match(struct rf_trial* trial, struct task_state* state, __u32 nr,
                                  bool compat, bool args_known) {
  bool readable = true;
  state->matched = 0;
  state->has_path = 0;
  for (__u32 w = 0; w < RF_WANTS && w < trial->wants; ++w) {
    struct rf_want* want = &trial->want[w];
    if (want->nr != nr || (want->compat != 0) != compat) continue;
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

#endif

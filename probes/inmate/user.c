/* Attempts by namespaces: making user namespaces, entering others.
 * Sources: unshare(2), clone(2), setns(2), user_namespaces(7). */
#include <linux/mount.h>
#include <linux/sched.h>

#include "probes/inmate/image_copy.h"
#include "probes/inmate/registry.h"

enum { kDetach = 2 }; /* MNT_DETACH */

static long attempt_unshare(const struct rf_params* p) {
  return decide(__NR_unshare, param_number(p, 0));
}

/* The child answers, so that its namespaces are looked at, not its parent's; not before the parent
 * has reported the clone. */
static _Noreturn void child_answers(long nr, const long args[6]) {
  int gate[2];
  long ret = sys(__NR_pipe2, gate, O_CLOEXEC);
  if (ret < 0) unable(-ret);
  ret = rf_syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
  if (ret == 0) {
    sys(__NR_close, gate[1]);
    char byte = 0;
    sys(__NR_read, gate[0], &byte, 1);
    finish(0);
  }
  say_call(nr, ret, args);
  if (ret < 0) finish(ret);
  sys(__NR_close, gate[1]);
  leave_with(ret);
}

static long attempt_clone_userns(const struct rf_params* p) {
  const long args[6] = {param_number_or(p, 0, CLONE_NEWUSER) | 17 /* SIGCHLD */};
  child_answers(__NR_clone, args);
}

static long attempt_clone3_userns(const struct rf_params* p) {
  struct clone_args clone = {.flags = (uint64_t)param_number_or(p, 0, CLONE_NEWUSER),
                             .exit_signal = 17};
  const long args[6] = {(long)&clone, sizeof clone};
  child_answers(__NR_clone3, args);
}

/* Joining a pid namespace moves only children: one answers then. */
static long joined(long ret, long flags) {
  if (ret < 0 || (flags & CLONE_NEWPID) == 0) return ret;
  const long args[6] = {17};
  child_answers(__NR_clone, args);
}

static long attempt_setns_pidfd(const struct rf_params* p) {
  const long flags = param_number(p, 1);
  const long pidfd = decide(__NR_pidfd_open, param_number(p, 0), 0);
  if (pidfd < 0) return pidfd;
  return joined(decide(__NR_setns, pidfd, flags), flags);
}

static long attempt_setns_path(const struct rf_params* p) {
  const long flags = param_number_or(p, 1, 0);
  const long fd = decide_open(param(p, 0), O_RDONLY, 0);
  return fd < 0 ? fd : joined(decide(__NR_setns, fd, flags), flags);
}

static long attempt_setns_fd(const struct rf_params* p) {
  const long flags = param_number_or(p, 1, 0);
  return joined(decide(__NR_setns, param_number(p, 0), flags), flags);
}

static long attempt_userns_mount(const struct rf_params* p) {
  param(p, 0);
  long ret = decide(__NR_unshare, CLONE_NEWUSER | CLONE_NEWNS);
  for (int i = 0; ret >= 0 && i < p->count; ++i) {
    ret = decide(__NR_mount, "ringfence", p->at[i], "tmpfs", 0, 0);
  }
  return ret;
}

/* What was mounted before the user namespace was made is locked in it: umount says EINVAL. */
static long attempt_userns_umount(const struct rf_params* p) {
  const char* path = param(p, 0);
  const char* file = param(p, 1);
  long ret = decide(__NR_unshare, CLONE_NEWUSER | CLONE_NEWNS);
  if (ret >= 0) ret = decide(__NR_umount2, path, kDetach);
  return ret < 0 ? ret : read_path(file);
}

static long attempt_userns_mount_proc(const struct rf_params* p) {
  const char* directory = param(p, 0);
  const char* file = param(p, 1);
  const long ret = decide(__NR_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
  if (ret < 0) return ret;
  const long child = rf_fork();
  if (child < 0) unable(-child);
  if (child != 0) leave_with(child);
  long got = decide(__NR_mount, "proc", directory, "proc", 0, 0);
  if (got < 0) return got;
  struct rf_text path = {.size = 0};
  add_str(&path, directory);
  add_str(&path, "/");
  add_str(&path, file);
  return read_path(path.text);
}

/* In a new user namespace: writes one of its own files (uid_map, gid_map, setgroups). */
static long attempt_userns_write(const struct rf_params* p) {
  struct rf_text path = {.size = 0};
  add_str(&path, "/proc/self/");
  add_str(&path, param(p, 0));
  const char* text = param(p, 1);
  const long ret = sys(__NR_unshare, CLONE_NEWUSER);
  if (ret < 0) unable(-ret);
  const long fd = decide_open(path.text, O_WRONLY, 0);
  return fd < 0 ? fd : decide(__NR_write, fd, text, str_len(text));
}

const struct attempt rf_user_attempts[] = {
    {"unshare", attempt_unshare, "FLAGS"},
    {"clone_userns", attempt_clone_userns, "[FLAGS]: the child answers"},
    {"clone3_userns", attempt_clone3_userns, "[FLAGS]: the child answers"},
    {"setns_pidfd", attempt_setns_pidfd, "PID FLAGS"},
    {"setns_path", attempt_setns_path, "PATH [FLAGS]"},
    {"setns_fd", attempt_setns_fd, "FD [FLAGS]"},
    {"userns_mount", attempt_userns_mount, "PATH...: tmpfs on each, in a new user namespace"},
    {"userns_umount", attempt_userns_umount, "PATH FILE: in a new user namespace"},
    {"userns_mount_proc", attempt_userns_mount_proc, "DIR FILE: in a new user namespace"},
    {"userns_write", attempt_userns_write, "FILE TEXT: of the new namespace's /proc/self"},
    {NULL, NULL, NULL},
};

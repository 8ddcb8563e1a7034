/* Attempts on files: read, write, make, change, remove.
 * Sources: open(2), chmod(2), chown(2), unlink(2), setxattr(2), ioctl_iflags(2). */
#include <linux/fs.h>
#include <linux/stat.h>

#include "probes/inmate/registry.h"
#include "probes/inmate/walk.h"

static long attempt_read_file(const struct rf_params* p) {
  param(p, 0);
  long answer = 0;
  for (int i = 0; i < p->count; ++i) {
    const long fd = decide_open(p->at[i], O_RDONLY, 0);
    if (fd >= 0) return read_and_say(fd);
    answer = worse(answer, fd);
  }
  return answer;
}

static long attempt_read_self_file(const struct rf_params* p) {
  return read_path(param_or(p, 0, "/proc/self/status"));
}

/* Relative to the working directory that the target was started with, whatever the path says. */
static long attempt_read_relative(const struct rf_params* p) {
  const char* path = param(p, 0);
  while (*path == '/') ++path;
  return read_path(path);
}

static long attempt_open_write(const struct rf_params* p) {
  param(p, 0);
  long answer = 0;
  for (int i = 0; i < p->count; ++i) {
    const long fd = decide_open(p->at[i], O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd >= 0) return fd;
    answer = worse(answer, fd);
  }
  return answer;
}

static long keep(long fd) { return fd; }

static long attempt_open_write_below(const struct rf_params* p) {
  return walk_open(param(p, 0), O_WRONLY, keep);
}

/* An empty file tells nothing: the walk goes on. */
static long read_some(long fd) {
  char buffer[RF_SECRET_MAX];
  const long n = sys(__NR_read, fd, buffer, sizeof buffer);
  if (n > 0) say_bytes(buffer, (size_t)n);
  return n > 0 ? n : n < 0 ? n : -ENOENT;
}

static long attempt_read_below(const struct rf_params* p) {
  return walk_open(param(p, 0), O_RDONLY, read_some);
}

static long attempt_write_file(const struct rf_params* p) {
  const char* text = param(p, 1);
  const long fd = decide_open(param(p, 0), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return fd;
  return decide(__NR_write, fd, text, str_len(text));
}

static long attempt_create_file(const struct rf_params* p) {
  const long mode = param_number_or(p, 1, 0644);
  const long fd = decide_open(param(p, 0), O_WRONLY | O_CREAT | O_EXCL, (int)mode);
  /* The umask may have taken these. */
  if (fd >= 0 && (mode & 0022) != 0) sys(__NR_fchmod, fd, mode);
  return fd;
}

static long attempt_chmod(const struct rf_params* p) {
  return decide(__NR_fchmodat, AT_FDCWD, param(p, 0), param_number(p, 1));
}

static long attempt_chown(const struct rf_params* p) {
  return decide(__NR_fchownat, AT_FDCWD, param(p, 0), param_number(p, 1), param_number_or(p, 2, -1),
                0);
}

static long attempt_unlink(const struct rf_params* p) {
  return decide(__NR_unlinkat, AT_FDCWD, param(p, 0), 0);
}

static long attempt_setxattr(const struct rf_params* p) {
  const char* text = param(p, 2);
  return decide(__NR_setxattr, param(p, 0), param(p, 1), text, str_len(text), 0);
}

static long attempt_chattr_immutable(const struct rf_params* p) {
  const long fd = sys(__NR_openat, AT_FDCWD, param(p, 0), O_RDONLY | O_CLOEXEC);
  if (fd < 0) unable(-fd);
  int flags = 0;
  const long ret = sys(__NR_ioctl, fd, FS_IOC_GETFLAGS, &flags);
  if (ret < 0) unable(-ret);
  flags |= FS_IMMUTABLE_FL;
  return decide(__NR_ioctl, fd, FS_IOC_SETFLAGS, &flags);
}

static long attempt_stat_dev(const struct rf_params* p) {
  struct statx st = {.stx_mask = 0};
  const long ret =
      decide(__NR_statx, AT_FDCWD, param(p, 0), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);
  if (ret < 0) return ret;
  say_remark_number("dev_major", st.stx_dev_major);
  say_remark_number("dev_minor", st.stx_dev_minor);
  say_remark_number("ino", (long)st.stx_ino);
  say_remark_number("mode", st.stx_mode);
  return ret;
}

const struct attempt rf_file_attempts[] = {
    {"read_file", attempt_read_file, "PATH...: the first that opens"},
    {"read_self_file", attempt_read_self_file, "[PATH]"},
    {"read_relative", attempt_read_relative, "PATH: from the working directory"},
    {"read_below", attempt_read_below, "DIR: the first regular file that gives bytes"},
    {"open_write", attempt_open_write, "PATH...: the first that opens; nothing is written"},
    {"open_write_below", attempt_open_write_below, "DIR: the first regular file that opens"},
    {"write_file", attempt_write_file, "PATH TEXT"},
    {"create_file", attempt_create_file, "PATH [MODE]"},
    {"chmod", attempt_chmod, "PATH MODE"},
    {"chown", attempt_chown, "PATH UID [GID]"},
    {"unlink", attempt_unlink, "PATH"},
    {"setxattr", attempt_setxattr, "PATH NAME TEXT"},
    {"chattr_immutable", attempt_chattr_immutable, "PATH"},
    {"stat_dev", attempt_stat_dev, "PATH"},
    {NULL, NULL, NULL},
};

/* Attempts to run code: copies of the image, memfds, descriptors, paths, device nodes.
 * Sources: execve(2), execveat(2), memfd_create(2), mknod(2), capabilities(7). */
#include <linux/capability.h>
#include <linux/memfd.h>
#include <linux/stat.h>

#include "probes/inmate/image_copy.h"
#include "probes/inmate/registry.h"

static char* const twin[] = {"inmate", "exit", NULL};
static char* const no_environment[] = {NULL};

long copy_image(long to) {
  static char buffer[16384];
  long at = 0;
  for (;;) {
    const long n = sys(__NR_pread64, RF_EXE_FD, buffer, sizeof buffer, at);
    if (n <= 0) return n;
    for (long done = 0; done < n;) {
      const long ret = sys(__NR_write, to, buffer + done, n - done);
      if (ret < 0) return ret;
      done += ret;
    }
    at += n;
  }
}

long exec_twin(const char* path) { return decide(__NR_execve, path, twin, no_environment); }

long exec_twin_at(long fd) {
  return decide(__NR_execveat, fd, "", twin, no_environment, AT_EMPTY_PATH);
}

_Noreturn void leave_with(long child) {
  const long status = rf_wait(child);
  if (status >= 0 && (status & 0x7f) == 0) rf_exit(status >> 8 & 0xff);
  say_remark_number("child killed by signal", status & 0x7f);
  rf_exit(RF_EXIT_CHILD);
}

/* In the child: becomes `uid`, with the groups of nobody else. */
static void become(long uid) {
  if (uid == 0) return;
  long ret = sys(__NR_setgroups, 0, 0);
  if (ret >= 0) ret = sys(__NR_setresgid, uid, uid, uid);
  if (ret >= 0) ret = sys(__NR_setresuid, uid, uid, uid);
  if (ret < 0) {
    say_remark("setresuid");
    unable(-ret);
  }
}

static _Noreturn void exec_in_child(long uid, const char* path) {
  const long child = rf_fork();
  if (child < 0) unable(-child);
  if (child != 0) leave_with(child);
  become(uid);
  finish(exec_twin(path));
}

static void in_directory(struct rf_text* path, const char* directory, const char* name) {
  path->size = 0;
  add_str(path, directory);
  add_str(path, "/");
  add_str(path, name);
}

long set_file_capabilities(const char* path, unsigned long mask, bool decides) {
  const struct vfs_cap_data data = {
      .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
      .data = {{.permitted = (__le32)(mask & 0xffffffff)}, {.permitted = (__le32)(mask >> 32)}},
  };
  const char* name = "security.capability";
  return decides ? decide(__NR_setxattr, path, name, &data, sizeof data, 0)
                 : sys(__NR_setxattr, path, name, &data, sizeof data, 0);
}

static long attempt_copy_exec(const struct rf_params* p) {
  const long mode = param_number(p, 1);
  const long uid = param_number_or(p, 2, 0);
  const unsigned long capabilities = (unsigned long)param_number_or(p, 3, 0);
  struct rf_text path;
  in_directory(&path, param(p, 0), "rf_copy");
  const long fd =
      sys(__NR_openat, AT_FDCWD, path.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) unable(-fd);
  long ret = copy_image(fd);
  /* Last, since a write takes the setuid bit away. */
  if (ret >= 0) ret = sys(__NR_fchmod, fd, mode);
  sys(__NR_close, fd);
  if (ret >= 0 && capabilities != 0) ret = set_file_capabilities(path.text, capabilities, false);
  if (ret < 0) unable(-ret);
  exec_in_child(uid, path.text);
}

static long attempt_exec(const struct rf_params* p) {
  param(p, 0);
  /* argv of the new program is the path and what follows it; the array ends with a null. */
  return decide(__NR_execve, p->at[0], p->at, no_environment);
}

/* A program that the host's root puts there on demand (message P), so that what it gains cannot be
 * what the process had before. */
static long attempt_exec_planted(const struct rf_params* p) {
  struct rf_text ask = {.size = 0};
  add_str(&ask, "P ");
  add_str(&ask, param(p, 0));
  add_str(&ask, " ");
  add_str(&ask, param(p, 1));
  char answer = 0;
  if (sys(__NR_write, RF_ANSWER_FD, ask.text, ask.size) < 0 ||
      sys(__NR_read, RF_ANSWER_FD, &answer, 1) != 1 || answer != 'p') {
    unable(EIO);
  }
  return exec_twin(param(p, 0));
}

static long attempt_exec_as(const struct rf_params* p) {
  const long uid = param_number(p, 0);
  exec_in_child(uid, param(p, 1));
}

static long attempt_exec_fd(const struct rf_params* p) {
  return exec_twin_at(param_number_or(p, 0, RF_EXE_FD));
}

static long attempt_memfd_exec(const struct rf_params* p) {
  (void)p;
  const long fd = decide(__NR_memfd_create, "rf", MFD_CLOEXEC);
  if (fd < 0) return fd;
  const long ret = copy_image(fd);
  if (ret < 0) unable(-ret);
  return exec_twin_at(fd);
}

static long node_type(const struct rf_params* p, int index) {
  return *param_or(p, index, "c") == 'b' ? S_IFBLK : S_IFCHR;
}

static long device_number(long major, long minor) {
  return (minor & 0xff) | major << 8 | (minor & ~0xffL) << 12;
}

static long attempt_mknod(const struct rf_params* p) {
  return decide(__NR_mknodat, AT_FDCWD, param(p, 0), node_type(p, 3) | 0666,
                device_number(param_number(p, 1), param_number(p, 2)));
}

/* Makes the node, opens it, keeps it open; the name goes after the inspection. */
static long attempt_mknod_open(const struct rf_params* p) {
  struct rf_text path;
  in_directory(&path, param(p, 0), "rf_dev");
  long ret = decide(__NR_mknodat, AT_FDCWD, path.text, node_type(p, 3) | 0666,
                    device_number(param_number(p, 1), param_number(p, 2)));
  if (ret < 0) return ret;
  ret = decide_open(path.text, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  claim(ret);
  sys(__NR_unlinkat, AT_FDCWD, path.text, 0);
  rf_exit(RF_EXIT_DONE);
}

const struct attempt rf_exec_attempts[] = {
    {"copy_exec", attempt_copy_exec,
     "DIR MODE [UID [CAPABILITIES]]: its image as DIR/rf_copy, executed as UID"},
    {"exec", attempt_exec, "PATH [ARGUMENT...]"},
    {"exec_planted", attempt_exec_planted, "PATH MODE: of an inmate that the harness puts there"},
    {"exec_as", attempt_exec_as, "UID PATH: of an inmate"},
    {"exec_fd", attempt_exec_fd, "[FD]: of an inmate, by execveat"},
    {"memfd_exec", attempt_memfd_exec, ""},
    {"mknod", attempt_mknod, "PATH MAJOR MINOR [b]"},
    {"mknod_open", attempt_mknod_open, "DIR MAJOR MINOR [b]"},
    {NULL, NULL, NULL},
};

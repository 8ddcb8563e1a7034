// Whether ids can be mapped on a mount of tmpfs: mount_setattr(2), "ID-mapped mounts".
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>

#include "harness/base/facts_probe.h"
#include "harness/base/sys.h"

namespace ringfence::facts_detail {
namespace {

int64_t write_map(int64_t pid, const char* file) {
  char path[64];
  *fmt::format_to_n(path, sizeof path - 1, "/proc/{}/{}", pid, file).out = '\0';
  const int64_t fd = sys::call(SYS_openat, AT_FDCWD, sys::arg(&path[0]), O_WRONLY | O_CLOEXEC);
  return fd < 0 ? fd : sys::call(SYS_write, fd, sys::arg("0 0 1"), 5);
}

int64_t map_tmpfs(int64_t pid) {
  for (const char* file : {"uid_map", "gid_map"}) {
    if (const int64_t r = write_map(pid, file); r < 0) return r;
  }
  char path[64];
  *fmt::format_to_n(path, sizeof path - 1, "/proc/{}/ns/user", pid).out = '\0';
  const int64_t user = sys::call(SYS_openat, AT_FDCWD, sys::arg(&path[0]), O_RDONLY | O_CLOEXEC);
  if (user < 0) return user;
  const int64_t fs = sys::call(SYS_fsopen, sys::arg("tmpfs"), FSOPEN_CLOEXEC);
  if (fs < 0) return fs;
  if (const int64_t r = sys::call(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0); r < 0) return r;
  const int64_t tree = sys::call(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
  if (tree < 0) return tree;
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user);
  return sys::call(SYS_mount_setattr, tree, sys::arg(""), AT_EMPTY_PATH, sys::arg(&attr),
                   sizeof attr);
}

int trial(const void*) {
  // With a child that has the user namespace, and ends with us.
  const int64_t pid = sys::call(SYS_clone, CLONE_NEWUSER | SIGCHLD);
  if (pid < 0) return static_cast<int>(-pid);
  if (pid == 0) {
    sys::call(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, SIGKILL);
    for (;;) sys::call(SYS_pause);
  }
  const int64_t r = map_tmpfs(pid);
  // The wait would have no end if it stayed.
  for (int i = 0; i < 3 && sys::call(SYS_kill, pid, SIGKILL) < 0; ++i) {
  }
  sys::call(SYS_wait4, pid, 0, 0, 0);
  return r < 0 ? static_cast<int>(-r) : 0;
}

}  // namespace

Answer probe_idmap_tmpfs(const Facts&) {
  return from_child(in_child(trial), "mount_setattr with MOUNT_ATTR_IDMAP");
}

}  // namespace ringfence::facts_detail

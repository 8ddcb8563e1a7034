/* Attempts on mounts and the root directory.
 * Sources: mount(2), umount(2), chroot(2), pivot_root(2), mount_namespaces(7), proc(5). */
#include <linux/mount.h>

#include "probes/inmate/registry.h"

enum { kDetach = 2 }; /* MNT_DETACH */

static long attempt_mount_tmpfs(const struct rf_params* p) {
  return decide(__NR_mount, "ringfence", param(p, 0), "tmpfs", 0, "size=64k");
}

static long attempt_mount_bind(const struct rf_params* p) {
  return decide(__NR_mount, param(p, 0), param(p, 1), 0, MS_BIND, 0);
}

static long attempt_umount(const struct rf_params* p) {
  return decide(__NR_umount2, param(p, 0), kDetach);
}

static long attempt_remount_rw(const struct rf_params* p) {
  const char* path = param(p, 0);
  const char* file = param(p, 1);
  const long ret = decide(__NR_mount, 0, path, 0, MS_REMOUNT | MS_BIND, 0);
  return ret < 0 ? ret : decide_open(file, O_WRONLY | O_CREAT, 0644);
}

static long attempt_chroot(const struct rf_params* p) { return decide(__NR_chroot, param(p, 0)); }

static long attempt_pivot_root(const struct rf_params* p) {
  return decide(__NR_pivot_root, param(p, 0), param(p, 1));
}

static const char* relative(const char* path) {
  while (*path == '/') ++path;
  return *path == 0 ? "." : path;
}

/* A second chroot leaves the working directory outside the new root; `..` then climbs past the old
 * one. Ends at the root of the mount that the process's root is in: pivot_root holds it. */
static long attempt_chroot_escape(const struct rf_params* p) {
  const char* path = relative(param(p, 0));
  static const char* const jails[] = {"rf_jail", "tmp", "dev", "proc", "sys", "etc"};
  sys(__NR_chdir, "/");
  const long old = sys(__NR_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) unable(-old);
  const bool made = sys(__NR_mkdirat, AT_FDCWD, jails[0], 0700) >= 0;
  long ret = -ENOENT;
  for (size_t i = 0; ret == -ENOENT && i < sizeof jails / sizeof jails[0]; ++i) {
    ret = decide(__NR_chroot, jails[i]);
  }
  if (made) sys(__NR_unlinkat, old, jails[0], 0x200 /* AT_REMOVEDIR */);
  if (ret < 0) return ret;
  ret = sys(__NR_fchdir, old);
  if (ret < 0) unable(-ret);
  for (int i = 0; i < 32 && ret >= 0; ++i) ret = sys(__NR_chdir, "..");
  ret = decide(__NR_chroot, ".");
  return ret < 0 ? ret : read_path(path);
}

static long try_below(const char* directory, const char* path) {
  struct rf_text full = {.size = 0};
  add_str(&full, directory);
  add_str(&full, relative(path));
  return read_path(full.text);
}

/* Every way back to a root that was left: names that runtimes use for it, `..`, the working
 * directory, the links of /proc, descriptors that were left open. */
static long attempt_old_root(const struct rf_params* p) {
  const char* path = param(p, 0);
  static const char* const ways[] = {
      "/",
      "/../",
      "/../../../../",
      "",
      "../",
      "../../../../",
      "/.oldroot/",
      "/oldroot/",
      "/old_root/",
      "/.old_root/",
      "/put_old/",
      "/.put_old/",
      "/.pivot_root/",
      "/oldrootfs/",
      "/mnt/",
      "/proc/1/root/",
      "/proc/1/cwd/",
      "/proc/self/root/",
      "/proc/self/cwd/",
      "/proc/self/root/../",
      "/proc/self/cwd/../",
  };
  long answer = 0;
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; ++i) {
    const long ret = try_below(ways[i], path);
    if (ret >= 0) {
      say_remark(ways[i]);
      return ret;
    }
    answer = worse(answer, ret);
  }
  for (long fd = 0; fd < 16; ++fd) {
    const long ret = decide(__NR_openat, fd, relative(path), O_RDONLY | O_CLOEXEC);
    if (ret >= 0) return read_and_say(ret);
    /* ENOTDIR and EBADF say only that this descriptor is no directory. */
    if (ret != -ENOTDIR && ret != -EBADF) answer = worse(answer, ret);
  }
  if (sys(__NR_chdir, "/..") >= 0) {
    const long ret = try_below("../", path);
    if (ret >= 0) return ret;
    answer = worse(answer, ret);
  }
  return answer;
}

static long attempt_umount_then_read(const struct rf_params* p) {
  const char* path = param(p, 1);
  const long ret = decide(__NR_umount2, param(p, 0), kDetach);
  return ret < 0 ? ret : read_path(path);
}

static long attempt_mount_proc(const struct rf_params* p) {
  const char* directory = param(p, 0);
  const char* path = param(p, 1);
  const long ret = decide(__NR_mount, "proc", directory, "proc", 0, 0);
  if (ret < 0) return ret;
  struct rf_text full = {.size = 0};
  add_str(&full, directory);
  add_str(&full, "/");
  add_str(&full, relative(path));
  return read_path(full.text);
}

const struct attempt rf_mount_attempts[] = {
    {"mount_tmpfs", attempt_mount_tmpfs, "PATH"},
    {"mount_bind", attempt_mount_bind, "SOURCE PATH"},
    {"umount", attempt_umount, "PATH"},
    {"remount_rw", attempt_remount_rw, "PATH FILE: then create FILE"},
    {"chroot", attempt_chroot, "PATH"},
    {"pivot_root", attempt_pivot_root, "NEW_ROOT PUT_OLD"},
    {"chroot_escape", attempt_chroot_escape, "PATH: to read from the root outside"},
    {"old_root", attempt_old_root, "PATH: to read from the root outside"},
    {"umount_then_read", attempt_umount_then_read, "PATH FILE"},
    {"mount_proc", attempt_mount_proc, "DIR FILE: of the new proc"},
    {NULL, NULL, NULL},
};

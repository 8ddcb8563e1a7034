/* Attempts that build something first: jails, overlays, nested namespaces, id maps.
 * Sources: pivot_root(2), chroot(2), openat2(2), overlayfs.rst, user_namespaces(7),
 * pid_namespaces(7). */
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "probes/inmate/image_copy.h"
#include "probes/inmate/registry.h"

enum {
  kDetach = 2, /* MNT_DETACH */
  kSigchld = 17,
  kLevelsMax = 64,
};

/* A step of the set-up, which must work. */
static void must(long ret) {
  if (ret < 0) unable(-ret);
}
static void make_directory(const char* path) {
  const long ret = sys(__NR_mkdirat, AT_FDCWD, path, 0755);
  if (ret != -EEXIST) must(ret);
}
static void mount_tmpfs(const char* path) {
  must(sys(__NR_mount, "ringfence", path, "tmpfs", 0, "size=64k"));
}

static long attempt_pivot(const struct rf_params* p) {
  const char* what = param(p, 0);
  const char* put_old = "/rf_new/old";
  make_directory("/rf_new");
  make_directory("/rf_old");
  if (!str_eq(what, "plain_directory")) mount_tmpfs("/rf_new");
  make_directory("/rf_new/old");
  if (str_eq(what, "put_old_outside")) put_old = "/rf_old";
  if (str_eq(what, "shared_parent")) must(sys(__NR_mount, 0, "/", 0, MS_SHARED, 0));
  return decide(__NR_pivot_root, "/rf_new", put_old);
}

/* Makes a jail by chroot, by MS_MOVE and chroot, or by pivot_root. Out of it by a second chroot
 * with the working directory outside; or by taking the jail's mount away and entering one's own
 * mount namespace anew, which begins at what is below. */
static long attempt_jail_escape(const struct rf_params* p) {
  const char* how = param(p, 0);
  const char* path = param(p, 1);
  make_directory("/rf_jail");
  mount_tmpfs("/rf_jail");
  make_directory("/rf_jail/inner");
  must(sys(__NR_chdir, "/rf_jail"));
  if (str_eq(how, "pivot")) {
    must(sys(__NR_pivot_root, ".", "."));
    must(sys(__NR_umount2, ".", kDetach));
    must(sys(__NR_chdir, "/"));
  } else {
    if (str_eq(how, "move")) must(sys(__NR_mount, ".", "/", 0, MS_MOVE, 0));
    must(sys(__NR_chroot, "."));
  }
  /* In the jail. */
  const long here = sys(__NR_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(here);
  while (*path == '/') ++path;
  if (str_eq(param(p, 2), "uncover")) {
    const long self = sys(__NR_pidfd_open, sys(__NR_getpid), 0);
    must(self);
    sys(__NR_umount2, "/", kDetach);
    const long joined = decide(__NR_setns, self, CLONE_NEWNS);
    return joined < 0 ? joined : read_path(path);
  }
  must(sys(__NR_chroot, "inner"));
  must(sys(__NR_fchdir, here));
  for (int i = 0; i < 32; ++i) must(sys(__NR_chdir, ".."));
  const long ret = decide(__NR_chroot, ".");
  return ret < 0 ? ret : read_path(path);
}

/* From the directory DIR, with restrictions on how the path is resolved. */
static long attempt_open_how(const struct rf_params* p) {
  const long dir = sys(__NR_openat, AT_FDCWD, param(p, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(dir);
  const char* path = param(p, 1);
  const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC,
                               .resolve = (uint64_t)param_number(p, 2)};
  return decide(__NR_openat2, dir, path, &how, sizeof how);
}

/* Overwrites FILE of LOWER: by itself, or through an overlay of which LOWER is the lower layer. */
static long attempt_overlay_write(const struct rf_params* p) {
  struct rf_text path = {.size = 0};
  const char* lower = param(p, 0);
  const char* file = param(p, 1);
  if (str_eq(param(p, 2), "merged")) {
    make_directory("/rf_over");
    mount_tmpfs("/rf_over");
    make_directory("/rf_over/up");
    make_directory("/rf_over/work");
    make_directory("/rf_over/merged");
    struct rf_text options = {.size = 0};
    add_str(&options, "lowerdir=");
    add_str(&options, lower);
    add_str(&options, ",upperdir=/rf_over/up,workdir=/rf_over/work");
    must(sys(__NR_mount, "overlay", "/rf_over/merged", "overlay", 0, options.text));
    add_str(&path, "/rf_over/merged/");
  } else {
    add_str(&path, lower);
    add_str(&path, "/");
  }
  add_str(&path, file);
  const long fd = decide_open(path.text, O_WRONLY | O_TRUNC, 0);
  if (fd < 0) return fd;
  must(sys(__NR_write, fd, "OVERWRITTEN", 11));
  if (str_eq(param(p, 2), "merged")) {
    must(sys(__NR_unlinkat, AT_FDCWD, path.text, 0));
  }
  return 0;
}

/* Of a mount that the caller's namespaces got read-only: in a user namespace of one's own. */
static long attempt_userns_remount_rw(const struct rf_params* p) {
  const char* path = param(p, 0);
  const char* file = param(p, 1);
  must(sys(__NR_unshare, CLONE_NEWUSER | CLONE_NEWNS));
  const long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const long ret = decide(__NR_mount, 0, path, 0, flags, 0);
  if (ret < 0) return ret;
  const long fd = decide_open(file, O_WRONLY | O_TRUNC, 0);
  return fd < 0 ? fd : sys(__NR_write, fd, "OVERWRITTEN", 11);
}

/* Takes away what covers PATH, in a user namespace of one's own; reads what is there then. */
static long attempt_userns_unmask(const struct rf_params* p) {
  const char* path = param(p, 0);
  must(sys(__NR_unshare, CLONE_NEWUSER | CLONE_NEWNS));
  const long ret = decide(__NR_umount2, path, kDetach);
  const long got = read_path(path);
  return ret < 0 && got <= 0 ? ret : got;
}

/* A child sends the signal to its parent, which in a pid namespace of its own is pid 1. */
static long attempt_signal_init(const struct rf_params* p) {
  const long signal = param_number(p, 0);
  const long child = rf_fork();
  must(child);
  if (child == 0) {
    const long parent = sys(__NR_getppid);
    decide(__NR_kill, parent, signal);
    rf_exit(0);
  }
  const long status = rf_wait(child);
  return status < 0 ? status : 0;
}

/* DEPTH pid namespaces, one in the other; the innermost answers when it got that far. */
static long attempt_nest_pid(const struct rf_params* p) {
  long depth = param_number(p, 0);
  if (depth > kLevelsMax) depth = kLevelsMax;
  long level = 0;
  for (; level < depth; ++level) {
    const long child = decide(__NR_clone, CLONE_NEWPID | kSigchld, 0, 0, 0, 0);
    if (child == 0) continue;
    const bool first = level == 0;
    if (child < 0) {
      if (first) return child;
      rf_exit((int)-child); /* the errno, handed up */
    }
    const long status = rf_wait(child);
    const long code = status < 0 ? -status : (status >> 8) & 0xff;
    if (!first) rf_exit((int)code);
    if (code == RF_EXIT_DONE) rf_exit(RF_EXIT_DONE); /* the innermost has answered */
    return -code;
  }
  return 0;
}

/* FILE=TEXT...: writes each to /proc/self of a new user namespace; the last decides. */
static long attempt_userns_map(const struct rf_params* p) {
  must(sys(__NR_unshare, CLONE_NEWUSER));
  long ret = 0;
  for (int i = 0; i < p->count; ++i) {
    const char* text = p->at[i];
    struct rf_text path = {.size = 0};
    add_str(&path, "/proc/self/");
    size_t name = 0;
    while (text[name] != '=' && text[name] != 0) ++name;
    add_bytes(&path, text, name);
    text += name + (text[name] == '=');
    const long fd = sys(__NR_openat, AT_FDCWD, path.text, O_WRONLY | O_CLOEXEC);
    must(fd);
    ret = i + 1 < p->count ? sys(__NR_write, fd, text, str_len(text))
                           : decide(__NR_write, fd, text, str_len(text));
    sys(__NR_close, fd);
    if (i + 1 < p->count) must(ret);
  }
  return ret;
}

static void write_text(const char* path, const char* text) {
  const long fd = sys(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  must(fd);
  must(sys(__NR_write, fd, text, str_len(text)));
  sys(__NR_close, fd);
}

/* What keeps a group out is read by who drops it: a child in a user namespace that its parent maps
 * to uid and gid 1000, with setgroups allowed or denied. */
static long attempt_drop_group(const struct rf_params* p) {
  const char* setgroups = param(p, 0);
  const char* path = param(p, 1);
  int ready[2];
  int mapped[2];
  must(sys(__NR_pipe2, ready, O_CLOEXEC));
  must(sys(__NR_pipe2, mapped, O_CLOEXEC));
  const long child = rf_fork();
  must(child);
  char byte = 0;
  if (child != 0) {
    sys(__NR_close, ready[1]);
    if (sys(__NR_read, ready[0], &byte, 1) != 1) leave_with(child);
    for (int i = 0; i < 3; ++i) {
      struct rf_text file = {.size = 0};
      add_str(&file, "/proc/");
      add_dec(&file, child);
      add_str(&file, i == 0 ? "/setgroups" : i == 1 ? "/gid_map" : "/uid_map");
      write_text(file.text, i == 0 ? setgroups : "0 1000 1");
    }
    must(sys(__NR_write, mapped[1], "m", 1));
    leave_with(child);
  }
  must(sys(__NR_unshare, CLONE_NEWUSER));
  must(sys(__NR_write, ready[1], "u", 1));
  sys(__NR_close, mapped[1]);
  if (sys(__NR_read, mapped[0], &byte, 1) != 1) unable(EPIPE);
  must(sys(__NR_setresgid, 0, 0, 0));
  must(sys(__NR_setresuid, 0, 0, 0));
  const long ret = decide(__NR_setgroups, 0, 0);
  return ret < 0 ? ret : read_path(path);
}

/* A user namespace in one that may hold so many. */
static long attempt_userns_limit(const struct rf_params* p) {
  const char* most = param(p, 0);
  must(sys(__NR_unshare, CLONE_NEWUSER));
  /* Who has no ids there may make no other in it. */
  write_text("/proc/self/uid_map", "0 0 1");
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/gid_map", "0 0 1");
  write_text("/proc/sys/user/max_user_namespaces", most);
  /* With another beside it, so that this call is told from the first. */
  const long ret = decide(__NR_unshare, CLONE_NEWUSER | CLONE_NEWUTS);
  if (ret >= 0) write_text("/proc/self/uid_map", "5 0 1");
  return ret;
}

/* --- A race ------------------------------------------------------------------------------------
 * Somebody swaps a directory for a link that leads out, again and again; the open comes in between.
 */
enum { kSwapsMost = 2000000, kOpensMost = 200000, kSeenEnough = 100, kMilliseconds = 2000 };

static long swap(const char* a, const char* b) {
  enum { kExchange = 2 }; /* RENAME_EXCHANGE */
  return sys(__NR_renameat2, AT_FDCWD, a, AT_FDCWD, b, kExchange);
}

static long now_ms(void) {
  struct {
    long seconds, nanoseconds;
  } now = {0, 0};
  sys(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, &now);
  return now.seconds * 1000 + now.nanoseconds / 1000000;
}

static long attempt_open_race(const struct rf_params* p) {
  const char* outside = param(p, 0);
  const char* name = param(p, 1);
  const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC,
                               .resolve = (uint64_t)param_number(p, 2)};
  const char* inner = "/tmp/rf_jail/d";
  const char* link = "/tmp/rf_jail/l";
  make_directory("/tmp/rf_jail");
  make_directory(inner);
  must(sys(__NR_symlinkat, outside, AT_FDCWD, link));
  const long dir = sys(__NR_openat, AT_FDCWD, "/tmp/rf_jail", O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(dir);
  struct rf_text path = {.size = 0};
  add_str(&path, "d/");
  add_str(&path, name);
  const long child = rf_fork();
  must(child);
  if (child == 0) {
    for (long i = 0; i < kSwapsMost; ++i) swap(inner, link);
    rf_exit(0);
  }
  /* As a directory it has no such file; as a link it is refused, or leads out. */
  long as_directory = 0;
  long as_link = 0;
  long got = -1;
  const long deadline = now_ms() + kMilliseconds;
  for (long i = 0; i < kOpensMost && got < 0 && now_ms() < deadline; ++i) {
    got = sys(__NR_openat2, dir, path.text, &how, sizeof how);
    as_directory += got == -ENOENT;
    as_link += got == -EXDEV || got == -EAGAIN;
    if (as_directory >= kSeenEnough && as_link >= kSeenEnough) break;
  }
  sys(__NR_kill, child, 9);
  rf_wait(child);
  say_remark_number("opens that met the directory:", as_directory);
  say_remark_number("opens that met the link and were refused:", as_link);
  /* Nobody raced: nothing has been tried. */
  if (got < 0 && (as_directory < kSeenEnough || as_link < kSeenEnough)) unable(ETIME);
  if (got >= 0) return got;
  char target[8];
  if (sys(__NR_readlinkat, AT_FDCWD, inner, target, sizeof target) < 0) must(swap(inner, link));
  return decide(__NR_openat2, dir, path.text, &how, sizeof how);
}

const struct attempt rf_nesting_attempts[] = {
    {"pivot", attempt_pivot, "ok|plain_directory|put_old_outside|shared_parent"},
    {"jail_escape", attempt_jail_escape, "chroot|move|pivot PATH climb|uncover: to read outside"},
    {"open_how", attempt_open_how, "DIR PATH RESOLVE: openat2(2)"},
    {"overlay_write", attempt_overlay_write, "LOWER FILE merged|plain"},
    {"userns_remount_rw", attempt_userns_remount_rw, "PATH FILE: then overwrite FILE"},
    {"userns_unmask", attempt_userns_unmask, "PATH"},
    {"signal_init", attempt_signal_init, "SIG: by a child to its parent"},
    {"nest_pid", attempt_nest_pid, "DEPTH: the innermost answers"},
    {"userns_map", attempt_userns_map, "FILE=TEXT...: the last decides"},
    {"drop_group", attempt_drop_group, "allow|deny PATH: in a user namespace of uid 1000's"},
    {"userns_limit", attempt_userns_limit, "COUNT: a user namespace in one with this limit"},
    {"open_race", attempt_open_race, "DIR FILE RESOLVE: openat2(2) past a swapped link to DIR"},
    {NULL, NULL, NULL},
};

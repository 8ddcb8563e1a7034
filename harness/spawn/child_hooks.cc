#include "harness/spawn/child_hooks.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

#include "harness/base/sys.h"

namespace ringfence {
namespace {

constexpr char kEmpty[1] = {0};

// A call of the hook's process: whoever waits for it finds what failed in the report.
RINGFENCE_CHILD void must(ChildStart* start, uint32_t step, long nr, int64_t result) {
  if (result < 0) fail(start, step, nr, result);
}

// The spawner's file may be covered here; then by its descriptor, which a script needs open.
RINGFENCE_CHILD bool covered(const ChildHook& hook) {
  struct stat here {};
  const int64_t r = sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(hook.path), sys::arg(&here), 0);
  return r < 0 || here.st_dev != hook.device || here.st_ino != hook.inode;
}

// Never returns.
RINGFENCE_CHILD void become(ChildStart* start, const ChildHook& hook, uint32_t step) {
  // A group of its own, so that it can be ended with all that it starts.
  must(start, step, SYS_setpgid, sys::call(SYS_setpgid, 0, 0));
  must(start, step, SYS_prctl, sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL));
  // The child may have ended before the signal was asked for; then none will come.
  if (sys::call(SYS_getppid) != start->own_pid) leave(127);
  const bool by_fd = hook.exe_fd >= 0 && covered(hook);
  if (hook.early) {
    // What the target will not have, the hook does not get either: not yet done, that early.
    const int64_t r = sys::call(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    must(start, step, SYS_close_range, r == -ENOSYS || r == -EINVAL ? cloexec_each() : r);
  }
  if (by_fd) {
    must(start, step, SYS_fcntl,
         sys::call(SYS_fcntl, static_cast<uint64_t>(hook.exe_fd), F_SETFD, 0));
  }
  const int from[3] = {hook.state_fd, hook.null_fd, hook.stderr_fd};
  for (uint64_t fd = 0; fd < 3; ++fd) {
    must(start, step, SYS_dup3, sys::call(SYS_dup3, static_cast<uint64_t>(from[fd]), fd, 0));
  }
  if (by_fd) {
    const int64_t r =
        sys::call(SYS_execveat, static_cast<uint64_t>(hook.exe_fd), sys::arg(&kEmpty[0]),
                  sys::arg(hook.argv), sys::arg(hook.envp), AT_EMPTY_PATH);
    fail(start, step, SYS_execveat, r);
  }
  const int64_t r =
      sys::call(SYS_execve, sys::arg(hook.path), sys::arg(hook.argv), sys::arg(hook.envp));
  fail(start, step, SYS_execve, r);
}

}  // namespace

RINGFENCE_CHILD int64_t wait_for_hooks(ChildStart* start) {
  const int64_t pid = sys::call(SYS_getpid);
  if (pid < 0) return pid;
  start->own_pid = pid;
  await_go(&start->report->hooks_waiting, &start->report->hooks_go);
  return 0;
}

RINGFENCE_CHILD int64_t run_hook(ChildStart* start, const ChildHook& hook, uint32_t step) {
  ChildReport* report = start->report;
  __atomic_store_n(&report->hook, static_cast<uint32_t>(&hook - start->hooks) + 1,
                   __ATOMIC_RELEASE);
  const int64_t pid = sys::call(SYS_clone, kHookClone, 0, 0, 0, 0);
  if (pid == 0) become(start, hook, step);
  if (pid < 0) fail(start, step, SYS_clone, pid);
  int status = 0;
  int64_t r = -EINTR;
  while (r == -EINTR) {
    r = sys::call(SYS_wait4, static_cast<uint64_t>(pid), sys::arg(&status), 0, 0);
  }
  if (r < 0) fail(start, step, SYS_wait4, r);
  if (__atomic_load_n(&report->failed, __ATOMIC_ACQUIRE) != 0) leave(127);
  if (status == 0) {
    __atomic_store_n(&report->hook, 0U, __ATOMIC_RELEASE);
    return 0;
  }
  report->hook_status = status;
  return -ECANCELED;
}

}  // namespace ringfence

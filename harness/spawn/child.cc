#include "harness/spawn/child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "harness/base/sys.h"
#include "harness/spawn/child_files.h"
#include "harness/spawn/child_hooks.h"
#include "harness/spawn/child_mounts.h"

#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_func_exit();
extern "C" void __tsan_func_entry(void*);
#endif

namespace ringfence {
namespace {

// The syscall that a pseudo-call is about.
RINGFENCE_CHILD long real_call(long nr) {
  switch (nr) {
    case kCallMountAt:
      return SYS_mount;
    case kCallOpenInRoot:
      return SYS_openat;
    case kCallReborn:
      return SYS_clone3;
    case kCallListener:
      return SYS_futex;
    case kCallCopyTree:
      return SYS_write;
    case kCallSendFd:
      return SYS_sendmsg;
    case kCallLandlockBeneath:
      return SYS_landlock_add_rule;
    case kCallWaitHooks:
      return SYS_getpid;
    case kCallHook:
      return SYS_wait4;
    default:
      return nr;
  }
}

}  // namespace

// Not through the seam: there is nobody to tell that it failed.
RINGFENCE_CHILD void leave(int code) {
  for (;;) {
    asm volatile("syscall" : : "a"(SYS_exit_group), "D"(code) : "rcx", "r11", "memory");
  }
}

RINGFENCE_CHILD void fail(ChildStart* start, uint32_t step, long nr, int64_t result) {
  ChildReport* report = start->report;
  report->step = step;
  report->nr = real_call(nr);
  report->err = static_cast<int32_t>(-result);
  __atomic_store_n(&report->failed, 1U, __ATOMIC_RELEASE);
  leave(127);
}

// The numbers end at the limit of open files.
RINGFENCE_CHILD int64_t cloexec_each() {
  uint64_t limit[2] = {1024, 1024};
  const int64_t r = sys::call(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, 0, sys::arg(&limit[0]));
  if (r < 0) return r;
  const uint64_t end = limit[1] < (1U << 20) ? limit[1] : 1U << 20;
  for (uint64_t fd = 0; fd < end; ++fd) {
    const int64_t set = sys::call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    if (set < 0 && set != -EBADF) return set;
  }
  return 0;
}

RINGFENCE_CHILD void await_go(uint32_t* waiting, uint32_t* go) {
  __atomic_store_n(waiting, uint32_t{kWaiting}, __ATOMIC_RELEASE);
  sys::call(SYS_futex, sys::arg(waiting), FUTEX_WAKE, 1);
  for (;;) {
    const uint32_t said = __atomic_load_n(go, __ATOMIC_ACQUIRE);
    if (said == kGo) return;
    if (said == kNoGo) leave(127);
    // Bounded, so that a lost wake-up costs time and not the child.
    timespec brief{0, 20'000'000};
    sys::call(SYS_futex, sys::arg(go), FUTEX_WAIT, said, sys::arg(&brief));
  }
}

namespace {

// The sanitizer counts calls per thread, and a successful exec never returns from the seam: on
// memory that is shared, each would leave an entry on the parent's account.
RINGFENCE_CHILD int64_t exec_call(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3 = 0,
                                  uint64_t a4 = 0) {
#ifdef __SANITIZE_THREAD__
  __tsan_func_exit();
#endif
  const int64_t r = sys::call(nr, a0, a1, a2, a3, a4);
#ifdef __SANITIZE_THREAD__
  __tsan_func_entry(__builtin_return_address(0));
#endif
  return r;
}

struct KernelSigaction {
  uint64_t handler, flags, restorer, mask;
};
constexpr int kSignals = 64;
constexpr int kAwayFromGiven = 64;  // given numbers are below 16

RINGFENCE_CHILD void reset_signals(uint64_t mask) {
  KernelSigaction action{};  // SIG_DFL
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    sys::call(SYS_rt_sigaction, static_cast<uint64_t>(signal), sys::arg(&action), 0, 8);
  }
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&mask), 0, 8);
}

// Descriptors that are still needed move away from the numbers that the target is to get.
RINGFENCE_CHILD int64_t move_away(int64_t fd) {
  if (fd < 0 || fd >= kAwayFromGiven) return fd;
  int64_t moved = sys::call(SYS_fcntl, static_cast<uint64_t>(fd), F_DUPFD_CLOEXEC, kAwayFromGiven);
  // A low RLIMIT_NOFILE.
  if (moved == -EINVAL) {
    moved = sys::call(SYS_fcntl, static_cast<uint64_t>(fd), F_DUPFD_CLOEXEC, 16);
  }
  return moved;
}

RINGFENCE_CHILD int64_t parent_death(const ChildStart* start, bool check) {
  if (start->parent_pidfd < 0) return 0;
  const int64_t r = sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (r < 0 || !check) return r;
  // It may have ended before the signal was asked for; then none will come.
  pollfd parent{start->parent_pidfd, POLLIN, 0};
  if (sys::call(SYS_poll, sys::arg(&parent), 1, 0) == 1) leave(127);
  return 0;
}

RINGFENCE_CHILD int64_t give_fds(ChildStart* start) {
  for (uint32_t i = 0; i < start->given_count; ++i) {
    const GivenFd& given = start->given[i];
    const int64_t r = sys::call(SYS_dup3, static_cast<uint64_t>(given.here),
                                static_cast<uint64_t>(given.inside), 0);
    if (r < 0) return r;
  }
  return 0;
}

// Sets one of the three sets of capset(2); a permitted set takes the effective one down with it.
// What the process does not have it cannot be given, and then has less than the policy gives.
RINGFENCE_CHILD int64_t set_caps(uint64_t part, uint64_t mask) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  const int64_t got = sys::call(SYS_capget, sys::arg(&header), sys::arg(&data[0]));
  if (got < 0) return got;
  for (int i = 0; i < 2; ++i) {
    const auto word = static_cast<uint32_t>(mask >> (32 * i));
    __user_cap_data_struct& d = data[i];
    if (part == kCapsetInheritable) {
      d.inheritable = word & (d.permitted | d.inheritable);
    } else if (part == kCapsetPermitted) {
      d.permitted &= word;
      d.effective &= word;
    } else {
      d.effective = word & d.permitted;
    }
  }
  return sys::call(SYS_capset, sys::arg(&header), sys::arg(&data[0]));
}

// The descriptor is within the struct, so that no plan could have it.
RINGFENCE_CHILD int64_t allow_beneath(uint64_t rule_set, uint64_t allowed, uint64_t fd) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = allowed;
  rule.parent_fd = static_cast<int32_t>(fd);
  return sys::call(SYS_landlock_add_rule, rule_set, LANDLOCK_RULE_PATH_BENEATH, sys::arg(&rule), 0);
}

// Once the filter is loaded every call may be one that waits for an answer, or ends us.
RINGFENCE_CHILD int64_t hand_over_listener(ChildStart* start, uint64_t part, uint64_t fd) {
  ChildReport* report = start->report;
  if (part == kListenerComes) {
    __atomic_store_n(&report->listener, uint32_t{kComing}, __ATOMIC_RELEASE);
    sys::call(SYS_futex, sys::arg(&report->listener), FUTEX_WAKE, 1);
    return 0;
  }
  report->listener_fd = static_cast<int32_t>(fd);
  __atomic_store_n(&report->listener, uint32_t{kThere}, __ATOMIC_RELEASE);
  for (;;) {
    const uint32_t taken = __atomic_load_n(&report->listener_taken, __ATOMIC_ACQUIRE);
    if (taken == kGo) return 0;
    if (taken == kNoGo) leave(127);
    if (part == kListenerWait) {
      timespec brief{0, 20'000'000};
      sys::call(SYS_futex, sys::arg(&report->listener_taken), FUTEX_WAIT, taken, sys::arg(&brief));
    } else {
      asm volatile("pause");
    }
  }
}

// The new child has all of ours but the pid; we wait (CLONE_VFORK) until its program has started.
RINGFENCE_CHILD int64_t be_reborn(ChildStart* start) {
  clone_args args{};
  args.flags = CLONE_PARENT | CLONE_VFORK | CLONE_PARENT_SETTID;
  args.parent_tid = sys::arg(&start->report->reborn);
  const int64_t pid = sys::call(SYS_clone3, sys::arg(&args), sizeof args);
  if (pid > 0) leave(0);
  if (pid == 0) sys::call(SYS_prctl, PR_SET_NAME, sys::arg(&kUnstartedName[0]));
  return pid == 0 ? parent_death(start, true) : pid;
}

// The elements, without a function of the library.
template <typename T, size_t N>
RINGFENCE_CHILD const T* first_of(const std::array<T, N>& list) {
  return reinterpret_cast<const T*>(&list);
}

// On a busy host one follows another; who makes them on purpose gets no more than an error.
constexpr int kRaces = 1000;

RINGFENCE_CHILD int64_t make_call(ChildStart* start, const Op& op, uint32_t step) {
  uint64_t a[6];
  const Arg* args = first_of(op.args);
  for (int i = 0; i < 6; ++i) {
    a[i] = args[i].kind == Arg::Kind::slot ? static_cast<uint64_t>(start->slots[args[i].value])
           : args[i].kind == Arg::Kind::bytes
               ? reinterpret_cast<uint64_t>(start->bytes[args[i].value])
               : args[i].value;
  }
  switch (op.nr) {
    case kCallCloexecEach:
      return cloexec_each();
    case kCallGiveFds:
      return give_fds(start);
    case kCallParentDeath:
      return parent_death(start, a[0] != 0);
    case kCallCapset:
      return set_caps(a[0], a[1]);
    case kCallMountAt:
      return mount_at(&a[0]);
    case kCallOpenInRoot:
      return open_in_root(a[0], reinterpret_cast<const char*>(a[1]), a[2], a[3] != 0);
    case kCallWaitMaps:
      await_go(&start->report->waiting, &start->report->go);
      return 0;
    case kCallWaitHooks:
      return wait_for_hooks(start);
    case kCallHook:
      return run_hook(start, start->hooks[a[0]], step);
    case kCallReborn:
      return be_reborn(start);
    case kCallListener:
      return hand_over_listener(start, a[0], a[1]);
    case kCallCopyTree:
      return copy_tree(a[0], a[1], a[2] != 0);
    case kCallSendFd:
      return send_descriptor(a[0], a[1]);
    case kCallLandlockBeneath:
      return allow_beneath(a[0], a[1], a[2]);
    case SYS_openat2: {
      // EAGAIN: anybody's mount or rename came between, and ".." could not be trusted, openat2(2).
      int64_t r = -EAGAIN;
      for (int i = 0; r == -EAGAIN && i < kRaces; ++i) {
        r = sys::call(op.nr, a[0], a[1], a[2], a[3]);
      }
      return r;
    }
    default:
      return sys::call(op.nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
}

// Makes one call of a step; the index of the next.
RINGFENCE_CHILD uint32_t run_op(ChildStart* start, const ChildStep& step, uint32_t index) {
  const Op& op = step.ops[index];
  const uint32_t next = index + 1;
  if (op.when >= 0 && start->slots[op.when] < 0) return next;
  if (op.unless >= 0 && start->slots[op.unless] >= 0) return next;
  int64_t r = make_call(start, op, step.number);
  long nr = op.nr;
  const bool missing = r == -ENOSYS || r == -EINVAL;
  if (op.fallback >= 0 && missing) {
    const Op& fallback = step.fallback[op.fallback];
    r = make_call(start, fallback, step.number);
    nr = fallback.nr;
  }
  if (op.out >= 0) start->slots[op.out] = r;
  // A descriptor that is closed is in no slot any more.
  const Arg* first = first_of(op.args);
  if (op.nr == SYS_close && first->kind == Arg::Kind::slot) start->slots[first->value] = -1;
  if (op.missing >= 0 && missing) return static_cast<uint32_t>(op.missing);
  if (r >= 0 && op.done >= 0) return static_cast<uint32_t>(op.done);
  const int16_t* tolerate = first_of(op.tolerate);
  if (r >= 0 || r == -tolerate[0] || r == -tolerate[1] || r == -tolerate[2]) return next;
  fail(start, step.number, nr, r);
  return next;
}

RINGFENCE_CHILD void execute(ChildStart* start) {
  __atomic_store_n(&start->report->reached_exec, 1U, __ATOMIC_RELEASE);
  if (start->slots[kSlotExe] >= 0) {
    static const char kEmpty[1] = {0};
    const int64_t r =
        sys::call(SYS_execveat, static_cast<uint64_t>(start->slots[kSlotExe]), sys::arg(&kEmpty[0]),
                  sys::arg(start->argv), sys::arg(start->envp), AT_EMPTY_PATH);
    fail(start, start->exec_step, SYS_execveat, r);
  }
  int64_t result = -ENOENT;
  for (const char* const* path = start->paths; *path != nullptr; ++path) {
    const int64_t r =
        exec_call(SYS_execve, sys::arg(*path), sys::arg(start->argv), sys::arg(start->envp));
    // As execvp(3): remember that one was there and could not be executed.
    if (r == -EACCES || result != -EACCES) result = r;
    if (r != -ENOENT && r != -EACCES && r != -ENOTDIR) break;
  }
  fail(start, start->exec_step, SYS_execve, result);
}

}  // namespace

RINGFENCE_CHILD void run_child(void* argument) {
  auto* start = static_cast<ChildStart*>(argument);
  reset_signals(start->signal_mask);
  sys::call(SYS_prctl, PR_SET_NAME, sys::arg(&kUnstartedName[0]));
  if (start->netns_fd >= 0) {
    const int64_t r = sys::call(SYS_setns, static_cast<uint64_t>(start->netns_fd), CLONE_NEWNET);
    if (r < 0) fail(start, start->netns_step, SYS_setns, r);
  }
  if (start->wait_for_maps) await_go(&start->report->waiting, &start->report->go);
  for (uint32_t i = 0; i < start->given_count; ++i) {
    const int64_t fd = move_away(start->given[i].here);
    if (fd < 0) fail(start, start->exec_step, SYS_fcntl, fd);
    start->given[i].here = static_cast<int>(fd);
  }
  if (start->parent_pidfd >= 0) {
    const int64_t fd = move_away(start->parent_pidfd);
    if (fd < 0) fail(start, start->exec_step, SYS_fcntl, fd);
    start->parent_pidfd = static_cast<int>(fd);
  }
  start->slots[kSlotExe] = start->slots[kSlotExe] < 0 ? -1 : move_away(start->slots[kSlotExe]);
  if (start->slots[kSlotExe] < -1) {
    fail(start, start->exec_step, SYS_fcntl, start->slots[kSlotExe]);
  }
  start->slots[kSlotFilter] = reinterpret_cast<int64_t>(&start->filter);
  for (uint32_t i = 0; i < start->count; ++i) {
    const ChildStep& step = start->steps[i];
    for (uint32_t op = 0; op < step.count;) op = run_op(start, step, op);
  }
  execute(start);
}

// The child must not return on the parent's frame, so its side is all in here: it has the registers
// of the parent, a stack of its own, and calls the function.
__attribute__((noinline)) long clone_and_run(void* clone_args, uint64_t size,
                                             void (*function)(void*), void* argument) {
  // A fault that a test has armed for clone3 answers here; the kernel refuses the size (E2BIG).
  const int64_t armed = sys::call(SYS_clone3, sys::arg(clone_args), 1U << 20);
  if (armed != -E2BIG) return armed;
  long result;
  register void (*function_register)(void*) asm("r12") = function;
  register void* argument_register asm("r13") = argument;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "ud2\n"
      "1:\n\t"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(clone_args), "S"(size), "r"(function_register), "r"(argument_register)
      : "rcx", "r11", "memory", "cc");
  return result;
}

}  // namespace ringfence

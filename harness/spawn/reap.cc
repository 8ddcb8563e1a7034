#include "harness/spawn/reap.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/spawn/child.h"

namespace ringfence {
namespace {

constexpr uint64_t kPidfd = 3;  // P_PIDFD; glibc has it only since 2.36

std::optional<ExitStatus> status_of(const siginfo_t& info) {
  if (info.si_pid == 0) return std::nullopt;
  ExitStatus status;
  status.signaled = info.si_code != CLD_EXITED;
  status.core = info.si_code == CLD_DUMPED;
  status.code = info.si_status;
  return status;
}

int64_t wait_once(int pidfd, siginfo_t& info, int options) {
  info = {};
  for (;;) {
    const int64_t r = sys::call(SYS_waitid, kPidfd, static_cast<uint64_t>(pidfd), sys::arg(&info),
                                static_cast<uint64_t>(options), 0);
    if (r != -EINTR) return r;
  }
}

}  // namespace

Result<std::optional<ExitStatus>> wait_for_end(int pidfd,
                                               std::optional<std::chrono::milliseconds> timeout) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout.value_or(std::chrono::milliseconds(0));
  while (timeout) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{pidfd, POLLIN, 0};
    const int64_t r =
        sys::call(SYS_poll, sys::arg(&ready), 1, static_cast<uint64_t>(left > 0 ? left : 0));
    if (r == -EINTR) continue;
    if (r < 0) return system_error("poll", "pidfd", static_cast<int>(-r));
    if (r == 0) return std::optional<ExitStatus>{};
    break;
  }
  siginfo_t info;
  if (const int64_t r = wait_once(pidfd, info, WEXITED | __WALL); r < 0) {
    return system_error("waitid", "child", static_cast<int>(-r));
  }
  return status_of(info);
}

std::optional<ExitStatus> reap(int pid, int pidfd) {
  if (sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(pidfd), SIGKILL, 0, 0) < 0) {
    sys::call(SYS_kill, static_cast<uint64_t>(pid), SIGKILL);
  }
  siginfo_t info;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (wait_once(pidfd, info, WEXITED | __WALL) == 0) return status_of(info);
  }
  int status = 0;
  if (sys::call(SYS_wait4, static_cast<uint64_t>(pid), sys::arg(&status), __WALL, 0) != pid) {
    return std::nullopt;
  }
  ExitStatus ended;
  ended.signaled = WIFSIGNALED(status);
  ended.code = ended.signaled ? WTERMSIG(status) : WEXITSTATUS(status);
  ended.core = ended.signaled && WCOREDUMP(status);
  return ended;
}

bool ended_unstarted(int pid, int pidfd) {
  using Clock = std::chrono::steady_clock;
  // For a program that happens to have that very name.
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  const std::string path = fmt::format("/proc/{}/comm", pid);
  for (int round = 0;; ++round) {
    // In this order: a child that is seen dead had its last name already.
    siginfo_t info;
    const bool dead =
        wait_once(pidfd, info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid != 0;
    auto name = read_file(path);
    if (!name || trim(*name) != kUnstartedName) return false;
    if (dead) return true;
    if (Clock::now() > deadline) return false;
    // Mostly a matter of microseconds.
    pollfd end{pidfd, POLLIN, 0};
    if (round < 50) {
      sys::call(SYS_sched_yield);
    } else {
      sys::call(SYS_poll, sys::arg(&end), 1, 1);
    }
  }
}

}  // namespace ringfence

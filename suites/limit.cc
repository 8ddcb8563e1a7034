// Limits of a process, judged by behaviour: setrlimit(2). Those of groups are in cgroup.cc.
#include <sys/resource.h>
#include <sys/syscall.h>

#include <csignal>

#include "harness/base/sys.h"
#include "suites/suite.h"

namespace ringfence::suites {

namespace {

uint32_t user_of_this_run() {
  constexpr uint32_t kFirst = 1400000;
  constexpr uint32_t kCount = 90000;
  uint32_t random = 0;
  if (sys::call(SYS_getrandom, sys::arg(&random), sizeof random, 0) != sizeof random) {
    random = static_cast<uint32_t>(sys::call(SYS_getpid));
  }
  return kFirst + random % kCount;
}

}  // namespace

std::vector<Case> limit_cases() {
  std::vector<Case> cases;
  const std::string kill = std::to_string(SIGKILL);

  Case files;
  files.id = "limit.rlimit.nofile";
  files.title = "open more files than RLIMIT_NOFILE";
  files.source = "setrlimit(2)";
  files.expected = Layer::rlimit("NOFILE");
  files.policy = bare();
  constexpr int64_t kFiles = 64;
  files.policy.rlimits = {{RLIMIT_NOFILE, kFiles, kFiles}};
  files.attempt = {"open_fds", {"200"}};
  files.goal = {Sight::open_files_over, "", kFiles};
  files.liveness = {"open_fds", {"8"}};
  files.step = "rlimit.NOFILE";
  cases.push_back(std::move(files));

  Case tasks;
  tasks.id = "limit.rlimit.nproc";
  tasks.title = "make more processes than RLIMIT_NPROC";
  tasks.source = "setrlimit(2)";
  tasks.expected = Layer::rlimit("NPROC");
  // The count is per user of the whole host, so this is a user that nobody else is: not even
  // another run, in whatever pid namespace.
  tasks.policy = as_user(user_of_this_run());
  constexpr int64_t kTasks = 8;
  tasks.policy.rlimits = {{RLIMIT_NPROC, kTasks, kTasks}};
  tasks.attempt = {"fork_bomb", {"32"}};
  tasks.goal = {Sight::tasks_over, "", kTasks};
  tasks.liveness = {"kill_own_child", {kill}};
  tasks.needs = {"root"};
  tasks.step = "rlimit.NPROC";
  cases.push_back(std::move(tasks));

  Case lock;
  lock.id = "limit.rlimit.memlock";
  lock.title = "lock more memory than RLIMIT_MEMLOCK";
  lock.source = "setrlimit(2)";
  lock.expected = Layer::rlimit("MEMLOCK");
  lock.policy = as_user(1000);
  constexpr int64_t kLockKib = 64;
  lock.policy.rlimits = {{RLIMIT_MEMLOCK, kLockKib * 1024, kLockKib * 1024}};
  lock.attempt = {"mlock", {"1024"}};
  lock.goal = {Sight::locked_over, "", kLockKib};
  lock.liveness = {"mlock", {"4"}};
  lock.needs = {"root"};
  lock.step = "rlimit.MEMLOCK";
  cases.push_back(std::move(lock));
  return cases;
}

}  // namespace ringfence::suites

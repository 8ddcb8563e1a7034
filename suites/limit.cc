// Limits, judged by behaviour: setrlimit(2), cgroups(7). The cgroup ones run by name or with
// --suite full.
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

  Case pids;
  pids.id = "limit.pids.fork_bomb";
  pids.title = "fork past pids.max";
  pids.source = "cgroups(7), pids controller";
  pids.expected = Layer::kCgroupPids;
  pids.policy = bare();
  constexpr int64_t kMax = 16;
  pids.policy.resources.pids_limit = kMax;
  pids.attempt = {"fork_bomb", {"64"}};
  pids.goal = {Sight::tasks_over, "", kMax};
  pids.proofs = {{Sight::cgroup_event, "pids.max", 1}};
  pids.liveness = {"fork_bomb", {"4"}};
  pids.needs = {"cgroup.pids"};
  pids.quick = false;
  pids.step = "cgroup.pids";
  cases.push_back(pids);
  pids.id = "limit.pids.outside_group";
  pids.title = "fork past pids.max from outside of the group that it limits";
  pids.step = "cgroup.join";
  cases.push_back(std::move(pids));

  Case memory;
  memory.id = "limit.memory.anon";
  memory.title = "allocate past memory.max";
  memory.source = "cgroups(7), memory controller";
  memory.expected = Layer::kCgroupMemory;
  memory.policy = bare();
  constexpr int64_t kMib = int64_t{1} << 20;
  constexpr int64_t kLimit = 16 * kMib;
  memory.policy.resources.memory_limit = kLimit;
  memory.attempt = {"alloc", {"64"}};
  memory.goal = {Sight::memory_over, "", kLimit};
  memory.proofs = {{Sight::killed_by, "", SIGKILL}, {Sight::cgroup_event, "memory.oom_kill", 1}};
  memory.liveness = {"alloc", {"4"}};
  memory.needs = {"cgroup.memory"};
  memory.quick = false;
  memory.step = "cgroup.memory";
  cases.push_back(std::move(memory));
  return cases;
}

}  // namespace ringfence::suites

// Scheduler, I/O priority, CPUs, personality and memory policy of a target, seen from outside of
// it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/syscall.h>

#include "harness/base/sys.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

struct Attributes {  // struct sched_attr, sched_setattr(2)
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

Attributes attributes_of(int pid) {
  Attributes a{};
  EXPECT_EQ(syscall(SYS_sched_getattr, pid, &a, sizeof a, 0), 0);
  return a;
}
// A field of /proc/PID/stat, numbered as in proc(5); the name in parentheses is the second.
std::string stat_field(const Waiting& target, size_t number) {
  const auto text = read_file(target.proc("stat"));
  if (!text) return {};
  const std::string rest = text->substr(text->rfind(')') + 1);
  return std::string(split(rest, ' ').at(number - 3));
}
Waiting wait_with(const Policy& policy) {
  auto plan = compile(policy);
  EXPECT_TRUE(plan) << plan.error().describe();
  return plan ? wait_under(*plan) : Waiting{};
}
std::string cpus_of(const Waiting& target) { return target.status("Cpus_allowed_list"); }
std::string own_cpus() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::string list;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) list += fmt::format("{} ", cpu);
  }
  return list;
}

Policy with_scheduler(const Scheduler& scheduler) {
  Policy policy = open_policy();
  policy.scheduler = scheduler;
  return policy;
}
Scheduler scheduler(const char* name) {
  Scheduler s;
  s.policy = static_cast<uint32_t>(value_of(scheduler_policies(), name).value_or(99));
  return s;
}

TEST(Scheduling, SchedulerAndNiceValue) {
  for (const auto& [name, nice] :
       {std::pair("SCHED_OTHER", 5), {"SCHED_BATCH", 7}, {"SCHED_IDLE", 0}}) {
    Scheduler wanted = scheduler(name);
    wanted.nice = nice;
    const Waiting target = wait_with(with_scheduler(wanted));
    ASSERT_EQ(target.error, "") << name;
    const Attributes seen = attributes_of(target.child->pid());
    EXPECT_EQ(seen.policy, wanted.policy) << name;
    EXPECT_EQ(seen.nice, nice) << name;
    EXPECT_EQ(stat_field(target, 19), std::to_string(nice)) << name;
    EXPECT_EQ(stat_field(target, 41), std::to_string(wanted.policy)) << name;
  }
  // The control: without the field a target has what its spawner has.
  const Waiting open = wait_with(open_policy());
  ASSERT_EQ(open.error, "");
  const Attributes own = attributes_of(0);
  EXPECT_EQ(attributes_of(open.child->pid()).policy, own.policy);
  EXPECT_EQ(attributes_of(open.child->pid()).nice, own.nice);
  EXPECT_NE(own.nice, 7);
}

// As the kernel sees it, and that children do not get it where the flag says so.
TEST(Scheduling, RealTimeAndDeadline) {
  Scheduler fifo = scheduler("SCHED_FIFO");
  fifo.priority = 3;
  Scheduler round = scheduler("SCHED_RR");
  round.priority = 1;
  round.flags = 1;  // SCHED_FLAG_RESET_ON_FORK
  Scheduler deadline = scheduler("SCHED_DEADLINE");
  deadline.runtime = 10'000'000;
  deadline.deadline = 50'000'000;
  deadline.period = 100'000'000;
  for (const Scheduler& wanted : {fifo, round, deadline}) {
    const Waiting target = wait_with(with_scheduler(wanted));
    if (target.error.find("EPERM") != std::string::npos) {
      GTEST_SKIP() << "host-lacks:real-time run time for this group";
    }
    ASSERT_EQ(target.error, "");
    const Attributes seen = attributes_of(target.child->pid());
    EXPECT_EQ(seen.policy, wanted.policy);
    EXPECT_EQ(seen.priority, wanted.priority);
    EXPECT_EQ(seen.flags, wanted.flags);
    EXPECT_EQ(stat_field(target, 40), std::to_string(wanted.priority));
    if (wanted.runtime == 0) continue;
    EXPECT_EQ(seen.runtime, wanted.runtime);
    EXPECT_EQ(seen.deadline, wanted.deadline);
    EXPECT_EQ(seen.period, wanted.period);
  }
}

TEST(Scheduling, IoPriority) {
  constexpr int kWhoProcess = 1;
  constexpr int kClassShift = 13;
  for (const IoPriority wanted : {IoPriority{2, 7}, IoPriority{2, 0}, IoPriority{3, 0}}) {
    Policy policy = open_policy();
    policy.io_priority = wanted;
    const Waiting target = wait_with(policy);
    ASSERT_EQ(target.error, "");
    EXPECT_EQ(syscall(SYS_ioprio_get, kWhoProcess, target.child->pid()),
              wanted.io_class << kClassShift | wanted.level);
  }
  const Waiting open = wait_with(open_policy());
  ASSERT_EQ(open.error, "");
  EXPECT_EQ(syscall(SYS_ioprio_get, kWhoProcess, open.child->pid()),
            syscall(SYS_ioprio_get, kWhoProcess, 0));
}

TEST(Scheduling, Personality) {
  Policy policy = open_policy();
  policy.personality = 8;  // PER_LINUX32
  const Waiting target = wait_with(policy);
  ASSERT_EQ(target.error, "");
  EXPECT_EQ(read_file(target.proc("personality")).value_or("?"), "00000008\n");
  EXPECT_EQ(run(policy, "uname -m").out, "i686\n");
  policy.personality = 0;
  const Waiting plain = wait_with(policy);
  ASSERT_EQ(plain.error, "");
  EXPECT_EQ(read_file(plain.proc("personality")).value_or("?"), "00000000\n");
  EXPECT_EQ(run(policy, "uname -m").out, "x86_64\n");
}

TEST(Scheduling, MemoryPolicy) {
  if (access("/proc/self/numa_maps", R_OK) != 0) {
    GTEST_SKIP() << "host-lacks:path:/proc/self/numa_maps";
  }
  const auto maps = [](const MemoryPolicy& wanted) {
    Policy policy = open_policy();
    policy.memory_policy = wanted;
    const Waiting target = wait_with(policy);
    EXPECT_EQ(target.error, "");
    return target.child ? read_file(target.proc("numa_maps")).value_or("") : "";
  };
  constexpr uint32_t kStatic = 1U << 15U;
  EXPECT_THAT(maps({2, 0, "0"}), HasSubstr(" bind:0 "));
  EXPECT_THAT(maps({2, kStatic, "0"}), HasSubstr(" bind=static:0 "));
  EXPECT_THAT(maps({3, 0, "0"}), HasSubstr(" interleave:0 "));
  EXPECT_THAT(maps({1, 0, "0"}), HasSubstr(" prefer:0 "));
  EXPECT_THAT(maps({4, 0, ""}), HasSubstr(" local "));
  const std::string open = maps({0, 0, ""});
  EXPECT_THAT(open, HasSubstr(" default "));
  EXPECT_THAT(open, Not(HasSubstr(":0 ")));
  // A node that the machine does not have.
  Policy policy = open_policy();
  policy.memory_policy = MemoryPolicy{2, 0, "1023"};
  EXPECT_THAT(run(policy, "echo alive").error, HasSubstr("step process.memory_policy"));
}

TEST(Scheduling, CpusOfWhoEntersAContainer) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "host-lacks:a second CPU";
  Policy container = open_policy();
  container.namespaces = {{Ns::uts, {}}};
  const Waiting first = wait_with(container);
  ASSERT_EQ(first.error, "");
  Policy exec = open_policy();
  exec.namespaces = {{Ns::uts, first.proc("ns/uts")}};
  const std::string before = own_cpus();
  const std::string all = cpus_of(wait_with(exec));
  EXPECT_THAT(all, ::testing::AnyOf(HasSubstr("-"), HasSubstr(",")));
  for (const auto& [affinity, seen] :
       {std::pair(ExecCpuAffinity{"1", ""}, "1"), {{"", "0"}, "0"}, {{"1", "0"}, "0"}}) {
    exec.exec_cpu_affinity = affinity;
    const Waiting target = wait_with(exec);
    ASSERT_EQ(target.error, "");
    EXPECT_EQ(cpus_of(target), seen) << affinity.initial << " then " << affinity.final_;
    EXPECT_EQ(own_cpus(), before);
  }
  // runtime-spec: not for the first process of a container.
  container.exec_cpu_affinity = {"1", "0"};
  auto plan = compile(container);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->notes, Contains(HasSubstr("execCPUAffinity")));
  EXPECT_EQ(cpus_of(wait_under(*plan)), all);
  // CPUs that are not there.
  exec.exec_cpu_affinity = {"8191", ""};
  EXPECT_THAT(run(exec, "echo alive").error, HasSubstr("step process.cpus:initial"));
  exec.exec_cpu_affinity = {"", "8191"};
  EXPECT_THAT(run(exec, "echo alive").error, HasSubstr("step process.cpus:final"));
  EXPECT_EQ(own_cpus(), before);
}

// Under a policy that takes everything else away.
TEST(Scheduling, InAContainerOfAnotherUser) {
  Policy policy = strict_policy();
  policy.scheduler = scheduler("SCHED_BATCH");
  policy.scheduler->nice = 9;
  policy.io_priority = IoPriority{2, 6};
  policy.personality = 8;
  const Waiting target = wait_with(policy);
  ASSERT_EQ(target.error, "");
  EXPECT_EQ(attributes_of(target.child->pid()).policy, policy.scheduler->policy);
  EXPECT_EQ(attributes_of(target.child->pid()).nice, 9);
  EXPECT_EQ(syscall(SYS_ioprio_get, 1, target.child->pid()), 2 << 13 | 6);
  EXPECT_EQ(read_file(target.proc("personality")).value_or("?"), "00000008\n");
}

TEST(Scheduling, WhatIsRefusedIsAnErrorOfItsStep) {
  for (const auto& [nr, key] : {std::pair(SYS_sched_setattr, "process.scheduler"),
                                {SYS_ioprio_set, "process.io_priority"},
                                {SYS_personality, "process.personality"},
                                {SYS_set_mempolicy, "process.memory_policy"}}) {
    Policy policy = with_scheduler(scheduler("SCHED_BATCH"));
    policy.io_priority = IoPriority{2, 7};
    policy.personality = 8;
    policy.memory_policy = MemoryPolicy{};
    ASSERT_TRUE(sys::arm_fault({nr, 0, EPERM}));
    const Ran ran = run(policy, "echo alive");
    sys::disarm_faults();
    EXPECT_THAT(ran.error, HasSubstr(std::string("step ") + key)) << key;
    EXPECT_EQ(ran.out, "");
  }
}

}  // namespace
}  // namespace ringfence

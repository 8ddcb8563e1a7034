// The kernel's own list of tasks: the pure rules, and real tasks that went back to where their
// policy keeps them from.
#include "harness/witness/task_states.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "harness/base/file.h"
#include "harness/policy/layer.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

TaskState task_in(uint32_t inode, uint64_t caps = 0) {
  TaskState task;
  task.tid = 7;
  task.comm = "in\nmate";
  task.ns.fill(inode);
  task.cap_effective = task.cap_permitted = caps;
  return task;
}

const TaskState kHost = task_in(1, ~0ULL);

TEST(Stray, IsWhoIsWhereThePolicyMadeANewOne) {
  Separation apart;
  apart.apart = {Ns::uts, Ns::net};
  TaskState task = task_in(2);
  EXPECT_FALSE(find_stray({{task}}, {{kHost}}, apart));
  task.ns[static_cast<size_t>(Ns::ipc)] = 1;  // the policy makes none of that kind
  EXPECT_FALSE(find_stray({{task}}, {{kHost}}, apart));
  task.ns[static_cast<size_t>(Ns::net)] = 1;
  const auto stray = find_stray({{task_in(2), task}}, {{task_in(3), kHost}}, apart);
  ASSERT_TRUE(stray);
  EXPECT_EQ(stray->layer, Layer::kNet);
  EXPECT_EQ(stray->says, "task 7 (in.mate) is in the host's ns.net, 1");
  // A kernel without such a namespace has none for anybody.
  EXPECT_FALSE(find_stray({{task_in(0)}}, {{task_in(0)}}, apart));
}

TEST(Stray, IsWhoHoldsWhatThePolicyGrantsToNobody) {
  Separation apart;
  apart.caps = CapSet::of({"KILL"});
  EXPECT_FALSE(find_stray({{task_in(2, 1ULL << 5)}}, {{kHost}}, apart));
  const auto stray = find_stray({{task_in(2, 1ULL << 21)}}, {{kHost}}, apart);
  ASSERT_TRUE(stray);
  EXPECT_EQ(stray->layer, Layer::cap("SYS_ADMIN"));
  EXPECT_THAT(stray->says, HasSubstr("holds CAP_SYS_ADMIN"));
  // Permitted is enough: it takes one call to make it effective.
  TaskState permitted = task_in(2);
  permitted.cap_permitted = 1ULL << 21;
  EXPECT_TRUE(find_stray({{permitted}}, {{kHost}}, apart));
  // In a user namespace that the task made itself it may hold all; in the policy's own it may not.
  TaskState below = task_in(2, ~0ULL);
  below.user_level = 1;
  EXPECT_FALSE(find_stray({{below}}, {{kHost}}, apart));
  apart.user = true;
  EXPECT_TRUE(find_stray({{below}}, {{kHost}}, apart));
  below.user_level = 2;
  EXPECT_FALSE(find_stray({{below}}, {{kHost}}, apart));
  // One without a name here.
  EXPECT_EQ(find_stray({{task_in(2, 1ULL << 63)}}, {{kHost}}, apart)->layer, Layer::kCap);
}

TEST(Stray, WhatAPolicyKeepsApart) {
  Policy policy;
  policy.namespaces = {{Ns::uts, ""}, {Ns::net, "/proc/1/ns/net"}};
  policy.capabilities.bounding = CapSet::of({"KILL"});
  EXPECT_EQ(Separation::of(policy).apart, std::vector<Ns>{Ns::uts});
  EXPECT_FALSE(Separation::of(policy).caps);  // the parent's inheritable ones come back
  policy.capabilities.inheritable = CapSet::of({"CHOWN"});
  EXPECT_EQ(Separation::of(policy).caps, CapSet::of({"KILL", "CHOWN"}));
  EXPECT_FALSE(Separation::of(policy).user);
  policy.namespaces.push_back({Ns::user, "/proc/1/ns/user"});
  EXPECT_FALSE(Separation::of(policy).caps);
  policy.namespaces.back().path = "";
  EXPECT_TRUE(Separation::of(policy).caps);
  EXPECT_TRUE(Separation::of(policy).user);
}

ProcView view() {
  ProcView proc;
  for (const Ns ns : kAllNs) {
    proc.ns[static_cast<size_t>(ns)] = std::string(ns_name(ns)) + ":[4026531838]";
  }
  proc.cap_effective = "00000000000000ff";
  proc.cap_bounding = "000001ffffffffff";
  proc.no_new_privs = "1";
  proc.seccomp = "2";
  return proc;
}

TEST(Disagreement, EachThingThatBothTell) {
  TaskState state = task_in(4026531838, 0xff);
  state.cap_bounding = 0x1ffffffffff;
  state.no_new_privs = true;
  state.seccomp = 2;
  EXPECT_FALSE(disagreement(state, view())) << *disagreement(state, view());
  const auto says = [&](const std::function<void(ProcView&)>& change) {
    ProcView proc = view();
    change(proc);
    return disagreement(state, proc).value_or("they agree");
  };
  for (const Ns ns : kAllNs) {
    const auto at = static_cast<size_t>(ns);
    EXPECT_THAT(says([&](ProcView& p) { p.ns[at] = "x:[7]"; }),
                HasSubstr(ns_layer(ns).str() + " 4026531838, /proc has x:[7]"));
    EXPECT_THAT(says([&](ProcView& p) { p.ns[at] = ""; }), HasSubstr("nothing"));
    EXPECT_THAT(says([&](ProcView& p) { p.ns[at] = "4026531838"; }), HasSubstr("/proc has 4"));
  }
  EXPECT_THAT(says([](ProcView& p) { p.cap_effective = "0"; }), HasSubstr("CapEff"));
  EXPECT_THAT(says([](ProcView& p) { p.cap_bounding = ""; }), HasSubstr("CapBnd"));
  EXPECT_THAT(says([](ProcView& p) { p.no_new_privs = "0"; }), HasSubstr("NoNewPrivs 1"));
  EXPECT_THAT(says([](ProcView& p) { p.seccomp = "0 x"; }), HasSubstr("Seccomp 2"));
}

// --- On this kernel
// ------------------------------------------------------------------------------

#define RINGFENCE_NEEDS_TASKS()                     \
  RINGFENCE_NEEDS_WITNESS();                        \
  if (geteuid() != 0) GTEST_SKIP() << "needs:root"; \
  if (!shared_witness()->offers("tasks")) GTEST_SKIP() << "needs:bpf: iter/task"

struct Listed {
  explicit Listed(uint64_t flags, const Actor::Prepare& prepare)
      : group(test_group()), watch(shared_witness()->watch(id_of(*group))) {
    EXPECT_TRUE(watch);
    actor.emplace(group->unified_fd(), flags, prepare, [] { return 0; });
    EXPECT_TRUE(actor->ready()) << actor->trouble();
  }
  TaskStates now() {
    auto states = watch->tasks();
    EXPECT_TRUE(states) << states.error().describe();
    return states ? *states : TaskStates{};
  }
  Result<CgroupLeaf> group;
  Result<Watch> watch;
  std::optional<Actor> actor;
};

ProcView proc_view(int pid) {
  ProcView proc;
  for (const Ns ns : kAllNs) {
    proc.ns[static_cast<size_t>(ns)] =
        read_link("/proc/" + std::to_string(pid) + "/ns/" + std::string(ns_name(ns))).value_or("");
  }
  const auto text = read_file("/proc/" + std::to_string(pid) + "/status").value_or("");
  const auto field = [&](const std::string& name) {
    for (const auto line : split(text, '\n')) {
      if (line.starts_with(name + ":\t")) return std::string(line.substr(name.size() + 2));
    }
    return std::string();
  };
  proc.cap_effective = field("CapEff");
  proc.cap_bounding = field("CapBnd");
  proc.no_new_privs = field("NoNewPrivs");
  proc.seccomp = field("Seccomp");
  return proc;
}

TEST(Tasks, AreListedAsProcHasThem) {
  RINGFENCE_NEEDS_TASKS();
  Listed listed(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNS, [] {
    prctl(PR_SET_NAME, "apart");
    return drop_cap(CAP_SYS_TIME) && prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0) == 0 &&
           put_on(filter_on(900, SECCOMP_RET_KILL_PROCESS)) && setgid(4243) == 0;
  });
  const TaskStates states = listed.now();
  ASSERT_EQ(states.tasks.size(), 1U);
  const TaskState& task = states.tasks[0];
  EXPECT_EQ(task.comm, "apart");
  EXPECT_EQ(task.here, static_cast<uint32_t>(listed.actor->pid()));
  EXPECT_EQ(task.cgroup, id_of(*listed.group));
  EXPECT_EQ(task.gid, 4243U);
  EXPECT_TRUE(task.no_new_privs);
  EXPECT_EQ(task.seccomp, 2U);
  EXPECT_EQ(task.cap_effective >> CAP_SYS_TIME & 1, 0U);
  EXPECT_EQ(task.cap_bounding >> CAP_MKNOD & 1, 0U);
  EXPECT_FALSE(disagreement(task, proc_view(listed.actor->pid())))
      << *disagreement(task, proc_view(listed.actor->pid()));
  EXPECT_FALSE(disagreement(states.reader, proc_view(getpid())));
  EXPECT_EQ(states.reader.here, static_cast<uint32_t>(getpid()));
  // What is not its own is told as such.
  EXPECT_TRUE(disagreement(task, proc_view(getpid())));
  Separation apart;
  apart.apart = {Ns::uts, Ns::net, Ns::ipc, Ns::pid, Ns::mnt};
  EXPECT_FALSE(find_stray(states.tasks, {{states.reader}}, apart));
  apart.apart.push_back(Ns::cgroup);
  EXPECT_EQ(find_stray(states.tasks, {{states.reader}}, apart)->layer, Layer::kCgroupNs);
  // A clone of the harness that goes on has the same state; none of it is in the trial when it
  // ends.
  EXPECT_EQ(listed.actor->finish(), 0);
  EXPECT_TRUE(listed.now().tasks.empty());
}

// A descriptor of the host's namespace that was left open is a way back.
TEST(Tasks, WhoWentBackByADescriptorIsFound) {
  RINGFENCE_NEEDS_TASKS();
  struct Way {
    Ns ns;
    int flag;
  };
  for (const Way& way :
       {Way{Ns::uts, CLONE_NEWUTS}, Way{Ns::net, CLONE_NEWNET}, Way{Ns::ipc, CLONE_NEWIPC},
        Way{Ns::mnt, CLONE_NEWNS}, Way{Ns::cgroup, CLONE_NEWCGROUP}}) {
    SCOPED_TRACE(ns_name(way.ns));
    const int left_open =
        open(("/proc/self/ns/" + std::string(ns_name(way.ns))).c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(left_open, 0);
    Separation apart;
    apart.apart = {way.ns};
    Listed stays(static_cast<uint64_t>(way.flag), {});
    EXPECT_FALSE(find_stray(stays.now().tasks, {{stays.now().reader}}, apart));
    Listed goes(static_cast<uint64_t>(way.flag), [&] { return setns(left_open, way.flag) == 0; });
    const auto states = goes.now();
    const auto stray = find_stray(states.tasks, {{states.reader}}, apart);
    ASSERT_TRUE(stray);
    EXPECT_EQ(stray->layer, ns_layer(way.ns));
    close(left_open);
  }
}

TEST(Tasks, WhatALookCosts) {
  RINGFENCE_NEEDS_TASKS();
  Listed listed(0, {});
  using Clock = std::chrono::steady_clock;
  auto best = Clock::duration::max();
  for (int i = 0; i < 50; ++i) {
    const auto began = Clock::now();
    EXPECT_EQ(listed.now().tasks.size(), 1U);
    best = std::min(best, Clock::now() - began);
  }
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(best).count();
  printf("a look: %ld us at best\n", static_cast<long>(us));
  EXPECT_LT(us, 2000);
}

}  // namespace
}  // namespace ringfence

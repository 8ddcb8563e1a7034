// The ways in: by clone3, by unshare, by joining what is there (paths, a pidfd), nested.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <csignal>

#include "harness/confine/namespace_fd.h"
#include "harness/policy/read.h"
#include "harness/spawn/scratch.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

NamespaceFd ns_of(int pid, Ns ns) {
  auto fd = NamespaceFd::of_process(pid, ns);
  EXPECT_TRUE(fd) << fd.error().describe();
  return std::move(*fd);
}
bool same(const NamespaceFd& a, const NamespaceFd& b) {
  const auto answer = a.same_as(b);
  EXPECT_TRUE(answer);
  return answer && *answer;
}

// What of a target can be seen from outside and does not change from run to run.
std::string portrait(const Waiting& waiting) {
  std::string text;
  for (const char* key : {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                          "NoNewPrivs", "Seccomp"}) {
    text += std::string(key) + " " + waiting.status(key) + "\n";
  }
  for (const char* file : {"uid_map", "gid_map", "timens_offsets", "oom_score_adj", "limits"}) {
    text += read_file(waiting.proc(file)).value_or("?");
  }
  const auto mounts = read_file(waiting.proc("mountinfo")).value_or("?");
  for (const auto line : split(mounts, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() > 5) text.append(words[4]).append(" ").append(words[5]).append("\n");
  }
  return text;
}

TEST(Entry, ByUnshareItIsTheSame) {
  for (Policy policy : {strict_policy(), [] {
                          Policy p = strict_policy();
                          std::erase_if(p.namespaces,
                                        [](const Namespace& n) { return n.kind == Ns::user; });
                          p.uid_mappings.clear();
                          p.gid_mappings.clear();
                          return p;
                        }()}) {
    CompileOptions options;
    auto cloned = compile(policy, options);
    options.entry = Entry::unshare;
    auto unshared = compile(policy, options);
    ASSERT_TRUE(cloned && unshared);
    EXPECT_EQ(unshared->clone_flags, 0U);
    EXPECT_TRUE(unshared->apart);
    const Waiting by_clone = wait_under(*cloned);
    const Waiting by_unshare = wait_under(*unshared);
    ASSERT_EQ(by_clone.error, "");
    ASSERT_EQ(by_unshare.error, "");
    EXPECT_EQ(portrait(by_unshare), portrait(by_clone));
    for (const auto& ns : policy.namespaces) {
      const auto own = ns_of(0, ns.kind);
      EXPECT_FALSE(same(ns_of(by_unshare.child->pid(), ns.kind), own)) << ns_name(ns.kind);
    }
    // Pid 1 of its own, as by clone.
    EXPECT_THAT(by_unshare.status("NSpid"), ::testing::EndsWith("\t1"));
  }
  EXPECT_TRUE(childless());
}

TEST(Entry, EachNamespaceAloneByUnshare) {
  for (const Ns wanted : kAllNs) {
    Policy policy = open_policy();
    policy.namespaces = {{wanted, {}}};
    if (wanted == Ns::user) policy.uid_mappings = policy.gid_mappings = {{0, 0, 1}};
    CompileOptions options;
    options.entry = Entry::unshare;
    auto plan = compile(policy, options);
    ASSERT_TRUE(plan) << plan.error().describe();
    const Waiting waiting = wait_under(*plan);
    ASSERT_EQ(waiting.error, "") << ns_name(wanted);
    for (const Ns ns : kAllNs) {
      EXPECT_EQ(same(ns_of(waiting.child->pid(), ns), ns_of(0, ns)), ns != wanted)
          << ns_name(wanted) << " " << ns_name(ns);
    }
  }
}

// An existing sandbox of all kinds.
Policy whole_sandbox() {
  Policy policy = open_policy();
  for (const Ns ns : kAllNs) policy.namespaces.push_back({ns, {}});
  policy.uid_mappings = policy.gid_mappings = {{0, 100000, 1000}, {1000, 5000, 1}};
  policy.mounts = {};
  return policy;
}

TEST(Entry, JoinsEachAloneAndAllTogether) {
  auto first_plan = compile(whole_sandbox());
  ASSERT_TRUE(first_plan);
  const Waiting first = wait_under(*first_plan);
  ASSERT_EQ(first.error, "");
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, first.child->pid(), 0)));
  for (const bool by_pidfd : {false, true}) {
    std::vector<std::vector<Ns>> sets;
    for (const Ns ns : kAllNs) sets.push_back({ns});
    sets.push_back({kAllNs.begin(), kAllNs.end()});
    sets.push_back({Ns::pid, Ns::net});
    sets.push_back({Ns::mnt, Ns::pid, Ns::user});
    for (const auto& set : sets) {
      Policy joins = open_policy();
      for (const Ns ns : set) {
        joins.namespaces.push_back(
            {ns, by_pidfd ? kByPidfd : first.proc("ns/" + std::string(ns_name(ns)))});
      }
      auto plan = compile(joins);
      ASSERT_TRUE(plan) << plan.error().describe();
      int fds[2];
      ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
      const UniqueFd in(fds[0]);
      const UniqueFd out(fds[1]);
      SpawnRequest request;
      request.plan = &*plan;
      request.exe_path = "/bin/sh";
      request.args = {"sh", "-c", "read x"};
      request.fds = {{0, in.get()}};
      request.join_pidfd = pidfd.get();
      auto child = spawn(request);
      ASSERT_TRUE(child) << child.error().describe();
      for (const Ns ns : kAllNs) {
        const bool joined = std::find(set.begin(), set.end(), ns) != set.end();
        EXPECT_EQ(same(ns_of(child->pid(), ns), ns_of(first.child->pid(), ns)), joined)
            << ns_name(ns) << " of " << set.size() << (by_pidfd ? " by pidfd" : " by path");
      }
      EXPECT_TRUE(child->kill());
      auto end = child->wait(std::chrono::seconds(20));
      ASSERT_TRUE(end && *end);
      EXPECT_EQ((*end)->describe(), "killed by SIGKILL");
    }
  }
  EXPECT_FALSE(childless());  // the first one
}

TEST(Entry, WhatIsJoinedAndWhatIsNewTogether) {
  Policy made = open_policy();
  made.namespaces = {{Ns::net, {}}, {Ns::pid, {}}};
  auto first_plan = compile(made);
  ASSERT_TRUE(first_plan);
  const Waiting first = wait_under(*first_plan);
  ASSERT_EQ(first.error, "");
  // The joined ones belong to our own user namespace, the others to the new one.
  Policy mixed = strict_policy();
  for (Namespace& ns : mixed.namespaces) {
    if (ns.kind == Ns::net || ns.kind == Ns::pid)
      ns.path = first.proc("ns/" + std::string(ns_name(ns.kind)));
  }
  mixed.sysctl.clear();
  // A fresh proc or sysfs takes namespaces that are the user namespace's own.
  std::erase_if(mixed.mounts, [](const Mount& m) { return m.type == "proc" || m.type == "sysfs"; });
  mixed.mounts.insert(mixed.mounts.begin(), test_mount("/proc", "bind", "/proc", {"rbind"}));
  mixed.masked_paths.clear();
  mixed.readonly_paths.clear();
  auto plan = compile(mixed);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting second = wait_under(*plan);
  ASSERT_EQ(second.error, "");
  const int pid = second.child->pid();
  EXPECT_TRUE(same(ns_of(pid, Ns::net), ns_of(first.child->pid(), Ns::net)));
  EXPECT_TRUE(same(ns_of(pid, Ns::pid), ns_of(first.child->pid(), Ns::pid)));
  for (const Ns ns : {Ns::user, Ns::mnt, Ns::uts, Ns::ipc, Ns::cgroup, Ns::time}) {
    EXPECT_FALSE(same(ns_of(pid, ns), ns_of(0, ns))) << ns_name(ns);
  }
  auto owner = ns_of(pid, Ns::uts).owner();
  ASSERT_TRUE(owner && *owner);
  EXPECT_TRUE(same(**owner, ns_of(pid, Ns::user)));
  auto net_owner = ns_of(pid, Ns::net).owner();
  ASSERT_TRUE(net_owner && *net_owner);
  EXPECT_TRUE(same(**net_owner, ns_of(0, Ns::user)));
}

TEST(Entry, WhatCannotBeJoinedIsAnError) {
  Policy joins = open_policy();
  joins.namespaces = {{Ns::pid, "/proc/self/ns/net"}};  // another kind
  auto plan = compile(joins);
  ASSERT_TRUE(plan);
  EXPECT_THAT(wait_under(*plan).error, HasSubstr("ns.pid"));
  joins.namespaces = {{Ns::net, "/no/such"}};
  plan = compile(joins);
  ASSERT_TRUE(plan);
  EXPECT_THAT(wait_under(*plan).error, HasSubstr("/no/such"));
  joins.namespaces = {{Ns::net, kByPidfd}};
  plan = compile(joins);
  ASSERT_TRUE(plan);
  EXPECT_THAT(wait_under(*plan).error, HasSubstr("join_pidfd"));
  EXPECT_TRUE(childless());
}

TEST(Entry, ATargetInAJoinedPidNamespaceEndsWithItsHandle) {
  Policy made = open_policy();
  made.namespaces = {{Ns::pid, {}}};
  auto first_plan = compile(made);
  ASSERT_TRUE(first_plan);
  Waiting first = wait_under(*first_plan);
  ASSERT_EQ(first.error, "");
  Policy joins = open_policy();
  joins.namespaces = {{Ns::pid, first.proc("ns/pid")}};
  auto plan = compile(joins);
  ASSERT_TRUE(plan);
  const size_t descriptors = open_descriptors();
  {
    const Waiting second = wait_under(*plan);
    ASSERT_EQ(second.error, "");
    EXPECT_THAT(second.status("NSpid"), ::testing::EndsWith("\t2"));
    // Its memory was the spawner's until it executed: nobody in there may have read it.
    EXPECT_EQ(first.status("NSpid").substr(first.status("NSpid").size() - 2), "\t1");
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  first.child.reset();
  EXPECT_TRUE(childless());
}

// What the kernel says of it, bare: pid_namespaces(7).
TEST(Entry, AfterUnshareTheFirstChildIsPidOneAndTheLastIsRefused) {
  const pid_t pid = fork();
  if (pid == 0) {
    const auto before = syscall(SYS_getpid);
    if (unshare(CLONE_NEWPID) != 0) _exit(77);
    if (syscall(SYS_getpid) != before) _exit(1);
    const pid_t first = fork();
    if (first == 0) _exit(syscall(SYS_getpid) == 1 ? 0 : 1);
    int status = 0;
    if (waitpid(first, &status, 0) != first || status != 0) _exit(2);
    _exit(fork() == -1 && errno == ENOMEM ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs:root";
  EXPECT_EQ(status, 0);
}

TEST(Entry, NobodyIsBornInAPidNamespaceWhoseInitIsGone) {
  Policy made = open_policy();
  made.namespaces = {{Ns::pid, {}}};
  auto first_plan = compile(made);
  ASSERT_TRUE(first_plan);
  Waiting first = wait_under(*first_plan);
  ASSERT_EQ(first.error, "");
  const auto held = ns_of(first.child->pid(), Ns::pid);
  first.child.reset();
  Policy joins = open_policy();
  joins.namespaces = {{Ns::pid, "/proc/self/fd/" + std::to_string(held.get())}};
  auto plan = compile(joins);
  ASSERT_TRUE(plan);
  const std::string error = wait_under(*plan).error;
  EXPECT_THAT(error, HasSubstr("ns.pid:child"));
  EXPECT_THAT(error, HasSubstr("ENOMEM"));
  EXPECT_TRUE(childless());
}

// ---- The optional init
// ---------------------------------------------------------------------------

Policy with_init() {
  Policy policy = open_policy();
  policy.namespaces = {{Ns::pid, {}}, {Ns::mnt, {}}};
  policy.mounts = {test_mount("/proc", "proc", "proc", {})};
  policy.init = true;
  return policy;
}

TEST(Init, EndsAsTheProgramEnds) {
  EXPECT_EQ(run(with_init(), "exit 7").end, "exit 7");
  EXPECT_EQ(run(with_init(), "kill -KILL $$").end, "exit 137");
  const Ran ran = run(with_init(), "echo $$ $PPID $0");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.out, "2 1 sh\n");
  Policy shared = open_policy();  // no pid namespace: a subreaper
  shared.init = true;
  EXPECT_EQ(run(shared, "exit 3").end, "exit 3");
}

TEST(Init, ReapsOrphansThatAProgramAsPidOneWouldNot) {
  // Ten orphans, whose parents end first; the shell waits for none of them.
  const std::string script =
      "i=0; while [ $i -lt 10 ]; do sh -c 'sh -c \"exit 0\" &'; i=$((i+1)); done; "
      "n=1; t=0; while [ $n -ne 0 ] && [ $t -lt 200000 ]; do t=$((t+1)); n=0; "
      "for f in /proc/[0-9]*/stat; do read -r line < $f && case $line in *') Z '*) n=$((n+1));; "
      "esac; "
      "done 2>/dev/null; done; echo $n";
  EXPECT_EQ(run(with_init(), script).out, "0\n");
}

TEST(Init, PassesSignalsOn) {
  auto plan = compile(with_init());
  ASSERT_TRUE(plan) << plan.error().describe();
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd input(fds[0]);
  const UniqueFd open_end(fds[1]);  // so that the program waits
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "trap 'echo got; exit 5' TERM; echo; while :; do read x; done"};
  request.fds = {{0, input.get()}, {1, out.get()}};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  out.reset();
  char byte = 0;
  ASSERT_EQ(read(in.get(), &byte, 1), 1);
  EXPECT_TRUE(child->kill(SIGTERM));
  auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 5");
}

TEST(Init, ByDescriptorAndNotFound) {
  auto plan = compile(with_init());
  ASSERT_TRUE(plan);
  const UniqueFd exe(open("/bin/true", O_RDONLY | O_CLOEXEC));
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_fd = exe.get();
  request.args = {"true"};
  for (const char* expected : {"exit 0", "exit 127"}) {
    auto child = spawn(request);
    ASSERT_TRUE(child) << child.error().describe();
    auto end = child->wait(std::chrono::seconds(20));
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->describe(), expected);
    request.exe_fd = -1;
    request.exe_path = "/no/such/program";
  }
}

TEST(Init, AFilterThatDeniesExecveatIsRefused) {
  Policy policy = with_init();
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::allow;
  seccomp.rules = {{{"execveat"}, SeccompAction::errno_, 1, {}}};
  policy.seccomp = seccomp;
  policy.no_new_privileges = true;
  auto plan = compile(policy);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().describe(), HasSubstr("ringfence.init"));
}

// ---- More than one id, without privileges
// ---------------------------------------------------------

// `body` as uid 1000, in a mount namespace in which /etc/subuid and /etc/subgid grant it a range.
template <typename Body>
int as_user_with_range(const char* grant, Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    const Scratch scratch;
    scratch.write("sub", grant);
    chmod(scratch.path("sub").c_str(), 0644);
    const bool ready =
        unshare(CLONE_NEWNS) == 0 &&
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount(scratch.path("sub").c_str(), "/etc/subuid", nullptr, MS_BIND, nullptr) == 0 &&
        mount(scratch.path("sub").c_str(), "/etc/subgid", nullptr, MS_BIND, nullptr) == 0 &&
        syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, 1000, 1000, 1000) == 0 &&
        syscall(SYS_setresuid, 1000, 1000, 1000) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
    _exit(ready ? body() : 99);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

int spawn_with_two_extents() {
  Policy policy = open_policy();
  policy.namespaces = {{Ns::user, {}}};
  policy.uid_mappings = policy.gid_mappings = {{0, 1000, 1}, {1, 200000, 65536}};
  const Ran ran = run(policy, "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '");
  if (!ran.error.empty()) return ran.error.find("newuidmap") != std::string::npos ? 1 : 2;
  return ran.out == " 0 1000 1\n 1 200000 65536\n 0 1000 1\n 1 200000 65536\n" ? 0 : 3;
}

TEST(UserMaps, NewuidmapMapsWhatEtcSubuidGrants) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  if (access("/usr/bin/newuidmap", X_OK) != 0) GTEST_SKIP() << "needs:subuid";
  EXPECT_EQ(as_user_with_range("1000:200000:65536\n", spawn_with_two_extents), 0);
  // What is not granted is an error that says what to do.
  EXPECT_EQ(as_user_with_range("1000:300000:65536\n", spawn_with_two_extents), 1);
  EXPECT_EQ(as_user_with_range("", spawn_with_two_extents), 1);
}

}  // namespace
}  // namespace ringfence

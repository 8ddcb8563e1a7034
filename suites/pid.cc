// Processes: pid_namespaces(7), ptrace(2), process_vm_readv(2), pidfd_getfd(2).

#include <csignal>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

const Goal kOwnPidNs{Sight::ns_differs, "pid"};

Case in_pid_ns(std::string id, std::string title, std::string source, Attempt attempt, Goal goal) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = std::move(source);
  c.expected = Layer::kPid;
  c.policy = in_namespaces({Ns::pid});
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.proofs = {kOwnPidNs};
  c.outside = true;
  c.step = "ns.pid";
  return c;
}

}  // namespace

std::vector<Case> pid_cases() {
  const std::string kill = std::to_string(SIGKILL);
  std::vector<Case> cases;
  const auto add = [&](Case c) -> Case& { return cases.emplace_back(std::move(c)); };

  for (const char* how : {"kill", "pidfd_kill"}) {
    const bool by_pid = std::string(how) == "kill";
    Case& c = add(in_pid_ns(
        by_pid ? "pid.signal_host_process" : "pid.signal_by_pidfd",
        by_pid ? "kill a process of the host by its pid" : "kill a process of the host by a pidfd",
        by_pid ? "kill(2)" : "pidfd_send_signal(2)", {how, {"{canary_pid}", kill}},
        {Sight::canary_killed, "plain"}));
    c.liveness = {"kill_own_child", {kill}};
    c.gated_by = {Layer::cap("KILL")};
  }
  Case& all = add(in_pid_ns("pid.signal_all", "kill everything with kill(-1)", "kill(2)",
                            {"kill_group", {kill}}, {Sight::canary_killed, "plain"}));
  all.liveness = {"kill_own_child", {kill}};

  Case& see = add(in_pid_ns(
      "pid.see_host_process", "find a process of the host in /proc and read its environment",
      "proc(5)", {"find_proc", {"{canary_marker}", "environ"}}, {Sight::secret_returned}));
  see.policy = in_root({{"proc", "/proc"}});
  see.policy.namespaces.push_back({Ns::pid, ""});
  see.liveness = {"read_file", {"/proc/self/cmdline"}};

  for (const char* how : {"ptrace_attach", "ptrace_seize"}) {
    Case& c = add(in_pid_ns(std::string("pid.") + how + "_host_process",
                            std::string("trace a process of the host, ") + how, "ptrace(2)",
                            {how, {"{canary_pid}"}}, {Sight::canary_traced}));
    c.gated_by = {Layer::cap("SYS_PTRACE")};
  }
  Case& read = add(in_pid_ns(
      "pid.process_vm_read", "read the memory of a process of the host", "process_vm_readv(2)",
      {"vm_read", {"{canary_pid}", "{canary_env_addr}", "64"}}, {Sight::secret_returned}));
  read.gated_by = {Layer::cap("SYS_PTRACE")};
  Case& write = add(in_pid_ns("pid.process_vm_write", "write the memory of a process of the host",
                              "process_vm_writev(2)",
                              {"vm_write", {"{canary_pid}", "{canary_env_addr}", "OVERWRITTEN"}},
                              {Sight::canary_memory_changed}));
  write.gated_by = {Layer::cap("SYS_PTRACE")};
  Case& steal = add(in_pid_ns("pid.pidfd_steal_fd", "take a descriptor from a process of the host",
                              "pidfd_getfd(2)", {"pidfd_getfd", {"{canary_pid}", "{canary_fd}"}},
                              {Sight::secret_returned}));
  steal.gated_by = {Layer::cap("SYS_PTRACE")};

  Case& orphan = add(in_pid_ns("pid.orphan_outlives",
                               "leave a daemon behind that outlives the end of the sandbox",
                               "pid_namespaces(7)", {"orphan", {}}, {Sight::task_survived}));
  orphan.contained = true;

  Case set_tid;
  set_tid.id = "pid.set_tid";
  set_tid.title = "choose the pid of a child with clone3 set_tid";
  set_tid.source = "clone(2), set_tid";
  set_tid.expected = Layer::cap("CHECKPOINT_RESTORE");
  // CAP_SYS_ADMIN gives the same right (checkpoint_restore_ns_capable), so it is missing in both.
  set_tid.policy = without_caps({"CHECKPOINT_RESTORE", "SYS_ADMIN"});
  constexpr int kChosen = 31000;
  set_tid.attempt = {"clone_set_tid", {std::to_string(kChosen)}};
  set_tid.goal = {Sight::pid_exists, "", kChosen};
  set_tid.proofs = {{Sight::cap_missing, "CHECKPOINT_RESTORE"}};
  set_tid.liveness = {"kill_own_child", {kill}};
  set_tid.needs = {"root"};
  set_tid.step = "cap.bounding";
  add(std::move(set_tid));
  return cases;
}

}  // namespace ringfence::suites

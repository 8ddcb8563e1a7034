#pragma once
// The built-in suites: one file per primitive, cases as plain values.
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/case.h"
#include "harness/policy/policy.h"
#include "harness/runner/registry.h"

namespace ringfence::suites {

std::vector<Case> pid_cases();
std::vector<Case> mnt_cases();
std::vector<Case> proc_cases();
std::vector<Case> ipc_uts_net_cases();
std::vector<Case> net_cases();
std::vector<Case> user_cap_cases();
std::vector<Case> exec_fd_cases();
std::vector<Case> seccomp_cases();
std::vector<Case> limit_cases();
std::vector<Case> cpu_cases();
std::vector<Case> exit_cases();
std::vector<Case> ioapic_cases();
std::vector<Case> mem_cases();
std::vector<Case> virt_cases();
std::vector<Case> vmx_cases();
std::vector<Case> device_cases();
std::vector<Case> nesting_cases();
std::vector<Case> cgroup_cases();
std::vector<Case> lsm_cases();

// Those in which an inmate attempts something.
Result<Registry> attempts();
// All of them: with the guests of the mini-VMM.
Result<Registry> builtin();

// ---- Smallest policies
// -------------------------------------------------------------------------------- No confinement
// at all: the process as its parent made it.
Policy bare();
// With new namespaces of these kinds.
Policy in_namespaces(std::initializer_list<Ns> kinds);
// With a root of its own (an empty tmpfs, pivoted into) and these mounts: {type, destination,
// options}.
struct MountSpec {
  std::string type;
  std::string destination;
  std::vector<std::string> options{};
};
Policy in_root(std::initializer_list<MountSpec> mounts);
// As root with every capability but these, in all sets.
Policy without_caps(std::initializer_list<std::string_view> names);
Policy& lose_caps(Policy& policy, std::initializer_list<std::string_view> names);
// As another user, without the ambient set of the parent.
Policy as_user(uint32_t uid);
// Everything allowed but `names`, which get `action` (with `errno_ret` where it takes one).
Policy filtered(const std::vector<std::string>& names, SeccompAction action,
                std::optional<uint32_t> errno_ret = {}, std::vector<SeccompArg> args = {});

// "/proc/timer_list" -> "proc_timer_list", for ids.
std::string id_of_path(std::string_view path);

}  // namespace ringfence::suites

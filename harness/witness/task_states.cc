#include "harness/witness/task_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "harness/policy/layer.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

// enum rf_ns has the order of Ns.
static_assert(RF_NS_COUNT == kAllNs.size());
static_assert(RF_NS_PID == static_cast<int>(Ns::pid) && RF_NS_MNT == static_cast<int>(Ns::mnt) &&
              RF_NS_NET == static_cast<int>(Ns::net) && RF_NS_UTS == static_cast<int>(Ns::uts) &&
              RF_NS_IPC == static_cast<int>(Ns::ipc) && RF_NS_USER == static_cast<int>(Ns::user) &&
              RF_NS_CGROUP == static_cast<int>(Ns::cgroup) &&
              RF_NS_TIME == static_cast<int>(Ns::time));

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// "uts:[4026531838]"
std::optional<uint64_t> inode_of(std::string_view link) {
  const size_t at = link.find(":[");
  if (at == std::string_view::npos || !link.ends_with(']')) return std::nullopt;
  return number(link.substr(at + 2, link.size() - at - 3), 10);
}

}  // namespace

std::string TaskState::name() const {
  std::string safe;
  for (const char c : comm) safe += c >= 0x20 && c < 0x7f ? c : '.';
  return fmt::format("task {} ({})", tid, safe);
}

TaskState state_of(const rf_task& task) {
  TaskState state;
  state.tgid = task.tgid;
  state.tid = task.tid;
  state.here = task.here;
  state.uid = task.uid;
  state.gid = task.gid;
  state.user_level = task.user_level;
  state.seccomp = task.seccomp;
  state.no_new_privs = task.no_new_privs != 0;
  state.cap_effective = task.cap_effective;
  state.cap_permitted = task.cap_permitted;
  state.cap_bounding = task.cap_bounding;
  state.cgroup = task.cgroup;
  std::copy(std::begin(task.ns), std::end(task.ns), state.ns.begin());
  state.comm.assign(task.comm, strnlen(task.comm, sizeof task.comm));
  return state;
}

Separation Separation::of(const Policy& policy) {
  Separation made;
  for (const Namespace& ns : policy.namespaces) {
    if (ns.path.empty()) made.apart.push_back(ns.kind);
  }
  const Namespace* user = policy.find(Ns::user);
  made.user = user != nullptr && user->path.empty();
  // Across exec what is inheritable comes back from beyond the bounding set, capabilities(7): where
  // the policy leaves it alone, it is the parent's. In a user namespace that it joins, nothing is
  // known of what counts.
  const Capabilities& sets = policy.capabilities;
  if (sets.bounding && sets.inheritable && (user == nullptr || made.user)) {
    made.caps = CapSet::from_mask(sets.bounding->mask() | sets.inheritable->mask());
  }
  return made;
}

std::optional<Stray> find_stray(std::span<const TaskState> tasks, std::span<const TaskState> hosts,
                                const Separation& apart) {
  for (const TaskState& task : tasks) {
    for (const TaskState& host : hosts) {
      for (const Ns ns : apart.apart) {
        if (task.in(ns) == 0 || task.in(ns) != host.in(ns)) continue;
        return Stray{ns_layer(ns), fmt::format("{} is in the host's {}, {}", task.name(),
                                               ns_layer(ns).str(), task.in(ns))};
      }
      if (!apart.caps || task.user_level > host.user_level + (apart.user ? 1 : 0)) continue;
      const uint64_t beyond = (task.cap_effective | task.cap_permitted) & ~apart.caps->mask();
      if (beyond == 0) continue;
      const auto names = CapSet::from_mask(beyond).names();
      // One that is newer than our list has no name.
      return Stray{
          names.empty() ? Layer::kCap : Layer::cap(names.front()),
          fmt::format("{} holds {}, which the policy grants to nobody", task.name(),
                      names.empty() ? fmt::format("capabilities {:x}", beyond) : names.front())};
    }
  }
  return std::nullopt;
}

std::optional<std::string> disagreement(const TaskState& state, const ProcView& proc) {
  const auto differ = [](std::string_view what, std::string kernel, std::string_view text) {
    return fmt::format("the kernel's list has {} {}, /proc has {}", what, kernel,
                       text.empty() ? "nothing" : text);
  };
  for (const Ns ns : kAllNs) {
    const std::string& link = proc.ns[static_cast<size_t>(ns)];
    if (state.in(ns) == 0 && link.empty()) continue;
    if (inode_of(link) != state.in(ns)) {
      return differ(ns_layer(ns).name(), std::to_string(state.in(ns)), link);
    }
  }
  if (number(proc.cap_effective, 16) != state.cap_effective) {
    return differ("CapEff", fmt::format("{:016x}", state.cap_effective), proc.cap_effective);
  }
  if (number(proc.cap_bounding, 16) != state.cap_bounding) {
    return differ("CapBnd", fmt::format("{:016x}", state.cap_bounding), proc.cap_bounding);
  }
  if (number(proc.no_new_privs, 10) != (state.no_new_privs ? 1U : 0U)) {
    return differ("NoNewPrivs", state.no_new_privs ? "1" : "0", proc.no_new_privs);
  }
  if (number(proc.seccomp, 10) != state.seccomp) {
    return differ("Seccomp", std::to_string(state.seccomp), proc.seccomp);
  }
  return std::nullopt;
}

}  // namespace ringfence

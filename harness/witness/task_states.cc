#include "harness/witness/task_states.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "harness/base/sys.h"
#include "harness/base/unique_fd.h"
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

Result<TaskStates> read_tasks(int iterator_fd, uint64_t trial) {
  bpf_attr attr{};
  attr.iter_create.link_fd = static_cast<uint32_t>(iterator_fd);
  const int64_t r = sys::call(SYS_bpf, BPF_ITER_CREATE, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_ITER_CREATE", "tasks", static_cast<int>(-r));
  const UniqueFd list(static_cast<int>(r));
  TaskStates states;
  std::array<rf_task, 32> buffer;
  size_t have = 0;
  for (;;) {
    const int64_t n =
        sys::call(SYS_read, list.get(), sys::arg(reinterpret_cast<char*>(buffer.data()) + have),
                  sizeof buffer - have);
    if (n == -EAGAIN || n == -EINTR) continue;  // asked to go on: bpf_seq_read(), kernel/bpf
    if (n < 0) return system_error("read", "tasks", static_cast<int>(-n));
    if (n == 0) break;
    have += static_cast<size_t>(n);
    const size_t whole = have / sizeof(rf_task);
    for (size_t i = 0; i < whole; ++i) {
      if (buffer[i].trial == trial) states.tasks.push_back(state_of(buffer[i]));
      if (buffer[i].trial == 0) states.reader = state_of(buffer[i]);
    }
    have -= whole * sizeof(rf_task);
    std::memmove(buffer.data(), buffer.data() + whole, have);
  }
  if (states.reader.tid == 0) return system_error("list tasks", "the reader itself", ESRCH);
  return states;
}

}  // namespace ringfence

// The sysctls of a policy, written below /proc/sys of the new root.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <optional>

#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

// "net.ipv4.ip_forward" and "net/ipv4/ip_forward" name the same file. The separator that comes
// first is the one; the other then stands for a dot within a name (an interface), sysctl.d(5).
std::string sysctl_path(std::string name) {
  const size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '/') return name;
  for (char& c : name) {
    if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
  }
  return name;
}

// Which namespace a sysctl belongs to, sysctl documentation and runc's validator.
std::optional<Ns> sysctl_namespace(std::string name) {
  std::replace(name.begin(), name.end(), '/', '.');
  if (name.starts_with("net.")) return Ns::net;
  if (name.starts_with("user.")) return Ns::user;
  if (name.starts_with("fs.mqueue.") || name.starts_with("kernel.msg") ||
      name.starts_with("kernel.shm") || name == "kernel.sem") {
    return Ns::ipc;
  }
  if (name == "kernel.domainname" || name == "kernel.hostname") return Ns::uts;
  return std::nullopt;
}

}  // namespace

Status add_sysctls(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces) {
  for (const auto& [name, value] : policy.sysctl) {
    const auto ns = sysctl_namespace(name);
    if (!ns) {
      return usage_error("compile policy", "/linux/sysctl/" + name,
                         "only sysctls of a namespace can be set (net.*, kernel.shm*, ...)");
    }
    if (!namespaces.has(*ns)) {
      plan.note(
          fmt::format("{} is not set: the {} namespace is the spawner's", name, ns_name(*ns)));
      continue;
    }
    Step step = Assembler::setup({}, "sysctl:" + name, fmt::format("set {} to {}", name, value));
    add_open(plan, step, kSlotRoot, "proc/sys/" + path_in_root(sysctl_path(name)), O_WRONLY,
             kSlotFile);
    step.ops.push_back(make_op(SYS_write, slot_arg(kSlotFile), plan.text(value), value.size()));
    step.ops.push_back(close_slot(kSlotFile));
    plan.add(std::move(step));
  }
  return {};
}

}  // namespace ringfence

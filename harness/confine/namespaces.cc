#include "harness/confine/namespaces.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/cgroup.h"

namespace ringfence {
namespace {

constexpr uint64_t kNewTime = 0x80;  // CLONE_NEWTIME; glibc 2.36 has it only in linux/sched.h

std::string map_text(const std::vector<IdMap>& maps) {
  std::string text;
  for (const IdMap& m : maps) text += fmt::format("{} {} {}\n", m.inside, m.outside, m.count);
  return text;
}

bool maps_zero(const std::vector<IdMap>& maps) {
  return std::any_of(maps.begin(), maps.end(),
                     [](const IdMap& m) { return m.inside == 0 && m.count > 0; });
}

// Without CAP_SETGID the kernel takes a gid_map only once setgroups is denied.
bool may_set_groups() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (sys::call(SYS_capget, sys::arg(&header), sys::arg(data.data())) < 0) return false;
  return (data[0].effective & (1U << CAP_SETGID)) != 0;
}

// In the user namespace of a user without privileges setgroups is denied for good, and a user who
// will be confined in one cannot do without: the groups stay, user_namespaces(7).
bool keeps_groups() {
  const auto rule = read_file("/proc/self/setgroups");
  return (rule && trim(*rule) == "deny") || (sys::call(SYS_geteuid) != 0 && !may_set_groups());
}

Step ns_step(Ns ns, bool join, const std::string& path) {
  const auto name = std::string(ns_name(ns));
  return Assembler::confining(ns_layer(ns), "ns." + name,
                              join ? fmt::format("join the {} namespace {}", name, path)
                                   : fmt::format("new {} namespace", name));
}

// setns(2) for a namespace that is given by path. The pid namespace is entered by the spawner.
void add_join(Assembler& plan, const Namespace& wanted, NamespacePlan& namespaces) {
  Step step = ns_step(wanted.kind, true, wanted.path);
  const auto slot = static_cast<int>(kSlotNamespace0 + namespaces.paths.size());
  step.ops.push_back(make_op(SYS_setns, slot_arg(slot), ns_clone_flag(wanted.kind)));
  if (!plan.add(std::move(step))) return;
  namespaces.paths.push_back(wanted.path);
  namespaces.own.at(static_cast<size_t>(wanted.kind)) = true;
  namespaces.apart = true;
}

// One step: without its offsets, or before it is entered, the namespace shows the host's clocks.
void add_time(Assembler& plan, const Policy& policy, NamespacePlan& namespaces) {
  Step step = ns_step(Ns::time, false, {});
  step.ops.push_back(make_op(SYS_unshare, kNewTime));
  std::string offsets;
  for (const auto& [clock, offset] : policy.time_offsets) {
    offsets += fmt::format("{} {} {}\n", clock, offset.seconds, offset.nanoseconds);
  }
  if (!offsets.empty()) {
    step.ops.push_back(into(
        make_op(SYS_openat, AT_FDCWD, plan.text("/proc/self/timens_offsets"), O_WRONLY | O_CLOEXEC),
        kSlotFile));
    step.ops.push_back(make_op(SYS_write, slot_arg(kSlotFile), plan.text(offsets), offsets.size()));
    step.ops.push_back(make_op(SYS_close, slot_arg(kSlotFile)));
  }
  step.ops.push_back(
      into(make_op(SYS_openat, AT_FDCWD, plan.text("/proc/self/ns/time_for_children"), O_CLOEXEC),
           kSlotFile));
  step.ops.push_back(make_op(SYS_setns, slot_arg(kSlotFile), kNewTime));
  step.ops.push_back(make_op(SYS_close, slot_arg(kSlotFile)));
  if (!plan.add(std::move(step))) return;
  // timens_install() asks for a process that shares its memory with no other.
  namespaces.apart = true;
  namespaces.own.at(static_cast<size_t>(Ns::time)) = true;
}

void add_loopback(Assembler& plan) {
  ifreq request{};
  std::memcpy(static_cast<char*>(request.ifr_name), "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  Step step = Assembler::setup(Layer::kNet, "net.lo", "bring the loopback interface up");
  step.ops.push_back(into(make_op(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), kSlotFile));
  step.ops.push_back(make_op(SYS_ioctl, slot_arg(kSlotFile), SIOCSIFFLAGS, plan.object(request)));
  step.ops.push_back(make_op(SYS_close, slot_arg(kSlotFile)));
  plan.add(std::move(step));
}

void add_name(Assembler& plan, const std::string& key, long nr, const std::string& value,
              bool own) {
  if (value.empty()) return;
  if (!own) {
    plan.note(key + " is not set: the uts namespace is the spawner's");
    return;
  }
  Step step = Assembler::setup(Layer::kUts, key, fmt::format("set it to {}", value));
  step.ops.push_back(make_op(nr, plan.text(value), value.size()));
  plan.add(std::move(step));
}

}  // namespace

Result<NamespacePlan> add_clone_namespaces(Assembler& plan, const Policy& policy) {
  NamespacePlan namespaces;
  for (const Ns ns : kAllNs) {
    const Namespace* wanted = policy.find(ns);
    if (wanted == nullptr || !wanted->path.empty()) continue;
    // These two must come after the child has joined its cgroups, and not share memory.
    if (ns == Ns::cgroup || ns == Ns::time) continue;
    Step step = ns_step(ns, false, {});
    step.where = Where::clone;
    step.clone_flag = ns_clone_flag(ns);
    if (!plan.add(std::move(step))) continue;
    namespaces.clone_flags |= ns_clone_flag(ns);
    namespaces.own.at(static_cast<size_t>(ns)) = true;
  }
  namespaces.keeps_groups = keeps_groups();
  if ((namespaces.clone_flags & CLONE_NEWUSER) == 0) return namespaces;

  namespaces.uid_map = map_text(policy.uid_mappings);
  namespaces.gid_map = map_text(policy.gid_mappings);
  namespaces.deny_setgroups = !may_set_groups();
  if (namespaces.deny_setgroups && !policy.user.additional_gids.empty() && policy.set_user) {
    return usage_error("compile policy", "/process/user/additionalGids",
                       "without CAP_SETGID a user namespace has no supplementary groups");
  }
  for (const char* name : {"uid_map", "gid_map"}) {
    const bool uid = name[0] == 'u';
    if ((uid ? namespaces.uid_map : namespaces.gid_map).empty()) continue;
    Step step = Assembler::setup(Layer::kUser, fmt::format("userns.{}", name),
                                 fmt::format("write /proc/PID/{}", name));
    step.where = Where::helper;
    if (!plan.add(std::move(step))) (uid ? namespaces.uid_map : namespaces.gid_map).clear();
  }
  return namespaces;
}

Status add_child_namespaces(Assembler& plan, const Policy& policy, NamespacePlan& namespaces) {
  // While /proc/self still belongs to us: a change of ids makes the process undumpable.
  if (const Namespace* time = policy.find(Ns::time); time != nullptr && time->path.empty()) {
    add_time(plan, policy, namespaces);
  }
  if (policy.oom_score_adj) {
    const std::string value = std::to_string(*policy.oom_score_adj);
    Step step = Assembler::setup({}, "process.oom_score_adj", "set it to " + value);
    step.ops.push_back(into(
        make_op(SYS_openat, AT_FDCWD, plan.text("/proc/self/oom_score_adj"), O_WRONLY | O_CLOEXEC),
        kSlotFile));
    step.ops.push_back(make_op(SYS_write, slot_arg(kSlotFile), plan.text(value), value.size()));
    step.ops.push_back(make_op(SYS_close, slot_arg(kSlotFile)));
    plan.add(std::move(step));
  }
  add_cgroup_join(plan);

  // The user namespace first: it gives the capabilities that joining the others takes.
  for (const Ns ns : {Ns::user, Ns::ipc, Ns::uts, Ns::net, Ns::cgroup, Ns::time, Ns::mnt}) {
    const Namespace* wanted = policy.find(ns);
    if (wanted != nullptr && !wanted->path.empty()) add_join(plan, *wanted, namespaces);
  }
  if (const Namespace* pid = policy.find(Ns::pid); pid != nullptr && !pid->path.empty()) {
    return unsupported_error("compile policy", "/linux/namespaces (pid, with a path)", 0,
                             "joining a pid namespace is not done; a new one is");
  }
  if (namespaces.paths.size() > kSlotNamespaceLast - kSlotNamespace0 + 1) {
    return usage_error("compile policy", "/linux/namespaces", "at most eight paths");
  }

  if (namespaces.has(Ns::user)) {
    const bool joined = !policy.find(Ns::user)->path.empty();
    Step step = Assembler::setup(Layer::kUser, "userns.ids", "become root of the user namespace");
    if (joined || (maps_zero(policy.gid_mappings) && !namespaces.gid_map.empty())) {
      step.ops.push_back(make_op(SYS_setresgid, 0, 0, 0));
    }
    if (joined || (maps_zero(policy.uid_mappings) && !namespaces.uid_map.empty())) {
      step.ops.push_back(make_op(SYS_setresuid, 0, 0, 0));
    }
    if (!step.ops.empty()) plan.add(std::move(step));
  }
  // In the child, after the cgroup: CLONE_NEWCGROUP at clone would root it at the spawner's group.
  if (const Namespace* cgroup = policy.find(Ns::cgroup);
      cgroup != nullptr && cgroup->path.empty()) {
    Step step = ns_step(Ns::cgroup, false, {});
    step.ops.push_back(make_op(SYS_unshare, CLONE_NEWCGROUP));
    if (plan.add(std::move(step))) namespaces.own.at(static_cast<size_t>(Ns::cgroup)) = true;
  }
  if ((namespaces.clone_flags & CLONE_NEWNET) != 0) add_loopback(plan);
  add_name(plan, "uts.hostname", SYS_sethostname, policy.hostname, namespaces.has(Ns::uts));
  add_name(plan, "uts.domainname", SYS_setdomainname, policy.domainname, namespaces.has(Ns::uts));
  return {};
}

}  // namespace ringfence

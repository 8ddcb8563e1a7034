#include "harness/confine/namespaces.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/cgroup.h"
#include "harness/confine/scheduling.h"

namespace ringfence {
namespace {

constexpr uint64_t kNewTime = 0x80;  // CLONE_NEWTIME; glibc 2.36 has it only in linux/sched.h

bool maps_zero(const std::vector<IdMap>& maps) {
  return std::any_of(maps.begin(), maps.end(),
                     [](const IdMap& m) { return m.inside == 0 && m.count > 0; });
}

// Without CAP_SETGID the kernel takes a gid_map only once setgroups is denied.
bool has_cap(int cap) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (sys::call(SYS_capget, sys::arg(&header), sys::arg(data.data())) < 0) return false;
  return (data[0].effective & (1U << cap)) != 0;
}
bool may_set_groups() { return has_cap(CAP_SETGID); }

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

// setns(2) for a namespace that is given by path or pidfd. Of a pid namespace only children become
// members: see add_reborn().
void add_join(Assembler& plan, const Namespace& wanted, NamespacePlan& namespaces) {
  const bool by_pidfd = wanted.path == kByPidfd;
  Step step = ns_step(wanted.kind, true, by_pidfd ? "of the given process" : wanted.path);
  const int slot =
      by_pidfd ? int{kSlotPidfd} : static_cast<int>(kSlotNamespace0 + namespaces.paths.size());
  step.ops.push_back(make_op(SYS_setns, slot_arg(slot), ns_clone_flag(wanted.kind)));
  if (!plan.add(std::move(step))) return;
  if (by_pidfd) {
    namespaces.by_pidfd = true;
  } else {
    namespaces.paths.push_back(wanted.path);
  }
  namespaces.own.at(static_cast<size_t>(wanted.kind)) = true;
  namespaces.apart = true;
}

void add_joins(Assembler& plan, const Policy& policy, NamespacePlan& namespaces,
               std::initializer_list<Ns> kinds) {
  for (const Ns ns : kinds) {
    const Namespace* wanted = policy.find(ns);
    if (wanted != nullptr && !wanted->path.empty()) add_join(plan, *wanted, namespaces);
  }
}

bool is_new(const Policy& policy, Ns ns) {
  const Namespace* wanted = policy.find(ns);
  return wanted != nullptr && wanted->path.empty();
}

// unshare(2) of what clone3 would have made.
void add_unshare(Assembler& plan, const Policy& policy, NamespacePlan& namespaces, Ns ns) {
  if (!namespaces.by_unshare || !is_new(policy, ns)) return;
  Step step = ns_step(ns, false, {});
  step.ops.push_back(make_op(SYS_unshare, ns_clone_flag(ns)));
  // Once, when all that is written or made meanwhile has its namespace.
  const bool network =
      namespaces.makes_net && (!policy.network.empty() || !policy.net_devices.empty());
  if (ns == (network ? Ns::net : Ns::user)) step.ops.push_back(make_op(kCallWaitMaps));
  namespaces.own.at(static_cast<size_t>(ns)) = plan.add(std::move(step));
}

// After unshare(2) or setns(2) for a pid namespace the next child is the first to be in it.
void add_reborn(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces) {
  const Namespace* pid = policy.find(Ns::pid);
  if (!namespaces.has(Ns::pid) || (pid->path.empty() && !namespaces.by_unshare)) return;
  Step step = Assembler::setup(Layer::kPid, "ns.pid:child", "go on as a child, in the namespace");
  // Who is in there already must not read what the spawner's memory was, ptrace(2).
  if (!pid->path.empty()) step.ops.push_back(make_op(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
  step.ops.push_back(make_op(kCallReborn));
  plan.add(std::move(step));
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

std::string id_map_text(const std::vector<IdMap>& maps) {
  std::string text;
  for (const IdMap& m : maps) text += fmt::format("{} {} {}\n", m.inside, m.outside, m.count);
  return text;
}

Result<NamespacePlan> add_clone_namespaces(Assembler& plan, const Policy& policy, bool unshare) {
  NamespacePlan namespaces;
  const bool joins = std::any_of(policy.namespaces.begin(), policy.namespaces.end(),
                                 [](const Namespace& n) { return !n.path.empty(); });
  const bool joins_user = policy.has(Ns::user) && !is_new(policy, Ns::user);
  // What is joined may belong to the spawner's user namespace, not to the new one; and what is new
  // is to belong to the one that is joined.
  namespaces.by_unshare = unshare || joins_user || (joins && is_new(policy, Ns::user));
  namespaces.apart = namespaces.by_unshare;
  for (const Ns ns : kAllNs) {
    const Namespace* wanted = policy.find(ns);
    if (wanted == nullptr || !wanted->path.empty()) continue;
    // These two must come after the child has joined its cgroups, and not share memory.
    if (ns == Ns::cgroup || ns == Ns::time || namespaces.by_unshare) continue;
    Step step = ns_step(ns, false, {});
    step.where = Where::clone;
    step.clone_flag = ns_clone_flag(ns);
    if (!plan.add(std::move(step))) continue;
    namespaces.clone_flags |= ns_clone_flag(ns);
    namespaces.own.at(static_cast<size_t>(ns)) = true;
  }
  namespaces.makes_net = is_new(policy, Ns::net) && plan.keeps(ns_step(Ns::net, false, {}));
  namespaces.keeps_groups = keeps_groups();
  const bool kept = namespaces.by_unshare && plan.keeps(ns_step(Ns::user, false, {}));
  if ((namespaces.clone_flags & CLONE_NEWUSER) == 0 && !(is_new(policy, Ns::user) && kept)) {
    return namespaces;
  }

  namespaces.uid_map = id_map_text(policy.uid_mappings);
  namespaces.gid_map = id_map_text(policy.gid_mappings);
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
  const bool new_time = is_new(policy, Ns::time);
  if (new_time && !namespaces.by_unshare) add_time(plan, policy, namespaces);
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
  add_exec_labels(plan, policy);
  add_cgroup_join(plan);
  add_final_cpus(plan, policy);

  // A spawner with capabilities needs those that it has for what is not the user namespace's; for
  // one without, that gives them.
  const bool user_first = !has_cap(CAP_SYS_ADMIN);
  if (user_first) add_joins(plan, policy, namespaces, {Ns::user});
  add_joins(plan, policy, namespaces,
            {Ns::ipc, Ns::uts, Ns::net, Ns::cgroup, Ns::time, Ns::pid, Ns::mnt});
  if (!user_first) add_joins(plan, policy, namespaces, {Ns::user});
  for (const Ns ns : {Ns::user, Ns::ipc, Ns::uts, Ns::net, Ns::pid}) {
    add_unshare(plan, policy, namespaces, ns);
  }
  if (new_time && namespaces.by_unshare) add_time(plan, policy, namespaces);
  add_unshare(plan, policy, namespaces, Ns::mnt);
  add_reborn(plan, policy, namespaces);
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
  if (namespaces.has(Ns::net) && is_new(policy, Ns::net)) add_loopback(plan);
  add_name(plan, "uts.hostname", SYS_sethostname, policy.hostname, namespaces.has(Ns::uts));
  add_name(plan, "uts.domainname", SYS_setdomainname, policy.domainname, namespaces.has(Ns::uts));
  return {};
}

}  // namespace ringfence

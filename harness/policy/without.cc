#include "harness/policy/without.h"

#include <sys/mount.h>

#include <algorithm>

namespace ringfence {
namespace {

// What needs a mount namespace of its own, or it would change the spawner's.
void drop_root(Policy& policy) {
  policy.root.reset();
  policy.mounts.clear();
  policy.devices.clear();
  policy.masked_paths.clear();
  policy.readonly_paths.clear();
  policy.rootfs_propagation = 0;
}

// Takes options that `drop` names out of a mount, judged one by one as parse_mount_options() sees
// them, so that flags and their words stay in step.
template <typename Drop>
void drop_options(Policy& policy, const Drop& drop) {
  for (Mount& mount : policy.mounts) {
    std::erase_if(mount.options, [&](const std::string& word) {
      Mount single;
      single.options = {word};
      parse_mount_options(single);
      return drop(single);
    });
    parse_mount_options(mount);
  }
}

void drop_namespace(Policy& policy, Ns kind) {
  if (!policy.has(kind)) return;
  std::erase_if(policy.namespaces, [&](const Namespace& n) { return n.kind == kind; });
  // What would now be done to the spawner's namespace goes as well.
  const auto drop_sysctl = [&](std::string_view prefix) {
    std::erase_if(policy.sysctl,
                  [&](const auto& entry) { return entry.first.starts_with(prefix); });
  };
  switch (kind) {
    case Ns::mnt:
      drop_root(policy);
      break;
    case Ns::user:
      policy.uid_mappings.clear();
      policy.gid_mappings.clear();
      break;
    case Ns::time:
      policy.time_offsets.clear();
      break;
    case Ns::uts:
      policy.hostname.clear();
      policy.domainname.clear();
      drop_sysctl("kernel.hostname");
      drop_sysctl("kernel.domainname");
      break;
    case Ns::net:
      policy.network = NetworkPolicy{};
      policy.net_devices.clear();
      drop_sysctl("net.");
      drop_sysctl("net/");
      break;
    case Ns::ipc:
      drop_sysctl("fs");
      drop_sysctl("kernel.sem");
      drop_sysctl("kernel.msg");
      drop_sysctl("kernel.shm");
      drop_sysctl("kernel/");
      break;
    case Ns::pid:
    case Ns::cgroup:
      break;
  }
}

void give_back(Policy& policy, int cap) {
  Capabilities& sets = policy.capabilities;
  const bool written = sets.bounding || sets.effective || sets.permitted;
  for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted}) {
    if (*set) (*set)->set(cap);
  }
  // exec takes the capabilities of a user other than root, unless they are ambient, which needs
  // them inheritable: capabilities(7), "Transformation of capabilities during execve()".
  if (!written || !policy.set_user || policy.user.uid == 0) return;
  for (auto* set : {&sets.inheritable, &sets.ambient}) {
    CapSet given = set->value_or(CapSet{});
    given.set(cap);
    *set = given;
  }
}

// A controller's own fields, and its files in `unified`.
void drop_controller(Resources& r, const Layer& layer) {
  const std::string controller = layer.str().substr(sizeof("cgroup.") - 1);
  std::erase_if(r.unified,
                [&](const auto& entry) { return controller_of_file(entry.first) == controller; });
  if (layer == Layer::kCgroupPids) {
    r.pids_limit.reset();
  } else if (layer == Layer::kCgroupMemory) {
    r.memory_limit.reset();
    r.memory_reservation.reset();
    r.memory_swap.reset();
    r.memory_kernel_tcp.reset();
    r.memory_swappiness.reset();
    r.memory_oom_kill_disabled.reset();
  } else if (layer == Layer::kCgroupCpu) {
    r.cpu_shares.reset();
    r.cpu_quota.reset();
    r.cpu_period.reset();
    r.cpu_burst.reset();
    r.cpu_idle.reset();
    r.cpu_rt_runtime.reset();
    r.cpu_rt_period.reset();
  } else if (layer == Layer::kCgroupCpuset) {
    r.cpuset_cpus.clear();
    r.cpuset_mems.clear();
  } else if (layer == Layer::kCgroupIo) {
    r.io_weight.reset();
    r.io_leaf_weight.reset();
    r.io_device_weights.clear();
    for (auto* rates : {&r.io_read_bps, &r.io_write_bps, &r.io_read_iops, &r.io_write_iops}) {
      rates->clear();
    }
  } else if (controller == "rdma") {
    r.rdma.clear();
  } else if (controller == "net_cls") {
    r.net_class_id.reset();
  } else if (controller == "net_prio") {
    r.net_priorities.clear();
  } else if (layer == Layer::kCgroupHugetlb) {
    r.hugepage_limits.clear();
  } else if (layer == Layer::kCgroupDevices) {
    r.devices.clear();
  }
}

void drop_user(Policy& policy) {
  policy.user = User{};
  // Inside a user namespace the spawner's id has no meaning, so its root stands for "nobody else".
  policy.set_user = policy.set_user && policy.has(Ns::user);
}

}  // namespace

Policy without(Policy policy, const Layer& layer) {
  const std::string_view name = layer.name();
  for (const Ns ns : kAllNs) {
    if (layer == ns_layer(ns)) {
      drop_namespace(policy, ns);
      return policy;
    }
  }
  if (name.starts_with("cap.")) {
    if (const auto cap = cap_by_name(name.substr(4))) give_back(policy, *cap);
  } else if (name.starts_with("rlimit.")) {
    const auto resource = rlimit_by_name(name.substr(7));
    std::erase_if(policy.rlimits, [&](const Rlimit& l) { return l.resource == resource; });
  } else if (layer == Layer::kCap) {
    policy.capabilities = Capabilities{};
    policy.securebits.reset();
  } else if (layer == Layer::kSeccomp) {
    policy.seccomp.reset();
  } else if (layer == Layer::kNoNewPrivs) {
    policy.no_new_privileges = false;
  } else if (layer == Layer::kRoot) {
    drop_root(policy);
  } else if (layer == Layer::kMask) {
    policy.masked_paths.clear();
  } else if (layer == Layer::kReadOnly) {
    policy.readonly_paths.clear();
    if (policy.root) policy.root->readonly = false;
    if (policy.root) policy.root->flag_set &= ~uint64_t{MS_RDONLY};
    drop_options(policy, [](const Mount& m) { return (m.flag_set & MS_RDONLY) != 0; });
  } else if (layer == Layer::kMountFlags) {
    if (policy.root) policy.root->flag_set &= uint64_t{MS_RDONLY};
    drop_options(policy, [](const Mount& m) { return (m.flag_set & ~uint64_t{MS_RDONLY}) != 0; });
  } else if (layer == Layer::kPropagation) {
    // The mounts stay in the peer groups that they were copied with.
    if (policy.has(Ns::mnt)) policy.rootfs_propagation = MS_SHARED | MS_REC;
    drop_options(policy, [](const Mount& m) { return m.propagation != 0; });
  } else if (layer == Layer::kIdMap) {
    for (Mount& mount : policy.mounts) {
      mount.uid_mappings.clear();
      mount.gid_mappings.clear();
    }
    drop_options(policy, [](const Mount& m) { return m.id_mapped != Mount::IdMapped::no; });
  } else if (name.starts_with("cgroup.")) {
    drop_controller(policy.resources, layer);
  } else if (layer == Layer::kDac) {
    drop_user(policy);
  } else if (layer == Layer::kNetFilter) {
    policy.network.allow.reset();
    for (NetworkInterface& interface : policy.network.interfaces) interface.port = BridgePort{};
  } else if (layer == Layer::kSession) {
    policy.new_session = false;
  } else if (layer == Layer::kAppArmor) {
    policy.apparmor_profile.clear();
  } else if (layer == Layer::kSelinux) {
    policy.selinux_label.clear();
    policy.mount_label.clear();
  } else if (layer == Layer::kKeyring) {
    policy.session_keyring = false;
  } else if (layer == Layer::kLandlock) {
    policy.landlock.clear();
  } else if (layer == Layer::kFd) {
    policy.close_descriptors = false;
  }
  return policy;
}

}  // namespace ringfence

#include "suites/suite.h"

#include <algorithm>

#include "suites/calls.h"

namespace ringfence::suites {

Policy bare() {
  Policy policy;
  policy.name = "bare";
  policy.new_session = false;
  policy.close_descriptors = false;
  policy.set_user = false;
  return policy;
}

Policy in_namespaces(std::initializer_list<Ns> kinds) {
  Policy policy = bare();
  for (const Ns kind : kinds) {
    policy.name += "+" + std::string(ns_name(kind));
    policy.namespaces.push_back({kind, ""});
    // uid 0 inside is a plain user outside.
    constexpr uint32_t kOutside = 100000;
    constexpr uint32_t kCount = 65536;
    if (kind == Ns::user) {
      policy.uid_mappings = {{0, kOutside, kCount}};
      policy.gid_mappings = {{0, kOutside, kCount}};
    }
  }
  return policy;
}

Policy in_root(std::initializer_list<MountSpec> mounts) {
  Policy policy = in_namespaces({Ns::mnt});
  policy.name += "+root";
  policy.root = Policy::Root{};
  for (const MountSpec& spec : mounts) {
    Mount mount;
    mount.type = spec.type;
    mount.source = spec.type;
    mount.destination = spec.destination;
    mount.options = spec.options;
    parse_mount_options(mount);
    policy.mounts.push_back(std::move(mount));
  }
  return policy;
}

Policy& lose_caps(Policy& policy, std::initializer_list<std::string_view> names) {
  CapSet set = CapSet::all();
  for (const auto name : names) {
    if (const auto cap = cap_by_name(name)) set.set(*cap, false);
    policy.name += "-" + std::string(name);
  }
  policy.capabilities = {set, set, set, set, CapSet{}};
  return policy;
}

Policy without_caps(std::initializer_list<std::string_view> names) {
  Policy policy = bare();
  return lose_caps(policy, names);
}

Policy as_user(uint32_t uid) {
  Policy policy = bare();
  policy.name = "uid " + std::to_string(uid);
  policy.set_user = true;
  policy.user.uid = uid;
  policy.user.gid = uid;
  // A parent with SECBIT_NO_SETUID_FIXUP keeps its ambient set over the change of ids.
  policy.capabilities.ambient = CapSet{};
  return policy;
}

Policy filtered(const std::vector<std::string>& names, SeccompAction action,
                std::optional<uint32_t> errno_ret, std::vector<SeccompArg> args) {
  Policy policy = bare();
  policy.name = "filter";
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::allow;
  seccomp.rules.push_back({names, action, errno_ret, std::move(args)});
  policy.seccomp = std::move(seccomp);
  return policy;
}

std::string id_of_path(std::string_view path) {
  if (path == "/") return "root";
  std::string id(path.substr(1));
  std::replace_if(
      id.begin(), id.end(), [](char c) { return c == '/' || c == '.' || c == '-'; }, '_');
  return id;
}

Result<Registry> attempts() {
  Registry registry;
  for (auto* cases :
       {pid_cases, mnt_cases, proc_cases, ipc_uts_net_cases, net_cases, user_cap_cases,
        exec_fd_cases, seccomp_cases, limit_cases, cgroup_cases, nesting_cases, lsm_cases}) {
    auto added = cases();
    for (Case& c : added) add_calls(c);
    if (auto ok = registry.add(std::move(added)); !ok) return tl::unexpected(ok.error());
  }
  return registry;
}

Result<Registry> builtin() {
  auto registry = attempts();
  if (!registry) return registry;
  for (auto* cases :
       {cpu_cases, exit_cases, ioapic_cases, mem_cases, virt_cases, vmx_cases, device_cases}) {
    if (auto ok = registry->add(cases()); !ok) return tl::unexpected(ok.error());
  }
  return registry;
}

}  // namespace ringfence::suites

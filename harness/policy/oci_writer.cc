// A Policy as a config.json, in the order in which the runtime-spec presents the fields.
#include <nlohmann/json.hpp>

#include "harness/policy/builtin.h"
#include "harness/policy/read.h"
#include "harness/policy/ringfence_annotations.h"

namespace ringfence {
namespace {

using Json = nlohmann::ordered_json;

Json write_user(const User& user) {
  Json json = {{"uid", user.uid}, {"gid", user.gid}};
  if (user.umask) json["umask"] = *user.umask;
  if (!user.additional_gids.empty()) json["additionalGids"] = user.additional_gids;
  return json;
}

Json write_capabilities(const Capabilities& sets) {
  // A set that is left alone is everything that the caller could pass on; an annotation says that
  // it is not meant as a set.
  const auto names = [](const std::optional<CapSet>& set) {
    return set.value_or(caller_bounding_set()).names();
  };
  return {{"bounding", names(sets.bounding)},
          {"effective", names(sets.effective)},
          {"permitted", names(sets.permitted)},
          {"inheritable", sets.inheritable.value_or(CapSet{}).names()},
          {"ambient", sets.ambient.value_or(CapSet{}).names()}};
}

Json write_scheduler(const Scheduler& s) {
  Json json = {{"policy", word_of(scheduler_policies(), s.policy)}};
  if (s.nice != 0) json["nice"] = s.nice;
  if (s.priority != 0) json["priority"] = s.priority;
  if (s.flags != 0) json["flags"] = words_of(scheduler_flags(), s.flags);
  if (s.runtime != 0) json["runtime"] = s.runtime;
  if (s.deadline != 0) json["deadline"] = s.deadline;
  if (s.period != 0) json["period"] = s.period;
  return json;
}

Json write_memory_policy(const MemoryPolicy& m) {
  Json json = {{"mode", word_of(memory_policy_modes(), m.mode)}};
  if (!m.nodes.empty()) json["nodes"] = m.nodes;
  if (m.flags != 0) json["flags"] = words_of(memory_policy_flags(), m.flags);
  return json;
}

Json write_process(const Policy& policy) {
  Json json = {{"terminal", policy.terminal}};
  if (policy.console_size) {
    json["consoleSize"] = {{"height", policy.console_size->height},
                           {"width", policy.console_size->width}};
  }
  json["user"] = write_user(policy.user);
  json["args"] = policy.args.empty() ? std::vector<std::string>{"sh"} : policy.args;
  if (!policy.env.empty()) json["env"] = policy.env;
  json["cwd"] = policy.cwd;
  json["capabilities"] = write_capabilities(policy.capabilities);
  for (const auto& limit : policy.rlimits) {
    json["rlimits"].push_back(
        {{"type", rlimit_name(limit.resource)}, {"hard", limit.hard}, {"soft", limit.soft}});
  }
  json["noNewPrivileges"] = policy.no_new_privileges;
  if (policy.oom_score_adj) json["oomScoreAdj"] = *policy.oom_score_adj;
  if (!policy.apparmor_profile.empty()) json["apparmorProfile"] = policy.apparmor_profile;
  if (!policy.selinux_label.empty()) json["selinuxLabel"] = policy.selinux_label;
  if (policy.scheduler) json["scheduler"] = write_scheduler(*policy.scheduler);
  if (policy.io_priority) {
    json["ioPriority"] = {{"class", word_of(io_classes(), policy.io_priority->io_class)},
                          {"priority", policy.io_priority->level}};
  }
  const ExecCpuAffinity& affinity = policy.exec_cpu_affinity;
  if (!affinity.initial.empty()) json["execCPUAffinity"]["initial"] = affinity.initial;
  if (!affinity.final_.empty()) json["execCPUAffinity"]["final"] = affinity.final_;
  return json;
}

Json write_maps(const std::vector<IdMap>& maps) {
  Json json = Json::array();
  for (const auto& map : maps) {
    json.push_back({{"containerID", map.inside}, {"hostID", map.outside}, {"size", map.count}});
  }
  return json;
}

Json write_mount(const Mount& mount) {
  Json json = {{"destination", mount.destination}};
  if (!mount.type.empty()) json["type"] = mount.type;
  if (!mount.source.empty()) json["source"] = mount.source;
  if (!mount.options.empty()) json["options"] = mount.options;
  if (!mount.uid_mappings.empty()) json["uidMappings"] = write_maps(mount.uid_mappings);
  if (!mount.gid_mappings.empty()) json["gidMappings"] = write_maps(mount.gid_mappings);
  return json;
}

Json write_device(const Device& device) {
  return {{"path", device.path},     {"type", std::string(1, device.type)},
          {"major", device.major},   {"minor", device.minor},
          {"fileMode", device.mode}, {"uid", device.uid},
          {"gid", device.gid}};
}

Json write_rule(const SeccompRule& rule) {
  Json json = {{"names", rule.names}, {"action", seccomp_action_name(rule.action)}};
  if (rule.errno_ret) json["errnoRet"] = *rule.errno_ret;
  for (const auto& arg : rule.args) {
    Json item = {{"index", arg.index}, {"value", arg.value}};
    if (arg.value_two != 0) item["valueTwo"] = arg.value_two;
    item["op"] = seccomp_op_name(arg.op);
    json["args"].push_back(std::move(item));
  }
  return json;
}

Json write_seccomp(const Seccomp& seccomp) {
  Json json = {{"defaultAction", seccomp_action_name(seccomp.default_action)}};
  if (seccomp.default_errno) json["defaultErrnoRet"] = *seccomp.default_errno;
  if (!seccomp.architectures.empty()) json["architectures"] = seccomp.architectures;
  if (!seccomp.flags.empty()) json["flags"] = seccomp.flags;
  if (!seccomp.listener_path.empty()) json["listenerPath"] = seccomp.listener_path;
  if (!seccomp.listener_metadata.empty()) json["listenerMetadata"] = seccomp.listener_metadata;
  for (const auto& rule : seccomp.rules) json["syscalls"].push_back(write_rule(rule));
  return json;
}

Json write_rates(const std::vector<DeviceRate>& rates) {
  Json list = Json::array();
  for (const auto& r : rates) {
    list.push_back({{"major", r.major}, {"minor", r.minor}, {"rate", r.rate}});
  }
  return list;
}

Json write_block_io(const Resources& r) {
  Json json = Json::object();
  if (r.io_weight) json["weight"] = *r.io_weight;
  if (r.io_leaf_weight) json["leafWeight"] = *r.io_leaf_weight;
  for (const auto& w : r.io_device_weights) {
    Json item = {{"major", w.major}, {"minor", w.minor}};
    if (w.weight > 0) item["weight"] = w.weight;
    if (w.leaf_weight > 0) item["leafWeight"] = w.leaf_weight;
    json["weightDevice"].push_back(std::move(item));
  }
  if (!r.io_read_bps.empty()) json["throttleReadBpsDevice"] = write_rates(r.io_read_bps);
  if (!r.io_write_bps.empty()) json["throttleWriteBpsDevice"] = write_rates(r.io_write_bps);
  if (!r.io_read_iops.empty()) json["throttleReadIOPSDevice"] = write_rates(r.io_read_iops);
  if (!r.io_write_iops.empty()) json["throttleWriteIOPSDevice"] = write_rates(r.io_write_iops);
  return json;
}

Json write_resources(const Resources& r) {
  Json json = Json::object();
  for (const auto& rule : r.devices) {
    Json item = {{"allow", rule.allow}, {"access", rule.access}};
    if (rule.type != 'a') item["type"] = std::string(1, rule.type);
    if (rule.major) item["major"] = *rule.major;
    if (rule.minor) item["minor"] = *rule.minor;
    json["devices"].push_back(std::move(item));
  }
  if (r.memory_limit) json["memory"]["limit"] = *r.memory_limit;
  if (r.memory_reservation) json["memory"]["reservation"] = *r.memory_reservation;
  if (r.memory_swap) json["memory"]["swap"] = *r.memory_swap;
  if (r.memory_kernel_tcp) json["memory"]["kernelTCP"] = *r.memory_kernel_tcp;
  if (r.memory_swappiness) json["memory"]["swappiness"] = *r.memory_swappiness;
  if (r.memory_oom_kill_disabled) {
    json["memory"]["disableOOMKiller"] = *r.memory_oom_kill_disabled;
  }
  if (r.cpu_shares) json["cpu"]["shares"] = *r.cpu_shares;
  if (r.cpu_quota) json["cpu"]["quota"] = *r.cpu_quota;
  if (r.cpu_period) json["cpu"]["period"] = *r.cpu_period;
  if (r.cpu_burst) json["cpu"]["burst"] = *r.cpu_burst;
  if (r.cpu_idle) json["cpu"]["idle"] = *r.cpu_idle;
  if (r.cpu_rt_runtime) json["cpu"]["realtimeRuntime"] = *r.cpu_rt_runtime;
  if (r.cpu_rt_period) json["cpu"]["realtimePeriod"] = *r.cpu_rt_period;
  if (!r.cpuset_cpus.empty()) json["cpu"]["cpus"] = r.cpuset_cpus;
  if (!r.cpuset_mems.empty()) json["cpu"]["mems"] = r.cpuset_mems;
  if (r.pids_limit) json["pids"]["limit"] = *r.pids_limit;
  if (Json io = write_block_io(r); !io.empty()) json["blockIO"] = std::move(io);
  for (const auto& huge : r.hugepage_limits) {
    json["hugepageLimits"].push_back({{"pageSize", huge.page_size}, {"limit", huge.limit}});
  }
  if (r.net_class_id) json["network"]["classID"] = *r.net_class_id;
  for (const auto& [name, priority] : r.net_priorities) {
    json["network"]["priorities"].push_back({{"name", name}, {"priority", priority}});
  }
  for (const auto& [device, limit] : r.rdma) {
    Json& item = json["rdma"][device] = Json::object();
    if (limit.hca_handles) item["hcaHandles"] = *limit.hca_handles;
    if (limit.hca_objects) item["hcaObjects"] = *limit.hca_objects;
  }
  if (!r.unified.empty()) json["unified"] = r.unified;
  return json;
}

Json write_hooks(const Hooks& hooks) {
  Json json = Json::object();
  for (const HookKind kind : kAllHooks) {
    for (const Hook& hook : hooks.of(kind)) {
      Json item = {{"path", hook.path}};
      if (!hook.args.empty()) item["args"] = hook.args;
      if (!hook.env.empty()) item["env"] = hook.env;
      if (hook.timeout) item["timeout"] = *hook.timeout;
      json[std::string(hook_name(kind))].push_back(std::move(item));
    }
  }
  return json;
}

Json write_linux(const Policy& policy) {
  Json json = {{"namespaces", Json::array()}};
  for (const auto& ns : policy.namespaces) {
    if (ns.kind == Ns::time && before_1_1(policy)) continue;  // an annotation
    Json item = {{"type", ns_oci_name(ns.kind)}};
    if (!ns.path.empty()) item["path"] = ns.path;
    json["namespaces"].push_back(std::move(item));
  }
  if (!policy.uid_mappings.empty()) json["uidMappings"] = write_maps(policy.uid_mappings);
  if (!policy.gid_mappings.empty()) json["gidMappings"] = write_maps(policy.gid_mappings);
  if (!before_1_1(policy)) {
    for (const auto& [clock, offset] : policy.time_offsets) {
      json["timeOffsets"][clock] = {{"secs", offset.seconds}, {"nanosecs", offset.nanoseconds}};
    }
  }
  for (const auto& device : policy.devices) json["devices"].push_back(write_device(device));
  if (!policy.cgroups_path.empty()) json["cgroupsPath"] = policy.cgroups_path;
  if (Json resources = write_resources(policy.resources); !resources.empty()) {
    json["resources"] = std::move(resources);
  }
  if (!policy.sysctl.empty()) json["sysctl"] = policy.sysctl;
  if (policy.seccomp) json["seccomp"] = write_seccomp(*policy.seccomp);
  if (policy.rootfs_propagation != 0) {
    json["rootfsPropagation"] = propagation_word(policy.rootfs_propagation);
  }
  if (!policy.mount_label.empty()) json["mountLabel"] = policy.mount_label;
  for (const auto& [name, inside] : policy.net_devices) {
    json["netDevices"][name] = Json::object();
    if (!inside.empty()) json["netDevices"][name]["name"] = inside;
  }
  if (!policy.masked_paths.empty()) json["maskedPaths"] = policy.masked_paths;
  if (!policy.readonly_paths.empty()) json["readonlyPaths"] = policy.readonly_paths;
  if (policy.personality) {
    json["personality"]["domain"] = word_of(personality_domains(), *policy.personality);
  }
  if (policy.memory_policy) json["memoryPolicy"] = write_memory_policy(*policy.memory_policy);
  return json;
}

}  // namespace

std::string write_oci_policy(const Policy& policy) {
  Json json = {{"ociVersion", policy.oci_version}, {"process", write_process(policy)}};
  if (policy.root) {
    const std::string& path = policy.root->path;
    json["root"] = {{"path", path.empty() ? std::string(annotations::kFreshRootPath) : path},
                    {"readonly", policy.root->readonly}};
  } else {
    json["root"] = {{"path", annotations::kNoRootPath}};
  }
  if (!policy.hostname.empty()) json["hostname"] = policy.hostname;
  if (!policy.domainname.empty()) json["domainname"] = policy.domainname;
  for (const auto& mount : policy.mounts) json["mounts"].push_back(write_mount(mount));
  if (!policy.hooks.empty()) json["hooks"] = write_hooks(policy.hooks);
  auto notes = write_ringfence_annotations(policy);
  notes.insert(policy.annotations.begin(), policy.annotations.end());
  if (!notes.empty()) json["annotations"] = notes;
  json["linux"] = write_linux(policy);
  // Paths and names may hold any bytes; JSON cannot.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ringfence

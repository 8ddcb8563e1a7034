// runtime-spec config-linux.md, without control groups and seccomp.
#include <net/if.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <set>

#include "harness/base/file.h"
#include "harness/policy/oci_sections.h"
#include "harness/policy/seccomp_reader.h"

namespace ringfence {
namespace {

using Kind = FieldType::Kind;

constexpr size_t kIdMapExtents = 340;  // user_namespaces(7): since Linux 4.15

std::vector<Namespace> read_namespaces(const JsonNode& node) {
  std::vector<Namespace> list;
  for (const auto& item : node.items()) {
    item.object({"type", "path"});
    const JsonNode type = item.require("type");
    const auto kind = ns_by_oci_name(type.string());
    if (!kind) {
      std::vector<std::string> names;
      names.reserve(kAllNs.size());
      for (const Ns ns : kAllNs) names.emplace_back(ns_oci_name(ns));
      if (type) fail_unknown(type, "namespace", type.string(), names);
      continue;
    }
    if (std::any_of(list.begin(), list.end(),
                    [&](const Namespace& n) { return n.kind == *kind; })) {
      type.fail("namespace occurs twice: " + type.string(), "each type once");
    }
    Namespace ns;
    ns.kind = *kind;
    const JsonNode path = item.get("path");
    if (!path.string().empty()) ns.path = path.absolute_path();
    list.push_back(std::move(ns));
  }
  return list;
}

bool overlap(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count) {
  return uint64_t{a} < uint64_t{b} + b_count && uint64_t{b} < uint64_t{a} + a_count;
}

std::map<std::string, TimeOffset> read_time_offsets(const JsonNode& node) {
  std::map<std::string, TimeOffset> offsets;
  for (const auto& [clock, item] : node.members()) {
    if (clock != "monotonic" && clock != "boottime") {
      fail_unknown(item, "clock", clock, {"monotonic", "boottime"});
      continue;
    }
    item.object({"secs", "nanosecs"});
    TimeOffset offset;
    offset.seconds = item.get("secs").signed_integer(INT64_MIN, INT64_MAX);
    offset.nanoseconds = item.get("nanosecs").u32(999'999'999);
    offsets[clock] = offset;
  }
  return offsets;
}

std::vector<Device> read_devices(const JsonNode& node) {
  std::vector<Device> list;
  for (const auto& item : node.items()) {
    item.object({"path", "type", "major", "minor", "fileMode", "uid", "gid"});
    Device device;
    device.path = item.require("path").absolute_path();
    const std::string type = item.require("type").word({"c", "b", "u", "p"});
    // mknod(1): u is another word for c.
    device.type = type.empty() || type == "u" ? 'c' : type.front();
    const bool numbered = device.type != 'p';
    device.major = (numbered ? item.require("major") : item.get("major")).signed_integer(0, 4095);
    device.minor =
        (numbered ? item.require("minor") : item.get("minor")).signed_integer(0, 1048575);
    // Some writers leave the file type's bits in.
    device.mode = item.get("fileMode").u32(UINT32_MAX, 0666) & 07777U;
    device.uid = item.get("uid").u32();
    device.gid = item.get("gid").u32();
    list.push_back(std::move(device));
  }
  return list;
}

uint64_t read_propagation(const JsonNode& node) {
  const std::string word = node.word({"", "private", "rprivate", "slave", "rslave", "shared",
                                      "rshared", "unbindable", "runbindable"});
  Mount mount;
  if (!word.empty()) mount.options = {word};
  parse_mount_options(mount);
  return mount.propagation;
}

// Keys that the kernel keeps per namespace; runc and crun refuse all others.
std::optional<Ns> sysctl_namespace(const std::string& key) {
  constexpr std::array kIpc = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                               "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                               "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (key.starts_with("net.")) return Ns::net;
  if (key.starts_with("fs.mqueue.")) return Ns::ipc;
  if (key == "kernel.domainname" || key == "kernel.hostname") return Ns::uts;
  if (std::find(kIpc.begin(), kIpc.end(), key) != kIpc.end()) return Ns::ipc;
  return std::nullopt;
}

void read_sysctl(const JsonNode& node, Policy& policy) {
  for (const auto& [name, value] : node.members()) {
    std::string key = name;
    std::replace(key.begin(), key.end(), '/', '.');
    const auto ns = sysctl_namespace(key);
    if (!ns || key.find("..") != std::string::npos) {
      value.fail("sysctl \"" + name + "\" belongs to no namespace",
                 "net.*, fs.mqueue.*, kernel.shm*, "
                 "kernel.msg*, kernel.sem, kernel.hostname or kernel.domainname");
    } else if (!policy.has(*ns)) {
      value.fail("sysctl \"" + name + "\" would change the host's",
                 "a " + std::string(ns_oci_name(*ns)) + " namespace in /linux/namespaces");
    }
    policy.sysctl[name] = value.string();
  }
}

std::string read_cgroups_path(const JsonNode& node) {
  std::string path = node.string();
  constexpr size_t kMostName = 255;  // NAME_MAX
  for (const auto part : split(path, '/')) {
    if (part == "..") node.fail("\"..\" in cgroupsPath", "a path below the cgroup mount point");
    if (part.size() > kMostName) node.fail("a name of more than 255 bytes", "shorter names");
    // kernel/cgroup/cgroup.c, cgroup_mkdir(), and the names of the files that every group has.
    if (part.find('\n') != std::string_view::npos || part.starts_with("cgroup.") ||
        part == "tasks" || part == "notify_on_release") {
      node.fail("no group can have this name: \"" + std::string(part) + "\"", "another name");
    }
  }
  return path;
}

void read_seccomp(const JsonNode& node, Policy& policy) {
  if (!node) return;
  policy.seccomp = read_seccomp_object(node, HostProfile::current(), nullptr);
}

void check_user_namespace(const JsonNode& node, const Policy& policy) {
  if (const Namespace* user = policy.find(Ns::user)) {
    // Nobody could be mapped in it, root included: no file can be made, no mount.
    if (user->path.empty() && policy.uid_mappings.empty()) {
      node.get("uidMappings").fail("a user namespace without id maps", "at least one map");
    } else if (user->path.empty() && policy.gid_mappings.empty()) {
      node.get("gidMappings").fail("a user namespace without id maps", "at least one map");
    }
    return;
  }
  for (const auto* name : {"uidMappings", "gidMappings"}) {
    const JsonNode maps = node.get(name);
    if (!maps.items().empty()) {
      maps.fail("id maps without a user namespace",
                "a namespace of type user in /linux/namespaces");
    }
  }
}

void check_mount_namespace(const JsonNode& node, const Policy& policy) {
  if (policy.has(Ns::mnt)) return;
  for (const auto* name : {"maskedPaths", "readonlyPaths"}) {
    const JsonNode paths = node.get(name);
    if (!paths.items().empty()) {
      paths.fail("paths cannot be covered without a mount namespace",
                 "a namespace of type mount in /linux/namespaces");
    }
  }
}

// netdevice(7) and dev_valid_name() of the kernel: what an interface can be called.
void check_interface_name(const JsonNode& node, const std::string& name) {
  const bool bad = name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." ||
                   name.find_first_of("/: \t\n\v\f\r%") != std::string::npos;
  if (bad) {
    node.fail("no name of an interface: \"" + name + "\"",
              "1 to 15 characters without '/', ':', '%' and white space");
  }
}

// config-linux.md "Network Devices" of runtime-spec 1.3.
void read_net_devices(const JsonNode& node, Policy& policy) {
  std::set<std::string> inside;
  for (const auto& [name, device] : node.members()) {
    device.object({"name"});
    check_interface_name(device, name);
    const JsonNode renamed = device.get("name");
    const std::string other = renamed.string();
    if (!other.empty()) check_interface_name(renamed, other);
    if (!inside.insert(other.empty() ? name : other).second) {
      device.fail("two interfaces of one name", "names that differ in the target");
    }
    policy.net_devices[name] = other;
  }
  // Unless who spawns it takes them along (CompileOptions::attended): no case does.
  note_unenforced(policy, node, Layer{});
  const Namespace* net = policy.find(Ns::net);
  if (!policy.net_devices.empty() && (net == nullptr || !net->path.empty())) {
    node.fail("interfaces would stay where they are",
              "a new namespace of type network in /linux/namespaces");
  }
}

}  // namespace

std::vector<IdMap> read_id_maps(const JsonNode& node) {
  std::vector<IdMap> maps;
  const auto items = node.items();
  if (items.size() > kIdMapExtents) {
    node.fail("too many id maps: " + std::to_string(items.size()),
              "at most " + std::to_string(kIdMapExtents));
    return maps;
  }
  for (const auto& item : items) {
    item.object({"containerID", "hostID", "size"});
    IdMap map;
    map.inside = item.require("containerID").u32();
    map.outside = item.require("hostID").u32();
    const JsonNode size = item.require("size");
    map.count = size.u32();
    if (map.count == 0) size.fail("empty id map", "a size of at least 1");
    for (const uint32_t first : {map.inside, map.outside}) {
      if (uint64_t{first} + map.count > UINT32_MAX) {
        size.fail("id map ends past the last id", "ids up to 4294967294");
      }
    }
    for (const IdMap& other : maps) {
      if (overlap(map.inside, map.count, other.inside, other.count) ||
          overlap(map.outside, map.count, other.outside, other.count)) {
        item.fail("id map overlaps an earlier one", "ranges that do not overlap");
      }
    }
    maps.push_back(map);
  }
  return maps;
}

void read_linux(const JsonNode& node, Policy& policy) {
  node.object({"namespaces", "uidMappings", "gidMappings", "timeOffsets", "devices", "cgroupsPath",
               "resources", "intelRdt", "sysctl", "seccomp", "rootfsPropagation", "maskedPaths",
               "readonlyPaths", "mountLabel", "personality", "netDevices", "memoryPolicy"});
  policy.namespaces = read_namespaces(node.get("namespaces"));
  policy.uid_mappings = read_id_maps(node.get("uidMappings"));
  policy.gid_mappings = read_id_maps(node.get("gidMappings"));
  check_user_namespace(node, policy);
  const JsonNode offsets = node.get("timeOffsets");
  policy.time_offsets = read_time_offsets(offsets);
  if (!policy.time_offsets.empty() && !policy.has(Ns::time)) {
    offsets.fail("time offsets without a time namespace",
                 "a namespace of type time in /linux/namespaces");
  }
  policy.devices = read_devices(node.get("devices"));
  policy.cgroups_path = read_cgroups_path(node.get("cgroupsPath"));
  read_resources(node.get("resources"), policy);
  read_sysctl(node.get("sysctl"), policy);
  read_seccomp(node.get("seccomp"), policy);
  policy.rootfs_propagation = read_propagation(node.get("rootfsPropagation"));
  policy.masked_paths = node.get("maskedPaths").absolute_paths();
  policy.readonly_paths = node.get("readonlyPaths").absolute_paths();
  check_mount_namespace(node, policy);

  policy.mount_label = read_label(node.get("mountLabel"), Layer::kSelinux, policy);
  const JsonNode rdt = node.get("intelRdt");
  check_fields(rdt, {{"closID", Kind::string},
                     {"schemata", Kind::strings},
                     {"l3CacheSchema", Kind::string},
                     {"memBwSchema", Kind::string},
                     {"enableCMT", Kind::boolean},
                     {"enableMBM", Kind::boolean},
                     {"enableMonitoring", Kind::boolean}});
  note_unenforced(policy, rdt, Layer{});
  policy.personality = read_personality(node.get("personality"));
  read_net_devices(node.get("netDevices"), policy);
  policy.memory_policy = read_memory_policy(node.get("memoryPolicy"));
}

}  // namespace ringfence

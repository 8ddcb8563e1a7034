// runtime-spec config.md "Process", "POSIX process", "Linux Process".
#include <algorithm>
#include <set>

#include "harness/base/facts.h"
#include "harness/policy/oci_sections.h"

namespace ringfence {
namespace {

// (uid_t)-1 means "no change" to setresuid(2), so no user has it.
constexpr uint32_t kIdMax = UINT32_MAX - 1;
constexpr size_t kGroupsMax = 65536;  // NGROUPS_MAX

User read_user(const JsonNode& node) {
  node.object({"uid", "gid", "umask", "additionalGids", "username"});
  User user;
  user.uid = node.get("uid").u32(kIdMax);
  user.gid = node.get("gid").u32(kIdMax);
  if (const JsonNode umask = node.get("umask")) user.umask = umask.u32(0777);
  const JsonNode groups = node.get("additionalGids");
  for (const auto& gid : groups.items()) user.additional_gids.push_back(gid.u32(kIdMax));
  if (user.additional_gids.size() > kGroupsMax) {
    groups.fail("too many groups", "at most " + std::to_string(kGroupsMax));
  }
  (void)node.get("username").string();  // Windows
  return user;
}

CapSet read_capability_set(const JsonNode& node) {
  CapSet set;
  for (const auto& item : node.items()) {
    const std::string name = item.string();
    const auto cap = name.starts_with("CAP_") ? cap_by_name(name) : std::nullopt;
    if (cap) {
      set.set(*cap);
    } else {
      fail_unknown(item, "capability", name, CapSet::all().names());
    }
  }
  return set;
}

// What a file leaves out is an empty set: so runc and crun do it.
Capabilities read_capabilities(const JsonNode& node) {
  node.object({"bounding", "effective", "permitted", "inheritable", "ambient"});
  Capabilities sets;
  sets.bounding = read_capability_set(node.get("bounding"));
  sets.effective = read_capability_set(node.get("effective"));
  sets.permitted = read_capability_set(node.get("permitted"));
  sets.inheritable = read_capability_set(node.get("inheritable"));
  sets.ambient = read_capability_set(node.get("ambient"));
  return sets;
}

std::vector<Rlimit> read_rlimits(const JsonNode& node) {
  std::vector<Rlimit> limits;
  std::set<int> seen;
  for (const auto& item : node.items()) {
    item.object({"type", "soft", "hard"});
    const JsonNode type = item.require("type");
    const std::string name = type.string();
    const auto resource = name.starts_with("RLIMIT_") ? rlimit_by_name(name) : std::nullopt;
    if (!resource) {
      std::vector<std::string> names;
      constexpr int kRlimits = 16;  // getrlimit(2)
      names.reserve(kRlimits);
      for (int r = 0; r < kRlimits; ++r) names.emplace_back(rlimit_name(r));
      if (type) fail_unknown(type, "rlimit", name, names);
      continue;
    }
    if (!seen.insert(*resource).second) type.fail("rlimit occurs twice: " + name, "each type once");
    Rlimit limit;
    limit.resource = *resource;
    limit.soft = item.require("soft").unsigned_integer(UINT64_MAX);
    limit.hard = item.require("hard").unsigned_integer(UINT64_MAX);
    if (limit.soft > limit.hard) {
      item.get("soft").fail("soft limit above the hard limit",
                            "at most " + std::to_string(limit.hard));
    }
    limits.push_back(limit);
  }
  return limits;
}

// Both, and no more than TIOCSWINSZ can say. Without a terminal it says nothing, and is kept.
std::optional<ConsoleSize> read_console_size(const JsonNode& node) {
  if (!node) return std::nullopt;
  node.object({"height", "width"});
  ConsoleSize size;
  size.height = static_cast<uint16_t>(node.require("height").u32(UINT16_MAX));
  size.width = static_cast<uint16_t>(node.require("width").u32(UINT16_MAX));
  return size;
}

}  // namespace

// A label is for a security module of the kernel's; where it has none nobody carries it out.
std::string read_label(const JsonNode& node, const Layer& layer, Policy& policy) {
  std::string label = node.string();
  if (label.find('\n') != std::string::npos) node.fail("a label of several lines", "one line");
  if (!label.empty() && !Facts::probe().satisfied("lsm:" + std::string(layer.name().substr(4)))) {
    note_unenforced(policy, node, layer);
  }
  return label;
}

void read_process(const JsonNode& process, Policy& policy) {
  process.object({"terminal", "consoleSize", "user", "args", "commandLine", "env", "cwd",
                  "capabilities", "rlimits", "noNewPrivileges", "apparmorProfile", "oomScoreAdj",
                  "scheduler", "selinuxLabel", "ioPriority", "execCPUAffinity"});
  policy.terminal = process.get("terminal").boolean();
  policy.console_size = read_console_size(process.get("consoleSize"));
  policy.user = read_user(process.get("user"));
  const JsonNode args = process.require("args");
  policy.args = args.strings();
  if (args && policy.args.empty()) args.fail("no program", "at least one string");
  (void)process.get("commandLine").string();  // Windows
  policy.env = process.get("env").strings();
  policy.cwd = process.require("cwd").absolute_path();
  policy.capabilities = read_capabilities(process.get("capabilities"));
  policy.rlimits = read_rlimits(process.get("rlimits"));
  policy.no_new_privileges = process.get("noNewPrivileges").boolean();
  if (const JsonNode score = process.get("oomScoreAdj")) {
    policy.oom_score_adj = static_cast<int>(score.signed_integer(-1000, 1000));
  }

  // "unconfined" is the word for no profile at all.
  const JsonNode apparmor = process.get("apparmorProfile");
  if (apparmor.string() != "unconfined") {
    policy.apparmor_profile = read_label(apparmor, Layer::kAppArmor, policy);
  }
  policy.selinux_label = read_label(process.get("selinuxLabel"), Layer::kSelinux, policy);
  policy.scheduler = read_scheduler(process.get("scheduler"));
  policy.io_priority = read_io_priority(process.get("ioPriority"));
  policy.exec_cpu_affinity = read_exec_cpu_affinity(process.get("execCPUAffinity"));
}

}  // namespace ringfence

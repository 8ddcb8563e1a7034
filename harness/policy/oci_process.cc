// runtime-spec config.md "Process", "POSIX process", "Linux Process".
#include <algorithm>
#include <set>

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

}  // namespace

void read_process(const JsonNode& process, Policy& policy) {
  using Kind = FieldType::Kind;
  process.object({"terminal", "consoleSize", "user", "args", "commandLine", "env", "cwd",
                  "capabilities", "rlimits", "noNewPrivileges", "apparmorProfile", "oomScoreAdj",
                  "scheduler", "selinuxLabel", "ioPriority", "execCPUAffinity"});
  policy.terminal = process.get("terminal").boolean();
  check_fields(process.get("consoleSize"), {{"height", Kind::u64}, {"width", Kind::u64}});
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

  const JsonNode apparmor = process.get("apparmorProfile");
  if (apparmor.string() != "unconfined") note_unenforced(policy, apparmor, Layer{"lsm.apparmor"});
  const JsonNode selinux = process.get("selinuxLabel");
  (void)selinux.string();
  note_unenforced(policy, selinux, Layer{"lsm.selinux"});

  const JsonNode scheduler = process.get("scheduler");
  check_fields(scheduler, {{"policy", Kind::string},
                           {"nice", Kind::i32},
                           {"priority", Kind::i32},
                           {"flags", Kind::strings},
                           {"runtime", Kind::u64},
                           {"deadline", Kind::u64},
                           {"period", Kind::u64}});
  (void)scheduler.require("policy").word({"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH",
                                          "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"});
  note_unenforced(policy, scheduler, Layer{});
  const JsonNode priority = process.get("ioPriority");
  check_fields(priority, {{"class", Kind::string}, {"priority", Kind::i32}});
  (void)priority.require("class").word({"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"});
  note_unenforced(policy, priority, Layer{});
  const JsonNode affinity = process.get("execCPUAffinity");
  check_fields(affinity, {{"initial", Kind::string}, {"final", Kind::string}});
  note_unenforced(policy, affinity, Layer{});
}

}  // namespace ringfence

#include "harness/policy/policy.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace ringfence {
namespace {

struct NsWords {
  Ns ns;
  std::string_view name;
  std::string_view oci;
  uint64_t flag;
};
constexpr uint64_t kCloneNewtime = 0x80;
constexpr std::array kNsWords = {
    NsWords{Ns::pid, "pid", "pid", CLONE_NEWPID},
    NsWords{Ns::mnt, "mnt", "mount", CLONE_NEWNS},
    NsWords{Ns::net, "net", "network", CLONE_NEWNET},
    NsWords{Ns::uts, "uts", "uts", CLONE_NEWUTS},
    NsWords{Ns::ipc, "ipc", "ipc", CLONE_NEWIPC},
    NsWords{Ns::user, "user", "user", CLONE_NEWUSER},
    NsWords{Ns::cgroup, "cgroup", "cgroup", CLONE_NEWCGROUP},
    NsWords{Ns::time, "time", "time", kCloneNewtime},
};
const NsWords& words(Ns ns) { return kNsWords.at(static_cast<size_t>(ns)); }

constexpr std::array<std::string_view, kCapLast + 1> kCapNames = {"CAP_CHOWN",
                                                                  "CAP_DAC_OVERRIDE",
                                                                  "CAP_DAC_READ_SEARCH",
                                                                  "CAP_FOWNER",
                                                                  "CAP_FSETID",
                                                                  "CAP_KILL",
                                                                  "CAP_SETGID",
                                                                  "CAP_SETUID",
                                                                  "CAP_SETPCAP",
                                                                  "CAP_LINUX_IMMUTABLE",
                                                                  "CAP_NET_BIND_SERVICE",
                                                                  "CAP_NET_BROADCAST",
                                                                  "CAP_NET_ADMIN",
                                                                  "CAP_NET_RAW",
                                                                  "CAP_IPC_LOCK",
                                                                  "CAP_IPC_OWNER",
                                                                  "CAP_SYS_MODULE",
                                                                  "CAP_SYS_RAWIO",
                                                                  "CAP_SYS_CHROOT",
                                                                  "CAP_SYS_PTRACE",
                                                                  "CAP_SYS_PACCT",
                                                                  "CAP_SYS_ADMIN",
                                                                  "CAP_SYS_BOOT",
                                                                  "CAP_SYS_NICE",
                                                                  "CAP_SYS_RESOURCE",
                                                                  "CAP_SYS_TIME",
                                                                  "CAP_SYS_TTY_CONFIG",
                                                                  "CAP_MKNOD",
                                                                  "CAP_LEASE",
                                                                  "CAP_AUDIT_WRITE",
                                                                  "CAP_AUDIT_CONTROL",
                                                                  "CAP_SETFCAP",
                                                                  "CAP_MAC_OVERRIDE",
                                                                  "CAP_MAC_ADMIN",
                                                                  "CAP_SYSLOG",
                                                                  "CAP_WAKE_ALARM",
                                                                  "CAP_BLOCK_SUSPEND",
                                                                  "CAP_AUDIT_READ",
                                                                  "CAP_PERFMON",
                                                                  "CAP_BPF",
                                                                  "CAP_CHECKPOINT_RESTORE"};

constexpr std::array<std::string_view, 8> kActionNames = {
    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",  "SCMP_ACT_TRACE", "SCMP_ACT_LOG",         "SCMP_ACT_NOTIFY"};
constexpr std::array<std::string_view, 7> kOpNames = {
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
    "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};

constexpr std::array<std::string_view, 16> kRlimitNames = {
    "RLIMIT_CPU",      "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
    "RLIMIT_CORE",     "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",  "RLIMIT_AS",    "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME"};

template <typename Names>
std::optional<int> index_of(const Names& names, std::string_view name) {
  const auto* it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) return std::nullopt;
  return static_cast<int>(it - names.begin());
}

struct MountOption {
  std::string_view name;
  uint64_t set;
  uint64_t clear;
};
constexpr uint64_t kMsNoSymFollow = 0x100;  // Linux 5.10; not in glibc 2.36
// runtime-spec config.md "Linux mount options"; mount(8).
constexpr std::array kCreateOptions = {MountOption{"bind", MS_BIND, 0},
                                       MountOption{"rbind", MS_BIND | MS_REC, 0},
                                       MountOption{"remount", MS_REMOUNT, 0}};
constexpr std::array kFlagOptions = {
    MountOption{"ro", MS_RDONLY, 0}, MountOption{"rw", 0, MS_RDONLY},
    MountOption{"nosuid", MS_NOSUID, 0}, MountOption{"suid", 0, MS_NOSUID},
    MountOption{"nodev", MS_NODEV, 0}, MountOption{"dev", 0, MS_NODEV},
    MountOption{"noexec", MS_NOEXEC, 0}, MountOption{"exec", 0, MS_NOEXEC},
    MountOption{"noatime", MS_NOATIME, 0}, MountOption{"atime", 0, MS_NOATIME},
    MountOption{"nodiratime", MS_NODIRATIME, 0}, MountOption{"diratime", 0, MS_NODIRATIME},
    MountOption{"relatime", MS_RELATIME, 0}, MountOption{"norelatime", 0, MS_RELATIME},
    MountOption{"strictatime", MS_STRICTATIME, 0}, MountOption{"nostrictatime", 0, MS_STRICTATIME},
    MountOption{"sync", MS_SYNCHRONOUS, 0}, MountOption{"async", 0, MS_SYNCHRONOUS},
    MountOption{"dirsync", MS_DIRSYNC, 0}, MountOption{"nosymfollow", kMsNoSymFollow, 0},
    MountOption{"symfollow", 0, kMsNoSymFollow},
    // Accepted, and nothing to confine with.
    MountOption{"lazytime", 0, 0}, MountOption{"nolazytime", 0, 0}, MountOption{"iversion", 0, 0},
    MountOption{"noiversion", 0, 0}, MountOption{"silent", 0, 0}, MountOption{"loud", 0, 0},
    MountOption{"mand", 0, 0}, MountOption{"nomand", 0, 0}, MountOption{"defaults", 0, 0}};
// mount_setattr(2) with AT_RECURSIVE, runtime-spec 1.1.
constexpr std::array kRecursiveOptions = {MountOption{"rro", MS_RDONLY, 0},
                                          MountOption{"rrw", 0, MS_RDONLY},
                                          MountOption{"rnosuid", MS_NOSUID, 0},
                                          MountOption{"rsuid", 0, MS_NOSUID},
                                          MountOption{"rnodev", MS_NODEV, 0},
                                          MountOption{"rdev", 0, MS_NODEV},
                                          MountOption{"rnoexec", MS_NOEXEC, 0},
                                          MountOption{"rexec", 0, MS_NOEXEC},
                                          MountOption{"rnosymfollow", kMsNoSymFollow, 0},
                                          MountOption{"rsymfollow", 0, kMsNoSymFollow}};
constexpr std::array kPropagationOptions = {MountOption{"private", MS_PRIVATE, 0},
                                            MountOption{"rprivate", MS_PRIVATE | MS_REC, 0},
                                            MountOption{"slave", MS_SLAVE, 0},
                                            MountOption{"rslave", MS_SLAVE | MS_REC, 0},
                                            MountOption{"shared", MS_SHARED, 0},
                                            MountOption{"rshared", MS_SHARED | MS_REC, 0},
                                            MountOption{"unbindable", MS_UNBINDABLE, 0},
                                            MountOption{"runbindable", MS_UNBINDABLE | MS_REC, 0}};

// Of the mount, and of those below it.
bool apply_recursive(const std::string& word, Mount& mount) {
  const auto* it = std::find_if(kRecursiveOptions.begin(), kRecursiveOptions.end(),
                                [&](const MountOption& o) { return o.name == word; });
  if (it == kRecursiveOptions.end()) return false;
  mount.flag_set = (mount.flag_set | it->set) & ~it->clear;
  mount.recursive_set = (mount.recursive_set | it->set) & ~it->clear;
  mount.recursive_clear = (mount.recursive_clear | it->clear) & ~it->set;
  return true;
}

template <typename Options>
bool apply(const Options& options, const std::string& word, uint64_t& flags) {
  const auto* it = std::find_if(options.begin(), options.end(),
                                [&](const MountOption& o) { return o.name == word; });
  if (it == options.end()) return false;
  flags = (flags | it->set) & ~it->clear;
  return true;
}

}  // namespace

std::string_view ns_name(Ns ns) { return words(ns).name; }
std::string_view ns_oci_name(Ns ns) { return words(ns).oci; }
uint64_t ns_clone_flag(Ns ns) { return words(ns).flag; }
Layer ns_layer(Ns ns) { return Layer("ns." + std::string(ns_name(ns))); }
std::optional<Ns> ns_by_oci_name(std::string_view name) {
  for (const auto& w : kNsWords) {
    if (w.oci == name) return w.ns;
  }
  return std::nullopt;
}

CapSet CapSet::all() { return from_mask((uint64_t{1} << (kCapLast + 1)) - 1); }
CapSet CapSet::of(std::initializer_list<std::string_view> names) {
  CapSet set;
  for (auto name : names) {
    if (const auto cap = cap_by_name(name)) set.set(*cap);
  }
  return set;
}
bool CapSet::has(std::string_view name) const {
  const auto cap = cap_by_name(name);
  return cap && has(*cap);
}
CapSet CapSet::from_mask(uint64_t mask) {
  CapSet set;
  set.bits_ = std::bitset<kCapLast + 1>(mask);
  return set;
}
std::vector<std::string> CapSet::names() const {
  std::vector<std::string> list;
  for (int c = 0; c <= kCapLast; ++c) {
    if (has(c)) list.emplace_back(cap_name(c));
  }
  return list;
}

const std::vector<Securebit>& securebits() {
  static const std::vector<Securebit> known = {
      {"noroot", SECBIT_NOROOT},
      {"noroot_locked", SECBIT_NOROOT_LOCKED},
      {"no_setuid_fixup", SECBIT_NO_SETUID_FIXUP},
      {"no_setuid_fixup_locked", SECBIT_NO_SETUID_FIXUP_LOCKED},
      {"keep_caps", SECBIT_KEEP_CAPS},
      {"keep_caps_locked", SECBIT_KEEP_CAPS_LOCKED},
      {"no_cap_ambient_raise", SECBIT_NO_CAP_AMBIENT_RAISE},
      {"no_cap_ambient_raise_locked", SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED}};
  return known;
}

std::string_view cap_name(int cap) { return kCapNames.at(static_cast<size_t>(cap)); }
std::optional<int> cap_by_name(std::string_view name) {
  return name.starts_with("CAP_") ? index_of(kCapNames, name)
                                  : index_of(kCapNames, "CAP_" + std::string(name));
}

std::string_view seccomp_action_name(SeccompAction action) {
  return kActionNames.at(static_cast<size_t>(action));
}
std::optional<SeccompAction> seccomp_action_by_name(std::string_view name) {
  if (name == "SCMP_ACT_KILL") return SeccompAction::kill_thread;  // libseccomp's older name
  const auto index = index_of(kActionNames, name);
  if (!index) return std::nullopt;
  return static_cast<SeccompAction>(*index);
}
std::string_view seccomp_op_name(SeccompOp op) { return kOpNames.at(static_cast<size_t>(op)); }
std::vector<std::string> Seccomp::notified() const {
  std::vector<std::string> calls;
  for (const SeccompRule& rule : rules) {
    if (rule.action != SeccompAction::notify) continue;
    for (const auto& name : rule.names) {
      if (std::find(calls.begin(), calls.end(), name) == calls.end()) calls.push_back(name);
    }
  }
  return calls;
}

std::optional<SeccompOp> seccomp_op_by_name(std::string_view name) {
  const auto index = index_of(kOpNames, name);
  if (!index) return std::nullopt;
  return static_cast<SeccompOp>(*index);
}

std::string_view rlimit_name(int resource) {
  return kRlimitNames.at(static_cast<size_t>(resource));
}
std::optional<int> rlimit_by_name(std::string_view name) {
  return name.starts_with("RLIMIT_") ? index_of(kRlimitNames, name)
                                     : index_of(kRlimitNames, "RLIMIT_" + std::string(name));
}

void parse_mount_options(Mount& mount) {
  mount.flags = mount.flag_set = mount.propagation = 0;
  mount.recursive_set = mount.recursive_clear = 0;
  mount.id_mapped = mount.uid_mappings.empty() && mount.gid_mappings.empty()
                        ? Mount::IdMapped::no
                        : Mount::IdMapped::mount;
  mount.data.clear();
  mount.copy_up = false;
  for (const auto& word : mount.options) {
    if (apply(kCreateOptions, word, mount.flags)) continue;
    if (apply(kFlagOptions, word, mount.flag_set)) continue;
    if (apply(kPropagationOptions, word, mount.propagation)) continue;
    if (apply_recursive(word, mount)) continue;
    if (word == "idmap" || word == "ridmap") {
      mount.id_mapped = word == "idmap" ? Mount::IdMapped::mount : Mount::IdMapped::tree;
      continue;
    }
    if (word == "tmpcopyup") {
      mount.copy_up = true;
      continue;
    }
    if (!mount.data.empty()) mount.data += ',';
    mount.data += word;
  }
  if (mount.type == "bind" && (mount.flags & MS_BIND) == 0) mount.flags |= MS_BIND;
}

const Namespace* Policy::find(Ns ns) const {
  const auto it = std::find_if(namespaces.begin(), namespaces.end(),
                               [&](const Namespace& n) { return n.kind == ns; });
  return it == namespaces.end() ? nullptr : &*it;
}
bool Policy::has(Ns ns) const { return find(ns) != nullptr; }

}  // namespace ringfence

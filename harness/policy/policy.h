#pragma once
// Policy: what confines a target. A plain value, the in-process form of an OCI runtime-spec
// config.json (1.0 to 1.2, the Linux parts). Every optional field that is empty confines nothing.
//
// Sources: opencontainers/runtime-spec config.md and config-linux.md; capabilities(7);
// namespaces(7); seccomp(2); mount(2); getrlimit(2).
#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/policy/hooks.h"
#include "harness/policy/landlock.h"
#include "harness/policy/layer.h"
#include "harness/policy/network.h"
#include "harness/policy/resources.h"
#include "harness/policy/scheduling.h"
#include "harness/policy/terminal.h"

namespace ringfence {

// ---- Namespaces --------------------------------------------------------------------------------
enum class Ns : uint8_t { pid, mnt, net, uts, ipc, user, cgroup, time };
inline constexpr std::array kAllNs = {Ns::pid, Ns::mnt,  Ns::net,    Ns::uts,
                                      Ns::ipc, Ns::user, Ns::cgroup, Ns::time};
// "pid", "mnt", ... as in /proc/PID/ns; OCI says "mount" and "network" for mnt and net.
std::string_view ns_name(Ns ns);
std::optional<Ns> ns_by_oci_name(std::string_view name);
std::string_view ns_oci_name(Ns ns);
uint64_t ns_clone_flag(Ns ns);  // CLONE_NEW*
Layer ns_layer(Ns ns);

// In place of Namespace::path: that of the process that the spawner is given (join_pidfd).
inline constexpr const char* kByPidfd = "pidfd";
struct Namespace {
  Ns kind = Ns::pid;
  std::string path;  // join this one; empty: a new one
  friend bool operator==(const Namespace&, const Namespace&) = default;
};

struct IdMap {  // one line of uid_map or gid_map, user_namespaces(7)
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
  friend bool operator==(const IdMap&, const IdMap&) = default;
};

struct TimeOffset {  // time_namespaces(7)
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  friend bool operator==(const TimeOffset&, const TimeOffset&) = default;
};

// ---- Capabilities ------------------------------------------------------------------------------
inline constexpr int kCapLast = 40;  // CAP_CHECKPOINT_RESTORE, Linux 5.9
class CapSet {
 public:
  constexpr CapSet() = default;
  static CapSet all();
  // Names with or without "CAP_"; unknown names are ignored: readers check them first.
  static CapSet of(std::initializer_list<std::string_view> names);
  void set(int cap, bool on = true) { bits_.set(static_cast<size_t>(cap), on); }
  [[nodiscard]] bool has(int cap) const { return bits_.test(static_cast<size_t>(cap)); }
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] uint64_t mask() const { return bits_.to_ullong(); }
  static CapSet from_mask(uint64_t mask);
  [[nodiscard]] std::vector<std::string> names() const;  // "CAP_CHOWN", ... by number
  friend bool operator==(const CapSet&, const CapSet&) = default;

 private:
  std::bitset<kCapLast + 1> bits_;
};
// SECBIT_*, by their names in lower case: "noroot", "keep_caps_locked"; and all that may be set.
struct Securebit {
  std::string_view name;
  uint32_t bit;
};
const std::vector<Securebit>& securebits();
std::string_view cap_name(int cap);                     // "CAP_CHOWN"
std::optional<int> cap_by_name(std::string_view name);  // with or without "CAP_"

// The five sets. Unset ones are left as the spawner's own: nothing is dropped.
struct Capabilities {
  std::optional<CapSet> bounding, effective, permitted, inheritable, ambient;
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

// ---- Seccomp -----------------------------------------------------------------------------------
enum class SeccompAction : uint8_t {
  allow,
  errno_,
  kill_thread,
  kill_process,
  trap,
  trace,
  log,
  notify
};
enum class SeccompOp : uint8_t { ne, lt, le, eq, ge, gt, masked_eq };
std::string_view seccomp_action_name(SeccompAction action);  // "SCMP_ACT_ALLOW"
std::optional<SeccompAction> seccomp_action_by_name(std::string_view name);
std::string_view seccomp_op_name(SeccompOp op);  // "SCMP_CMP_EQ"
std::optional<SeccompOp> seccomp_op_by_name(std::string_view name);

struct SeccompArg {
  uint32_t index = 0;      // 0 to 5
  uint64_t value = 0;      // for masked_eq the mask
  uint64_t value_two = 0;  // for masked_eq the value
  SeccompOp op = SeccompOp::eq;
  friend bool operator==(const SeccompArg&, const SeccompArg&) = default;
};

struct SeccompRule {
  std::vector<std::string> names;
  SeccompAction action = SeccompAction::allow;
  std::optional<uint32_t> errno_ret;  // for errno_ and trace; EPERM when unset
  std::vector<SeccompArg> args;       // all must hold
  friend bool operator==(const SeccompRule&, const SeccompRule&) = default;
};

// What the harness answers to calls with the action `notify`, seccomp_unotify(2). Letting a call go
// on is no protection: its arguments can be changed after they were looked at.
struct NotifyAnswer {
  enum class How : uint8_t { refuse, pretend, proceed };
  std::vector<std::string> names;
  How how = How::refuse;
  int64_t value = 0;  // refuse: the errno; pretend: what the call returns without being made
  friend bool operator==(const NotifyAnswer&, const NotifyAnswer&) = default;
};

struct Seccomp {
  SeccompAction default_action = SeccompAction::errno_;
  std::optional<uint32_t> default_errno;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"; empty: the native one
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG"
  // Who answers for `notify`: a socket that gets the listener, or the harness.
  std::string listener_path;
  std::string listener_metadata;
  std::vector<NotifyAnswer> answers;  // annotation "ringfence.seccomp.notify"
  std::vector<SeccompRule> rules;
  // The calls that have to be answered, each once, in the order of the rules.
  [[nodiscard]] std::vector<std::string> notified() const;
  friend bool operator==(const Seccomp&, const Seccomp&) = default;
};

// ---- Mounts ------------------------------------------------------------------------------------
struct Mount {
  std::string destination;  // absolute, inside
  std::string type;         // "proc", "tmpfs", "bind", ...; empty for a bind
  std::string source;
  std::vector<std::string> options;  // as written in the file
  // Made from `options` by parse_mount_options():
  uint64_t flags = 0;        // MS_BIND, MS_REC and the like, what creates the mount
  uint64_t flag_set = 0;     // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, ...: confines
  uint64_t propagation = 0;  // MS_PRIVATE, MS_SLAVE, ... with MS_REC
  std::string data;          // what is left, joined by commas, for the file system
  // "rro", "rnosuid", ...: of flag_set, what holds for the mounts below as well; and "rrw", ...:
  // what is cleared on all of them. mount_setattr(2) with AT_RECURSIVE.
  uint64_t recursive_set = 0;
  uint64_t recursive_clear = 0;
  // "idmap", "ridmap": the ids on this mount are mapped, mount_setattr(2) with MOUNT_ATTR_IDMAP,
  // by these maps, or by those of the policy's user namespace.
  enum class IdMapped : uint8_t { no, mount, tree };
  IdMapped id_mapped = IdMapped::no;
  // "tmpcopyup": the new tmpfs begins with a copy of the directory that it covers.
  bool copy_up = false;
  std::vector<IdMap> uid_mappings, gid_mappings;
  friend bool operator==(const Mount&, const Mount&) = default;
};
// Fills flags, flag_set, propagation, data, recursive_*, id_mapped and copy_up from options.
void parse_mount_options(Mount& mount);

// ---- The rest ----------------------------------------------------------------------------------
struct Rlimit {
  int resource = 0;  // RLIMIT_NOFILE, ...
  uint64_t soft = 0;
  uint64_t hard = 0;
  friend bool operator==(const Rlimit&, const Rlimit&) = default;
};
std::string_view rlimit_name(int resource);  // "RLIMIT_NOFILE"
std::optional<int> rlimit_by_name(std::string_view name);

struct Device {
  std::string path;
  char type = 'c';  // c, b, p
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t mode = 0666;
  uint32_t uid = 0;
  uint32_t gid = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
  std::optional<uint32_t> umask;
  friend bool operator==(const User&, const User&) = default;
};

// A field that was read, is valid, and that this version does not carry out. Cases that depend on
// its layer are skipped with `unenforced:POINTER`, and the header of a result lists it.
struct Unenforced {
  std::string pointer;  // "/linux/resources/cpu"
  Layer layer;          // what it would confine; empty when nothing
  friend bool operator==(const Unenforced&, const Unenforced&) = default;
};

struct Policy {
  std::string name;  // profile name or file, for messages
  std::string oci_version = "1.0.2";

  // process
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  bool terminal = false;
  std::optional<ConsoleSize> console_size;  // with a terminal
  User user;
  Capabilities capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  ExecCpuAffinity exec_cpu_affinity;
  // Labels for exec, as the security module has them; carried out where the kernel has the module.
  std::string apparmor_profile;
  std::string selinux_label;
  // Not part of the OCI file, true for a given file and the built-in profiles except none:
  bool new_session = true;        // setsid, as every runtime does
  bool close_descriptors = true;  // CLOEXEC on all but the given descriptors
  bool set_user = true;  // setgroups, setresgid, setresuid to `user`; false: stay who we are
  // How the kernel treats root and changes of ids from here on, capabilities(7) "The securebits
  // flags"; annotation "ringfence.securebits".
  std::optional<uint32_t> securebits;
  // A session keyring of its own, keyrings(7): runc's default, for which OCI has no field.
  bool session_keyring = false;
  std::vector<LandlockRuleSet> landlock;  // annotation "ringfence.landlock"
  bool init = false;  // an init of ours is the first process: it reaps, and passes signals on

  // root. Without a root the target keeps the spawner's.
  struct Root {
    std::string path;  // empty or missing on disk: a fresh tmpfs with /proc and /dev
    bool readonly = false;
    // For the built-in `hardened`: the root mount's own flags (MS_NOSUID, MS_NODEV). OCI has no
    // field for it; written as annotation "ringfence.root.flags".
    uint64_t flag_set = 0;
    friend bool operator==(const Root&, const Root&) = default;
  };
  std::optional<Root> root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;

  // linux
  std::vector<Namespace> namespaces;
  std::vector<IdMap> uid_mappings;
  std::vector<IdMap> gid_mappings;
  std::map<std::string, TimeOffset> time_offsets;  // "monotonic", "boottime"
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::optional<Seccomp> seccomp;
  uint64_t rootfs_propagation = 0;  // 0: MS_PRIVATE
  std::string mount_label;          // SELinux's context of the mounts that are made
  // The spawner's interfaces that move into the new network namespace, and their names there.
  std::map<std::string, std::string> net_devices;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::map<std::string, std::string> sysctl;
  std::optional<uint32_t> personality;  // PER_LINUX, PER_LINUX32
  std::optional<MemoryPolicy> memory_policy;
  Hooks hooks;  // carried out only with CompileOptions::hooks
  std::map<std::string, std::string> annotations;
  NetworkPolicy network;  // annotation "ringfence.network"

  std::vector<Unenforced> unenforced;

  [[nodiscard]] bool has(Ns ns) const;
  [[nodiscard]] const Namespace* find(Ns ns) const;
  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace ringfence

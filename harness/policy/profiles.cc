// The built-in profiles; docs/profiles.md is their contents as a table.
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "harness/policy/builtin.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Mount mount(std::string destination, std::string type, std::string source,
            std::vector<std::string> options) {
  Mount m;
  m.destination = std::move(destination);
  m.type = std::move(type);
  m.source = std::move(source);
  m.options = std::move(options);
  parse_mount_options(m);
  return m;
}

Policy base(const char* name) {
  Policy policy;
  policy.name = name;
  policy.args = {"sh"};
  policy.env = {kPath, "TERM=xterm"};
  return policy;
}

std::vector<Namespace> new_namespaces(std::initializer_list<Ns> kinds) {
  std::vector<Namespace> list;
  for (const Ns kind : kinds) list.push_back({kind, {}});
  return list;
}

std::vector<std::string> docker_masked_paths() {
  return {"/proc/acpi",
          "/proc/asound",
          "/proc/interrupts",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/sys/devices/virtual/powercap",
          "/sys/firmware"};
}

std::vector<std::string> docker_readonly_paths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

void drop_option(Policy& policy, const std::string& destination, const std::string& option) {
  for (Mount& m : policy.mounts) {
    if (m.destination != destination) continue;
    std::erase(m.options, option);
    parse_mount_options(m);
  }
}

Policy rootless() {
  Policy policy = docker_default();
  policy.name = "rootless";
  policy.namespaces.push_back({Ns::user, {}});
  policy.uid_mappings = {{0, static_cast<uint32_t>(sys::call(SYS_geteuid)), 1}};
  policy.gid_mappings = {{0, static_cast<uint32_t>(sys::call(SYS_getegid)), 1}};
  policy.sysctl.erase("net.ipv4.ping_group_range");  // nor does dockerd: the groups are not mapped
  // Group 5 (tty) is not in a map of one group, and the host's groups are not the caller's to
  // mount.
  drop_option(policy, "/dev/pts", "gid=5");
  std::erase_if(policy.mounts, [](const Mount& m) { return m.destination == "/sys/fs/cgroup"; });
  return policy;
}

Policy privileged() {
  Policy policy = docker_default();
  policy.name = "privileged";
  const CapSet all = caller_bounding_set();
  policy.capabilities = {all, all, all, CapSet{}, CapSet{}};
  policy.seccomp.reset();
  policy.masked_paths.clear();
  policy.readonly_paths.clear();
  drop_option(policy, "/sys", "ro");
  drop_option(policy, "/sys/fs/cgroup", "ro");
  return policy;
}

Policy none() {
  Policy policy = base("none");
  policy.new_session = false;
  policy.close_descriptors = false;
  policy.set_user = false;
  return policy;
}

bool is_profile(const std::string& name) {
  return std::any_of(profiles().begin(), profiles().end(),
                     [&](const Profile& p) { return p.name == name; });
}

}  // namespace

CapSet caller_bounding_set() {
  CapSet set;
  for (int cap = 0; cap <= kCapLast; ++cap) {
    set.set(cap, sys::call(SYS_prctl, PR_CAPBSET_READ, static_cast<uint64_t>(cap)) == 1);
  }
  return set;
}

Policy docker_default() {
  Policy policy = base("docker-default");
  const CapSet caps = CapSet::of({"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW",
                                  "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
                                  "SYS_CHROOT", "KILL", "AUDIT_WRITE"});
  policy.capabilities = {caps, caps, caps, CapSet{}, CapSet{}};
  policy.root = Policy::Root{};
  policy.mounts = {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/dev/shm", "tmpfs", "shm",
            {"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}),
  };
  policy.namespaces = new_namespaces({Ns::mnt, Ns::net, Ns::uts, Ns::pid, Ns::ipc, Ns::cgroup});
  policy.masked_paths = docker_masked_paths();
  policy.readonly_paths = docker_readonly_paths();
  // dockerd: both are harmless in a network namespace of its own.
  policy.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                   {"net.ipv4.ping_group_range", "0 2147483647"}};
  policy.seccomp = docker_seccomp(caps);
  return policy;
}

Result<Policy> podman_default(const std::string& seccomp_file) {
  Policy policy = base("podman-default");
  const CapSet caps =
      CapSet::of({"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE",
                  "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"});
  struct stat status {};
  const int64_t found =
      sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(seccomp_file.c_str()), sys::arg(&status), 0);
  if (found != 0) {
    return unsupported_error("podman-default needs the containers seccomp profile", seccomp_file,
                             static_cast<int>(-found), "install golang-github-containers-common");
  }
  auto seccomp = read_seccomp_profile(seccomp_file, caps, HostProfile::current());
  if (!seccomp) return tl::unexpected(seccomp.error());
  policy.seccomp = std::move(seccomp->seccomp);
  policy.capabilities = {caps, caps, caps, CapSet{}, CapSet{}};
  policy.user.umask = 022;
  // podman asks for these and takes what its own hard limit lets it have.
  for (Rlimit limit :
       {Rlimit{RLIMIT_NOFILE, 1048576, 1048576}, Rlimit{RLIMIT_NPROC, 32768, 32768}}) {
    rlimit64 own{};
    if (sys::call(SYS_prlimit64, 0, static_cast<uint64_t>(limit.resource), 0, sys::arg(&own)) ==
        0) {
      limit.soft = limit.hard = std::min(limit.hard, uint64_t{own.rlim_max});
    }
    policy.rlimits.push_back(limit);
  }
  policy.root = Policy::Root{};
  policy.mounts = {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs",
            {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/dev/shm", "tmpfs", "shm",
            {"rprivate", "nosuid", "noexec", "nodev", "mode=1777", "size=65536000"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup",
            {"rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
  policy.namespaces = new_namespaces({Ns::pid, Ns::net, Ns::ipc, Ns::uts, Ns::mnt, Ns::cgroup});
  policy.masked_paths = {"/proc/acpi",          "/proc/kcore",      "/proc/keys",
                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                         "/proc/sched_debug",   "/proc/scsi",       "/sys/firmware",
                         "/sys/fs/selinux",     "/sys/dev/block"};
  policy.readonly_paths = {"/proc/asound", "/proc/bus", "/proc/fs",
                           "/proc/irq",    "/proc/sys", "/proc/sysrq-trigger"};
  policy.sysctl = {{"net.ipv4.ping_group_range", "0 0"}};
  policy.resources.pids_limit = 2048;
  policy.resources.devices = {DeviceRule{}};  // all denied, but for what every runtime allows
  return policy;
}

Policy hardened() {
  Policy policy = base("hardened");
  constexpr uint32_t kNobody = 65532;  // no file's owner in any image
  policy.user.uid = kNobody;
  policy.user.gid = kNobody;
  policy.user.umask = 077;
  policy.capabilities = {CapSet{}, CapSet{}, CapSet{}, CapSet{}, CapSet{}};
  policy.no_new_privileges = true;
  policy.rlimits = {
      {RLIMIT_NOFILE, 1024, 1024}, {RLIMIT_NPROC, 512, 512}, {RLIMIT_MEMLOCK, 65536, 65536}};
  policy.root = Policy::Root{};
  policy.root->readonly = true;
  policy.root->flag_set = MS_NOSUID | MS_NODEV;
  policy.mounts = {
      mount("/proc", "proc", "proc", {"nosuid", "nodev", "noexec"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "noexec", "strictatime", "mode=755", "size=64k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "nodev", "noexec", "mode=1777", "size=16m"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "nodev", "noexec"}),
      mount("/sys", "sysfs", "sysfs", {"ro", "nosuid", "nodev", "noexec"}),
      mount("/tmp", "tmpfs", "tmpfs", {"nosuid", "nodev", "noexec", "mode=1777", "size=64m"}),
  };
  policy.namespaces =
      new_namespaces({Ns::pid, Ns::mnt, Ns::net, Ns::uts, Ns::ipc, Ns::user, Ns::cgroup, Ns::time});
  policy.uid_mappings = {{0, 100000, 65536}};
  policy.gid_mappings = {{0, 100000, 65536}};
  policy.time_offsets = {{"monotonic", {1000000, 0}}, {"boottime", {1000000, 0}}};
  policy.resources.pids_limit = 128;
  policy.resources.memory_limit = int64_t{256} << 20;
  policy.masked_paths = docker_masked_paths();
  policy.masked_paths.insert(policy.masked_paths.end(),
                             {"/proc/kallsyms", "/proc/modules", "/proc/slabinfo"});
  policy.readonly_paths = docker_readonly_paths();
  policy.seccomp = hardened_seccomp();
  return policy;
}

const std::vector<Profile>& profiles() {
  static const std::vector<Profile> kProfiles = {
      {"hardened", "everything that ringfence can confine: no privileges, eight namespaces"},
      {"docker-default", "what docker run gives"},
      {"podman-default", "what podman run gives"},
      {"rootless", "docker-default in a user namespace of the caller's own"},
      {"privileged", "docker run --privileged"},
      {"none", "no confinement at all: the control"},
  };
  return kProfiles;
}

Result<Policy> profile(const std::string& name) {
  if (name == "hardened") return hardened();
  if (name == "docker-default") return docker_default();
  if (name == "podman-default") return podman_default(kContainersSeccomp);
  if (name == "rootless") return rootless();
  if (name == "privileged") return privileged();
  if (name == "none") return none();
  std::vector<std::string> names;
  for (const auto& p : profiles()) names.push_back(p.name);
  const std::string near = nearest(name, names);
  std::string hint = near.empty() ? "one of" : "did you mean " + near + "?";
  for (size_t i = 0; near.empty() && i < names.size(); ++i) {
    hint += (i == 0 ? " " : ", ") + names[i];
  }
  return usage_error("unknown profile", name, hint);
}

Result<ReadPolicy> load_policy(const std::string& name_or_file) {
  if (is_profile(name_or_file)) {
    auto policy = profile(name_or_file);
    if (!policy) return tl::unexpected(policy.error());
    return ReadPolicy{std::move(*policy), {}};
  }
  auto read = read_oci_policy(name_or_file);
  if (read || name_or_file.find('/') != std::string::npos) return read;
  // Neither: more likely a profile's name than a file's.
  if (read.error().err == ENOENT) {
    auto unknown = profile(name_or_file);
    Error error = unknown.error();
    error.what = "no such profile or file";
    return tl::unexpected(std::move(error));
  }
  return read;
}

}  // namespace ringfence

#pragma once
// Policies for the tests of this directory, made by hand.
#include <sys/mount.h>
#include <sys/resource.h>

#include "harness/policy/policy.h"

namespace ringfence {

inline Mount test_mount(std::string destination, std::string type, std::string source,
                        std::vector<std::string> options) {
  Mount mount;
  mount.destination = std::move(destination);
  mount.type = std::move(type);
  mount.source = std::move(source);
  mount.options = std::move(options);
  parse_mount_options(mount);
  return mount;
}

// Nothing confined, descriptors included.
inline Policy open_policy() {
  Policy policy;
  policy.name = "open";
  policy.new_session = policy.close_descriptors = policy.set_user = false;
  return policy;
}

// Everything that a spawner can carry out at once. The program is found below /usr of the host.
inline Policy strict_policy() {
  Policy policy;
  policy.name = "strict";
  for (const Ns ns : kAllNs) policy.namespaces.push_back({ns, {}});
  policy.uid_mappings = policy.gid_mappings = {{0, 0, 65536}};
  policy.time_offsets = {{"boottime", {1000, 0}}};
  policy.hostname = "fenced";
  policy.domainname = "fence.test";
  policy.root = Policy::Root{{}, true, MS_NOSUID | MS_NODEV};
  policy.mounts = {
      test_mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      test_mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      test_mount("/dev/pts", "devpts", "devpts",
                 {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}),
      test_mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777"}),
      test_mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      test_mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      test_mount("/tmp", "tmpfs", "tmpfs", {"nosuid", "nodev", "noexec"}),
      test_mount("/bin", "bind", "/bin", {"rbind", "ro", "nosuid", "nodev"}),
      test_mount("/usr", "bind", "/usr", {"rbind", "ro", "nosuid", "nodev"}),
      test_mount("/lib", "bind", "/lib", {"rbind", "ro", "nosuid", "nodev"}),
      test_mount("/lib64", "bind", "/lib64", {"rbind", "ro", "nosuid", "nodev"}),
  };
  policy.masked_paths = {"/proc/timer_list", "/proc/keys", "/proc/scsi", "/sys/firmware",
                         "/proc/not-there"};
  policy.readonly_paths = {"/proc/sys", "/proc/irq", "/proc/not-there"};
  policy.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
  policy.cwd = "/tmp";
  policy.user.uid = policy.user.gid = 1000;
  policy.user.additional_gids = {7, 8};
  policy.user.umask = 027;
  policy.oom_score_adj = 500;
  policy.no_new_privileges = true;
  const CapSet none;
  policy.capabilities = {none, none, none, none, none};
  policy.rlimits = {{RLIMIT_NOFILE, 256, 512}, {RLIMIT_CORE, 0, 0}};
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::allow;
  seccomp.rules = {{{"mkdir", "mkdirat"}, SeccompAction::errno_, 71, {}}};
  policy.seccomp = seccomp;
  return policy;
}

}  // namespace ringfence

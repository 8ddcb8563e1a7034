// /proc and /sys: masked and read-only paths, cgroup and time views.
// Sources: proc(5), runtime-spec config-linux.md "Masked Paths" and "Readonly Paths".
#include <sys/mount.h>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

// `outside`: every container runtime masks it, so a given policy is judged by it. `roots`: only
// root of the initial user namespace can read it without a mask.
struct Hidden {
  const char* path;
  bool directory;
  bool outside;
  bool roots = false;
};
constexpr std::array kMasked = {
    Hidden{"/proc/acpi", true, true},
    Hidden{"/proc/asound", true, true},
    Hidden{"/proc/kcore", false, true, true},
    Hidden{"/proc/keys", false, true},
    Hidden{"/proc/latency_stats", false, true, true},
    Hidden{"/proc/timer_list", false, true, true},
    Hidden{"/proc/timer_stats", false, true, true},
    Hidden{"/proc/sched_debug", false, true},
    Hidden{"/proc/scsi", true, true},
    Hidden{"/sys/firmware", true, true},
    Hidden{"/sys/devices/virtual/powercap", true, false, true},
    Hidden{"/proc/interrupts", false, false},
    Hidden{"/proc/kallsyms", false, false},
    Hidden{"/proc/modules", false, false},
    Hidden{"/proc/slabinfo", false, false, true},
};
constexpr std::array kReadOnly = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                  "/proc/sysrq-trigger"};

// Single files below the read-only paths that have ended badly in the field.
struct Knob {
  const char* id;
  const char* path;
  const char* under;  // the read-only path or mount
  const char* source;
};
constexpr std::array kKnobs = {
    Knob{"proc.core_pattern", "/proc/sys/kernel/core_pattern", "/proc/sys", "core(5)"},
    Knob{"proc.modprobe_path", "/proc/sys/kernel/modprobe", "/proc/sys", "proc(5)"},
    Knob{"proc.sysctl_global", "/proc/sys/fs/file-max", "/proc/sys", "sysctl(2)"},
    Knob{"proc.binfmt_misc", "/proc/sys/fs/binfmt_misc/register", "/proc/sys", "binfmt_misc"},
    Knob{"proc.uevent_helper", "/sys/kernel/uevent_helper", "/sys", "sysfs(5)"},
};

Policy with_proc_and_sys(bool sys_readonly) {
  Policy policy = in_root({{"proc", "/proc"}});
  policy.namespaces.push_back({Ns::pid, ""});
  policy.namespaces.push_back({Ns::net, ""});  // sysfs belongs to a network namespace
  Mount sys;
  sys.type = sys.source = "sysfs";
  sys.destination = "/sys";
  if (sys_readonly) sys.options = {"ro"};
  parse_mount_options(sys);
  policy.mounts.push_back(std::move(sys));
  return policy;
}

}  // namespace

std::vector<Case> proc_cases() {
  std::vector<Case> cases;
  for (const Hidden& hidden : kMasked) {
    const std::string path = hidden.path;
    Case c;
    c.id = "proc.masked." + id_of_path(path);
    c.title = "read the masked path " + path;
    c.source = "runtime-spec config-linux.md, Masked Paths";
    c.expected = Layer::kMask;
    c.policy = with_proc_and_sys(false);
    c.policy.masked_paths = {path};
    c.attempt = {hidden.directory ? "read_below" : "read_file", {path}};
    c.goal = {Sight::holds_proc_file, path + (hidden.directory ? "/*" : "")};
    c.proofs = {{Sight::mount_covers, path}};
    c.contained = true;  // what covers it can be read
    c.liveness = {"read_file", {"/proc/uptime"}};
    c.needs = {(hidden.directory ? "nonempty:" : "path:") + path};
    if (hidden.roots) c.needs.emplace_back("root");
    c.outside = hidden.outside;
    c.step = "mount.mask:" + path;
    cases.push_back(std::move(c));
  }
  for (const std::string path : kReadOnly) {
    Case c;
    c.id = "proc.readonly." + id_of_path(path);
    c.title = "open something below the read-only path " + path + " for writing";
    c.source = "runtime-spec config-linux.md, Readonly Paths";
    c.expected = Layer::kReadOnly;
    c.policy = with_proc_and_sys(false);
    c.policy.readonly_paths = {path};
    const bool file = path == "/proc/sysrq-trigger";
    c.attempt = {file ? "open_write" : "open_write_below", {path}};
    c.goal = {Sight::holds_proc_file, path + (file ? "" : "/*"), 1};
    c.proofs = {{Sight::mount_has, path, MS_RDONLY}};
    c.liveness = {"read_file", {"/proc/uptime"}};
    c.needs = {"root", (file ? "path:" : "writable_below:") + path};
    c.outside = true;
    c.step = "mount.ro:" + path;
    cases.push_back(std::move(c));
  }
  for (const Knob& knob : kKnobs) {
    Case c;
    c.id = knob.id;
    // The full act would change the kernel, and belongs in a disposable one: here the goal is the
    // open for writing, and nothing is written.
    c.title = std::string("open ") + knob.path + " for writing";
    c.source = knob.source;
    c.expected = Layer::kReadOnly;
    const bool sys = std::string_view(knob.under) == "/sys";
    c.policy = with_proc_and_sys(sys);
    if (!sys) c.policy.readonly_paths = {knob.under};
    c.attempt = {"open_write", {knob.path}};
    c.goal = {Sight::holds_proc_file, knob.path, 1};
    c.proofs = {{Sight::mount_has, knob.under, MS_RDONLY}};
    c.liveness = {"read_file", {"/proc/uptime"}};
    c.needs = {"root", std::string("path:") + knob.path};
    c.outside = true;
    c.step = std::string("mount.ro:") + knob.under;
    cases.push_back(std::move(c));
  }

  Case sys;
  sys.id = "proc.sys_readonly";
  sys.title = "open something below the read-only /sys for writing";
  sys.source = "sysfs(5)";
  sys.expected = Layer::kReadOnly;
  sys.policy = with_proc_and_sys(true);
  sys.attempt = {"open_write_below", {"/sys/kernel"}};
  sys.goal = {Sight::holds_proc_file, "/sys/kernel/*", 1};
  sys.proofs = {{Sight::mount_has, "/sys", MS_RDONLY}};
  sys.liveness = {"read_file", {"/proc/uptime"}};
  sys.needs = {"root"};
  sys.outside = true;
  sys.step = "mount.ro:/sys";
  cases.push_back(std::move(sys));

  Case cgroup;
  cgroup.id = "cgroup.see_host";
  cgroup.title = "learn the host's path of its own control group";
  cgroup.source = "cgroup_namespaces(7)";
  cgroup.expected = Layer::kCgroupNs;
  cgroup.policy = in_namespaces({Ns::cgroup});
  cgroup.attempt = {"read_file", {"/proc/self/cgroup"}};
  cgroup.goal = {Sight::secret_returned};
  cgroup.proofs = {{Sight::ns_differs, "cgroup"}};
  cgroup.liveness = {"read_file", {"/proc/self/cgroup"}};
  cgroup.needs = {"cgroup.pids"};
  cgroup.contained = true;
  cgroup.outside = true;
  cgroup.step = "ns.cgroup";
  cases.push_back(std::move(cgroup));

  Case time;
  time.id = "time.see_boottime";
  time.title = "learn how long the host has been up";
  time.source = "time_namespaces(7)";
  time.expected = Layer::kTime;
  time.policy = in_namespaces({Ns::time});
  time.policy.time_offsets = {{"boottime", {1000000, 0}}, {"monotonic", {1000000, 0}}};
  time.attempt = {"clock", {"BOOTTIME"}};
  time.goal = {Sight::boottime_known};
  time.proofs = {{Sight::ns_differs, "time"}};
  time.liveness = {"clock", {"MONOTONIC"}};
  time.contained = true;
  time.needs = {"timens"};
  time.step = "ns.time";
  cases.push_back(std::move(time));
  return cases;
}

}  // namespace ringfence::suites

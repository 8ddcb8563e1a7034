#include "harness/base/facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>

#include "harness/base/facts_probe.h"
#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace facts_detail {

const std::vector<Entry>& table() {
  constexpr std::string_view kPriv = "privileges", kNs = "namespaces", kCg = "cgroups",
                             kSec = "seccomp", kCaps = "capabilities", kKernel = "kernel features",
                             kVirt = "virtualization", kMachine = "machine", kHost = "host-lacks",
                             kNeeds = "needs";
  constexpr std::string_view kCgHint =
      "mount the cgroup hierarchy writable, or have the controller delegated (Delegate=yes; by "
      "hand "
      "through cgroup.subtree_control)";
  constexpr std::string_view kOld =
      "boot a newer kernel, or leave the sandbox whose filter hides it";
  static const std::vector<Entry> entries = {
      {"root", kPriv, probe_root, kNeeds, "run as root of the host (sudo)"},
      {"subuid", kPriv, probe_subuid, kNeeds,
       "install uidmap and give the user ranges in /etc/subuid and /etc/subgid"},
      {"open_files", kPriv, probe_open_files, kHost, "", true},
      {"memlock", kPriv, probe_memlock, kHost, "", true},

      {"userns", kNs, probe_userns, kHost,
       "allow user namespaces: user.max_user_namespaces > 0, kernel.unprivileged_userns_clone = 1, "
       "kernel.apparmor_restrict_unprivileged_userns = 0; not inside a chroot, where the kernel "
       "refuses them"},
      {"pidns", kNs, probe_namespace<CLONE_NEWPID>, kHost, "needs CONFIG_PID_NS"},
      {"mntns", kNs, probe_namespace<CLONE_NEWNS>, kHost, "run as root or allow user namespaces"},
      {"netns", kNs, probe_namespace<CLONE_NEWNET>, kHost, "needs CONFIG_NET_NS"},
      {"utsns", kNs, probe_namespace<CLONE_NEWUTS>, kHost, "needs CONFIG_UTS_NS"},
      {"ipcns", kNs, probe_namespace<CLONE_NEWIPC>, kHost, "needs CONFIG_IPC_NS"},
      {"cgroupns", kNs, probe_namespace<CLONE_NEWCGROUP>, kHost, "needs CONFIG_CGROUPS"},
      {"timens", kNs, probe_namespace<0x80>, kHost, "needs CONFIG_TIME_NS"},  // CLONE_NEWTIME

      {"cgroup2", kCg, probe_cgroup2, kNeeds, kCgHint},
      {"cgroup.pids", kCg, probe_cgroup_pids, kNeeds, kCgHint},
      {"cgroup.memory", kCg, probe_cgroup_memory, kNeeds, kCgHint},
      {"cgroup.cpu", kCg, probe_cgroup_cpu, kNeeds, kCgHint},
      {"cgroup.cpuset", kCg, probe_cgroup_cpuset, kNeeds, kCgHint},
      {"cgroup.io", kCg, probe_cgroup_io, kNeeds, kCgHint},
      {"cgroup.hugetlb", kCg, probe_cgroup_hugetlb, kNeeds, kCgHint},
      {"cgroup.freezer", kCg, probe_cgroup_freezer, kNeeds, kCgHint},
      {"cgroup.devices", kCg, probe_cgroup_devices, kNeeds, kCgHint},

      {"seccomp", kSec, probe_seccomp, kHost, "needs CONFIG_SECCOMP_FILTER"},
      {"seccomp_notify", kSec, probe_seccomp_notify, kHost,
       "a supervisor above us may hold the one listener"},
      {"i386", kSec, probe_i386, kHost, "needs CONFIG_IA32_EMULATION (boot with ia32_emulation=1)"},
      {"x32", kSec, probe_x32, kHost, "needs CONFIG_X86_X32_ABI (boot with syscall.x32=y)"},
      {"vsyscall", kSec, probe_vsyscall, kHost, "boot with vsyscall=xonly"},

      {"capabilities", kCaps, probe_capabilities, kHost, "", true},

      {"clone3", kKernel, probe_clone3, kHost, kOld},
      {"pidfd", kKernel, probe_pidfd, kHost, kOld},
      {"openat2", kKernel, probe_openat2, kHost, kOld},
      {"mount_setattr", kKernel, probe_mount_setattr, kHost, kOld},
      {"close_range", kKernel, probe_close_range, kHost, kOld},
      {"bpf", kKernel, probe_bpf, kHost,
       "run as root, with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS"},
      {"btf", kKernel, probe_btf, kHost, "needs CONFIG_DEBUG_INFO_BTF"},
      {"landlock", kKernel, probe_landlock, kHost, "boot with landlock in the lsm= list"},
      {"io_uring", kKernel, probe_io_uring, kHost, "set kernel.io_uring_disabled = 0"},
      {"userfaultfd", kKernel, probe_userfaultfd, kHost, "needs CONFIG_USERFAULTFD"},
      {"perf", kKernel, probe_perf, kHost, "needs CONFIG_PERF_EVENTS"},
      {"vsock", kKernel, probe_vsock, kHost, "modprobe vsock"},
      {"veth", kKernel, probe_veth, kHost, "modprobe veth"},
      {"bridge", kKernel, probe_bridge, kHost, "modprobe bridge"},
      {"tc_bpf", kKernel, probe_tc_bpf, kHost, "modprobe sch_ingress; modprobe cls_bpf"},
      {"nf_tables", kKernel, probe_nf_tables, kHost, "modprobe nf_tables"},
      {"keys", kKernel, probe_keys, kHost, "needs CONFIG_KEYS"},
      {"legacy_tiocsti", kKernel, probe_tiocsti, kHost,
       "dev.tty.legacy_tiocsti = 1 opens it, for the cases about terminals only"},
      {"idmap.tmpfs", kKernel, probe_idmap_tmpfs, kHost,
       "id-mapped mounts of tmpfs came with Linux 6.3"},
      {"overlay", kKernel, probe_overlay, kHost, "modprobe overlay"},
      {"mqueue", kKernel, probe_mqueue, kHost, "needs CONFIG_POSIX_MQUEUE"},
      {"sysvipc", kKernel, probe_sysvipc, kHost, "needs CONFIG_SYSVIPC"},
      {"yama", kKernel, probe_yama, kHost, "boot with yama in the lsm= list"},

      {"kvm", kVirt, probe_kvm, kHost,
       "load kvm_intel or kvm_amd; in a VM, turn nested virtualization on; join the group kvm"},
      {"hw_virt", kVirt, probe_hw_virt, kHost,
       "turn virtualization on in the firmware, or nested virtualization in the hypervisor"},
      {"hypervisor", kVirt, probe_hypervisor, kHost, "", true},

      {"kernel", kMachine, probe_kernel, kHost, "", true},
      {"kernel_config", kMachine, probe_kernel_config, kHost, "", true},
      {"lsms", kMachine, probe_lsms, kHost, "mount -t securityfs none /sys/kernel/security", true},
      {"cpu", kMachine, probe_cpu, kHost, "", true},
      {"cpus", kMachine, probe_cpus, kHost, "", true},
      {"memory", kMachine, probe_memory, kHost, "", true},
  };
  return entries;
}

namespace {

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The first regular file below a directory that opens for writing; as deep and as far as the inmate
// looks (probes/inmate/walk.h).
std::string first_writable(const std::string& directory) {
  constexpr int kDepth = 4, kEntries = 500;
  std::error_code failed;
  int entries = 0;
  for (std::filesystem::recursive_directory_iterator
           at(directory, std::filesystem::directory_options::skip_permission_denied, failed),
       end;
       !failed && at != end && ++entries < kEntries; at.increment(failed)) {
    if (at.depth() + 1 >= kDepth) at.disable_recursion_pending();
    if (!at->is_regular_file(failed) || at->is_symlink(failed)) continue;
    const std::string path = at->path();
    if (sys::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)) return path;
  }
  return {};
}

// Requirements with a parameter; false for a word that is none.
bool answer_parameterized(std::string_view word, Answer& answer, std::string& hint) {
  bool known = true;
  if (take_prefix(word, "cap:")) {
    hint = "run with the capability in the effective set";
    answer = has_capability(word, known);
  } else if (take_prefix(word, "path:")) {
    known = !word.empty() && word[0] == '/';
    const std::string path(word);
    const int64_t r = sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path.c_str()), F_OK);
    answer = r == 0 ? yes(path) : no(static_cast<int>(-r), path);
  } else if (take_prefix(word, "nonempty:")) {
    known = !word.empty() && word[0] == '/';
    const std::string path(word);
    const auto names = list_directory(path);
    answer = !names ? no(names.error().err, path) : names->empty() ? no(ENOENT, path) : yes(path);
  } else if (take_prefix(word, "writable_below:")) {
    known = !word.empty() && word[0] == '/';
    const std::string path = first_writable(std::string(word));
    answer = path.empty() ? no(ENOENT, std::string(word)) : yes(path);
  } else if (take_prefix(word, "lsm:")) {
    known = !word.empty();
    hint = "boot with it in the lsm= list";
    answer = has_lsm(word);
  } else if (take_prefix(word, "config:")) {
    known = !word.empty();
    hint = "boot a kernel that was built with it";
    answer = has_config(word);
  } else if (take_prefix(word, "cgroup:")) {
    hint = "a cgroup hierarchy with this file, handed down to where groups are made";
    answer = has_cgroup_file(word, known);
  } else if (take_prefix(word, "landlock:")) {
    hint = "boot a newer kernel, with landlock in the lsm= list";
    answer = has_landlock(word, known);
  } else if (take_prefix(word, "kernel>=")) {
    hint = "boot a newer kernel";
    answer = kernel_at_least(word, known);
  } else {
    return false;
  }
  return known;
}

}  // namespace
}  // namespace facts_detail

struct Facts::State {
  std::recursive_mutex mutex;  // a probe may ask for another fact
  std::map<std::string, Fact, std::less<>> known;
};

Facts Facts::probe() {
  Facts facts;
  facts.state_ = std::make_shared<State>();
  return facts;
}

const Fact* Facts::find(std::string_view requirement) const {
  using namespace facts_detail;
  const std::lock_guard lock(state_->mutex);
  if (const auto it = state_->known.find(requirement); it != state_->known.end()) {
    return &it->second;
  }
  Fact fact;
  fact.name = std::string(requirement);
  Answer answer;
  std::string_view lacks = "host-lacks";
  const Entry* entry = nullptr;
  for (const Entry& e : table()) {
    if (e.name == requirement) entry = &e;
  }
  if (entry != nullptr) {
    answer = entry->probe(*this);
    lacks = entry->lacks;
    fact.hint = std::string(entry->hint);
    fact.group = std::string(entry->group);
    fact.info = entry->info;
  } else if (!answer_parameterized(requirement, answer, fact.hint)) {
    return nullptr;
  }
  fact.available = answer.available;
  fact.detail = std::move(answer.detail);
  if (fact.available) {
    fact.hint.clear();
  } else if (!answer.reason.empty()) {
    fact.reason = std::move(answer.reason);
  } else if ((answer.err == EPERM || answer.err == EACCES) && requirement != "root" &&
             !satisfied("root")) {
    fact.reason = "needs:root";
  } else {
    fact.reason = fmt::format("{}:{}", lacks, requirement);
  }
  return &state_->known.emplace(std::string(requirement), std::move(fact)).first->second;
}

bool Facts::satisfied(std::string_view requirement) const {
  const Fact* fact = find(requirement);
  return fact != nullptr && fact->available;
}

std::string Facts::why_not(std::string_view requirement) const {
  const Fact* fact = find(requirement);
  if (fact == nullptr) return fmt::format("unknown:{}", requirement);
  return fact->available ? std::string() : fact->reason;
}

std::vector<std::string> Facts::names() {
  std::vector<std::string> names;
  for (const auto& entry : facts_detail::table()) names.emplace_back(entry.name);
  return names;
}

std::vector<const Fact*> Facts::all() const {
  std::vector<const Fact*> facts;
  for (const auto& entry : facts_detail::table()) facts.push_back(find(entry.name));
  return facts;
}

std::map<std::string, std::string> Facts::summary() const {
  std::map<std::string, std::string> summary;
  for (const Fact* fact : all()) {
    std::string text = fact->available ? "yes" : "no: " + fact->reason;
    if (!fact->detail.empty()) text += ": " + fact->detail;
    summary.emplace(fact->name, std::move(text));
  }
  return summary;
}

Status check_requirement(const Facts& facts, std::string_view requirement) {
  if (facts.find(requirement) != nullptr) return {};
  const std::string near = nearest(requirement, Facts::names());
  return usage_error("requirement", std::string(requirement),
                     near.empty() ? "see `ringfence doctor` for the names; also cap:NAME, "
                                    "path:/FILE, nonempty:/DIR, writable_below:/DIR, cgroup:FILE, "
                                    "lsm:NAME, config:NAME, landlock:ABI, kernel>=VERSION"
                                  : fmt::format("did you mean {}?", near));
}

}  // namespace ringfence

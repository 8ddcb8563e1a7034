// The machine itself: privileges, kernel configuration, processor, hypervisor.
#include <cpuid.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>

#include "harness/base/facts_probe.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"

namespace ringfence::facts_detail {
namespace {

constexpr long kLsmListModules = 461;  // Linux 6.8
// The initial user namespace's inode, PROC_USER_INIT_INO in include/linux/proc_ns.h.
constexpr std::string_view kInitialUserNs = "user:[4026531837]";

// LSM_ID_* of uapi/linux/lsm.h.
struct LsmName {
  uint64_t id;
  std::string_view name;
};
constexpr std::array kLsms = {
    LsmName{100, "capability"}, LsmName{101, "selinux"},   LsmName{102, "smack"},
    LsmName{103, "tomoyo"},     LsmName{104, "apparmor"},  LsmName{105, "yama"},
    LsmName{106, "loadpin"},    LsmName{107, "safesetid"}, LsmName{108, "lockdown"},
    LsmName{109, "bpf"},        LsmName{110, "landlock"},  LsmName{111, "ima"},
    LsmName{112, "evm"},        LsmName{113, "ipe"},
};

std::string release() {
  utsname name{};
  if (sys::call(SYS_uname, sys::arg(&name)) < 0) return {};
  return name.release;
}

uint64_t effective_capabilities() {
  const auto status = read_file("/proc/self/status");
  uint64_t mask = 0;
  if (status) {
    const std::string_view hex = field(*status, "CapEff");
    std::from_chars(hex.data(), hex.data() + hex.size(), mask, 16);
  }
  return mask;
}

std::string in_units(uint64_t bytes) {
  if (bytes == RLIM_INFINITY) return "unlimited";
  constexpr uint64_t kMiB = 1 << 20;
  if (bytes >= 1024 * kMiB) return fmt::format("{:.1f} GiB", double(bytes) / (1024.0 * kMiB));
  if (bytes >= kMiB) return fmt::format("{} MiB", bytes / kMiB);
  return fmt::format("{} KiB", bytes / 1024);
}

Result<rlimit> limit_of(int resource) {
  rlimit limit{};
  const int64_t r = sys::call(SYS_prlimit64, 0, resource, 0, sys::arg(&limit));
  if (r < 0) return system_error("prlimit64", {}, static_cast<int>(-r));
  return limit;
}

std::string gunzip(const std::string& packed) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return {};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string text;
  std::array<char, 65536> chunk;
  int state = Z_OK;
  while (state == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = chunk.size();
    state = inflate(&stream, Z_NO_FLUSH);
    text.append(chunk.data(), chunk.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return state == Z_STREAM_END ? text : std::string();
}

struct KernelConfig {
  std::string from;
  std::string text;
};
const KernelConfig& kernel_config() {
  // Half a megabyte that cannot change while the machine is up.
  static const KernelConfig config = [] {
    if (const auto packed = read_file("/proc/config.gz")) {
      if (std::string text = gunzip(*packed); !text.empty()) {
        return KernelConfig{"/proc/config.gz", std::move(text)};
      }
    }
    const std::string path = "/boot/config-" + release();
    if (auto text = read_file(path)) return KernelConfig{path, std::move(*text)};
    return KernelConfig{};
  }();
  return config;
}

std::string dmi(const char* name) {
  const auto text = read_file(std::string("/sys/class/dmi/id/") + name);
  return text ? std::string(trim(*text)) : std::string();
}

std::string user_name(uid_t uid) {
  const auto passwd = read_file("/etc/passwd");
  if (!passwd) return {};
  for (const std::string_view line : split(*passwd, '\n')) {
    const size_t name_end = line.find(':');
    const size_t word_end = name_end == line.npos ? line.npos : line.find(':', name_end + 1);
    if (word_end == line.npos) continue;
    const std::string_view rest = line.substr(word_end + 1);
    uid_t id = 0;
    const auto [end, err] = std::from_chars(rest.data(), rest.data() + rest.size(), id);
    if (err == std::errc() && id == uid) return std::string(line.substr(0, name_end));
  }
  return {};
}

std::string program(std::string_view name) {
  const char* path = getenv("PATH");
  const std::string_view directories = path != nullptr ? path : "/usr/bin:/bin";
  for (const std::string_view directory : split(directories, ':')) {
    std::string file = fmt::format("{}/{}", directory, name);
    if (sys::call(SYS_faccessat, AT_FDCWD, sys::arg(file.c_str()), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace

std::string_view field(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.substr(0, key.size()) != key) continue;
    const std::string_view rest = trim(line.substr(key.size()));
    if (!rest.empty() && rest[0] == ':') return trim(rest.substr(1));
  }
  return {};
}

Answer probe_root(const Facts&) {
  const bool admin = (effective_capabilities() >> CAP_SYS_ADMIN & 1) != 0;
  const auto ns = read_link("/proc/self/ns/user");
  if (!admin) return {false, fmt::format("uid {} without CAP_SYS_ADMIN", geteuid()), EPERM};
  if (!ns) return no(ns.error().err, "/proc/self/ns/user");
  if (*ns != kInitialUserNs) return {false, "root of a user namespace only, " + *ns, EPERM};
  return yes("CAP_SYS_ADMIN in the initial user namespace");
}

Answer probe_capabilities(const Facts&) {
  const uint64_t mask = effective_capabilities();
  std::string missing;
  int have = 0;
  for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) {
    if ((mask >> cap & 1) != 0) {
      ++have;
      continue;
    }
    char* name = cap_to_name(cap);
    missing += fmt::format("{}{}", missing.empty() ? "" : " ", name != nullptr ? name : "?");
    cap_free(name);
  }
  std::string detail = fmt::format("{} of {} effective", have, CAP_LAST_CAP + 1);
  if (have == 0) missing = "all";
  if (!missing.empty()) detail += ", missing: " + missing;
  return yes(std::move(detail));
}

Answer has_capability(std::string_view name, bool& known) {
  std::string lower(name.substr(0, 4) == "CAP_" || name.substr(0, 4) == "cap_" ? name.substr(4)
                                                                               : name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  cap_value_t cap = 0;
  // cap_from_name also reads numbers, which are no names.
  known = !lower.empty() && lower[0] >= 'a' && lower[0] <= 'z' &&
          cap_from_name(("cap_" + lower).c_str(), &cap) == 0;
  if (!known) return {};
  if ((effective_capabilities() >> cap & 1) != 0) return yes("effective");
  return {false, "not in the effective set", EPERM, "host-lacks:cap_" + lower};
}

Answer probe_subuid(const Facts&) {
  for (const char* helper : {"newuidmap", "newgidmap"}) {
    if (program(helper).empty()) return {false, fmt::format("no {} in PATH", helper), ENOENT};
  }
  const std::string name = user_name(geteuid());
  const std::string number = std::to_string(geteuid());
  std::string range;
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) {
    const auto text = read_file(file);
    range.clear();
    for (const std::string_view line :
         split(text ? std::string_view(*text) : std::string_view(), '\n')) {
      const std::string_view owner = line.substr(0, line.find(':'));
      if (owner == number || (!name.empty() && owner == name)) range = std::string(line);
    }
    if (range.empty()) {
      return {false, fmt::format("no range for {} in {}", name.empty() ? number : name, file),
              ENOENT};
    }
  }
  return yes(range);
}

Answer probe_yama(const Facts&) {
  const auto scope = read_file("/proc/sys/kernel/yama/ptrace_scope");
  if (!scope) return no(scope.error().err, "/proc/sys/kernel/yama/ptrace_scope");
  return yes(fmt::format("ptrace_scope {}", trim(*scope)));
}

std::vector<std::string> active_lsms() {
  std::vector<std::string> active;
  std::array<uint64_t, 64> ids{};
  uint32_t size = sizeof ids;
  const int64_t count = sys::call(kLsmListModules, sys::arg(ids.data()), sys::arg(&size), 0);
  if (count >= 0) {
    for (int64_t i = 0; i < count; ++i) {
      const auto* known = std::find_if(kLsms.begin(), kLsms.end(),
                                       [&](const LsmName& l) { return l.id == ids.at(i); });
      active.push_back(known != kLsms.end() ? std::string(known->name)
                                            : fmt::format("lsm{}", ids.at(i)));
    }
    return active;
  }
  const auto text = read_file("/sys/kernel/security/lsm");
  for (const std::string_view name : split(text ? trim(*text) : std::string_view(), ',')) {
    active.emplace_back(name);
  }
  return active;
}

Answer probe_lsms(const Facts&) {
  const auto active = active_lsms();
  if (active.empty()) return {false, "neither lsm_list_modules nor securityfs answers", ENOENT};
  return yes(fmt::format("{}", fmt::join(active, ", ")));
}

Answer has_lsm(std::string_view name) {
  const auto active = active_lsms();
  if (std::find(active.begin(), active.end(), name) != active.end()) return yes("active");
  return {false, fmt::format("active: {}", fmt::join(active, ", ")), ENOENT};
}

bool release_at_least(std::string_view have, std::string_view want) {
  const auto number = [](std::string_view& text) {
    unsigned value = 0;
    const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.empty() && text[0] == '.') {
      text.remove_prefix(1);
    } else {
      text = {};  // "-rc1", "-cloud-amd64": no number of the version
    }
    return value;
  };
  while (!want.empty()) {
    const unsigned a = number(have);
    const unsigned b = number(want);
    if (a != b) return a > b;
  }
  return true;
}

Answer kernel_at_least(std::string_view version, bool& known) {
  // Numbers of more digits are none that a release has, and would not fit.
  const auto parts = split(version, '.');
  known = !version.empty() && version.find_first_not_of("0123456789.") == version.npos &&
          version[0] != '.' &&
          std::none_of(parts.begin(), parts.end(), [](auto part) { return part.size() > 6; });
  if (!known) return {};
  const std::string have = release();
  if (release_at_least(have, version)) return yes(have);
  return {false, have, 0, fmt::format("kernel<{}", version)};
}

Answer probe_kernel(const Facts&) {
  utsname name{};
  if (const int64_t r = sys::call(SYS_uname, sys::arg(&name)); r < 0) {
    return no(static_cast<int>(-r), "uname");
  }
  return yes(fmt::format("{} {} {}", name.sysname, name.release, name.machine));
}

std::string config_value(std::string_view text, std::string_view name) {
  const std::string key = fmt::format("CONFIG_{}=", name);
  for (const std::string_view line : split(text, '\n')) {
    if (line.substr(0, key.size()) == key) return std::string(line.substr(key.size()));
  }
  return {};
}

Answer probe_kernel_config(const Facts&) {
  const KernelConfig& config = kernel_config();
  if (config.text.empty()) return {false, "neither /proc/config.gz nor /boot/config-*", ENOENT};
  std::string off;
  for (const char* name : {"USER_NS", "SECCOMP_FILTER", "CGROUP_PIDS", "MEMCG", "BPF_SYSCALL",
                           "BPF_LSM", "KPROBES", "SECURITY_LANDLOCK", "OVERLAY_FS", "IO_URING"}) {
    if (config_value(config.text, name).empty()) off += fmt::format(" {}", name);
  }
  return yes(config.from + (off.empty() ? "" : ", not set:" + off));
}

Answer has_config(std::string_view name) {
  const KernelConfig& config = kernel_config();
  if (name.substr(0, 7) == "CONFIG_") name.remove_prefix(7);
  if (config.text.empty()) {
    return {false, "neither /proc/config.gz nor /boot/config-*", ENOENT, "needs:kernel_config"};
  }
  std::string value = config_value(config.text, name);
  if (value.empty()) return {false, "not set in " + config.from, ENOENT};
  return yes(std::move(value));
}

Answer probe_cpu(const Facts&) {
  const auto info = read_file("/proc/cpuinfo");
  if (!info) return no(info.error().err, "/proc/cpuinfo");
  return yes(std::string(field(*info, "model name")));
}

Answer probe_cpus(const Facts&) {
  std::array<uint64_t, 128> mask{};  // 8192 CPUs, what the largest kernels are built for
  const int64_t bytes = sys::call(SYS_sched_getaffinity, 0, sizeof mask, sys::arg(mask.data()));
  if (bytes < 0) return no(static_cast<int>(-bytes), "sched_getaffinity");
  int count = 0;
  for (const uint64_t word : mask) count += __builtin_popcountll(word);
  return yes(fmt::format("{} usable", count));
}

Answer probe_memory(const Facts&) {
  struct sysinfo info {};
  if (const int64_t r = sys::call(SYS_sysinfo, sys::arg(&info)); r < 0) {
    return no(static_cast<int>(-r), "sysinfo");
  }
  const uint64_t unit = info.mem_unit;
  return yes(fmt::format("{}, swap {}", in_units(info.totalram * unit),
                         info.totalswap == 0 ? "none" : in_units(info.totalswap * unit)));
}

Answer probe_open_files(const Facts&) {
  const auto limit = limit_of(RLIMIT_NOFILE);
  if (!limit) return no(limit.error().err, "prlimit64");
  return yes(fmt::format("soft {}, hard {}", limit->rlim_cur, limit->rlim_max));
}

Answer probe_memlock(const Facts&) {
  const auto limit = limit_of(RLIMIT_MEMLOCK);
  if (!limit) return no(limit.error().err, "prlimit64");
  return yes(fmt::format("soft {}, hard {}", in_units(limit->rlim_cur), in_units(limit->rlim_max)));
}

std::string hypervisor_words(std::string_view signature) {
  struct Known {
    std::string_view signature, words;
  };
  // Type 1 runs on the hardware itself, type 2 as a part or program of a host's operating system.
  static constexpr std::array kKnown = {
      Known{"KVMKVMKVM",
            "KVM (type 2 by where it lives, in a Linux host; its core runs in the "
            "host's kernel, so some say type 1)"},
      Known{"Linux KVM Hv", "KVM with Hyper-V enlightenments (type 2, in a Linux host)"},
      Known{"Microsoft Hv", "Microsoft Hyper-V (type 1)"},
      Known{"VMwareVMware", "VMware (ESXi is type 1, Workstation and Fusion type 2)"},
      Known{"XenVMMXenVMM", "Xen (type 1)"},
      Known{"TCGTCGTCGTCG", "QEMU's TCG (no hypervisor: emulation in a process)"},
      Known{"VBoxVBoxVBox", "VirtualBox (type 2)"},
      Known{"bhyve bhyve ", "bhyve (type 2, in FreeBSD's kernel)"},
      Known{" lrpepyh  vr", "Parallels (type 2)"},
      Known{"prl hyperv  ", "Parallels (type 2)"},
      Known{"ACRNACRNACRN", "ACRN (type 1)"},
      Known{"QNXQVMBSQG", "QNX hypervisor (type 1)"},
      Known{"Jailhouse", "Jailhouse (type 1, partitions)"},
  };
  const size_t end = signature.find('\0');
  const std::string_view plain = signature.substr(0, end);
  for (const Known& known : kKnown) {
    if (plain == known.signature) return std::string(known.words);
  }
  return fmt::format("unknown, signature \"{}\"", plain);
}

Answer probe_hypervisor(const Facts&) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid(1, a, b, c, d);
  constexpr unsigned kHypervisorBit = 31;  // CPUID.1:ECX, always 0 on hardware
  std::string detail = "none: CPUID shows the hardware";
  if ((c >> kHypervisorBit & 1) != 0) {
    __cpuid(0x40000000, a, b, c, d);
    std::array<char, 12> signature;
    std::memcpy(signature.data(), &b, 4);
    std::memcpy(signature.data() + 4, &c, 4);
    std::memcpy(signature.data() + 8, &d, 4);
    detail = hypervisor_words({signature.data(), signature.size()});
  }
  const std::string vendor = dmi("sys_vendor");
  const std::string product = dmi("product_name");
  if (!vendor.empty() || !product.empty()) {
    detail += fmt::format("; DMI: {} {}", vendor, product);
  } else {
    detail += "; no DMI names";
  }
  return yes(std::move(detail));
}

Answer probe_hw_virt(const Facts&) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid(1, a, b, c, d);
  if ((c >> 5 & 1) != 0) return yes("VT-x (VMX in CPUID)");
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0 && (c >> 2 & 1) != 0) {
    return yes("AMD-V (SVM in CPUID)");
  }
  return {false, "neither VMX nor SVM in CPUID", 0};
}

Answer probe_kvm(const Facts&) {
  auto kvm = sys::open("/dev/kvm", O_RDWR);
  if (!kvm) return no(kvm.error().err, "/dev/kvm");
  const int64_t version = sys::call(SYS_ioctl, kvm->get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION) {
    return {false, fmt::format("KVM_GET_API_VERSION answers {}", version), 0};
  }
  std::string detail = fmt::format("API {}", version);
  struct Extension {
    int number;
    std::string_view name;
  };
  for (const Extension& e :
       {Extension{KVM_CAP_IRQCHIP, "irqchip"}, Extension{KVM_CAP_PIT2, "PIT"},
        Extension{KVM_CAP_SYNC_REGS, "sync registers"}, Extension{KVM_CAP_IRQFD, "irqfd"}}) {
    if (sys::call(SYS_ioctl, kvm->get(), KVM_CHECK_EXTENSION, e.number) > 0) {
      detail += fmt::format(", {}", e.name);
    }
  }
  return yes(std::move(detail));
}

}  // namespace ringfence::facts_detail

#pragma once
// Layer: one removable part of a policy, by one spelling everywhere (docs/architecture.md has the
// list). A small literal value, so that it prints, compares and is free to copy.
#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

class Layer {
 public:
  constexpr Layer() = default;  // no layer: ""
  // `name` must be a spelling that parse() accepts; longer than the buffer is a compile error in
  // constant expressions.
  constexpr explicit Layer(std::string_view name) {
    for (size_t i = 0; i < name.size(); ++i) text_.at(i) = name[i];
  }
  // "ns.pid", "cap.SYS_ADMIN", "rlimit.NOFILE", ...; nothing for an unknown spelling.
  static std::optional<Layer> parse(std::string_view name);
  // "CAP_SYS_ADMIN" or "SYS_ADMIN" -> cap.SYS_ADMIN. No check that the capability exists.
  static Layer cap(std::string_view name);
  // "RLIMIT_NOFILE" or "NOFILE" -> rlimit.NOFILE.
  static Layer rlimit(std::string_view name);
  // Every layer that parse() accepts, sorted.
  static std::vector<Layer> all();

  [[nodiscard]] constexpr std::string_view name() const {
    const auto* end = std::find(text_.begin(), text_.end(), '\0');
    return {text_.data(), static_cast<size_t>(end - text_.begin())};
  }
  [[nodiscard]] std::string str() const { return std::string(name()); }
  [[nodiscard]] constexpr bool empty() const { return text_[0] == '\0'; }
  friend constexpr bool operator==(const Layer& a, const Layer& b) { return a.name() == b.name(); }
  friend constexpr auto operator<=>(const Layer& a, const Layer& b) {
    return a.name() <=> b.name();
  }

  static const Layer kPid, kMnt, kNet, kUts, kIpc, kUser, kCgroupNs, kTime;
  static const Layer kSeccomp, kNoNewPrivs;
  static const Layer kRoot, kMask, kReadOnly, kMountFlags, kPropagation, kIdMap;
  static const Layer kCgroupPids, kCgroupMemory, kCgroupCpu, kCgroupCpuset, kCgroupIo;
  static const Layer kCgroupHugetlb, kCgroupDevices, kCgroupFreezer;
  static const Layer kNetFilter;
  static const Layer kDac, kKernel, kSession, kFd, kCap, kDevice, kLsm, kAppArmor, kSelinux;
  static const Layer kKeyring, kLandlock;
  static const Layer kUnattributed;

 private:
  std::array<char, 32> text_{};
};

inline constexpr Layer Layer::kPid{"ns.pid"};
inline constexpr Layer Layer::kMnt{"ns.mnt"};
inline constexpr Layer Layer::kNet{"ns.net"};
inline constexpr Layer Layer::kUts{"ns.uts"};
inline constexpr Layer Layer::kIpc{"ns.ipc"};
inline constexpr Layer Layer::kUser{"ns.user"};
inline constexpr Layer Layer::kCgroupNs{"ns.cgroup"};
inline constexpr Layer Layer::kTime{"ns.time"};
inline constexpr Layer Layer::kSeccomp{"seccomp"};
inline constexpr Layer Layer::kNoNewPrivs{"no_new_privs"};
inline constexpr Layer Layer::kRoot{"mount.root"};
inline constexpr Layer Layer::kMask{"mount.mask"};
inline constexpr Layer Layer::kReadOnly{"mount.ro"};
inline constexpr Layer Layer::kMountFlags{"mount.flags"};
inline constexpr Layer Layer::kPropagation{"mount.propagation"};
// The ids of a mount are mapped (MOUNT_ATTR_IDMAP).
inline constexpr Layer Layer::kIdMap{"mount.idmap"};
inline constexpr Layer Layer::kCgroupPids{"cgroup.pids"};
inline constexpr Layer Layer::kCgroupMemory{"cgroup.memory"};
inline constexpr Layer Layer::kCgroupCpu{"cgroup.cpu"};
inline constexpr Layer Layer::kCgroupCpuset{"cgroup.cpuset"};
inline constexpr Layer Layer::kCgroupIo{"cgroup.io"};
inline constexpr Layer Layer::kCgroupHugetlb{"cgroup.hugetlb"};
inline constexpr Layer Layer::kCgroupDevices{"cgroup.devices"};
inline constexpr Layer Layer::kCgroupFreezer{"cgroup.freezer"};
inline constexpr Layer Layer::kNetFilter{"net.filter"};
inline constexpr Layer Layer::kDac{"dac"};
inline constexpr Layer Layer::kKernel{"kernel"};
inline constexpr Layer Layer::kSession{"session"};  // setsid: the caller's terminal is not ours
inline constexpr Layer Layer::kFd{"fd"};            // descriptors beyond those given are closed
inline constexpr Layer Layer::kKeyring{"keyring"};  // a session keyring of the target's own
// The capability sets and the securebits as one layer; a single capability is cap.X.
inline constexpr Layer Layer::kCap{"cap"};
// A security module, which one is not known; a known one is lsm.X.
inline constexpr Layer Layer::kLsm{"lsm"};
inline constexpr Layer Layer::kLandlock{"lsm.landlock"};
inline constexpr Layer Layer::kAppArmor{"lsm.apparmor"};
inline constexpr Layer Layer::kSelinux{"lsm.selinux"};
// A device model of the mini-VMM: what a device case is about. Never part of a policy.
inline constexpr Layer Layer::kDevice{"device"};
inline constexpr Layer Layer::kUnattributed{"unattributed"};

}  // namespace ringfence

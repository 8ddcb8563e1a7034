#pragma once
// Landlock rule sets of a policy: what is handled is denied, but where a rule allows it. OCI has no
// field for them; the annotation "ringfence.landlock" holds a JSON text (landlock_annotation.h).
//
// Kernel: Linux 5.13 and a boot with landlock in the lsm= list; some rights are younger, see abi().
// Sources: landlock(7), Documentation/userspace-api/landlock.rst, include/uapi/linux/landlock.h.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

struct LandlockRuleSet {
  struct PathBeneath {
    std::string parent;  // absolute, inside the target: a file, or a directory with all below it
    uint64_t allowed = 0;
    friend bool operator==(const PathBeneath&, const PathBeneath&) = default;
  };
  struct NetPort {
    uint16_t port = 0;
    uint64_t allowed = 0;
    friend bool operator==(const NetPort&, const NetPort&) = default;
  };
  uint64_t fs = 0;      // LANDLOCK_ACCESS_FS_*, handled_access_fs
  uint64_t net = 0;     // LANDLOCK_ACCESS_NET_*, handled_access_net
  uint64_t scoped = 0;  // LANDLOCK_SCOPE_*
  std::vector<PathBeneath> beneath;
  std::vector<NetPort> ports;
  // The first version of Landlock's ABI that has all of it: 1 (Linux 5.13) to 6 (Linux 6.12).
  [[nodiscard]] int abi() const;
  friend bool operator==(const LandlockRuleSet&, const LandlockRuleSet&) = default;
};

// The kernel stacks at most so many on one process.
inline constexpr size_t kMostLandlockRuleSets = 16;

// A right by its name in the headers, in lower case: "read_file", "connect_tcp", "signal".
struct LandlockRight {
  std::string_view name;
  uint64_t bit;
  int abi;
};
const std::vector<LandlockRight>& landlock_fs_rights();
const std::vector<LandlockRight>& landlock_net_rights();
const std::vector<LandlockRight>& landlock_scopes();

// The first version that has all of them.
int landlock_abi(const std::vector<LandlockRuleSet>& rule_sets);

}  // namespace ringfence

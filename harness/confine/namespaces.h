#pragma once
// Namespaces: which are made by clone3, which by the child, and what belongs to them (id maps, time
// offsets, the loopback interface, host and domain name).
//
// Two ways in: by clone3, or by unshare(2) in the child, which is also how namespaces that are
// joined and a new user namespace come together: the others are joined while the spawner's
// capabilities are there.
//
// Kernel: clone3 5.3; time namespaces 5.6; setns by a pidfd 5.8 (no stand-in). Sources:
// namespaces(7), user_namespaces(7), time_namespaces(7), cgroup_namespaces(7).
#include <array>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// What the namespace steps that were kept amount to.
struct NamespacePlan {
  uint64_t clone_flags = 0;
  bool apart = false;
  bool by_unshare = false;
  bool makes_net = false;                 // a new network namespace, in either way
  bool by_pidfd = false;                  // some are joined by SpawnRequest::join_pidfd
  std::array<bool, kAllNs.size()> own{};  // made or joined: not the spawner's
  std::string uid_map, gid_map;
  bool keeps_groups = false;  // setgroups is out of reach; nothing is said of groups then
  bool deny_setgroups = false;
  std::vector<std::string> paths;  // namespaces to join, in the order of kSlotNamespace0 and on
  [[nodiscard]] bool has(Ns ns) const { return own.at(static_cast<size_t>(ns)); }
};

// The namespaces made by clone3, and the id maps that the parent writes meanwhile.
// `unshare`: none is made by clone3.
Result<NamespacePlan> add_clone_namespaces(Assembler& plan, const Policy& policy, bool unshare);
// What the child does first: ids inside a user namespace, joining cgroups and namespaces, time
// offsets, lo, names.
Status add_child_namespaces(Assembler& plan, const Policy& policy, NamespacePlan& namespaces);

// The lines of uid_map or gid_map.
std::string id_map_text(const std::vector<IdMap>& maps);

}  // namespace ringfence

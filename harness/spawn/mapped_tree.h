#pragma once
// A bind whose ids are mapped, made by the spawner and attached nowhere yet. Internal to spawn/.
//
// Needs CAP_SYS_ADMIN in the user namespace of the file system, open_tree(2) (Linux 5.2) and
// mount_setattr(2) with MOUNT_ATTR_IDMAP (Linux 5.12; each file system has it from a version of
// its own). There is no stand-in: where it is missing that is an Error of kind unsupported.
// Sources: mount_setattr(2) "ID-mapped mounts", user_namespaces(7).
#include "harness/base/unique_fd.h"
#include "harness/confine/mounts.h"

namespace ringfence {

Result<UniqueFd> make_mapped_tree(const MappedTree& tree);

}  // namespace ringfence

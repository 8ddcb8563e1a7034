#pragma once
// The decoy host's mount tree, network and credentials. Called in the decoy host's init, in fresh
// namespaces, before any target runs.
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

// A tmpfs root with /proc, /sys, /dev, /dev/pts, /dev/shm, /dev/mqueue, /tmp, /canary, /stage and,
// when `rootfs` names one, /rootfs; the host's `binds` under the paths that they have there;
// pivoted into, the old root detached. `privileged`: the caller is root of the initial user
// namespace.
Status build_world(const std::string& rootfs, const std::vector<std::string>& binds,
                   bool privileged);

// Loopback up.
Status raise_loopback();

// The credentials of the worst parent: inheritable and ambient sets full, a foreign group, umask 0.
Status be_worst_parent(bool privileged);

// Descriptors from 3 on close on exec.
Status mark_descriptors();

// Whether this process is root outside every user namespace.
bool is_root_of_initial_userns();

}  // namespace ringfence

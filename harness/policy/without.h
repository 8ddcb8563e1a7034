#pragma once
// A policy with one layer taken out: the control of case mode, and the step of ablation.
#include "harness/policy/policy.h"

namespace ringfence {

// What "taken out" means, by layer: the namespace is not made (ns.user: with its maps); cap.X is
// given back in every set that the policy writes; "cap" leaves all sets alone; seccomp,
// no_new_privs, mount.root (and all that needs a root of its own), mount.mask, mount.ro,
// mount.flags, mount.propagation, mount.idmap, cgroup.*, rlimit.*, dac (the user and groups),
// session and fd are left out whole. A layer that the policy does not have leaves it as it is.
Policy without(Policy policy, const Layer& layer);

}  // namespace ringfence

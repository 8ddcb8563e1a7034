#pragma once
// The tables and pieces that the built-in profiles are made of.
#include <string>

#include "harness/base/result.h"
#include "harness/policy/policy.h"

namespace ringfence {

// The capabilities that this process could pass on (PR_CAPBSET_READ). dockerd, too, gives a
// privileged container no more than it has.
CapSet caller_bounding_set();

// Docker's profile for `caps`, by moby/profiles seccomp/default_linux.go, native rules only.
Seccomp docker_seccomp(const CapSet& caps);
// The allow-list of the profile `hardened`.
Seccomp hardened_seccomp();

Policy docker_default();
Policy hardened();
// `seccomp_file` is the containers package's; `unsupported` when it is not there.
Result<Policy> podman_default(const std::string& seccomp_file);
inline constexpr const char* kContainersSeccomp = "/usr/share/containers/seccomp.json";

}  // namespace ringfence

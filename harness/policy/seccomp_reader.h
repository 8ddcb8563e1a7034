#pragma once
// The seccomp object that an OCI config.json and a Docker/containers profile have in common.
#include "harness/policy/json_reader.h"
#include "harness/policy/policy.h"
#include "harness/policy/read.h"

namespace ringfence {

// `caps` is given for a profile (its conditions are resolved against it) and null for the `seccomp`
// object of a config.json, which has none. Faults go to the node's context.
Seccomp read_seccomp_object(const JsonNode& node, const HostProfile& host, const CapSet* caps);

}  // namespace ringfence

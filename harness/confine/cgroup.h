#pragma once
// Cgroup limits as steps of the parent, and the child's joining of v1 hierarchies.
// Sources: kernel Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{pids,memory}.rst.
#include <vector>

#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// pids.max and memory.max; the controllers that they need are returned, sorted.
std::vector<std::string> add_cgroup_limits(Assembler& plan, const Policy& policy);
// "0" into each cgroup.procs that the spawner passes; on v2 clone3 has done it already.
void add_cgroup_join(Assembler& plan);

}  // namespace ringfence

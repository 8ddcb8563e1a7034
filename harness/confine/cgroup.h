#pragma once
// Cgroup limits as steps of the parent, and the child's joining of v1 hierarchies.
//
// OCI's numbers are v1's; they become v2 values as runc makes them, and v2 files become v1 ones
// where a hierarchy of v1 has the controller. Sources: kernel
// Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/*.rst; runtime-spec config-linux.md.
#include <string>
#include <vector>

#include "harness/base/facts.h"
#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// The limits of policy.resources; the controllers that they need are returned, sorted.
Result<std::vector<std::string>> add_cgroup_limits(Assembler& plan, const Policy& policy);
// "0" into each cgroup.procs that the spawner passes; on v2 clone3 has done it already.
void add_cgroup_join(Assembler& plan);

// The facts (harness/base/facts.h) that the limits depend on: "cgroup.memory",
// "cgroup:memory.high". Empty when there are none.
std::vector<std::string> cgroup_needs(const Resources& resources);
// Fields that v1 alone has the means for, and no group of this host: they are left out here, as
// runc leaves them out on v2.
std::vector<Unenforced> unenforced_here(const Resources& resources, const Facts& facts);
// The policy as this host can have it: those fields are recorded as unenforced, and so is a path of
// its group where no group can be made.
Policy as_enforced_here(Policy policy, const Facts& facts);
// The controllers that hold the limits, sorted.
std::vector<std::string> cgroup_controllers(const Resources& resources);

// cpu.shares (2 to 262144, default 1024) as cpu.weight (1 to 10000, default 100): a curve through
// the three, as in runc since 1.3.
uint64_t cpu_weight_of_shares(uint64_t shares);
// cpu.weight as cpu.shares, the kernel's own scale: 100 is 1024.
uint64_t cpu_shares_of_weight(uint64_t weight);
// blkio.weight (10 to 1000) as io.weight (1 to 10000), linear.
uint64_t io_weight_of_blkio(uint64_t weight);
// Memory and swap together less the memory; nothing where no limit of swap follows.
std::optional<int64_t> swap_max_of(std::optional<int64_t> memory_and_swap,
                                   std::optional<int64_t> memory);

}  // namespace ringfence

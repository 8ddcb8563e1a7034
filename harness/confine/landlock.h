#pragma once
// Landlock rule sets (policy/landlock.h): one step for each, which makes it, adds its rules by
// descriptors that are opened in the target's own root, and restricts the process to it.
//
// Loading one takes no_new_privs or CAP_SYS_ADMIN, as with a filter; afterwards no mounts can be
// changed where it handles the file system. Kernel: 5.13. Source: landlock(7).
#include "harness/base/facts.h"
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

void add_landlock(Assembler& plan, const Policy& policy);
// Requirements, in the words of facts.h: "landlock:N".
std::vector<std::string> landlock_needs(const Policy& policy);

}  // namespace ringfence

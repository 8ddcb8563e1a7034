#pragma once
// What belongs to the process itself: limits, session, umask, descriptors, ids, capabilities.
// Sources: getrlimit(2), setsid(2), close_range(2) (Linux 5.9, CLOEXEC 5.11; has a stand-in),
// capabilities(7), credentials(7), runtime-spec config.md.
#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/confine/namespaces.h"
#include "harness/policy/policy.h"

namespace ringfence {

void add_rlimits(Assembler& plan, const Policy& policy);
// setsid, session keyring, umask.
void add_session(Assembler& plan, const Policy& policy, bool terminal);
void add_descriptors(Assembler& plan, const Policy& policy);  // CLOEXEC on all, then those given
// `own_root`: the directory must be there, since the policy's root was entered or it has none.
void add_working_directory_change(Assembler& plan, const Policy& policy, bool own_root);

// Capabilities and ids, in runc's order. `no_new_privs` says whether that step is kept, which
// decides what a permitted set is worth.
struct CredentialPlan {
  bool no_new_privs = false;
  NamespacePlan const* namespaces = nullptr;
};
void add_credentials(Assembler& plan, const Policy& policy, const CredentialPlan& how);

}  // namespace ringfence

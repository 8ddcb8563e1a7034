#pragma once
// The annotation "ringfence.seccomp.notify": what the harness answers to calls whose action is
// SCMP_ACT_NOTIFY, where the policy names no socket of somebody who does. A JSON text:
//   {"answers": [{"names": ["mkdir"], "errno": "EPERM"},
//                {"names": ["getpid"], "value": 7},
//                {"names": ["uname"], "continue": true}]}
// Each notified call has one answer, and no other call has any. Source: seccomp_unotify(2).
#include <string>
#include <vector>

#include "harness/policy/json_reader.h"
#include "harness/policy/policy.h"

namespace ringfence {

// `node`: the annotation, which may be absent; after the policy's seccomp section.
void read_notify(const JsonNode& node, Policy& policy);
std::string write_notify(const std::vector<NotifyAnswer>& answers);
// Fails where calls are notified and nobody answers. `node`: the seccomp section.
void check_listener(const JsonNode& node, const Policy& policy);

}  // namespace ringfence

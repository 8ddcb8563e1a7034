#pragma once
// The annotation "ringfence.landlock", a JSON text in the words of struct landlock_ruleset_attr:
//   {"ruleSets": [{"handledAccessFs": ["write_file", "make_reg"],
//                  "handledAccessNet": ["connect_tcp"],
//                  "scoped": ["signal"],
//                  "pathBeneath": [{"parent": "/tmp", "allowedAccess": ["write_file"]}],
//                  "netPort": [{"port": 443, "allowedAccess": ["connect_tcp"]}]}]}
// What is allowed must be handled by the same rule set. Source: landlock(7).
#include <string>
#include <vector>

#include "harness/policy/json_reader.h"
#include "harness/policy/policy.h"

namespace ringfence {

// `node`: the annotation, which may be absent.
void read_landlock(const JsonNode& node, Policy& policy);
std::string write_landlock(const std::vector<LandlockRuleSet>& rule_sets);

}  // namespace ringfence

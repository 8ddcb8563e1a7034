#pragma once
// Single cgroup directories: making, emptying, removing. Internal to spawn/.
// Sources: kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; cgroup.kill is Linux 5.14,
// and pidfds stand in for it.
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace ringfence {

Status make_group(const std::string& directory);
Result<std::vector<int>> group_members(const std::string& directory);
// Kills the members until none is left, those of groups below included, and removes all of it. A
// directory that is not there is removed already.
Status remove_group(const std::string& directory);
// "value" in a line "key value".
Result<uint64_t> keyed_value(std::string_view text, std::string_view key);

}  // namespace ringfence

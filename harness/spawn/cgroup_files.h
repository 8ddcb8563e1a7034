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
// Kills the members of a group and of those below it until none is left; the groups stay.
Status kill_group(const std::string& directory);
// What stays would stay for good, so a removal that failed is tried once more. The janitor of a
// later run takes what is left then.
Status remove_surely(const std::string& directory);
// cgroup.freeze, and the wait for cgroup.events to say so.
Status freeze_group(const std::string& directory, bool frozen);
// freezer.state, written again until it is so: v1 gives up where tasks are being made.
Status freeze_v1_group(const std::string& directory, bool frozen);
// A v1 cpuset takes tasks only when it has CPUs and memory nodes: those of the group above.
Status seed_cpuset(const std::string& parent, const std::string& directory);
// cpu.rt_runtime_us of a v1 group, in the period that it has. The groups from `top` to the one
// above it get at least what those below them have together: a group gives away no more than its
// own, and a new one has nothing. Linux sched-rt-group.rst.
Status set_realtime(const std::string& top, const std::string& directory, uint64_t runtime_us);
// "value" in a line "key value".
Result<uint64_t> keyed_value(std::string_view text, std::string_view key);

}  // namespace ringfence

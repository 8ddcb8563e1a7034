#pragma once
// What /proc/self/mountinfo and /proc/self/cgroup say about the cgroup hierarchies here.
// Sources: proc(5), cgroups(7).
#include <map>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct MountInfo {
  std::string root;   // within the file system
  std::string point;  // where it is mounted
  std::string type;
  std::string super_options;
};
// Every mount of this process, octal escapes undone.
Result<std::vector<MountInfo>> read_mountinfo(const std::string& path = "/proc/self/mountinfo");

struct CgroupHierarchy {
  std::string point;                     // mount point
  std::vector<std::string> controllers;  // of v1: "pids", "name=systemd"; empty for v2
  bool v2 = false;
  std::string own;  // the directory of our own group, below `point`
};
// The mounted hierarchies; the first mount of each.
Result<std::vector<CgroupHierarchy>> read_cgroup_hierarchies();

}  // namespace ringfence

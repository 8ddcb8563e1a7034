#include "harness/confine/host_mounts.h"

#include <algorithm>
#include <array>

#include "harness/base/file.h"

namespace ringfence {
namespace {

// "\040" and the like, proc(5).
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

constexpr std::array<std::string_view, 14> kControllers = {
    "blkio",  "cpu",  "cpuacct", "cpuset",   "devices",    "freezer", "hugetlb",
    "memory", "misc", "net_cls", "net_prio", "perf_event", "pids",    "rdma"};

std::vector<std::string> controllers_of(std::string_view options) {
  std::vector<std::string> list;
  for (const auto option : split(options, ',')) {
    if (option.starts_with("name=") ||
        std::find(kControllers.begin(), kControllers.end(), option) != kControllers.end()) {
      list.emplace_back(option);
    }
  }
  return list;
}

// The group that this process is in: the line of /proc/self/cgroup with this controller.
std::string group_in(std::string_view cgroup_file, const CgroupHierarchy& hierarchy) {
  for (const auto line : split(cgroup_file, '\n')) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const auto names = split(line.substr(first + 1, second - first - 1), ',');
    const bool match = hierarchy.v2 ? names.empty() && line.starts_with("0:")
                                    : !hierarchy.controllers.empty() &&
                                          std::find(names.begin(), names.end(),
                                                    hierarchy.controllers.front()) != names.end();
    if (match) return std::string(line.substr(second + 1));
  }
  return "/";
}

}  // namespace

Result<std::vector<MountInfo>> read_mountinfo(const std::string& path) {
  auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  std::vector<MountInfo> mounts;
  for (const auto line : split(*text, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 2) continue;
    mounts.push_back({unescape(left[3]), unescape(left[4]), std::string(right[0]),
                      right.size() > 2 ? std::string(right[2]) : std::string()});
  }
  return mounts;
}

Result<std::vector<CgroupHierarchy>> read_cgroup_hierarchies() {
  auto mounts = read_mountinfo();
  if (!mounts) return tl::unexpected(mounts.error());
  auto groups = read_file("/proc/self/cgroup");
  if (!groups) return tl::unexpected(groups.error());
  std::vector<CgroupHierarchy> list;
  for (const MountInfo& mount : *mounts) {
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    CgroupHierarchy hierarchy;
    hierarchy.point = mount.point;
    hierarchy.v2 = mount.type == "cgroup2";
    if (!hierarchy.v2) hierarchy.controllers = controllers_of(mount.super_options);
    const bool known = std::any_of(list.begin(), list.end(), [&](const CgroupHierarchy& h) {
      return h.v2 == hierarchy.v2 && h.controllers == hierarchy.controllers;
    });
    if (known) continue;
    // /proc/self/cgroup is relative to the hierarchy (or the cgroup namespace), the mount may show
    // only a part of it.
    std::string group = group_in(*groups, hierarchy);
    if (mount.root != "/" && group.starts_with(mount.root)) group.erase(0, mount.root.size());
    hierarchy.own = group.empty() || group == "/" ? mount.point : mount.point + group;
    list.push_back(std::move(hierarchy));
  }
  return list;
}

}  // namespace ringfence

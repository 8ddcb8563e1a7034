// Where groups go here, a run's own group, and the janitor.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "harness/base/file.h"
#include "harness/base/held_directory.h"
#include "harness/base/sys.h"
#include "harness/confine/host_mounts.h"
#include "harness/spawn/cgroup_files.h"
#include "harness/spawn/cgroup_leaf.h"

namespace ringfence {
namespace {

std::vector<std::string> words_of(const std::string& path) {
  std::vector<std::string> list;
  if (auto text = read_file(path)) {
    for (const auto word : split(trim(*text), ' ')) list.emplace_back(word);
  }
  return list;
}

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// cgroup-v1/blkio-controller.rst: the same controller under its old name.
std::string v1_controller(const std::string& controller) {
  return controller == "io" ? "blkio" : controller;
}

std::set<std::string> parents_of(const CgroupLayout& layout) {
  std::set<std::string> parents;
  if (!layout.unified.empty()) parents.insert(layout.unified);
  if (!layout.unified_parent.empty()) parents.insert(layout.unified_parent);
  for (const auto& [controller, point] : layout.v1) parents.insert(point);
  return parents;
}

}  // namespace

CgroupLayout CgroupLayout::probe() {
  CgroupLayout layout;
  layout.mode = "none";
  const auto hierarchies = read_cgroup_hierarchies();
  if (!hierarchies) return layout;
  for (const CgroupHierarchy& h : *hierarchies) {
    if (!h.v2) {
      for (const auto& controller : h.controllers) {
        if (!controller.starts_with("name=")) layout.v1.emplace(controller, h.point);
      }
      continue;
    }
    layout.unified = layout.unified_parent = h.point;
    // What a group below can use is what its parent has handed down already: the parent's own
    // cgroup.subtree_control is the host's, so it is read and never written.
    layout.unified_controllers = words_of(h.point + "/cgroup.subtree_control");
    if (layout.unified_controllers.empty() && h.own != h.point) {
      auto delegated = words_of(h.own + "/cgroup.subtree_control");
      if (!delegated.empty()) {
        layout.unified_parent = h.own;
        layout.unified_controllers = std::move(delegated);
      }
    }
  }
  const bool v2 = !layout.unified.empty();
  if (v2 || !layout.v1.empty()) layout.mode = !v2 ? "v1" : layout.v1.empty() ? "unified" : "hybrid";
  return layout;
}

std::string CgroupLayout::v1_point(const std::string& controller) const {
  const auto it = v1.find(v1_controller(controller));
  return it == v1.end() ? std::string() : it->second;
}

bool CgroupLayout::unified_has(const std::string& controller) const {
  if (unified.empty()) return false;
  if (controller.empty() || controller == "freezer") return true;
  if (controller == "devices") return v1_point(controller).empty();
  return contains(unified_controllers, controller);
}

bool CgroupLayout::offers(const std::string& controller) const {
  return unified_has(controller) || !v1_point(controller).empty();
}

// ---- CgroupRoot --------------------------------------------------------------------------------

CgroupRoot::CgroupRoot(CgroupLayout layout, std::string name)
    : layout_(std::move(layout)),
      name_(std::move(name)),
      owner_pid_(static_cast<int>(sys::call(SYS_getpid))) {}

Result<std::shared_ptr<CgroupRoot>> CgroupRoot::create(
    const CgroupLayout& layout, const std::vector<std::string>& controllers) {
  if (layout.mode == "none") {
    return unsupported_error("make cgroup", "/proc/self/mountinfo", 0, "no hierarchy is mounted");
  }
  uint32_t random = 0;
  if (const int64_t r = sys::call(SYS_getrandom, sys::arg(&random), sizeof random, 0); r < 0) {
    return system_error("getrandom", {}, static_cast<int>(-r));
  }
  std::shared_ptr<CgroupRoot> root(
      new CgroupRoot(layout, held_name(fmt::format("{:08x}", random))));
  if (!layout.unified.empty()) {
    if (auto made = root->ensure(layout.unified_parent, {}); !made) {
      return tl::unexpected(made.error());
    }
  }
  for (const auto& controller : controllers) {
    const std::string point = layout.v1_point(controller);
    if (point.empty() || layout.unified_has(controller)) continue;
    if (auto made = root->ensure(point, {}); !made) return tl::unexpected(made.error());
  }
  return root;
}

Result<std::string> CgroupRoot::ensure(const std::string& parent,
                                       const std::vector<std::string>& controllers) const {
  const std::string directory = fmt::format("{}/{}", parent, name_);
  if (!held_.contains(directory)) {
    auto held = make_held_directory(directory);
    if (!held) return tl::unexpected(held.error());
    held_[directory] = std::move(*held);
    if (parent == layout_.v1_point("cpuset")) {
      if (auto seeded = seed_cpuset(parent, directory); !seeded) {
        return tl::unexpected(seeded.error());
      }
    }
  }
  if (controllers.empty()) return directory;
  const auto present = words_of(directory + "/cgroup.subtree_control");
  std::string wanted;
  for (const auto& controller : controllers) {
    if (!contains(present, controller)) wanted += "+" + controller + " ";
  }
  if (wanted.empty()) return directory;
  if (auto written = write_file(directory + "/cgroup.subtree_control", wanted); !written) {
    return tl::unexpected(written.error());
  }
  return directory;
}

CgroupRoot::~CgroupRoot() {
  // Forked workers hold a copy of this object; the group is not theirs.
  if (sys::call(SYS_getpid) != owner_pid_) return;
  for (const auto& [directory, held] : held_) (void)remove_surely(directory);
}

// ---- The janitor -------------------------------------------------------------------------------

Result<size_t> sweep_cgroups(const CgroupLayout& layout) {
  std::set<std::string> swept;
  Status result;
  std::set<std::string> parents = parents_of(layout);
  // Frozen tasks do not die on v1, whatever hierarchy they are killed through: the freezer's first.
  std::vector<std::string> ordered;
  if (const std::string freezer = layout.v1_point("freezer"); !freezer.empty()) {
    parents.erase(freezer);
    ordered.push_back(freezer);
  }
  ordered.insert(ordered.end(), parents.begin(), parents.end());
  for (const auto& parent : ordered) {
    auto names = list_directory(parent);
    if (!names) continue;
    for (const auto& name : *names) {
      const auto maker = parse_held_name(name);
      const std::string directory = fmt::format("{}/{}", parent, name);
      UniqueFd claim;
      if (!maker || !is_abandoned(directory, *maker, &claim)) continue;
      if (auto removed = remove_surely(directory); !removed) {
        result = removed;
      } else {
        swept.insert(name);
      }
    }
  }
  if (!result) return tl::unexpected(result.error());
  return swept.size();
}

std::string swept_text(size_t groups) {
  return fmt::format("removed {} group{} that a killed run left", groups, groups == 1 ? "" : "s");
}

}  // namespace ringfence

#include "harness/spawn/cgroup_leaf.h"

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

// The v1 file for a v2 one, cgroup-v1/memory.rst.
std::string v1_name(const std::string& file) {
  if (file == "memory.max") return "memory.limit_in_bytes";
  if (file == "memory.current") return "memory.usage_in_bytes";
  if (file == "memory.peak") return "memory.max_usage_in_bytes";
  if (file == "memory.events") return "memory.oom_control";
  return file;
}
std::string v1_value(const std::string& file, const std::string& value) {
  return file == "memory.max" && value == "max" ? "-1" : value;
}

// What stays would stay for good, so a removal that failed is tried once more. The janitor of a
// later run takes what is left then.
Status remove_surely(const std::string& directory) {
  auto removed = remove_group(directory);
  return removed ? removed : remove_group(directory);
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

bool CgroupLayout::offers(const std::string& controller) const {
  return contains(unified_controllers, controller) || v1.contains(controller);
}

// ---- CgroupRoot --------------------------------------------------------------------------------

CgroupRoot::CgroupRoot(CgroupLayout layout, std::string name)
    : layout_(std::move(layout)),
      name_(std::move(name)),
      owner_pid_(static_cast<int>(sys::call(SYS_getpid))) {}

Result<std::shared_ptr<CgroupRoot>> CgroupRoot::create(const CgroupLayout& layout) {
  if (layout.mode == "none") {
    return unsupported_error("make cgroup", "/proc/self/mountinfo", 0, "no hierarchy is mounted");
  }
  uint32_t random = 0;
  if (const int64_t r = sys::call(SYS_getrandom, sys::arg(&random), sizeof random, 0); r < 0) {
    return system_error("getrandom", {}, static_cast<int>(-r));
  }
  std::shared_ptr<CgroupRoot> root(
      new CgroupRoot(layout, held_name(fmt::format("{:08x}", random))));
  // Now, so that workers forked later share them: the group in v2 and in the common v1 hierarchies.
  if (!layout.unified.empty()) {
    if (auto made = root->ensure(layout.unified_parent, {}); !made) {
      return tl::unexpected(made.error());
    }
  }
  for (const char* controller : {"pids", "memory"}) {
    const auto v1 = layout.v1.find(controller);
    if (v1 == layout.v1.end() || contains(layout.unified_controllers, controller)) continue;
    if (auto made = root->ensure(v1->second, {}); !made) return tl::unexpected(made.error());
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

// ---- CgroupLeaf --------------------------------------------------------------------------------

CgroupLeaf::CgroupLeaf(CgroupLeaf&&) noexcept = default;
CgroupLeaf& CgroupLeaf::operator=(CgroupLeaf&& other) noexcept {
  if (this != &other) {
    (void)destroy();
    root_ = std::move(other.root_);
    parts_ = std::move(other.parts_);
    unified_fd_ = std::move(other.unified_fd_);
  }
  return *this;
}
CgroupLeaf::~CgroupLeaf() { (void)destroy(); }

const CgroupLeaf::Part* CgroupLeaf::part_of(const std::string& controller) const {
  const auto it = std::find_if(parts_.begin(), parts_.end(), [&](const Part& part) {
    return contains(part.controllers, controller);
  });
  return it == parts_.end() ? nullptr : &*it;
}

Result<CgroupLeaf::Part*> CgroupLeaf::ensure_part(const std::string& controller,
                                                  const std::string& leaf_name) {
  const CgroupLayout& layout = root_->layout();
  const auto v1 = layout.v1.find(controller);
  // Empty: the v2 group as such.
  const bool unified = controller.empty() || contains(layout.unified_controllers, controller);
  if (!unified && v1 == layout.v1.end()) {
    return unsupported_error("make cgroup", controller, 0, "no hierarchy here has the controller");
  }
  auto parent = root_->ensure(unified ? layout.unified_parent : v1->second,
                              unified && !controller.empty() ? std::vector<std::string>{controller}
                                                             : std::vector<std::string>{});
  if (!parent) return tl::unexpected(parent.error());
  const std::string directory = fmt::format("{}/{}", *parent, leaf_name);
  auto it = std::find_if(parts_.begin(), parts_.end(),
                         [&](const Part& part) { return part.directory == directory; });
  if (it == parts_.end()) {
    if (auto made = make_group(directory); !made) return tl::unexpected(made.error());
    Part part;
    part.directory = directory;
    part.v1 = !unified;
    parts_.push_back(std::move(part));
    it = parts_.end() - 1;
    if (unified) {
      auto fd = sys::open(directory.c_str(), O_PATH | O_DIRECTORY);
      if (!fd) return tl::unexpected(fd.error());
      unified_fd_ = std::move(*fd);
    } else {
      auto fd = sys::open((directory + "/cgroup.procs").c_str(), O_WRONLY);
      if (!fd) return tl::unexpected(fd.error());
      it->procs = std::move(*fd);
    }
  }
  if (!controller.empty()) it->controllers.push_back(controller);
  return &*it;
}

Result<CgroupLeaf> CgroupLeaf::create(const std::shared_ptr<CgroupRoot>& root,
                                      const std::vector<Step::Setting>& settings,
                                      const std::string& leaf_name) {
  CgroupLeaf leaf;  // what was made so far goes with it when a step below fails
  leaf.root_ = root;
  if (!root->layout().unified.empty()) {
    if (auto part = leaf.ensure_part({}, leaf_name); !part) return tl::unexpected(part.error());
  }
  for (const Step::Setting& setting : settings) {
    auto part = leaf.ensure_part(setting.controller, leaf_name);
    if (!part) return tl::unexpected(part.error());
    const bool v1 = (*part)->v1;
    auto written = write_file(
        fmt::format("{}/{}", (*part)->directory, v1 ? v1_name(setting.file) : setting.file),
        v1 ? v1_value(setting.file, setting.value) : setting.value);
    if (!written) return tl::unexpected(written.error());
  }
  return leaf;
}

std::vector<int> CgroupLeaf::v1_procs() const {
  std::vector<int> fds;
  for (const Part& part : parts_) {
    if (part.v1) fds.push_back(part.procs.get());
  }
  return fds;
}

Result<std::string> CgroupLeaf::read(const std::string& controller, const std::string& file) const {
  const Part* part = part_of(controller);
  if (part == nullptr) return system_error("read cgroup", controller, ENOENT);
  return read_file(fmt::format("{}/{}", part->directory, part->v1 ? v1_name(file) : file));
}

Result<uint64_t> CgroupLeaf::event(const std::string& controller, const std::string& name) const {
  const Part* part = part_of(controller);
  if (part != nullptr && part->v1 && controller == "memory" && name == "max") {
    auto text = read_file(part->directory + "/memory.failcnt");
    if (!text) return tl::unexpected(text.error());
    return keyed_value("failcnt " + std::string(trim(*text)), "failcnt");
  }
  auto text = read(controller, controller + ".events");
  if (!text) return tl::unexpected(text.error());
  return keyed_value(*text, name);
}

Result<std::vector<int>> CgroupLeaf::pids() const {
  std::set<int> all;
  for (const Part& part : parts_) {
    auto members = group_members(part.directory);
    if (!members) return tl::unexpected(members.error());
    all.insert(members->begin(), members->end());
  }
  return std::vector<int>(all.begin(), all.end());
}

Status CgroupLeaf::destroy() {
  Status result;
  for (Part& part : parts_) {
    part.procs.reset();
    if (auto removed = remove_surely(part.directory); !removed) result = removed;
  }
  parts_.clear();
  unified_fd_.reset();
  return result;
}

Result<size_t> sweep_cgroups(const CgroupLayout& layout) {
  std::set<std::string> swept;
  Status result;
  for (const auto& parent : parents_of(layout)) {
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

#include "harness/spawn/cgroup_leaf.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/spawn/cgroup_devices.h"
#include "harness/spawn/cgroup_files.h"

namespace ringfence {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// The v1 file for a v2 one that is read, cgroup-v1/memory.rst.
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

bool has_file(const std::string& directory, std::string_view name) {
  const std::string path = fmt::format("{}/{}", directory, name);
  return sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path.c_str()), F_OK) != -ENOENT;
}

const std::vector<std::string> kNone;

// The path of a task's group in the hierarchy of one of `controllers` (by their v2 names), or in v2
// for none, from lines "ID:CONTROLLERS:PATH" of its /proc/PID/cgroup.
std::string group_of_task(const std::string& text, const std::vector<std::string>& controllers) {
  for (const auto line : split(text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string names(line.substr(first + 1, second - first - 1));
    bool here = names.empty() && controllers.empty();
    for (const auto name : split(names, ',')) {
      here = here || contains(controllers, name == "blkio" ? std::string_view("io") : name);
    }
    if (here) return std::string(line.substr(second + 1));
  }
  return "/";
}

// Of "a|b" the one that the group has; the first when it has none.
std::string present_name(const std::string& directory, const std::string& names) {
  const auto list = split(names, '|');
  for (const auto name : list) {
    if (has_file(directory, name)) return std::string(name);
  }
  return std::string(list.empty() ? std::string_view() : list.front());
}

}  // namespace

// ---- CgroupLeaf --------------------------------------------------------------------------------

CgroupLeaf::CgroupLeaf(CgroupLeaf&&) noexcept = default;
CgroupLeaf& CgroupLeaf::operator=(CgroupLeaf&& other) noexcept {
  if (this != &other) {
    (void)destroy();
    root_ = std::move(other.root_);
    parts_ = std::move(other.parts_);
    unified_fd_ = std::move(other.unified_fd_);
    name_ = std::move(other.name_);
    path_ = std::move(other.path_);
    left_out_ = std::move(other.left_out_);
    device_program_ = other.device_program_;
    killed_ = other.killed_;
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

Result<CgroupLeaf::Part*> CgroupLeaf::ensure_part(const std::string& controller) {
  const CgroupLayout& layout = root_->layout();
  const bool unified = layout.unified_has(controller);
  const std::string v1 = layout.v1_point(controller);
  if (!unified && v1.empty()) {
    return unsupported_error("make cgroup", controller, 0, "no hierarchy here has the controller");
  }
  std::vector<std::string> handed;
  if (contains(layout.unified_controllers, controller)) handed.push_back(controller);
  auto parent = root_->ensure(unified ? layout.unified_parent : v1,
                              unified ? handed : std::vector<std::string>{});
  if (!parent) return tl::unexpected(parent.error());
  const std::string top = fmt::format("{}/{}", *parent, name_);
  const std::string directory = top + path_;
  auto it = std::find_if(parts_.begin(), parts_.end(),
                         [&](const Part& part) { return part.directory == directory; });
  if (it == parts_.end()) {
    Part part;
    part.directory = directory;
    part.top = top;
    part.point = unified ? layout.unified : v1;
    part.v1 = !unified;
    parts_.push_back(std::move(part));
    it = parts_.end() - 1;
    // Known already, so that what was made goes with the leaf when the rest fails.
    if (auto made = make_groups(*parent, *it); !made) return tl::unexpected(made.error());
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
  if (!controller.empty() && !contains(it->controllers, controller)) {
    if (!handed.empty()) {
      if (auto down = hand_down(*it, controller); !down) return tl::unexpected(down.error());
    }
    it->controllers.push_back(controller);
  }
  return &*it;
}

Status CgroupLeaf::hand_down(const Part& part, const std::string& controller) {
  for (size_t at = part.top.size(); at < part.directory.size();
       at = std::min(part.directory.find('/', at + 1), part.directory.size())) {
    const std::string file = part.directory.substr(0, at) + "/cgroup.subtree_control";
    if (auto written = write_file(file, "+" + controller); !written) return written;
  }
  return {};
}

Status CgroupLeaf::make_groups(const std::string& parent, const Part& part) const {
  const bool cpuset = part.v1 && part.point == root_->layout().v1_point("cpuset");
  std::string above = parent;
  for (size_t at = part.top.size();; at = part.directory.find('/', at + 1)) {
    std::string directory = part.directory.substr(0, at);
    if (auto made = make_group(directory); !made) return made;
    if (cpuset) {
      if (auto seeded = seed_cpuset(above, directory); !seeded) return seeded;
    }
    if (directory.size() == part.directory.size()) return {};
    above = std::move(directory);
  }
}

Result<CgroupLeaf> CgroupLeaf::create(const std::shared_ptr<CgroupRoot>& root,
                                      const std::vector<Step::Setting>& settings,
                                      const std::string& leaf_name, const std::string& path) {
  CgroupLeaf leaf;  // what was made so far goes with it when a step below fails
  leaf.root_ = root;
  leaf.name_ = leaf_name;
  for (const auto name : split(path, '/')) {
    if (!name.empty() && name != ".") leaf.path_ += fmt::format("/{}", name);
  }
  if (!root->layout().unified.empty()) {
    if (auto part = leaf.ensure_part({}); !part) return tl::unexpected(part.error());
  }
  for (const Step::Setting& setting : settings) {
    if (auto made = leaf.set(setting); !made) return tl::unexpected(made.error());
  }
  return leaf;
}

Status CgroupLeaf::set(const Step::Setting& setting) {
  const CgroupLayout& layout = root_->layout();
  if (!setting.pointer.empty() &&
      (layout.unified_has(setting.controller) || layout.v1_point(setting.controller).empty())) {
    left_out_.push_back(setting.pointer);
    return {};
  }
  auto part = ensure_part(setting.controller);
  if (!part) return tl::unexpected(part.error());
  if (auto made = apply(**part, setting); !made) return made;
  device_program_ = device_program_ || (!(*part)->v1 && !setting.program.empty());
  return {};
}

Status CgroupLeaf::apply(const Part& part, const Step::Setting& setting) {
  if (!part.v1 && !setting.program.empty()) {
    return attach_device_program(part.directory, setting.program);
  }
  std::vector<Step::Setting::V1> writes;
  if (part.v1 && !setting.v1.empty()) {
    writes = setting.v1;
  } else if (!setting.file.empty()) {
    writes = {{part.v1 ? v1_name(setting.file) : setting.file,
               part.v1 ? v1_value(setting.file, setting.value) : setting.value}};
    if (!part.v1 && !setting.instead.empty() && !has_file(part.directory, setting.file)) {
      writes = setting.instead;
    }
  }
  for (const auto& [names, value] : writes) {
    const std::string file = present_name(part.directory, names);
    // A kernel that has no such thing, rather than a value that it does not take.
    if (!has_file(part.directory, file)) {
      if (!setting.pointer.empty()) left_out_.push_back(setting.pointer);
      if (setting.if_there) continue;
      return unsupported_error("set limit", fmt::format("{}/{}", part.directory, file), ENOENT,
                               "this kernel has no such limit");
    }
    if (file == "cpu.rt_runtime_us") {
      const std::string run = part.top.substr(0, part.top.rfind('/'));
      if (auto set = set_realtime(run, part.directory, std::stoull(value)); !set) return set;
      continue;
    }
    // One line a write: the files that take a device take one.
    for (const auto line : split(value, '\n')) {
      if (auto written = write_file(fmt::format("{}/{}", part.directory, file), line); !written) {
        return written;
      }
    }
  }
  return {};
}

Result<UniqueFd> CgroupLeaf::unified_procs() const {
  // Not by its path: who spawns may have another root by now, as a decoy host's init.
  return sys::openat(unified_fd_.get(), "cgroup.procs", O_WRONLY);
}

bool CgroupLeaf::limits_by_unified() const {
  return device_program_ || std::any_of(parts_.begin(), parts_.end(), [](const Part& part) {
           return !part.v1 && !part.controllers.empty();
         });
}

std::string CgroupLeaf::directory(const std::string& controller) const {
  if (!controller.empty()) {
    const Part* part = part_of(controller);
    return part == nullptr ? std::string() : part->directory;
  }
  const auto it =
      std::find_if(parts_.begin(), parts_.end(), [](const Part& part) { return !part.v1; });
  return it == parts_.end() ? std::string() : it->directory;
}

bool CgroupLeaf::is_v1(const std::string& controller) const {
  const Part* part = part_of(controller);
  return part != nullptr && part->v1;
}

Status CgroupLeaf::add(int pid) {
  // Where it is now, to be put back there.
  const auto before = read_file(fmt::format("/proc/{}/cgroup", pid));
  if (!before) return tl::unexpected(before.error());
  const std::string text = std::to_string(pid);
  for (size_t i = 0; i < parts_.size(); ++i) {
    auto written = write_file(parts_[i].directory + "/cgroup.procs", text);
    if (written) continue;
    for (size_t back = 0; back < i; ++back) {
      const Part& part = parts_[back];
      const std::string old = group_of_task(*before, part.v1 ? part.controllers : kNone);
      (void)write_file(part.point + old + "/cgroup.procs", text);
    }
    return written;
  }
  return {};
}

Status CgroupLeaf::freeze() { return set_frozen(true); }
Status CgroupLeaf::thaw() { return set_frozen(false); }

Status CgroupLeaf::set_frozen(bool frozen) {
  if (const std::string unified = directory({}); !unified.empty()) {
    return freeze_group(unified, frozen);
  }
  const std::string v1 = directory("freezer");
  if (v1.empty()) return unsupported_error("freeze", name_, 0, "the group has no freezer");
  return freeze_v1_group(v1, frozen);
}

Status CgroupLeaf::kill() {
  Status result;
  killed_ = true;
  if (is_v1("freezer")) result = thaw();  // a frozen task of v1 does not die
  for (const Part& part : parts_) {
    if (auto killed = kill_group(part.directory); !killed) result = killed;
  }
  return result;
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
  // cpu.stat counts in place of events: "nr_throttled".
  auto text = read(controller, controller + (controller == "cpu" ? ".stat" : ".events"));
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
  if (is_v1("freezer")) (void)thaw();
  for (Part& part : parts_) {
    part.procs.reset();
    if (auto removed = remove_surely(part.top); !removed) result = removed;
  }
  parts_.clear();
  unified_fd_.reset();
  return result;
}

}  // namespace ringfence

#include "harness/spawn/cgroup_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <utility>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/spawn/cgroup_files.h"

namespace ringfence {
namespace {

std::string joined(const std::vector<std::string>& controllers, char sign) {
  std::string text;
  for (const auto& controller : controllers) text += fmt::format("{}{} ", sign, controller);
  return text;
}

Status explained(Status status, int err, const char* hint) {
  if (!status && status.error().err == err) {
    Error error = status.error();
    error.hint = hint;
    return tl::unexpected(std::move(error));
  }
  return status;
}

}  // namespace

Result<CgroupNode> CgroupNode::of(const CgroupLeaf& leaf) {
  std::string directory = leaf.directory({});
  if (directory.empty()) return unsupported_error("find cgroup", "v2", 0, "no v2 is mounted");
  return CgroupNode(std::move(directory), false);
}

Result<CgroupNode> CgroupNode::make(const std::string& name) const {
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
    return usage_error("make cgroup", name, "a plain name");
  }
  std::string directory = fmt::format("{}/{}", directory_, name);
  if (auto made = make_group(directory); !made) return tl::unexpected(made.error());
  return CgroupNode(std::move(directory), true);
}

CgroupNode::CgroupNode(CgroupNode&& other) noexcept
    : directory_(std::move(other.directory_)), owned_(std::exchange(other.owned_, false)) {}

CgroupNode& CgroupNode::operator=(CgroupNode&& other) noexcept {
  if (this != &other) {
    if (owned_) (void)remove_surely(directory_);
    directory_ = std::move(other.directory_);
    owned_ = std::exchange(other.owned_, false);
  }
  return *this;
}

CgroupNode::~CgroupNode() {
  if (owned_) (void)remove_surely(directory_);
}

Result<std::vector<std::string>> CgroupNode::controllers() const {
  auto text = read_file(directory_ + "/cgroup.controllers");
  if (!text) return tl::unexpected(text.error());
  std::vector<std::string> list;
  for (const auto word : split(trim(*text), ' ')) list.emplace_back(word);
  return list;
}

Status CgroupNode::hand_down(const std::vector<std::string>& controllers) const {
  return explained(set("cgroup.subtree_control", joined(controllers, '+')), EBUSY,
                   "a group with processes of its own hands no controller down");
}

Status CgroupNode::take_back(const std::vector<std::string>& controllers) const {
  return explained(set("cgroup.subtree_control", joined(controllers, '-')), EBUSY,
                   "a group below has handed it down");
}

Result<std::string> CgroupNode::type() const {
  auto text = read_file(directory_ + "/cgroup.type");
  if (!text) return tl::unexpected(text.error());
  return std::string(trim(*text));
}

Status CgroupNode::make_threaded() const { return set("cgroup.type", "threaded"); }

Status CgroupNode::add_process(int pid) const {
  return explained(set("cgroup.procs", std::to_string(pid)), EBUSY,
                   "a group that hands controllers down has no processes of its own");
}

Status CgroupNode::add_thread(int tid) const {
  return explained(set("cgroup.threads", std::to_string(tid)), EOPNOTSUPP,
                   "threads move within one threaded subtree");
}

Result<std::vector<int>> CgroupNode::processes() const { return group_members(directory_); }

Status CgroupNode::delegate(uint32_t uid, uint32_t gid) const {
  std::vector<std::string> files = {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"};
  if (auto list = read_file("/sys/kernel/cgroup/delegate")) {  // Linux 4.15
    files.clear();
    for (const auto line : split(*list, '\n')) files.emplace_back(line);
  }
  files.emplace_back("");  // the directory itself: to make groups below
  for (const auto& file : files) {
    const std::string path = file.empty() ? directory_ : fmt::format("{}/{}", directory_, file);
    const int64_t r =
        sys::call(SYS_fchownat, AT_FDCWD, sys::arg(path.c_str()), uid, gid, AT_SYMLINK_NOFOLLOW);
    // Of what the kernel lists a group has what its controllers make.
    if (r < 0 && r != -ENOENT) return system_error("chown", path, static_cast<int>(-r));
  }
  return {};
}

Status CgroupNode::set(const std::string& file, const std::string& value) const {
  return write_file(fmt::format("{}/{}", directory_, file), value);
}

}  // namespace ringfence

#pragma once
// Groups of v2 below a leaf: nesting, controllers handed down, delegation to another user, threaded
// groups. The rules are the kernel's, and each has its own errno: a group with processes hands no
// controller down (EBUSY), a threaded one no domain controller (EOPNOTSUPP, EINVAL before).
//
// Source: kernel Documentation/admin-guide/cgroup-v2.rst "Organizing Processes and Threads",
// "Delegation".
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/spawn/cgroup_leaf.h"

namespace ringfence {

// One directory. A group that make() made is killed and removed with the object; one of a leaf is
// the leaf's.
class CgroupNode {
 public:
  // The v2 group of a leaf; `unsupported` where it has none.
  static Result<CgroupNode> of(const CgroupLeaf& leaf);
  // A new group below this one.
  [[nodiscard]] Result<CgroupNode> make(const std::string& name) const;
  CgroupNode(CgroupNode&& other) noexcept;
  CgroupNode& operator=(CgroupNode&& other) noexcept;
  ~CgroupNode();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  // cgroup.controllers: what can be handed down.
  [[nodiscard]] Result<std::vector<std::string>> controllers() const;
  // Hands controllers down to the groups below.
  [[nodiscard]] Status hand_down(const std::vector<std::string>& controllers) const;
  [[nodiscard]] Status take_back(const std::vector<std::string>& controllers) const;
  // cgroup.type: "domain", "domain threaded", "domain invalid", "threaded".
  [[nodiscard]] Result<std::string> type() const;
  [[nodiscard]] Status make_threaded() const;
  [[nodiscard]] Status add_process(int pid) const;
  [[nodiscard]] Status add_thread(int tid) const;
  [[nodiscard]] Result<std::vector<int>> processes() const;
  // Gives the group to a user: the directory and the files that /sys/kernel/cgroup/delegate names,
  // which move tasks and hand down. The limits of the group itself stay with us.
  [[nodiscard]] Status delegate(uint32_t uid, uint32_t gid) const;
  [[nodiscard]] Status set(const std::string& file, const std::string& value) const;

 private:
  CgroupNode(std::string directory, bool owned) : directory_(std::move(directory)), owned_(owned) {}
  std::string directory_;
  bool owned_ = false;
};

}  // namespace ringfence

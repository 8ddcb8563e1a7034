#pragma once
// CgroupLeaf: the group (v2) or groups (v1, hybrid) that one target runs in. Made below a group of
// the run's own, removed with the object; nothing of the host's hierarchies is reconfigured.
//
// Names: <parent>/ringfence-<owner pid>-<its pid namespace>-<random>/<leaf>; held by a lock as
// base/held_directory.h has it, so that the janitor can tell whether the owner lives, in whatever
// pid namespace. Sources: kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/confine/step.h"

namespace ringfence {

// Where this host keeps which controller.
struct CgroupLayout {
  std::string unified;                           // mount point of v2, or empty
  std::string unified_parent;                    // where groups of ours go on v2
  std::vector<std::string> unified_controllers;  // usable below our v2 parent
  std::map<std::string, std::string> v1;         // controller -> mount point
  std::string mode;                              // "unified", "hybrid", "v1", "none"
  static CgroupLayout probe();                   // from /proc/self/mountinfo
  [[nodiscard]] bool offers(const std::string& controller) const;
};

// A run's own group, parent of its leaves, in every hierarchy that is needed. Removed by the
// destructor of the process that made it.
class CgroupRoot {
 public:
  static Result<std::shared_ptr<CgroupRoot>> create(const CgroupLayout& layout);
  ~CgroupRoot();
  CgroupRoot(const CgroupRoot&) = delete;
  CgroupRoot& operator=(const CgroupRoot&) = delete;
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const CgroupLayout& layout() const { return layout_; }

 private:
  CgroupRoot(CgroupLayout layout, std::string name);
  friend class CgroupLeaf;
  // The run's group in a hierarchy, made if it is missing; `controllers` (v2) handed down.
  Result<std::string> ensure(const std::string& parent,
                             const std::vector<std::string>& controllers) const;
  CgroupLayout layout_;
  std::string name_;
  int owner_pid_;
  mutable std::map<std::string, UniqueFd> held_;  // by directory
};

class CgroupLeaf {
 public:
  // A leaf with the controllers of `settings`, each setting written. On v2 without a needed
  // controller, v1 is used for it (hybrid); with neither: `unsupported`.
  static Result<CgroupLeaf> create(const std::shared_ptr<CgroupRoot>& root,
                                   const std::vector<Step::Setting>& settings,
                                   const std::string& leaf_name);
  CgroupLeaf(CgroupLeaf&&) noexcept;
  CgroupLeaf& operator=(CgroupLeaf&&) noexcept;
  ~CgroupLeaf();

  // The v2 directory for CLONE_INTO_CGROUP, or -1.
  [[nodiscard]] int unified_fd() const { return unified_fd_.get(); }
  // cgroup.procs of each v1 hierarchy, opened for writing.
  [[nodiscard]] std::vector<int> v1_procs() const;
  // Reads a file by its v2 name ("pids.current", "pids.events", "memory.peak", "memory.events"),
  // translated for v1.
  [[nodiscard]] Result<std::string> read(const std::string& controller,
                                         const std::string& file) const;
  // A counter of an events file: ("pids", "max"), ("memory", "oom_kill").
  [[nodiscard]] Result<uint64_t> event(const std::string& controller,
                                       const std::string& name) const;
  [[nodiscard]] Result<std::vector<int>> pids() const;
  // Kills every member until none is left, then removes the directories.
  Status destroy();

 private:
  CgroupLeaf() = default;
  struct Part {
    std::string directory;
    std::vector<std::string> controllers;
    bool v1 = false;
    UniqueFd procs;
  };
  [[nodiscard]] const Part* part_of(const std::string& controller) const;
  Result<Part*> ensure_part(const std::string& controller, const std::string& leaf_name);
  std::shared_ptr<CgroupRoot> root_;
  std::vector<Part> parts_;
  UniqueFd unified_fd_;
};

// Removes groups of runs whose owner is gone; kills what is still in them first. Returns how many.
Result<size_t> sweep_cgroups(const CgroupLayout& layout);
// "removed 1 group that a killed run left", for people.
std::string swept_text(size_t groups);

}  // namespace ringfence

#pragma once
// CgroupLeaf: the group (v2) or groups (v1, hybrid) that one target runs in. Made below a group of
// the run's own, removed with the object; nothing of the host's hierarchies is reconfigured.
//
// Names: <parent>/ringfence-<owner pid>-<its pid namespace>-<random>/<leaf>; held by a lock as
// base/held_directory.h has it, so that the janitor can tell whether the owner lives, in whatever
// pid namespace. A path of a policy (linux.cgroupsPath) begins below the leaf: two runs with the
// same path, or two targets of one run, share nothing. Sources: kernel
// Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
#include <map>
#include <memory>
#include <string>
#include <string_view>
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
  // By its v2 name: "io" may be v1's blkio; "devices" is a BPF program and "freezer" a file of
  // every group on v2.
  [[nodiscard]] bool offers(const std::string& controller) const;
  // Whether v2 is where `controller` (by its v2 name; "" for the group as such) is to be had.
  [[nodiscard]] bool unified_has(const std::string& controller) const;
  // The mount point of the v1 hierarchy with it, or empty.
  [[nodiscard]] std::string v1_point(const std::string& controller) const;
};

// A run's own group, parent of its leaves, in every hierarchy that is needed. Removed by the
// destructor of the process that made it.
class CgroupRoot {
 public:
  // Groups that workers forked later are to share are made now: the one in v2, and those in the v1
  // hierarchies of `controllers`.
  static Result<std::shared_ptr<CgroupRoot>> create(const CgroupLayout& layout,
                                                    const std::vector<std::string>& controllers = {
                                                        "memory", "pids"});
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
  // A leaf with the controllers of `settings`, each setting made. On v2 without a needed
  // controller, v1 is used for it (hybrid); with neither, or on a kernel without the file:
  // `unsupported`. With `path` ("/a/b" or "a/b", without "..") the target's group is the one at
  // that path below the leaf; the groups between limit nothing.
  static Result<CgroupLeaf> create(const std::shared_ptr<CgroupRoot>& root,
                                   const std::vector<Step::Setting>& settings,
                                   const std::string& leaf_name, const std::string& path = {});
  CgroupLeaf(CgroupLeaf&&) noexcept;
  CgroupLeaf& operator=(CgroupLeaf&&) noexcept;
  ~CgroupLeaf();

  // The v2 directory for CLONE_INTO_CGROUP, or -1.
  [[nodiscard]] int unified_fd() const { return unified_fd_.get(); }
  // False after kill(): kernels with cgroup_fork's kill_seq (6.14) count an earlier cgroup.kill
  // against who is cloned into the group, and kill it.
  [[nodiscard]] bool takes_clones() const { return unified_fd_.get() >= 0 && !killed_; }
  // cgroup.procs of each v1 hierarchy, opened for writing.
  [[nodiscard]] std::vector<int> v1_procs() const;
  // cgroup.procs of the v2 group, opened for writing: for who cannot be cloned into it.
  [[nodiscard]] Result<UniqueFd> unified_procs() const;
  // Whether the v2 group limits anything: it has controllers or a device program.
  [[nodiscard]] bool limits_by_unified() const;
  [[nodiscard]] const std::string& name() const { return name_; }
  // Fields of the policy (Setting::pointer) that no group here has the means for.
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }
  // The directory of a controller's group; "": the v2 one. Empty where there is none.
  [[nodiscard]] std::string directory(const std::string& controller) const;
  // The same, in a v1 hierarchy.
  [[nodiscard]] bool is_v1(const std::string& controller) const;

  // ---- Of a living group ----------------------------------------------------------------------
  // Changes a limit, or makes one more.
  Status set(const Step::Setting& setting);
  // Moves a running process, with all of its threads, into every part of the group. Who gets in
  // only partly is in none afterwards: it is put back.
  Status add(int pid);
  // Stops every member, and lets them go on; both return when it is so. v2's cgroup.freeze (Linux
  // 5.2), or v1's freezer, for which the leaf needs the controller "freezer".
  Status freeze();
  Status thaw();
  // Kills every member, also those that are forking, and those of groups below; the group stays.
  Status kill();

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
    std::string top;    // what is removed with the leaf: the same, or above it by the path
    std::string point;  // where its hierarchy is mounted
    std::vector<std::string> controllers;
    bool v1 = false;
    UniqueFd procs;
  };
  [[nodiscard]] const Part* part_of(const std::string& controller) const;
  Result<Part*> ensure_part(const std::string& controller);
  // The directories from `part.top` to `part.directory`; and what v2's hand down on that way.
  Status make_groups(const std::string& parent, const Part& part) const;
  static Status hand_down(const Part& part, const std::string& controller);
  Status apply(const Part& part, const Step::Setting& setting);
  Status set_frozen(bool frozen);
  std::shared_ptr<CgroupRoot> root_;
  std::vector<Part> parts_;
  UniqueFd unified_fd_;
  std::string name_;
  std::string path_;  // "" or "/a/b"
  std::vector<std::string> left_out_;
  bool device_program_ = false;
  bool killed_ = false;
};

// Removes groups of runs whose owner is gone; kills what is still in them first. Returns how many.
Result<size_t> sweep_cgroups(const CgroupLayout& layout);
// "removed 1 group that a killed run left", for people.
std::string swept_text(size_t groups);

}  // namespace ringfence

// Mounts of type cgroup and cgroup2, made as runc makes them.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/confine/host_mounts.h"
#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

constexpr uint64_t kDefaultFlags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

// A file system `type` with `options`, or a bind of `source` when the type is empty, onto the
// directory `destination` of the new root.
void add_part(Assembler& plan, Step& step, const std::string& destination, const std::string& type,
              const std::vector<std::string>& options, const std::string& source) {
  add_open_creating(plan, step, kSlotRoot, destination, false);
  if (type.empty()) {
    step.ops.push_back(into(make_op(SYS_open_tree, AT_FDCWD, plan.text(source),
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE),
                            kSlotTree));
  } else {
    step.ops.push_back(into(make_op(SYS_fsopen, plan.text(type), FSOPEN_CLOEXEC), kSlotFs));
    for (const auto& option : options) {
      const size_t equal = option.find('=');
      if (equal == std::string::npos) {
        step.ops.push_back(
            make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_SET_FLAG, plan.text(option), 0, 0));
      } else {
        step.ops.push_back(make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_SET_STRING,
                                   plan.text(option.substr(0, equal)),
                                   plan.text(option.substr(equal + 1)), 0));
      }
    }
    step.ops.push_back(make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_CMD_CREATE, 0, 0, 0));
    step.ops.push_back(
        into(make_op(SYS_fsmount, slot_arg(kSlotFs), FSMOUNT_CLOEXEC, kDefaultFlags), kSlotTree));
    step.ops.push_back(close_slot(kSlotFs));
  }
  step.ops.push_back(move_onto(plan, kSlotTree, kSlotTarget));
  step.ops.push_back(close_slot(kSlotTree));
  step.ops.push_back(close_slot(kSlotTarget));
}

}  // namespace

Status add_cgroup_mount(Assembler& plan, const Mount& mount, const MountPlan& mounts,
                        bool own_cgroup_namespace) {
  auto hierarchies = read_cgroup_hierarchies();
  if (!hierarchies) return tl::unexpected(hierarchies.error());
  const auto v2 = std::find_if(hierarchies->begin(), hierarchies->end(),
                               [](const CgroupHierarchy& h) { return h.v2; });
  const bool unified = v2 != hierarchies->end() && hierarchies->size() == 1;
  const bool read_only = (mount.flag_set & MS_RDONLY) != 0;

  Step step = Assembler::setup({}, "mount:" + mount.destination,
                               fmt::format("mount {} on {}", mount.type, mount.destination));
  if (unified || mount.type == "cgroup2") {
    if (!own_cgroup_namespace && v2 != hierarchies->end()) {
      add_part(plan, step, mount.destination, {}, {}, v2->own);
    } else {
      add_part(plan, step, mount.destination, "cgroup2", {}, {});
    }
    plan.add(std::move(step));
    return {};
  }
  if (hierarchies->empty()) {
    plan.note("no cgroup hierarchy is mounted here: " + mount.destination + " is left out");
    return {};
  }
  add_part(plan, step, mount.destination, "tmpfs", {"mode=755"}, {});
  std::vector<std::string> directories;
  for (const CgroupHierarchy& h : *hierarchies) {
    const std::string name = h.point.substr(h.point.rfind('/') + 1);
    directories.push_back(mount.destination + "/" + name);
    if (own_cgroup_namespace) {
      add_part(plan, step, directories.back(), h.v2 ? "cgroup2" : "cgroup",
               h.v2 ? std::vector<std::string>{} : h.controllers, {});
    } else {
      add_part(plan, step, directories.back(), {}, {}, h.own);
    }
  }
  plan.add(std::move(step));
  if (!read_only) return {};
  // The tmpfs itself gets the flag of the mount; each hierarchy is a mount of its own.
  for (const auto& directory : directories) {
    Step ro = Assembler::confining(Layer::kReadOnly, "mount.ro:" + directory,
                                   fmt::format("make {} read-only", directory));
    const std::string inside = path_in_root(directory);
    add_open(plan, ro, kSlotRoot, inside, O_PATH, kSlotTarget);
    add_set_attributes(plan, ro, kSlotTarget, MOUNT_ATTR_RDONLY,
                       (mounts.has_root ? mounts.staging : "") + "/" + inside,
                       MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    ro.ops.push_back(close_slot(kSlotTarget));
    plan.add(std::move(ro));
  }
  return {};
}

}  // namespace ringfence

// Mounts of type cgroup and cgroup2, made as runc makes them.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/confine/attach.h"
#include "harness/confine/host_mounts.h"
#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

constexpr uint64_t kDefaultFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

// A file system `type` with `options`, or a bind of `source` when the type is empty, onto the
// directory `destination` of the new root.
void add_part(Assembler& plan, Step& step, const std::string& destination, const std::string& type,
              const std::vector<std::string>& options, const std::string& source) {
  add_open_creating(plan, step, kSlotRoot, destination, false);
  if (type.empty()) {
    add_bind_on(plan, step, source, true, kSlotTarget);
  } else {
    add_filesystem_on(plan, step, {type, type, options, {}, kDefaultFlags}, kSlotTarget);
  }
  step.ops.push_back(close_slot(kSlotTarget));
}

}  // namespace

Status add_cgroup_mount(Assembler& plan, const Mount& mount, bool own_cgroup_namespace) {
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
    add_open(plan, ro, kSlotRoot, path_in_root(directory), O_PATH, kSlotTarget);
    add_set_attributes(plan, ro, kSlotTarget, {MOUNT_ATTR_RDONLY, 0, false, MS_RDONLY});
    ro.ops.push_back(close_slot(kSlotTarget));
    plan.add(std::move(ro));
  }
  return {};
}

}  // namespace ringfence

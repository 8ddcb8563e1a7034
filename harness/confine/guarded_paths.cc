// Masked and read-only paths, runtime-spec config-linux.md. Paths that do not exist are passed
// over, as runc does.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>

#include "harness/confine/attach.h"
#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {

void add_masked_path(Assembler& plan, const std::string& path) {
  Step step =
      Assembler::confining(Layer::kMask, "mount.mask:" + path,
                           fmt::format("mask {} (a file with /dev/null, a directory with an "
                                       "empty read-only tmpfs)",
                                       path));
  const std::string inside = path_in_root(path);
  add_open(plan, step, kSlotSeen, inside, O_PATH | O_DIRECTORY, kSlotDir, {ENOENT, ENOTDIR});
  add_open(plan, step, kSlotSeen, inside, O_PATH, kSlotFile, {ENOENT, ENOTDIR}, kSlotDir);

  // The host's /dev/null: the new root may have none.
  add_bind_on(plan, step, "/dev/null", false, kSlotFile, {kSlotFile, kSlotDir});
  add_filesystem_on(plan, step, {"tmpfs", "tmpfs", {}, {}, MS_RDONLY}, kSlotDir, {kSlotDir, -1});
  for (const int slot : {kSlotFile, kSlotDir}) step.ops.push_back(close_slot(slot));
  plan.add(std::move(step));
}

void add_readonly_path(Assembler& plan, const std::string& path) {
  Step step = Assembler::confining(Layer::kReadOnly, "mount.ro:" + path,
                                   fmt::format("make {} read-only", path));
  const std::string inside = path_in_root(path);
  add_open(plan, step, kSlotSeen, inside, O_PATH, kSlotFile, {ENOENT, ENOTDIR});
  add_bind_on_itself(plan, step, kSlotFile, kSlotSeen, inside, {kSlotFile, -1});
  add_set_attributes(plan, step, kSlotTree, {MOUNT_ATTR_RDONLY, 0, false, MS_RDONLY}, kSlotFile);
  for (const int slot : {kSlotTree, kSlotFile}) step.ops.push_back(close_slot(slot));
  plan.add(std::move(step));
}

}  // namespace ringfence

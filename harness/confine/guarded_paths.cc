// Masked and read-only paths, runtime-spec config-linux.md. Paths that do not exist are passed
// over, as runc does.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>

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
  const auto for_file = [&](Op op) { step.ops.push_back(when(unless(op, kSlotDir), kSlotFile)); };
  for_file(into(
      make_op(SYS_open_tree, AT_FDCWD, plan.text("/dev/null"), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
      kSlotTree));
  for_file(move_onto(plan, kSlotTree, kSlotFile));
  for_file(make_op(SYS_close, slot_arg(kSlotTree)));
  for_file(make_op(SYS_close, slot_arg(kSlotFile)));

  const auto for_directory = [&](Op op) { step.ops.push_back(when(op, kSlotDir)); };
  for_directory(into(make_op(SYS_fsopen, plan.text("tmpfs"), FSOPEN_CLOEXEC), kSlotFs));
  for_directory(make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_CMD_CREATE, 0, 0, 0));
  for_directory(
      into(make_op(SYS_fsmount, slot_arg(kSlotFs), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY), kSlotTree));
  for_directory(move_onto(plan, kSlotTree, kSlotDir));
  for_directory(make_op(SYS_close, slot_arg(kSlotFs)));
  for_directory(make_op(SYS_close, slot_arg(kSlotTree)));
  for_directory(make_op(SYS_close, slot_arg(kSlotDir)));
  plan.add(std::move(step));
}

void add_readonly_path(Assembler& plan, const std::string& path, const MountPlan& mounts) {
  Step step = Assembler::confining(Layer::kReadOnly, "mount.ro:" + path,
                                   fmt::format("make {} read-only", path));
  const std::string inside = path_in_root(path);
  add_open(plan, step, kSlotSeen, inside, O_PATH, kSlotFile, {ENOENT, ENOTDIR});
  const auto add = [&](Op op) { step.ops.push_back(when(op, kSlotFile)); };
  add(into(make_op(SYS_open_tree, slot_arg(kSlotFile), plan.text(""),
                   AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
           kSlotTree));
  add(move_onto(plan, kSlotTree, kSlotFile));
  add_set_attributes(plan, step, kSlotTree, MOUNT_ATTR_RDONLY,
                     (mounts.enters_root ? mounts.staging : "") + "/" + inside, MS_RDONLY,
                     kSlotFile);
  add(make_op(SYS_close, slot_arg(kSlotTree)));
  add(make_op(SYS_close, slot_arg(kSlotFile)));
  plan.add(std::move(step));
}

}  // namespace ringfence

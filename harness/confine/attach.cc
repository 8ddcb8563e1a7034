#include "harness/confine/attach.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "harness/confine/paths.h"

namespace ringfence {
namespace {

constexpr int kNoDescriptor = -1;

// Calls for which others stand in, all of them, when one of them is missing.
class Sequence {
 public:
  Sequence(Step& step, Guard guard) : step_(step), guard_(guard), first_(step.ops.size()) {}

  void call(Op op) { add(op); }
  void last(Op op) {
    add(op);
    instead_ = step_.ops.size();
  }
  void instead(Op op) { add(op); }
  void finish() {
    for (size_t i = first_; i < instead_; ++i) {
      step_.ops[i].missing = static_cast<int>(instead_);
    }
    step_.ops[instead_ - 1].done = static_cast<int>(step_.ops.size());
  }

 private:
  void add(Op op) {
    if (guard_.when >= 0) op.when = guard_.when;
    if (guard_.unless >= 0) op.unless = guard_.unless;
    step_.ops.push_back(op);
  }
  Step& step_;
  Guard guard_;
  size_t first_;
  size_t instead_ = 0;
};

// What fsmount(2) takes; what else of `flags` confines has a step of its own.
uint64_t fsmount_attributes(uint64_t flags) {
  uint64_t attributes = 0;
  if ((flags & MS_NOATIME) != 0) {
    attributes |= MOUNT_ATTR_NOATIME;
  } else if ((flags & MS_STRICTATIME) != 0) {
    attributes |= MOUNT_ATTR_STRICTATIME;
  }
  if ((flags & MS_NODIRATIME) != 0) attributes |= MOUNT_ATTR_NODIRATIME;
  if ((flags & MS_RDONLY) != 0) attributes |= MOUNT_ATTR_RDONLY;
  if ((flags & MS_NOSUID) != 0) attributes |= MOUNT_ATTR_NOSUID;
  if ((flags & MS_NODEV) != 0) attributes |= MOUNT_ATTR_NODEV;
  if ((flags & MS_NOEXEC) != 0) attributes |= MOUNT_ATTR_NOEXEC;
  return attributes;
}

// A flag has no value; anything else is KEY=VALUE.
Op config(Assembler& plan, std::string_view option) {
  const size_t equal = option.find('=');
  if (equal == std::string_view::npos) {
    return make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_SET_FLAG, plan.text(option), 0, 0);
  }
  return make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_SET_STRING,
                 plan.text(option.substr(0, equal)), plan.text(option.substr(equal + 1)), 0);
}

// Up to the tree of a new file system in slot `out`.
void call_fsopen(Assembler& plan, Sequence& sequence, const NewFilesystem& fs, int out) {
  sequence.call(into(make_op(SYS_fsopen, plan.text(fs.type), FSOPEN_CLOEXEC), kSlotFs));
  if (!fs.source.empty()) sequence.call(config(plan, "source=" + fs.source));
  for (const auto& option : fs.options) sequence.call(config(plan, option));
  if ((fs.flags & MS_SYNCHRONOUS) != 0) sequence.call(config(plan, "sync"));
  if ((fs.flags & MS_DIRSYNC) != 0) sequence.call(config(plan, "dirsync"));
  sequence.call(make_op(SYS_fsconfig, slot_arg(kSlotFs), FSCONFIG_CMD_CREATE, 0, 0, 0));
  sequence.call(into(
      make_op(SYS_fsmount, slot_arg(kSlotFs), FSMOUNT_CLOEXEC, fsmount_attributes(fs.flags)), out));
}

Op call_open_tree(Assembler& plan, const std::string& source, bool recursive, int out) {
  const uint64_t flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? uint64_t{AT_RECURSIVE} : 0);
  return into(make_op(SYS_open_tree, AT_FDCWD, plan.text(source), flags), out);
}

Arg mount_data(Assembler& plan, const NewFilesystem& fs) {
  std::string data = fs.data;
  if (data.empty()) {
    for (const auto& option : fs.options) {
      if (!data.empty()) data += ',';
      data += option;
    }
  }
  return data.empty() ? Arg{} : plan.text(data);
}

Op mount_on(int target, Arg source, Arg type, uint64_t flags, Arg data) {
  return make_op(kCallMountAt, source, slot_arg(target), type, flags, data, kNoDescriptor);
}

constexpr uint64_t bind_flags(bool recursive) {
  return uint64_t{MS_BIND} | (recursive ? uint64_t{MS_REC} : 0);
}

}  // namespace

Op move_onto(Assembler& plan, int from, int to) {
  const Arg empty = plan.text("");
  return make_op(SYS_move_mount, slot_arg(from), empty, slot_arg(to), empty,
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

void add_filesystem_on(Assembler& plan, Step& step, const NewFilesystem& fs, int target,
                       Guard guard) {
  Sequence sequence(step, guard);
  call_fsopen(plan, sequence, fs, kSlotTree);
  sequence.last(move_onto(plan, kSlotTree, target));
  sequence.instead(mount_on(target, plan.text(fs.source.empty() ? fs.type : fs.source),
                            plan.text(fs.type), fs.flags, mount_data(plan, fs)));
  sequence.finish();
  step.ops.push_back(close_slot(kSlotFs));
  step.ops.push_back(close_slot(kSlotTree));
}

void add_bind_on(Assembler& plan, Step& step, const std::string& source, bool recursive, int target,
                 Guard guard) {
  Sequence sequence(step, guard);
  sequence.call(call_open_tree(plan, source, recursive, kSlotTree));
  sequence.last(move_onto(plan, kSlotTree, target));
  sequence.instead(mount_on(target, plan.text(source), {}, bind_flags(recursive), {}));
  sequence.finish();
  step.ops.push_back(close_slot(kSlotTree));
}

void add_bind_of(Assembler& plan, Step& step, int from, int target) {
  Sequence sequence(step, {});
  sequence.call(into(make_op(SYS_open_tree, slot_arg(from), plan.text(""),
                             AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                     kSlotTree));
  sequence.last(move_onto(plan, kSlotTree, target));
  sequence.instead(
      make_op(kCallMountAt, 0, slot_arg(target), 0, bind_flags(false), 0, slot_arg(from)));
  sequence.finish();
  step.ops.push_back(close_slot(kSlotTree));
}

void add_bind_on_itself(Assembler& plan, Step& step, int from, int root, const std::string& path,
                        Guard guard) {
  Sequence sequence(step, guard);
  sequence.call(into(make_op(SYS_open_tree, slot_arg(from), plan.text(""),
                             AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                     kSlotTree));
  sequence.last(move_onto(plan, kSlotTree, from));
  Op close = close_slot(kSlotTree);  // a tree that could not be moved is not the mount there
  Op here = make_op(kCallMountAt, 0, slot_arg(from), 0, MS_BIND | MS_REC, 0, slot_arg(from));
  Step opened;
  add_open(plan, opened, root, path, O_PATH, kSlotTree);
  step.ops.push_back(close);
  sequence.instead(here);
  sequence.instead(with_fallback(step, opened.ops.front(), opened.fallback.front()));
  sequence.finish();
}

void add_new_root(Assembler& plan, Step& step, const NewFilesystem& fs, bool bind,
                  const std::string& path) {
  const Arg place = plan.text(path);
  Sequence sequence(step, {});
  if (bind) {
    sequence.call(call_open_tree(plan, fs.source, true, kSlotRoot));
  } else {
    call_fsopen(plan, sequence, fs, kSlotRoot);
  }
  sequence.last(make_op(SYS_move_mount, slot_arg(kSlotRoot), plan.text(""), AT_FDCWD, place,
                        MOVE_MOUNT_F_EMPTY_PATH));
  sequence.instead(close_slot(kSlotRoot));
  sequence.instead(make_op(SYS_mount, plan.text(fs.source), place,
                           bind ? Arg{} : plan.text(fs.type), bind ? bind_flags(true) : fs.flags,
                           bind ? Arg{} : mount_data(plan, fs)));
  sequence.instead(
      into(make_op(SYS_openat, AT_FDCWD, place, O_PATH | O_DIRECTORY | O_CLOEXEC), kSlotRoot));
  sequence.finish();
  if (!bind) step.ops.push_back(close_slot(kSlotFs));
}

void add_set_attributes(Assembler& plan, Step& step, int slot, const Attributes& attributes,
                        int when_slot) {
  mount_attr attr{};
  attr.attr_set = attributes.set;
  attr.attr_clr = attributes.clear;
  const uint64_t flags = AT_EMPTY_PATH | (attributes.recursive ? uint64_t{AT_RECURSIVE} : 0);
  Op op = make_op(SYS_mount_setattr, slot_arg(slot), plan.text(""), flags, plan.object(attr),
                  sizeof attr);
  op.when = when_slot;
  if (!attributes.recursive) {
    op = with_fallback(
        step, op, mount_on(slot, {}, {}, uint64_t{MS_REMOUNT} | MS_BIND | attributes.remount, {}));
  }
  step.ops.push_back(op);
}

void add_set_propagation(Assembler& plan, Step& step, int slot, uint64_t propagation) {
  mount_attr attr{};
  attr.propagation = propagation & ~uint64_t{MS_REC};
  const uint64_t flags = AT_EMPTY_PATH | ((propagation & MS_REC) != 0 ? uint64_t{AT_RECURSIVE} : 0);
  step.ops.push_back(with_fallback(step,
                                   make_op(SYS_mount_setattr, slot_arg(slot), plan.text(""), flags,
                                           plan.object(attr), sizeof attr),
                                   mount_on(slot, {}, {}, propagation, {})));
}

}  // namespace ringfence

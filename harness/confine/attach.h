#pragma once
// New mounts onto what a descriptor stands for: by the mount API of Linux 5.2 (fsopen, fsconfig,
// fsmount, open_tree, move_mount), or by mount(2) where one of its calls is missing. Neither
// resolves a path of the target's.
//
// Sources: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2)
// (Linux 5.12; recursive attributes have no stand-in), mount(2), overlayfs.rst ("lowerdir+" is of
// Linux 6.8; before it one string names all of the lower layers).
#include <cstdint>
#include <string>
#include <vector>

#include "harness/confine/assembler.h"

namespace ringfence {

// Slots that guard a whole sequence, as in Op.
struct Guard {
  int when = -1;
  int unless = -1;
};

struct NewFilesystem {
  std::string type;
  std::string source;
  std::vector<std::string> options{};  // "mode=755", "newinstance"; for fsconfig(2)
  // The same as the one string that mount(2) takes, where joining them by commas is not it.
  std::string data{};
  uint64_t flags = 0;  // MS_RDONLY, MS_NOATIME, MS_SYNCHRONOUS, ...
};

// Onto the descriptor in slot `target`. Uses kSlotFs and kSlotTree.
void add_filesystem_on(Assembler& plan, Step& step, const NewFilesystem& fs, int target,
                       Guard guard = {});
// A copy of the mount at `source` (a path of the spawner's), with those below it for `recursive`.
void add_bind_on(Assembler& plan, Step& step, const std::string& source, bool recursive, int target,
                 Guard guard = {});
// A copy of the mount whose root is the file or directory in slot `from`, which is of a mount of
// this mount namespace.
void add_bind_of(Assembler& plan, Step& step, int from, int target);
// The same for what slot `from` stands for, on itself; kSlotTree stands for the new mount then.
// `path` below slot `root` is where it is.
void add_bind_on_itself(Assembler& plan, Step& step, int from, int root, const std::string& path,
                        Guard guard = {});
// The new root onto the directory `path`, which nobody but the spawner can change; kSlotRoot
// stands for it then. `bind`: of the directory fs.source instead of a new file system.
void add_new_root(Assembler& plan, Step& step, const NewFilesystem& fs, bool bind,
                  const std::string& path);
// move_mount(2) of the tree in slot `from` onto slot `to`.
Op move_onto(Assembler& plan, int from, int to);

struct Attributes {
  uint64_t set = 0;    // MOUNT_ATTR_*
  uint64_t clear = 0;  // MOUNT_ATTR_*
  bool recursive = false;
  // MS_* for mount(2), which adds them to those that the mount has. Not for `recursive`.
  uint64_t remount = 0;
};
// Of the mount whose root is open in `slot`.
void add_set_attributes(Assembler& plan, Step& step, int slot, const Attributes& attributes,
                        int when_slot = -1);
// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with or without MS_REC.
void add_set_propagation(Assembler& plan, Step& step, int slot, uint64_t propagation);

}  // namespace ringfence

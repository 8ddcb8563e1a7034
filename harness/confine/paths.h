#pragma once
// Paths inside a root, resolved so that no symbolic link of a rootfs leads out of it.
//
// openat2(2) with RESOLVE_IN_ROOT (Linux 5.6). Where it is missing (ENOSYS), openat(2) stands in:
// then an absolute or ".." link in a given rootfs is followed in the spawner's root. A rootfs that
// is not trusted needs 5.6.
#include <string>
#include <string_view>
#include <vector>

#include "harness/confine/assembler.h"

namespace ringfence {

// "/a/./b/../c/" -> "a/c", "/" -> "."; never leads above the root.
std::string path_in_root(std::string_view path);

// Opens `path` below the descriptor in slot `root` into slot `out`, with O_CLOEXEC | `flags`.
void add_open(Assembler& plan, Step& step, int root, std::string_view path, uint64_t flags, int out,
              std::initializer_list<int16_t> tolerate = {}, int unless_slot = -1);
// The same into kSlotTarget, making what is missing first: directories (mode 0755), and an empty
// file at the end for `file`. With `root_is_target`, "/" gives a second descriptor of the root.
void add_open_creating(Assembler& plan, Step& step, int root, std::string_view path, bool file);
// move_mount(2) of the tree in `from` onto the file or directory in `to`.
Op move_onto(Assembler& plan, int from, int to);
// mount_setattr(2) with `attributes` (MOUNT_ATTR_*) on the mount whose root is open in `slot`.
// Where it is missing (before 5.12): mount(2) with MS_REMOUNT | MS_BIND | `remount_flags` on
// `path`.
void add_set_attributes(Assembler& plan, Step& step, int slot, uint64_t attributes,
                        const std::string& path, uint64_t remount_flags, int when_slot = -1);
Op close_slot(int slot);

}  // namespace ringfence

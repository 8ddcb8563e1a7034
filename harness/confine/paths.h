#pragma once
// Paths inside a root, resolved so that no symbolic link of a rootfs leads out of it.
//
// openat2(2) with RESOLVE_IN_ROOT (Linux 5.6). Where it is missing (ENOSYS) the child does the same
// by itself, one component after the other (harness/spawn/child_mounts.h).
#include <string>
#include <string_view>
#include <vector>

#include "harness/confine/assembler.h"

namespace ringfence {

// "/a/./b/../c/" -> "a/c", "/" -> "."; never leads above the root.
std::string path_in_root(std::string_view path);

// Whether a symbolic link in a path is followed (inside the root) or refused with ELOOP.
enum class Links : uint8_t { follow, refuse };

// Opens `path` below the descriptor in slot `root` into slot `out`, with O_CLOEXEC | `flags`.
void add_open(Assembler& plan, Step& step, int root, std::string_view path, uint64_t flags, int out,
              std::initializer_list<int16_t> tolerate = {}, int unless_slot = -1,
              Links links = Links::follow);
// The same into kSlotTarget, making what is missing first: directories (mode 0755), and an empty
// file at the end for `file`. With `root_is_target`, "/" gives a second descriptor of the root.
void add_open_creating(Assembler& plan, Step& step, int root, std::string_view path, bool file,
                       Links links = Links::follow);
Op close_slot(int slot);

}  // namespace ringfence

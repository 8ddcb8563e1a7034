#pragma once
// Trees that are copied, and descriptors that are sent, by the child. As all of the child's code:
// no allocation, no lock, no library function. Internal to spawn/.
//
// Sources: getdents64(2), openat(2), unix(7) "SCM_RIGHTS".
#include <cstdint>

namespace ringfence {

// Copies what is below the directory `from` into the directory `to`, which is empty and ours alone:
// files, directories, links, pipes, sockets and devices, with owner, mode and times; no extended
// attributes, and two names of one file become two files. No link is followed. What another mount
// has below `from` is copied, too. An owner whom this user namespace has no number for is not kept.
// `whole`: `to` itself gets owner, mode and times of `from`. At most kCopyDepth directories deep
// (ENAMETOOLONG), since each takes from a stack that does not grow. 0 or -errno.
inline constexpr int kCopyDepth = 40;
int64_t copy_tree(uint64_t from, uint64_t to, bool whole);

// The descriptor `fd` over the socket `socket`, with one byte. 0 or -errno.
int64_t send_descriptor(uint64_t socket, uint64_t fd);

}  // namespace ringfence

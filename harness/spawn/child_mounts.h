#pragma once
// Calls of the child that older kernels have no syscall for. As all of the child's code: no
// allocation, no lock, no library function. Internal to spawn/.
//
// Sources: openat2(2) (Linux 5.6), move_mount(2) (Linux 5.2), proc(5) "/proc/pid/fd/".
#include <cstdint>

namespace ringfence {

// mount(2) of `a[0]` (or of the descriptor a[5], unless it is -1) on what the descriptor a[1]
// stands for; a[2] type, a[3] flags, a[4] data. By /proc/self/fd, so that nobody who renames or
// links in between is followed. With MS_REMOUNT the flags that the mount has stay. 0 or -errno.
int64_t mount_at(const uint64_t* a);

// Opens `path` as if `root` were the root directory: no link and no ".." leads above it. Every
// component is opened by itself and never followed by the kernel. `no_links`: one is ELOOP.
// The descriptor or -errno.
int64_t open_in_root(uint64_t root, const char* path, uint64_t flags, bool no_links);

}  // namespace ringfence

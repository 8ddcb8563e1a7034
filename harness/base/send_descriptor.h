#pragma once
// A descriptor over a Unix socket. Source: unix(7) "SCM_RIGHTS".
#include <cstddef>
#include <cstdint>

namespace ringfence {

// Sends `data` by sendmsg(2) with `flags`, and with it a copy of `fd` unless that is negative. How
// much of the data went, the descriptor with the first of it; or -errno.
int64_t send_descriptor_with(int socket, const void* data, size_t size, int fd, int flags);

}  // namespace ringfence

#include "harness/base/send_descriptor.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include "harness/base/sys.h"

namespace ringfence {

int64_t send_descriptor_with(int socket, const void* data, size_t size, int fd, int flags) {
  iovec iov{const_cast<void*>(data), size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sys::call(SYS_sendmsg, socket, sys::arg(&message), static_cast<uint64_t>(flags));
}

}  // namespace ringfence

#include "harness/spawn/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "harness/base/sys.h"

namespace ringfence {
namespace {

Result<UniqueFd> receive_descriptor(int socket) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  char byte = 0;
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const int64_t r =
      sys::call(SYS_recvmsg, socket, sys::arg(&message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (r < 0) return system_error("recvmsg", "the target's terminal", static_cast<int>(-r));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    return system_error("recvmsg", "the target's terminal", EPROTO);
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace

Result<TerminalEnds> TerminalEnds::make(Plan::Terminal whose) {
  TerminalEnds ends;
  if (whose == Plan::Terminal::own) {
    std::array<int, 2> pair{};
    const int64_t r =
        sys::call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sys::arg(pair.data()));
    if (r < 0) return system_error("socketpair", "the target's terminal", static_cast<int>(-r));
    ends.receiver_ = UniqueFd(pair[0]);
    ends.sender_ = UniqueFd(pair[1]);
  } else if (whose == Plan::Terminal::spawners) {
    constexpr int kFlags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    auto master = sys::open("/dev/ptmx", kFlags);
    if (!master) return tl::unexpected(master.error());
    const int locked = 0;
    int64_t r = sys::call(SYS_ioctl, master->get(), TIOCSPTLCK, sys::arg(&locked));
    if (r >= 0) r = sys::call(SYS_ioctl, master->get(), TIOCGPTPEER, kFlags);
    if (r < 0) return system_error("ioctl", "/dev/ptmx", static_cast<int>(-r));
    ends.slave_ = UniqueFd(static_cast<int>(r));
    ends.master_ = std::move(*master);
  }
  return ends;
}

Result<UniqueFd> TerminalEnds::take() {
  if (receiver_) return receive_descriptor(receiver_.get());
  return std::move(master_);
}

}  // namespace ringfence

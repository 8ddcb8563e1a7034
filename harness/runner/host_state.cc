#include "harness/runner/host_state.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include "harness/base/file.h"
#include "harness/base/send_descriptor.h"

namespace ringfence {

Result<UniqueFd> make_socket(int domain, int type) {
  auto fd = made("socket", {}, SYS_socket, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (!fd) return tl::unexpected(fd.error());
  return UniqueFd(static_cast<int>(*fd));
}

void send_byte(int socket, char byte, int fd) {
  (void)send_descriptor_with(socket, &byte, 1, fd, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int count_mounts(const std::string& path) {
  int count = 0;
  const auto text = read_file("/proc/self/mountinfo");
  if (!text) return -1;
  for (auto line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() > 4 && fields[4] == path) ++count;
  }
  return count;
}

int lo_mtu() {
  auto fd = make_socket(AF_INET, SOCK_DGRAM);
  if (!fd) return -1;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (sys::call(SYS_ioctl, fd->get(), SIOCGIFMTU, sys::arg(&request)) < 0) return -1;
  return request.ifr_mtu;
}

std::string uname_field(bool domain) {
  struct {
    std::array<char, 65> sysname, nodename, release, version, machine, domainname;
  } names{};
  if (sys::call(SYS_uname, sys::arg(&names)) < 0) return {};
  return domain ? names.domainname.data() : names.nodename.data();
}

}  // namespace ringfence

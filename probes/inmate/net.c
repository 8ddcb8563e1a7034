/* Attempts on sockets and the network's configuration.
 * Sources: unix(7), ip(7), netdevice(7), socket(2). */
#include <linux/if.h>
#include <linux/in.h>
#include <linux/net.h>
#include <linux/sockios.h>
#include <linux/time.h>
#include <linux/un.h>

#include "probes/inmate/registry.h"

enum { kUnix = 1, kInet = 2, kStream = SOCK_STREAM, kDatagram = SOCK_DGRAM };
enum { kSolSocket = 1, kReuseAddress = 2, kSendTimeout = 21 };
enum { kCloexec = O_CLOEXEC };

/* A socket that the attempt needs and that is not the attempt itself: but its denial is what a
 * filter on socket(2) shows, so it is reported, and it decides. */
static long new_socket(int domain, int type) {
  return decide(__NR_socket, domain, type | kCloexec, 0);
}

static void limit_connect(long fd) {
  const struct __kernel_old_timeval two_seconds = {2, 0};
  sys(__NR_setsockopt, fd, kSolSocket, kSendTimeout, &two_seconds, sizeof two_seconds);
}

/* Connects, says "x", and keeps the connection. */
static long connect_and_send(long fd, const void* address, size_t size) {
  limit_connect(fd);
  long ret = decide(__NR_connect, fd, address, size);
  if (ret >= 0) ret = decide(__NR_write, fd, "x", 1);
  return ret;
}

static long connect_local(const char* name, bool abstract) {
  struct sockaddr_un address = {.sun_family = kUnix};
  const size_t size = str_len(name);
  const size_t from = abstract ? 1 : 0;
  if (size + 1 > sizeof address.sun_path) unable(ENAMETOOLONG);
  memcpy(address.sun_path + from, name, size);
  const long fd = new_socket(kUnix, kStream);
  if (fd < 0) return fd;
  /* An abstract name has no end but its length. */
  return connect_and_send(fd, &address, offsetof(struct sockaddr_un, sun_path) + size + 1);
}

static long attempt_connect_abstract(const struct rf_params* p) {
  return connect_local(param(p, 0), true);
}

static long attempt_connect_unix(const struct rf_params* p) {
  return connect_local(param(p, 0), false);
}

static struct sockaddr_in loopback(long port) {
  const struct sockaddr_in address = {
      .sin_family = kInet,
      .sin_port = (__be16)(port >> 8 & 0xff) | (__be16)((port & 0xff) << 8),
      .sin_addr = {0x0100007f},
  };
  return address;
}

static long attempt_connect_tcp(const struct rf_params* p) {
  const struct sockaddr_in address = loopback(param_number(p, 0));
  const long fd = new_socket(kInet, kStream);
  return fd < 0 ? fd : connect_and_send(fd, &address, sizeof address);
}

static long attempt_listen_tcp(const struct rf_params* p) {
  const struct sockaddr_in address = loopback(param_number(p, 0));
  const long fd = new_socket(kInet, kStream);
  if (fd < 0) return fd;
  const int one = 1;
  sys(__NR_setsockopt, fd, kSolSocket, kReuseAddress, &one, sizeof one);
  const long ret = decide(__NR_bind, fd, &address, sizeof address);
  return ret < 0 ? ret : decide(__NR_listen, fd, 4);
}

static long interface_call(unsigned long request, struct ifreq* r) {
  memcpy(r->ifr_name, "lo", 3);
  const long fd = new_socket(kInet, kDatagram);
  return fd < 0 ? fd : decide(__NR_ioctl, fd, request, r);
}

static long attempt_set_lo_mtu(const struct rf_params* p) {
  struct ifreq r = {.ifr_mtu = (int)param_number(p, 0)};
  return interface_call(SIOCSIFMTU, &r);
}

/* The benign twin of it: the same socket, and a question. */
static long attempt_get_lo_mtu(const struct rf_params* p) {
  (void)p;
  struct ifreq r = {.ifr_mtu = 0};
  const long ret = interface_call(SIOCGIFMTU, &r);
  if (ret >= 0) say_remark_number("mtu", r.ifr_mtu);
  return ret;
}

static long attempt_set_lo_up(const struct rf_params* p) {
  (void)p;
  struct ifreq r = {.ifr_flags = IFF_UP | IFF_RUNNING};
  return interface_call(SIOCSIFFLAGS, &r);
}

static long attempt_socket(const struct rf_params* p) {
  return decide(__NR_socket, param_number(p, 0), param_number(p, 1), param_number_or(p, 2, 0));
}

const struct attempt rf_net_attempts[] = {
    {"connect_abstract", attempt_connect_abstract, "NAME"},
    {"connect_unix", attempt_connect_unix, "PATH"},
    {"connect_tcp", attempt_connect_tcp, "PORT: of 127.0.0.1"},
    {"listen_tcp", attempt_listen_tcp, "PORT: of 127.0.0.1"},
    {"set_lo_mtu", attempt_set_lo_mtu, "MTU"},
    {"get_lo_mtu", attempt_get_lo_mtu, ""},
    {"set_lo_up", attempt_set_lo_up, ""},
    {"socket", attempt_socket, "DOMAIN TYPE [PROTOCOL]"},
    {NULL, NULL, NULL},
};

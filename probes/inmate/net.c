/* Attempts on sockets and the network's configuration.
 * Sources: unix(7), ip(7), netdevice(7), socket(2). */
#include <linux/if.h>
#include <linux/in.h>
#include <linux/net.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/route.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <linux/time.h>
#include <linux/un.h>

#include "probes/inmate/registry.h"

enum { kUnix = 1, kInet = 2, kStream = SOCK_STREAM, kDatagram = SOCK_DGRAM };
enum { kSolSocket = 1, kReuseAddress = 2, kSendTimeout = 21 };
enum { kCloexec = O_CLOEXEC, kNetlink = 16, kNewNet = CLONE_NEWNET };

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

static struct sockaddr in_sockaddr(uint32_t network_order) {
  struct sockaddr_in in = {.sin_family = kInet, .sin_addr = {network_order}};
  struct sockaddr address;
  memcpy(&address, &in, sizeof address);
  return address;
}

enum { kTestNet = 0x006363c6 }; /* 198.99.99.0: nobody's here */

/* A second address of lo, by an alias. */
static long attempt_add_address(const struct rf_params* p) {
  (void)p;
  struct ifreq r = {.ifr_addr = in_sockaddr(kTestNet | 0x09000000)};
  memcpy(r.ifr_name, "lo:9", 5);
  const long fd = new_socket(kInet, kDatagram);
  return fd < 0 ? fd : decide(__NR_ioctl, fd, SIOCSIFADDR, &r);
}

static long attempt_add_route(const struct rf_params* p) {
  (void)p;
  char device[] = "lo";
  struct rtentry route = {.rt_dst = in_sockaddr(kTestNet),
                          .rt_genmask = in_sockaddr(0x00ffffff),
                          .rt_flags = RTF_UP,
                          .rt_dev = device};
  const long fd = new_socket(kInet, kDatagram);
  return fd < 0 ? fd : decide(__NR_ioctl, fd, SIOCADDRT, &route);
}

static long attempt_add_bridge(const struct rf_params* p) {
  const long fd = new_socket(kInet, kDatagram);
  return fd < 0 ? fd : decide(__NR_ioctl, fd, SIOCBRADDBR, param(p, 0));
}

/* A socket of another network namespace leads there: by what it is asked for, or not at all. Then
 * to what listens on that namespace's loopback. */
static long attempt_netns_leak(const struct rf_params* p) {
  const long ns = decide(__NR_ioctl, RF_GIVEN_FD, SIOCGSKNS);
  if (ns < 0) return ns;
  const long ret = decide(__NR_setns, ns, kNewNet);
  return ret < 0 ? ret : attempt_connect_tcp(p);
}

/* nf_tables: a table, and in it a chain at the input hook that drops whatever comes.
 * Sources: nft(8), include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h. */
struct nft_batch {
  size_t size;
  char bytes[512];
  size_t message;
};

static void nft_put(struct nft_batch* b, const void* data, size_t size) {
  memcpy(b->bytes + b->size, data, size);
  b->size = (b->size + size + 3) & ~(size_t)3;
}

static void nft_begin(struct nft_batch* b, int type, int flags, int family, int resource) {
  b->message = b->size;
  const struct nlmsghdr header = {.nlmsg_type = (uint16_t)type,
                                  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)};
  const struct nfgenmsg generic = {.nfgen_family = (uint8_t)family,
                                   .res_id = (uint16_t)(resource << 8)};
  nft_put(b, &header, sizeof header);
  nft_put(b, &generic, sizeof generic);
}

static void nft_end(struct nft_batch* b) {
  struct nlmsghdr* header = (struct nlmsghdr*)(b->bytes + b->message);
  header->nlmsg_len = (uint32_t)(b->size - b->message);
}

static void nft_attribute(struct nft_batch* b, int type, const void* data, size_t size) {
  const struct nlattr attribute = {.nla_len = (uint16_t)(sizeof attribute + size),
                                   .nla_type = (uint16_t)type};
  nft_put(b, &attribute, sizeof attribute);
  nft_put(b, data, size);
}

static long attempt_add_firewall(const struct rf_params* p) {
  (void)p;
  enum { kNft = NFNL_SUBSYS_NFTABLES << 8, kInput = NF_INET_LOCAL_IN };
  static const char name[] = "ringfence";
  const uint32_t input_hook[] = {(uint32_t)kInput << 24, 0}; /* big-endian: hook, priority */
  const uint32_t drop = NF_DROP;
  struct nft_batch b = {0};
  nft_begin(&b, NFNL_MSG_BATCH_BEGIN, 0, 0, NFNL_SUBSYS_NFTABLES);
  nft_end(&b);
  nft_begin(&b, kNft | NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_IPV4, 0);
  nft_attribute(&b, NFTA_TABLE_NAME, name, sizeof name);
  nft_end(&b);
  nft_begin(&b, kNft | NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK, NFPROTO_IPV4, 0);
  nft_attribute(&b, NFTA_CHAIN_TABLE, name, sizeof name);
  nft_attribute(&b, NFTA_CHAIN_NAME, name, sizeof name);
  const struct {
    struct nlattr hook;
    uint32_t hook_value;
    struct nlattr priority;
    uint32_t priority_value;
  } nested = {{8, NFTA_HOOK_HOOKNUM}, input_hook[0], {8, NFTA_HOOK_PRIORITY}, input_hook[1]};
  nft_attribute(&b, NFTA_CHAIN_HOOK | NLA_F_NESTED, &nested, sizeof nested);
  nft_attribute(&b, NFTA_CHAIN_TYPE, "filter", sizeof "filter");
  nft_attribute(&b, NFTA_CHAIN_POLICY, &(const uint32_t){drop}, sizeof drop);
  nft_end(&b);
  nft_begin(&b, NFNL_MSG_BATCH_END, 0, 0, NFNL_SUBSYS_NFTABLES);
  nft_end(&b);
  const long fd = decide(__NR_socket, kNetlink, SOCK_RAW | kCloexec, NETLINK_NETFILTER);
  if (fd < 0) return fd;
  const long sent = decide(__NR_sendto, fd, b.bytes, b.size, 0, 0, 0);
  if (sent < 0) return sent;
  /* The kernel has answered before sendto(2) returned: an error, or the acknowledgement. */
  struct {
    struct nlmsghdr header;
    int error;
    char rest[512];
  } answer;
  const long n = sys(__NR_read, fd, &answer, sizeof answer);
  if (n < 0) return n;
  return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error : -EPROTO;
}

const struct attempt rf_net_attempts[] = {
    {"connect_abstract", attempt_connect_abstract, "NAME"},
    {"connect_unix", attempt_connect_unix, "PATH"},
    {"connect_tcp", attempt_connect_tcp, "PORT: of 127.0.0.1"},
    {"listen_tcp", attempt_listen_tcp, "PORT: of 127.0.0.1"},
    {"set_lo_mtu", attempt_set_lo_mtu, "MTU"},
    {"get_lo_mtu", attempt_get_lo_mtu, ""},
    {"set_lo_up", attempt_set_lo_up, ""},
    {"add_address", attempt_add_address, ""},
    {"add_route", attempt_add_route, ""},
    {"add_bridge", attempt_add_bridge, "NAME"},
    {"add_firewall", attempt_add_firewall, ""},
    {"netns_leak", attempt_netns_leak, "PORT: of 127.0.0.1; for RF_GIVEN_FD"},
    {"socket", attempt_socket, "DOMAIN TYPE [PROTOCOL]"},
    {NULL, NULL, NULL},
};

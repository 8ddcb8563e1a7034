/* Attempts on neighbours of the same bridge.
 * Sources: ip(7), packet(7), RFC 791, RFC 768. */
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/net.h>
#include <linux/sockios.h>
#include <linux/time.h>

#include "probes/inmate/registry.h"

/* SOCK_*, include/linux/net.h; the kernel's interface header has them not. */
enum { kStream = 1, kDatagram = 2, kRaw = 3 };
enum { kInet = 2, kPacket = 17, kSolSocket = 1, kReceiveTimeout = 20, kSendTimeout = 21 };
enum { kWaitMs = 3000 }; /* what is let through arrives in less than one, on an idle machine */
enum { kFramesMost = 16 };

static __be16 big(long value) { return (__be16)((value >> 8 & 0xff) | (value & 0xff) << 8); }

/* "10.0.0.2" as it stands in a packet. */
static uint32_t address(const char* text) {
  uint32_t value = 0;
  uint32_t byte = 0;
  int shift = 0;
  for (; *text != 0; ++text) {
    if (*text == '.') {
      value |= byte << shift;
      shift += 8;
      byte = 0;
    } else if (*text >= '0' && *text <= '9') {
      byte = byte * 10 + (uint32_t)(*text - '0');
    } else {
      unable(EINVAL);
    }
  }
  return value | byte << shift;
}

static void wait_briefly(long fd, int option) {
  const struct __kernel_old_timeval brief = {kWaitMs / 1000, kWaitMs % 1000 * 1000};
  sys(__NR_setsockopt, fd, kSolSocket, option, &brief, sizeof brief);
}

/* By two parameters, the first of which is number `first`. */
static struct sockaddr_in peer(const struct rf_params* p, int first) {
  return (struct sockaddr_in){.sin_family = kInet,
                              .sin_port = big(param_number(p, first + 1)),
                              .sin_addr = {address(param(p, first))}};
}

static long attempt_connect_peer(const struct rf_params* p) {
  const struct sockaddr_in to = peer(p, 0);
  const long fd = decide(__NR_socket, kInet, kStream | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  wait_briefly(fd, kSendTimeout);
  return decide(__NR_connect, fd, &to, sizeof to);
}

static long attempt_send_peer(const struct rf_params* p) {
  const struct sockaddr_in to = peer(p, 0);
  const long fd = decide(__NR_socket, kInet, kDatagram | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  return decide(__NR_sendto, fd, "x", 1, 0, &to, sizeof to);
}

/* Overhears what a neighbour says to another: whatever frame comes by, of any interface. */
static long attempt_sniff(const struct rf_params* p) {
  if (p->count > 1) {
    /* So that the bridge knows where it is. Before it listens: it would hear itself. */
    const struct sockaddr_in to = peer(p, 1);
    const long speaker = sys(__NR_socket, kInet, kDatagram | O_CLOEXEC, 0);
    const long sent = sys(__NR_sendto, speaker, "x", 1, 0, &to, sizeof to);
    if (sent < 0) unable(-sent);
  }
  const long fd = decide(__NR_socket, kPacket, kRaw | O_CLOEXEC, big(ETH_P_ALL));
  if (fd < 0) return fd;
  wait_briefly(fd, kReceiveTimeout);
  struct rf_text speak = {0};
  add_str(&speak, "N ");
  add_str(&speak, param(p, 0));
  if (sys(__NR_write, RF_ANSWER_FD, speak.text, speak.size) < 0) unable(EIO);
  char byte = 0;
  if (sys(__NR_read, RF_ANSWER_FD, &byte, 1) != 1 || byte != 'n') unable(EIO);
  static char frame[RF_SECRET_MAX];
  for (int i = 0; i < kFramesMost; ++i) {
    const long n = decide(__NR_recvfrom, fd, frame, sizeof frame, 0, 0, 0);
    if (n < 0) return n;
    say_bytes(frame, (size_t)n);
    /* A datagram, to the port of echo: what neighbours say. Other frames come by, too. */
    if (n >= ETH_HLEN + 24 && memcmp(frame + 12, "\x08\x00", 2) == 0 &&
        frame[ETH_HLEN + 9] == IPPROTO_UDP && memcmp(frame + ETH_HLEN + 22, "\x00\x07", 2) == 0) {
      return 0;
    }
  }
  return -ETIMEDOUT;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  unable(EINVAL);
}

static void put_mac(unsigned char* to, const char* text) {
  for (int i = 0; i < ETH_ALEN; ++i, text += text[2] == ':' ? 3 : 2) {
    to[i] = (unsigned char)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
  }
}

/* A whole frame, made by hand: a datagram from an address that is somebody else's. */
static long attempt_forge(const struct rf_params* p) {
  struct {
    unsigned char to[ETH_ALEN], from[ETH_ALEN];
    __be16 type;
    unsigned char version, tos;
    __be16 length, id, fragment;
    unsigned char ttl, protocol;
    uint16_t sum;
    uint16_t source[2], destination[2];
    __be16 from_port, to_port, datagram, no_sum;
    char text[2];
  } __attribute__((packed)) frame = {.type = big(ETH_P_IP),
                                     .version = 0x45,
                                     .length = big(30),
                                     .ttl = 64,
                                     .protocol = IPPROTO_UDP,
                                     .from_port = big(7),
                                     .datagram = big(10),
                                     .text = "x"};
  const uint32_t source = address(param(p, 0));
  const uint32_t destination = address(param(p, 2));
  memcpy(frame.source, &source, sizeof source);
  memcpy(frame.destination, &destination, sizeof destination);
  put_mac(frame.from, param(p, 1));
  put_mac(frame.to, param(p, 3));
  frame.to_port = big(param_number(p, 4));
  uint32_t sum = 0;
  const unsigned char* header = &frame.version;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(header[i] << 8 | header[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  frame.sum = big(~sum & 0xffff);
  const long fd = decide(__NR_socket, kPacket, kRaw | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  struct ifreq interface = {.ifr_ifindex = 0};
  const char* name = param(p, 5);
  memcpy(interface.ifr_name, name, str_len(name) < IFNAMSIZ ? str_len(name) + 1 : 0);
  const long found = sys(__NR_ioctl, fd, SIOCGIFINDEX, &interface);
  if (found < 0) unable(-found);
  const struct sockaddr_ll to = {.sll_family = kPacket,
                                 .sll_protocol = big(ETH_P_IP),
                                 .sll_ifindex = interface.ifr_ifindex,
                                 .sll_halen = ETH_ALEN};
  return decide(__NR_sendto, fd, &frame, sizeof frame, 0, &to, sizeof to);
}

const struct attempt rf_peer_attempts[] = {
    {"connect_peer", attempt_connect_peer, "ADDRESS PORT"},
    {"send_peer", attempt_send_peer, "ADDRESS PORT: a datagram"},
    {"sniff", attempt_sniff,
     "WHOM [ADDRESS PORT]: b, target; what a says to it; speaks there first"},
    {"forge", attempt_forge, "FROM_ADDRESS FROM_MAC TO_ADDRESS TO_MAC PORT INTERFACE"},
    {NULL, NULL, NULL},
};

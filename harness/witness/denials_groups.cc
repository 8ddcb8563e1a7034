// Rows: what the device controller refuses, in a v1 group and by a program of a v2 group; and what
// a stack of its own, or a host beyond it, answers to connect(2).
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <array>
#include <thread>

#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

constexpr uint32_t kOutside = 0xc0000200;  // 192.0.2.0/24, TEST-NET-1
int g_socket = -1;

sockaddr_in inet(uint32_t address, uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(address);
  to.sin_port = htons(port);
  return to;
}

template <typename T>
void put(T& where, const sockaddr_in& address) {
  static_assert(sizeof where == sizeof address);
  std::memcpy(&where, &address, sizeof address);
}

void add_devices(std::vector<DenialRow>& rows) {
  const auto node = [] { return makedev(1, 5); };  // /dev/zero
  struct Try {
    const char* name;
    long nr;
    std::function<int()> act;
  };
  const std::array tries = {
      Try{"open of a device", SYS_open, [] { return raw(SYS_open, "/dev/zero", O_RDONLY); }},
      Try{"openat of a device for writing", SYS_openat,
          [] { return raw(SYS_openat, AT_FDCWD, "/dev/zero", O_WRONLY); }},
      Try{"mknod of a device", SYS_mknod,
          [=] { return raw(SYS_mknod, Scene::get().at("zero").c_str(), S_IFCHR | 0666, node()); }},
      Try{"access to a device", SYS_access, [] { return raw(SYS_access, "/dev/zero", R_OK); }},
  };
  for (const bool program : {false, true}) {
    const auto row = [&](const Try& what) {
      DenialRow denial{.name = what.name,
                       .nr = what.nr,
                       .err = EPERM,
                       .layer = Layer{"cgroup.devices"},
                       .why = "the device controller was asked",
                       .prepare = [] { return true; },
                       .act = what.act};
      denial.device_program = program;
      if (!program) denial.settings = {{"devices", "devices.deny", "c 1:5 rwm"}};
      return denial;
    };
    for (const Try& what : tries) rows.push_back(row(what));
    // Who may not make nodes at all is not asked which.
    DenialRow incapable = row(tries[2]);
    incapable.name = "mknod of a device without CAP_MKNOD";
    incapable.prepare = [] { return drop_cap(CAP_MKNOD); };
    incapable.layer = Layer::cap("MKNOD");
    incapable.why = "was asked for last";
    rows.push_back(incapable);
  }
}

bool loopback_up() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return up;
}

bool tcp_socket() { return (g_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0; }

uint16_t checksum(const void* data, size_t size, uint32_t sum = 0) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

// A host at the other end that refuses every connection.
void refuse_all(int tun) {
  struct Packet {
    iphdr ip;
    tcphdr tcp;
  } out;
  std::array<uint8_t, 2048> in{};
  for (;;) {
    const ssize_t n = read(tun, in.data(), in.size());
    if (n < static_cast<ssize_t>(sizeof out)) return;
    std::memcpy(&out, in.data(), sizeof out);
    if (out.ip.version != 4 || out.ip.protocol != IPPROTO_TCP) continue;
    std::swap(out.ip.saddr, out.ip.daddr);
    std::swap(out.tcp.source, out.tcp.dest);
    out.ip.tot_len = htons(sizeof out);
    out.ip.check = 0;
    out.ip.check = checksum(&out.ip, sizeof out.ip);
    out.tcp.ack_seq = htonl(ntohl(out.tcp.seq) + 1);
    out.tcp.seq = 0;
    out.tcp.syn = 0;
    out.tcp.rst = out.tcp.ack = 1;
    out.tcp.doff = 5;
    out.tcp.check = 0;
    const uint32_t pseudo = (ntohl(out.ip.saddr) >> 16) + (ntohl(out.ip.saddr) & 0xffff) +
                            (ntohl(out.ip.daddr) >> 16) + (ntohl(out.ip.daddr) & 0xffff) +
                            IPPROTO_TCP + sizeof out.tcp;
    out.tcp.check = checksum(&out.tcp, sizeof out.tcp, pseudo);
    if (write(tun, &out, sizeof out) != static_cast<ssize_t>(sizeof out)) return;
  }
}

DenialRow connecting(const char* name, int err, uint32_t address, const char* why,
                     std::function<bool()> prepare) {
  return {.name = name,
          .nr = SYS_connect,
          .err = err,
          .layer = Layer::kNet,
          .why = why,
          .prepare = std::move(prepare),
          .act =
              [=] {
                const sockaddr_in to = inet(address, 9);
                return raw(SYS_connect, g_socket, &to, sizeof to);
              },
          .in_force = {Layer::kNet},
          .exists = true,
          .clone_flags = CLONE_NEWNET};
}

void add_packets(std::vector<DenialRow>& rows) {
  rows.push_back(connecting("connect within a stack of its own", ECONNREFUSED, INADDR_LOOPBACK,
                            "its own stack answered, all packets went by loopback",
                            [] { return loopback_up() && tcp_socket(); }));
  rows.push_back(connecting("connect without a route", ENETUNREACH, kOutside + 2,
                            "no packet was sent", [] { return loopback_up() && tcp_socket(); }));
  rows.push_back(connecting("connect by a route that rejects", EHOSTUNREACH, kOutside + 2,
                            "no packet was sent", [] {
                              if (!loopback_up() || !tcp_socket()) return false;
                              rtentry route{};
                              put(route.rt_dst, inet(kOutside + 2, 0));
                              put(route.rt_genmask, inet(0xffffffff, 0));
                              route.rt_flags = RTF_UP | RTF_HOST | RTF_REJECT;
                              return ioctl(g_socket, SIOCADDRT, &route) == 0;
                            }));
  DenialRow beyond = connecting("connect to a host that refuses", ECONNREFUSED, kOutside + 2,
                                "a packet left", [] { return tun_up() && tcp_socket(); });
  beyond.layer = Layer::kUnattributed;
  rows.push_back(beyond);
}

}  // namespace

bool tun_up() {
  const int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tun < 0) {
    errno = EOPNOTSUPP;
    return false;
  }
  ifreq request{};
  std::strcpy(request.ifr_name, "rf0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun, TUNSETIFF, &request) != 0) return false;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  put(request.ifr_addr, inet(kOutside + 1, 0));
  if (ioctl(fd, SIOCSIFADDR, &request) != 0) return false;
  put(request.ifr_netmask, inet(0xffffff00, 0));
  if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) return false;
  request.ifr_flags = IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) return false;
  close(fd);
  std::thread(refuse_all, tun).detach();
  return true;
}

Result<UniqueFd> deny_zero(int group_fd) {
  const auto insn = [](int code, int dst, int src, int off, int imm) {
    bpf_insn i{};
    i.code = static_cast<uint8_t>(code);
    i.dst_reg = static_cast<uint8_t>(dst) & 0xf;
    i.src_reg = static_cast<uint8_t>(src) & 0xf;
    i.off = static_cast<int16_t>(off);
    i.imm = imm;
    return i;
  };
  // struct bpf_cgroup_dev_ctx: major at 4, minor at 8.
  const std::array program = {
      insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 4, 0),
      insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, 8, 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1),
      insn(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 2, 1),
      insn(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 1, 5),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
      insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  const UniqueFd loaded(bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, "deny_zero", "GPL",
                                      program.data(), program.size(), nullptr));
  if (!loaded) return system_error("load", "deny_zero");
  UniqueFd link(bpf_link_create(loaded.get(), group_fd, BPF_CGROUP_DEVICE, nullptr));
  if (!link) return system_error("attach", "deny_zero");
  return link;
}

std::vector<DenialRow> group_denials() {
  std::vector<DenialRow> rows;
  add_devices(rows);
  add_packets(rows);
  return rows;
}

}  // namespace ringfence

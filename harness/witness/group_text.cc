#include "harness/witness/group_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string_view>

#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

std::string family_text(int64_t family) {
  if (family == AF_INET) return "IPv4";
  if (family == AF_INET6) return "IPv6";
  return fmt::format("family {}", family);
}

std::string type_text(int64_t type) {
  if (type == SOCK_STREAM) return "SOCK_STREAM";
  if (type == SOCK_DGRAM) return "SOCK_DGRAM";
  if (type == SOCK_RAW) return "SOCK_RAW";
  return fmt::format("type {}", type);
}

std::string protocol_text(int64_t protocol) {
  if (protocol == IPPROTO_TCP) return "TCP";
  if (protocol == IPPROTO_UDP) return "UDP";
  if (protocol == IPPROTO_ICMP) return "ICMP";
  return fmt::format("protocol {}", protocol);
}

// include/net/tcp_states.h.
std::string state_text(int64_t state) {
  static constexpr std::array<std::string_view, 14> kNames = {
      "",      "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",    "TIME_WAIT",
      "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV", "BOUND"};
  if (state > 0 && state < static_cast<int64_t>(kNames.size())) {
    return std::string(kNames[static_cast<size_t>(state)]);
  }
  return fmt::format("state {}", state);
}

std::string address_text(const rf_event_number& e) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  // The port is as in the packet, in the lower half of a register.
  const auto port = ntohs(static_cast<uint16_t>(e.more[0]));
  const bool four = e.number == AF_INET;
  if (inet_ntop(four ? AF_INET : AF_INET6, &e.more[1], text.data(), text.size()) == nullptr) {
    return "?";
  }
  return four ? fmt::format("{}:{}", text.data(), port) : fmt::format("[{}]:{}", text.data(), port);
}

std::string access_text(int64_t access) {
  std::string text;
  const auto add = [&](int64_t bit, const char* word) {
    if ((access & bit) == 0) return;
    if (!text.empty()) text += " and ";
    text += word;
  };
  add(BPF_DEVCG_ACC_MKNOD, "mknod");
  add(BPF_DEVCG_ACC_READ, "read");
  add(BPF_DEVCG_ACC_WRITE, "write");
  return text.empty() ? fmt::format("access {}", access) : text;
}

}  // namespace

std::string group_event_text(const rf_event_number& e) {
  switch (e.head.kind) {
    case RF_EV_SOCKET:
      return fmt::format("makes a socket: {}, {}, {}", family_text(e.number), type_text(e.more[0]),
                         protocol_text(e.more[1]));
    case RF_EV_CONNECT:
      return "connects to " + address_text(e);
    case RF_EV_SOCK_STATE:
      return fmt::format("{} socket of port {} to port {}: {} to {}", protocol_text(e.number),
                         e.more[1] >> 16 & 0xffff, e.more[1] & 0xffff, state_text(e.more[0] >> 8),
                         state_text(e.more[0] & 0xff));
    case RF_EV_DEVICE:
      return fmt::format("asks the device controller for {} {}:{}, {}",
                         e.number == BPF_DEVCG_DEV_BLOCK ? "block" : "char", e.more[1], e.more[2],
                         access_text(e.more[0]));
    default:
      return {};
  }
}

}  // namespace ringfence

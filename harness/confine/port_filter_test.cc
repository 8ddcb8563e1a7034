// The programs of the allow-list, frame by frame, run by the kernel: as the filter of a socket,
// where a verdict of 0 (TC_ACT_OK) drops the datagram and 2 (TC_ACT_SHOT) keeps two bytes of it.
#include "harness/confine/port_filter.h"

#include <gtest/gtest.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace ringfence {
namespace {

using Bytes = std::vector<uint8_t>;

int verdict(const std::vector<sock_filter>& program, const Bytes& frame) {
  std::array<int, 2> pair{};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
  const UniqueFd here(pair[0]);
  const UniqueFd there(pair[1]);
  const sock_fprog attached{static_cast<unsigned short>(program.size()),
                            const_cast<sock_filter*>(program.data())};
  EXPECT_EQ(setsockopt(there.get(), SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached), 0);
  EXPECT_EQ(write(here.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
  Bytes got(frame.size());
  const ssize_t n = read(there.get(), got.data(), got.size());
  if (n < 0) return TC_ACT_OK;
  return n == std::min<ssize_t>(TC_ACT_SHOT, static_cast<ssize_t>(frame.size())) ? TC_ACT_SHOT : -1;
}

const MacAddress kOwnMac = *MacAddress::parse("02:00:00:00:00:01");
const MacAddress kOtherMac = *MacAddress::parse("02:00:00:00:00:09");

void put(Bytes& frame, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame.push_back(static_cast<uint8_t>(byte));
}
void put(Bytes& frame, const std::string& address) {
  const IpAddress parsed = IpAddress::parse(address).value();
  for (size_t i = 0; i < parsed.size(); ++i) frame.push_back(parsed.bytes.at(i));
}
void put(Bytes& frame, const MacAddress& mac) {
  for (const uint8_t byte : mac.bytes) frame.push_back(byte);
}

Bytes ethernet(int type, const MacAddress& source = kOwnMac) {
  Bytes frame;
  put(frame, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  put(frame, source);
  put(frame, {type >> 8, type & 0xff});
  return frame;
}
Bytes arp(const std::string& sender, const std::string& target, const MacAddress& mac = kOwnMac) {
  Bytes frame = ethernet(0x0806, mac);
  put(frame, {0, 1, 8, 0, 6, 4, 0, 1});
  put(frame, mac);
  put(frame, sender);
  put(frame, MacAddress{});
  put(frame, target);
  return frame;
}
// `options`: words of IP options; `fragment`: the field with flags and offset.
Bytes ip4(const std::string& from, const std::string& to, int protocol, int from_port = 0,
          int to_port = 0, int options = 0, int fragment = 0) {
  Bytes frame = ethernet(0x0800);
  put(frame, {0x45 + options, 0, 0, 40, 0, 0, fragment >> 8, fragment & 0xff, 64, protocol, 0, 0});
  put(frame, from);
  put(frame, to);
  for (int i = 0; i < options * 4; ++i) frame.push_back(1);
  put(frame, {from_port >> 8, from_port & 0xff, to_port >> 8, to_port & 0xff, 0, 0, 0, 0});
  return frame;
}
Bytes ip6(const std::string& from, const std::string& to, int next, int first = 0, int second = 0,
          const std::string& nd_target = "::") {
  Bytes frame = ethernet(0x86dd);
  put(frame, {0x60, 0, 0, 0, 0, 8, next, 255});
  put(frame, from);
  put(frame, to);
  put(frame, {first >> 8, first & 0xff, second >> 8, second & 0xff, 0, 0, 0, 0});
  put(frame, nd_target);
  return frame;
}

NetworkInterface own() {
  NetworkInterface interface;
  interface.name = "eth0";
  interface.addresses = {*IpNetwork::parse("10.0.0.2/24"), *IpNetwork::parse("fd00::2/64")};
  return interface;
}

PortFilter filter_for(std::vector<NetworkPeer> allow, NetworkInterface interface = own()) {
  return compile_port_filter(interface, allow);
}

constexpr int kTcp = IPPROTO_TCP;
constexpr int kUdp = IPPROTO_UDP;

TEST(PortFilter, AnEmptyListLetsNothingPass) {
  const PortFilter filter = filter_for({});
  for (const auto& frame : {arp("10.0.0.2", "10.0.0.3"), ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80),
                            ip6("fd00::2", "fd00::3", kTcp), ethernet(0x8100), Bytes(4, 0)}) {
    EXPECT_EQ(verdict(filter.from_target, frame), TC_ACT_SHOT);
    EXPECT_EQ(verdict(filter.to_target, frame), TC_ACT_SHOT);
  }
}

TEST(PortFilter, AnyProtocolOfOnePeer) {
  const PortFilter filter = filter_for({{*IpNetwork::parse("10.0.0.3/32"), 0, 0}});
  const auto& out = filter.from_target;
  const auto& in = filter.to_target;
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kUdp, 1, 53)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.4", kTcp, 1, 80)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip4("10.0.0.9", "10.0.0.3", kTcp, 1, 80)), TC_ACT_SHOT) << "forged source";
  EXPECT_EQ(verdict(out, arp("10.0.0.2", "10.0.0.3")), TC_ACT_OK);
  EXPECT_EQ(verdict(out, arp("10.0.0.2", "10.0.0.4")), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, arp("10.0.0.4", "10.0.0.3")), TC_ACT_SHOT) << "forged sender";
  EXPECT_EQ(verdict(in, ip4("10.0.0.3", "10.0.0.2", kTcp, 80, 1)), TC_ACT_OK);
  EXPECT_EQ(verdict(in, ip4("10.0.0.4", "10.0.0.2", kTcp, 80, 1)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(in, ip4("10.0.0.4", "10.0.0.3", kTcp, 80, 1)), TC_ACT_SHOT) << "flooded";
  EXPECT_EQ(verdict(in, ip4("10.0.0.3", "10.0.0.4", kTcp, 80, 1)), TC_ACT_SHOT) << "flooded";
  EXPECT_EQ(verdict(in, arp("10.0.0.3", "10.0.0.4")), TC_ACT_SHOT);
  EXPECT_EQ(verdict(in, arp("10.0.0.3", "10.0.0.2")), TC_ACT_OK);
  EXPECT_EQ(verdict(in, arp("10.0.0.4", "10.0.0.2")), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ethernet(0x88cc)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::3", kTcp)), TC_ACT_SHOT);
}

TEST(PortFilter, OnePort) {
  const PortFilter filter = filter_for({{*IpNetwork::parse("10.0.0.3/32"), IPPROTO_TCP, 80}});
  const auto& out = filter.from_target;
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 80, 81)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kUdp, 1, 80)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", IPPROTO_ICMP)), TC_ACT_SHOT);
  constexpr int kOptions = 3;
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80, kOptions)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 81, kOptions)), TC_ACT_SHOT);
  constexpr int kDontFragment = 0x4000;
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80, 0, kDontFragment)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80, 0, 8)), TC_ACT_SHOT)
      << "a later fragment has no ports";
  EXPECT_EQ(verdict(filter.to_target, ip4("10.0.0.3", "10.0.0.2", kTcp, 80, 1)), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.to_target, ip4("10.0.0.3", "10.0.0.2", kTcp, 81, 1)), TC_ACT_SHOT);
}

// What a load of classic BPF does not find makes the verdict 0, and that is TC_ACT_OK.
TEST(PortFilter, NoFrameThatIsCutOffPasses) {
  const PortFilter any = filter_for(
      {{*IpNetwork::parse("10.0.0.3/32"), 0, 0}, {*IpNetwork::parse("fd00::3/128"), 0, 0}});
  const PortFilter port = filter_for({{*IpNetwork::parse("10.0.0.3/32"), IPPROTO_TCP, 80},
                                      {*IpNetwork::parse("fd00::3/128"), IPPROTO_TCP, 80}});
  struct Cut {
    Bytes frame;
    size_t any, port;  // from so many bytes on it may pass
  };
  constexpr size_t kNever = 1000;
  constexpr int kOptions = 10;
  for (const Cut& cut :
       {Cut{arp("10.0.0.2", "10.0.0.3"), 42, 42},
        Cut{ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80), 34, 38},
        Cut{ip4("10.0.0.2", "10.0.0.3", kTcp, 1, 80, kOptions), 34, 78},
        Cut{ip6("fd00::2", "fd00::3", kTcp, 1, 80), 54, 58},
        Cut{ip6("fd00::2", "ff02::1:ff00:3", IPPROTO_ICMPV6, 135 << 8, 0, "fd00::3"), 78, 78},
        Cut{ip4("10.0.0.2", "10.0.0.4", kTcp, 1, 80), kNever, kNever}}) {
    for (size_t size = 0; size <= cut.frame.size(); ++size) {
      const Bytes part(cut.frame.begin(), cut.frame.begin() + static_cast<ssize_t>(size));
      EXPECT_EQ(verdict(any.from_target, part), size >= cut.any ? TC_ACT_OK : TC_ACT_SHOT) << size;
      EXPECT_EQ(verdict(port.from_target, part), size >= cut.port ? TC_ACT_OK : TC_ACT_SHOT)
          << size;
    }
  }
}

TEST(PortFilter, NetworksAndSeveralRules) {
  std::vector<NetworkPeer> allow;
  for (int i = 0; i < 64; ++i) {
    allow.push_back({*IpNetwork::parse("10.1." + std::to_string(i) + ".0/24"), IPPROTO_TCP,
                     static_cast<uint16_t>(1000 + i)});
  }
  const PortFilter filter = filter_for(allow);
  for (const int i : {0, 1, 31, 63}) {
    const std::string to = "10.1." + std::to_string(i) + ".77";
    EXPECT_EQ(verdict(filter.from_target, ip4("10.0.0.2", to, kTcp, 1, 1000 + i)), TC_ACT_OK) << i;
    EXPECT_EQ(verdict(filter.from_target, ip4("10.0.0.2", to, kTcp, 1, 999)), TC_ACT_SHOT) << i;
    EXPECT_EQ(verdict(filter.from_target, arp("10.0.0.2", to)), TC_ACT_OK) << i;
  }
  EXPECT_EQ(verdict(filter.from_target, ip4("10.0.0.2", "10.1.64.77", kTcp, 1, 1064)), TC_ACT_SHOT);
  const PortFilter all = filter_for({{*IpNetwork::parse("0.0.0.0/0"), 0, 0}});
  EXPECT_EQ(verdict(all.from_target, ip4("10.0.0.2", "8.8.8.8", kUdp)), TC_ACT_OK);
  const PortFilter odd = filter_for({{*IpNetwork::parse("10.0.0.128/25"), 0, 0}});
  EXPECT_EQ(verdict(odd.from_target, ip4("10.0.0.2", "10.0.0.129", kUdp)), TC_ACT_OK);
  EXPECT_EQ(verdict(odd.from_target, ip4("10.0.0.2", "10.0.0.127", kUdp)), TC_ACT_SHOT);
}

TEST(PortFilter, Ip6WithNeighbourDiscovery) {
  const PortFilter filter = filter_for({{*IpNetwork::parse("fd00::3/128"), IPPROTO_TCP, 80}});
  const auto& out = filter.from_target;
  constexpr int kIcmp = IPPROTO_ICMPV6;
  constexpr int kAsk = 135 << 8;
  constexpr int kTell = 136 << 8;
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::3", kTcp, 1, 80)), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::3", kTcp, 1, 81)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::4", kTcp, 1, 80)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip6("fd00::9", "fd00::3", kTcp, 1, 80)), TC_ACT_SHOT) << "forged source";
  EXPECT_EQ(verdict(out, ip6("fd00::2", "ff02::1:ff00:3", kIcmp, kAsk, 0, "fd00::3")), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "ff02::1:ff00:4", kIcmp, kAsk, 0, "fd00::4")), TC_ACT_SHOT);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::3", kIcmp, kTell, 0, "fd00::2")), TC_ACT_OK);
  EXPECT_EQ(verdict(out, ip6("fd00::2", "fd00::3", kIcmp, 128 << 8)), TC_ACT_SHOT) << "echo";
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::3", "fd00::2", kTcp, 80, 1)), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::4", "fd00::2", kTcp, 80, 1)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::3", "fd00::2", kIcmp, kAsk)), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::3", "fd00::2", kIcmp, kTell)), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::3", "ff02::1:ff00:2", kIcmp, kAsk)), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::4", "ff02::1:ff00:2", kIcmp, kAsk)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(filter.to_target, ip6("fd00::3", "fd00::4", kTcp, 80, 1)), TC_ACT_SHOT);
  const PortFilter ping = filter_for({{*IpNetwork::parse("fd00::3/128"), IPPROTO_ICMP, 0}});
  EXPECT_EQ(verdict(ping.from_target, ip6("fd00::2", "fd00::3", kIcmp, 128 << 8)), TC_ACT_OK);
}

TEST(PortFilter, TheMacAddressOfThePolicyIsHeldTo) {
  NetworkInterface interface = own();
  interface.mac = kOwnMac;
  const PortFilter filter = filter_for({{*IpNetwork::parse("10.0.0.3/32"), 0, 0}}, interface);
  EXPECT_EQ(verdict(filter.from_target, arp("10.0.0.2", "10.0.0.3")), TC_ACT_OK);
  EXPECT_EQ(verdict(filter.from_target, arp("10.0.0.2", "10.0.0.3", kOtherMac)), TC_ACT_SHOT);
  EXPECT_EQ(verdict(filter.to_target, arp("10.0.0.3", "10.0.0.2", kOtherMac)), TC_ACT_OK);
}

}  // namespace
}  // namespace ringfence

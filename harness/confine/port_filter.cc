#include "harness/confine/port_filter.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace ringfence {
namespace {

// Offsets in a frame, from its first byte.
constexpr uint32_t kMacSource = 6;
constexpr uint32_t kEtherType = 12;
constexpr uint32_t kPayload = 14;
constexpr uint32_t kArpSender = kPayload + 14;
constexpr uint32_t kArpTarget = kPayload + 24;
constexpr uint32_t kIp4Fragment = kPayload + 6;
constexpr uint32_t kIp4Protocol = kPayload + 9;
constexpr uint32_t kIp4Source = kPayload + 12;
constexpr uint32_t kIp4Destination = kPayload + 16;
constexpr uint32_t kIp6Next = kPayload + 6;
constexpr uint32_t kIp6Source = kPayload + 8;
constexpr uint32_t kIp6Destination = kPayload + 24;
constexpr uint32_t kIp6Body = kPayload + 40;
constexpr uint32_t kNdTarget = kIp6Body + 8;
constexpr uint32_t kFragmentOffset = 0x1fff;
constexpr uint32_t kSolicitation = 135;
constexpr uint32_t kAdvertisement = 136;
constexpr uint32_t kPortSource = 0;
constexpr uint32_t kPortDestination = 2;
constexpr uint32_t kPorts = 4;
constexpr uint32_t kArpLength = kPayload + 28;
constexpr uint32_t kWord = 4;
constexpr uint32_t kWordBits = 32;

// A program in the making. Conditional jumps of classic BPF reach 255 instructions, so each test
// jumps at most to the end of its own rule; chains are left by "ja".
class Code {
 public:
  using Rule = std::vector<size_t>;  // tests of a rule that leave it when they fail

  void load_word(uint32_t at) { add(BPF_LD | BPF_W | BPF_ABS, at); }
  void load_half(uint32_t at) { add(BPF_LD | BPF_H | BPF_ABS, at); }
  void load_byte(uint32_t at) { add(BPF_LD | BPF_B | BPF_ABS, at); }
  void mask(uint32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, bits); }
  void verdict(uint32_t what) { add(BPF_RET | BPF_K, what); }
  void add(int code, uint32_t k) { list_.push_back({static_cast<uint16_t>(code), 0, 0, k}); }
  // Goes on when it is equal, else leaves the rule.
  void equal(Rule& rule, uint32_t value) {
    rule.push_back(list_.size());
    add(BPF_JMP | BPF_JEQ | BPF_K, value);
  }
  // Goes on when the frame has so many bytes. What a load does not find makes the whole verdict 0,
  // which lets the frame pass: so everything is asked for before it is loaded.
  void long_enough(Rule& rule, uint32_t bytes) {
    add(BPF_LD | BPF_W | BPF_LEN, 0);
    rule.push_back(list_.size());
    add(BPF_JMP | BPF_JGE | BPF_K, bytes);
  }
  // The same for so many bytes behind the IPv4 header; X is its length afterwards.
  void long_enough_behind_ip4(Rule& rule, uint32_t bytes) {
    add(BPF_LDX | BPF_B | BPF_MSH, kPayload);
    add(BPF_MISC | BPF_TXA, 0);
    add(BPF_ALU | BPF_ADD | BPF_K, kPayload + bytes);
    add(BPF_MISC | BPF_TAX, 0);
    add(BPF_LD | BPF_W | BPF_LEN, 0);
    rule.push_back(list_.size());
    add(BPF_JMP | BPF_JGE | BPF_X, 0);
    add(BPF_LDX | BPF_B | BPF_MSH, kPayload);
  }
  // Drops what is shorter.
  void need(uint32_t bytes) {
    Rule rule;
    long_enough(rule, bytes);
    const size_t good = jump();
    close(rule);
    verdict(TC_ACT_SHOT);
    land(good);
  }
  // Goes on when none of the bits is set.
  void clear(Rule& rule, uint32_t bits) {
    rule.push_back(list_.size());
    add(BPF_JMP | BPF_JSET | BPF_K, bits);
  }
  // The end of a rule: tests that failed come here.
  void close(const Rule& rule) {
    for (const size_t at : rule) {
      sock_filter& test = list_.at(at);
      const auto distance = static_cast<uint8_t>(list_.size() - at - 1);
      (BPF_OP(test.code) == BPF_JSET ? test.jt : test.jf) = distance;
    }
  }
  // A jump whose goal is set later.
  size_t jump() {
    add(BPF_JMP | BPF_JA, 0);
    return list_.size() - 1;
  }
  void land(size_t jump) { list_.at(jump).k = static_cast<uint32_t>(list_.size() - jump - 1); }
  std::vector<sock_filter> take() { return std::move(list_); }

 private:
  std::vector<sock_filter> list_;
};

uint32_t word_of(const IpAddress& address, size_t index) {
  uint32_t word = 0;
  std::memcpy(&word, address.bytes.data() + index * kWord, sizeof word);
  return ntohl(word);
}

// The address in the frame lies in the network.
void in_network(Code& code, Code::Rule& rule, uint32_t at, const IpNetwork& network) {
  unsigned left = network.prefix;
  for (size_t i = 0; left > 0; ++i) {
    const unsigned bits = std::min(left, kWordBits);
    left -= bits;
    code.load_word(at + static_cast<uint32_t>(i) * kWord);
    const uint32_t mask = bits == kWordBits ? ~0U : ~(~0U >> bits);
    if (bits < kWordBits) code.mask(mask);
    code.equal(rule, word_of(network.address, i) & mask);
  }
}

bool of_family(const NetworkPeer& peer, int family) { return peer.to.address.family == family; }

enum class Direction { from_target, to_target };

// One of the interface's own addresses stands there, or the frame is dropped.
void own_address(Code& code, uint32_t at, int family, const NetworkInterface& own) {
  std::vector<size_t> good;
  for (const IpNetwork& address : own.addresses) {
    if (address.address.family != family) continue;
    Code::Rule rule;
    const auto bits = static_cast<uint8_t>(address.address.size() * 8);
    in_network(code, rule, at, {address.address, bits});
    good.push_back(code.jump());
    code.close(rule);
  }
  code.verdict(TC_ACT_SHOT);
  for (const size_t jump : good) code.land(jump);
}

void arp(Code& code, Direction direction, const NetworkInterface& own,
         const std::vector<NetworkPeer>& allow) {
  const bool out = direction == Direction::from_target;
  code.need(kArpLength);
  own_address(code, out ? kArpSender : kArpTarget, AF_INET, own);
  for (const NetworkPeer& peer : allow) {
    if (!of_family(peer, AF_INET)) continue;
    Code::Rule rule;
    in_network(code, rule, out ? kArpTarget : kArpSender, peer.to);
    code.verdict(TC_ACT_OK);
    code.close(rule);
  }
  code.verdict(TC_ACT_SHOT);
}

void ip4(Code& code, Direction direction, const NetworkInterface& own,
         const std::vector<NetworkPeer>& allow) {
  const bool out = direction == Direction::from_target;
  code.need(kIp4Destination + sizeof(in_addr));
  own_address(code, out ? kIp4Source : kIp4Destination, AF_INET, own);
  for (const NetworkPeer& peer : allow) {
    if (!of_family(peer, AF_INET)) continue;
    Code::Rule rule;
    in_network(code, rule, out ? kIp4Destination : kIp4Source, peer.to);
    if (peer.protocol != 0) {
      code.load_byte(kIp4Protocol);
      code.equal(rule, peer.protocol);
    }
    if (peer.port != 0) {
      // Only the first fragment has ports; the later ones pass for nobody.
      code.load_half(kIp4Fragment);
      code.clear(rule, kFragmentOffset);
      code.long_enough_behind_ip4(rule, kPorts);
      code.add(BPF_LD | BPF_H | BPF_IND, kPayload + (out ? kPortDestination : kPortSource));
      code.equal(rule, peer.port);
    }
    code.verdict(TC_ACT_OK);
    code.close(rule);
  }
  code.verdict(TC_ACT_SHOT);
}

void discovery(Code& code, Code::Rule& rule, uint32_t type) {
  code.load_byte(kIp6Next);
  code.equal(rule, IPPROTO_ICMPV6);
  code.long_enough(rule, kNdTarget + sizeof(in6_addr));
  code.load_byte(kIp6Body);
  code.equal(rule, type);
}

void ip6(Code& code, Direction direction, const NetworkInterface& own,
         const std::vector<NetworkPeer>& allow) {
  const bool out = direction == Direction::from_target;
  code.need(kIp6Body);
  const uint32_t theirs = out ? kIp6Destination : kIp6Source;
  if (!out) {
    // A peer asks a group who has an address.
    for (const NetworkPeer& peer : allow) {
      if (!of_family(peer, AF_INET6)) continue;
      Code::Rule rule;
      discovery(code, rule, kSolicitation);
      in_network(code, rule, theirs, peer.to);
      code.verdict(TC_ACT_OK);
      code.close(rule);
    }
  }
  own_address(code, out ? kIp6Source : kIp6Destination, AF_INET6, own);
  for (const NetworkPeer& peer : allow) {
    if (!of_family(peer, AF_INET6)) continue;
    Code::Rule rule;
    in_network(code, rule, theirs, peer.to);
    if (peer.protocol != 0) {
      code.load_byte(kIp6Next);
      code.equal(rule, peer.protocol == IPPROTO_ICMP ? uint32_t{IPPROTO_ICMPV6} : peer.protocol);
    }
    if (peer.port != 0) {
      code.long_enough(rule, kIp6Body + kPorts);
      code.load_half(kIp6Body + (out ? kPortDestination : kPortSource));
      code.equal(rule, peer.port);
    }
    code.verdict(TC_ACT_OK);
    code.close(rule);
    // Who has the peer's address is asked of a group; and the answer to such a question.
    for (const uint32_t type : {kSolicitation, kAdvertisement}) {
      Code::Rule rule6;
      discovery(code, rule6, type);
      in_network(code, rule6, out && type == kSolicitation ? kNdTarget : theirs, peer.to);
      code.verdict(TC_ACT_OK);
      code.close(rule6);
    }
  }
  code.verdict(TC_ACT_SHOT);
}

std::vector<sock_filter> compile(Direction direction, const NetworkInterface& own,
                                 const std::vector<NetworkPeer>& allow) {
  Code code;
  code.need(kPayload);
  if (direction == Direction::from_target && own.mac) {
    const auto& mac = own.mac->bytes;
    Code::Rule rule;
    code.load_word(kMacSource);
    code.equal(rule, static_cast<uint32_t>(mac[0] << 24 | mac[1] << 16 | mac[2] << 8 | mac[3]));
    code.load_half(kMacSource + kWord);
    code.equal(rule, static_cast<uint32_t>(mac[4] << 8 | mac[5]));
    const size_t good = code.jump();
    code.close(rule);
    code.verdict(TC_ACT_SHOT);
    code.land(good);
  }
  using Part = void (*)(Code&, Direction, const NetworkInterface&, const std::vector<NetworkPeer>&);
  struct Of {
    uint32_t type;
    Part part;
  };
  for (const Of& of : {Of{ETH_P_ARP, arp}, Of{ETH_P_IP, ip4}, Of{ETH_P_IPV6, ip6}}) {
    // The part may be longer than a conditional jump reaches.
    code.load_half(kEtherType);
    Code::Rule other;
    code.equal(other, of.type);
    const size_t into = code.jump();
    code.close(other);
    const size_t past = code.jump();
    code.land(into);
    of.part(code, direction, own, allow);
    code.land(past);
  }
  code.verdict(TC_ACT_SHOT);
  return code.take();
}

Status add_filter(Netlink& netlink, int index, uint32_t hook,
                  const std::vector<sock_filter>& program) {
  constexpr size_t kRoom = 256;
  constexpr uint32_t kPriority = 1;
  const size_t bytes = program.size() * sizeof(sock_filter);
  NetlinkMessage message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, bytes + kRoom);
  auto& header = message.header<tcmsg>();
  header.tcm_ifindex = index;
  header.tcm_parent = TC_H_MAKE(TC_H_CLSACT, hook);
  header.tcm_info = TC_H_MAKE(kPriority << 16U, htons(ETH_P_ALL));
  message.text(TCA_KIND, "bpf");
  nlattr* options = message.begin_nested(TCA_OPTIONS);
  message.value(TCA_BPF_OPS_LEN, static_cast<uint16_t>(program.size()));
  message.put(TCA_BPF_OPS, program.data(), bytes);
  message.value(TCA_BPF_FLAGS, uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  message.end_nested(options);
  return netlink.request(message, "add filter", "interface " + std::to_string(index));
}

}  // namespace

PortFilter compile_port_filter(const NetworkInterface& own, const std::vector<NetworkPeer>& allow) {
  return {compile(Direction::from_target, own, allow), compile(Direction::to_target, own, allow)};
}

Status attach_port_filter(Netlink& netlink, int index, const PortFilter& filter) {
  NetlinkMessage queue(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
  auto& header = queue.header<tcmsg>();
  header.tcm_ifindex = index;
  header.tcm_parent = TC_H_CLSACT;
  header.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  queue.text(TCA_KIND, "clsact");
  if (auto ok = netlink.request(queue, "add clsact", "interface " + std::to_string(index)); !ok) {
    return ok;
  }
  if (auto ok = add_filter(netlink, index, TC_H_MIN_INGRESS, filter.from_target); !ok) return ok;
  return add_filter(netlink, index, TC_H_MIN_EGRESS, filter.to_target);
}

}  // namespace ringfence

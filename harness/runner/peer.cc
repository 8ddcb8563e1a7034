#include "harness/runner/peer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netns.h"
#include "harness/runner/host_state.h"

namespace ringfence {
namespace {

// As hexadecimal digits: the kernel's own record of one entry.
std::string entry_text(const nlmsghdr& message) {
  std::string line;
  const auto* bytes = static_cast<const unsigned char*>(mnl_nlmsg_get_payload(&message));
  for (size_t i = 0; i < mnl_nlmsg_get_payload_len(&message); ++i) {
    line += fmt::format("{:02x}", bytes[i]);
  }
  return line + '\n';
}

sockaddr_in address_of(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPeerPort);
  (void)inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

// In the peer's own namespace: its end of the veth, and who its neighbours are.
Status dress(const PeerSpec& spec) {
  auto netlink = Netlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  const auto index = netlink->index_of("eth0");
  if (!index) return tl::unexpected(index.error());
  const auto parsed = IpNetwork::parse(spec.network);
  const auto mac = MacAddress::parse(spec.mac);
  if (!parsed || !mac) return system_error("make a neighbour", spec.network, EINVAL);
  // A kernel without IPv6 refuses, and gives no address of its own either.
  (void)netlink->no_address_of_its_own(*index);
  if (auto ok = netlink->set_mac(*index, *mac); !ok) return ok;
  if (auto ok = netlink->add_address(*index, *parsed); !ok) return ok;
  if (auto ok = netlink->set_up(*index); !ok) return ok;
  const auto knows = [&](const char* address, const char* hardware) -> Status {
    const auto ip = IpAddress::parse(address);
    const auto where = MacAddress::parse(hardware);
    if (!ip || !where) return system_error("make a neighbour", address, EINVAL);
    return netlink->add_neighbour(*index, {*ip, *where});
  };
  for (const PeerSpec& other : kPeers) {
    if (other.name == spec.name) continue;
    if (auto ok = knows(other.address, other.mac); !ok) return ok;
  }
  return knows(kTargetAddress, kTargetMac);
}

Status bind_to_port(const UniqueFd& fd, const std::string& name) {
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(kPeerPort);
  auto bound = made("bind", name, SYS_bind, fd.get(), sys::arg(&any), sizeof any);
  if (!bound) return tl::unexpected(bound.error());
  return {};
}

}  // namespace

const PeerSpec* find_peer(std::string_view name) {
  const auto* it = std::find_if(kPeers.begin(), kPeers.end(),
                                [&](const PeerSpec& spec) { return spec.name == name; });
  return it == kPeers.end() ? nullptr : it;
}

Result<Peers::Peer*> Peers::find(std::string_view name) {
  const auto it = peers_.find(name);
  if (it == peers_.end()) return system_error("find a neighbour", std::string(name), ENOENT);
  return &it->second;
}

Status Peers::make(std::string_view name) {
  if (peers_.contains(name)) return {};
  const PeerSpec* spec = find_peer(name);
  if (spec == nullptr) return usage_error("make a neighbour", std::string(name), "a, b, isolated");
  auto netlink = Netlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  auto bridge = netlink->index_of(kPeerBridge);
  if (!bridge) {
    if (auto ok = netlink->add_link("bridge", kPeerBridge); !ok) return ok;
    bridge = netlink->index_of(kPeerBridge);
    if (!bridge) return tl::unexpected(bridge.error());
    (void)netlink->no_address_of_its_own(*bridge);
    if (auto ok = netlink->set_up(*bridge); !ok) return ok;
  }
  const std::string outer = "peer-" + std::string(name);
  constexpr const char* kMoving = "peer-moving";
  if (auto ok = netlink->add_veth(outer, kMoving); !ok) return ok;
  const auto here = netlink->index_of(outer);
  const auto there = netlink->index_of(kMoving);
  if (!here) return tl::unexpected(here.error());
  if (!there) return tl::unexpected(there.error());
  (void)netlink->no_address_of_its_own(*here);
  if (auto ok = netlink->set_master(*here, *bridge); !ok) return ok;
  if (spec->isolated) {
    BridgePort port;
    port.isolated = true;
    if (auto ok = netlink->set_port(*here, port); !ok) return ok;
  }
  auto events = Netlink::open_events();
  if (!events) return tl::unexpected(events.error());
  auto netns = make_netns();
  if (!netns) return tl::unexpected(netns.error());
  if (auto ok = netlink->move_to_fd(*there, netns->get(), "eth0"); !ok) return ok;
  if (auto ok = netlink->set_up(*here); !ok) return ok;

  auto inside = InNetns::enter(netns->get());
  if (!inside) return tl::unexpected(inside.error());
  if (auto ok = dress(*spec); !ok) return ok;
  Peer peer;
  auto tcp = make_socket(AF_INET, SOCK_STREAM);
  if (!tcp) return tl::unexpected(tcp.error());
  auto udp = make_socket(AF_INET, SOCK_DGRAM);
  if (!udp) return tl::unexpected(udp.error());
  for (const UniqueFd* fd : {&*tcp, &*udp}) {
    if (auto ok = bind_to_port(*fd, spec->address); !ok) return ok;
  }
  auto listening = made("listen", spec->address, SYS_listen, tcp->get(), 8);
  if (!listening) return tl::unexpected(listening.error());
  if (auto ok = inside->leave(); !ok) return ok;
  if (auto ok = netlink->wait_until_forwarding(*here, *events); !ok) return ok;
  peer.tcp = std::move(*tcp);
  peer.udp = std::move(*udp);
  peers_.emplace(name, std::move(peer));
  return {};
}

Result<bool> Peers::connected(std::string_view name) {
  auto peer = find(name);
  if (!peer) return tl::unexpected(peer.error());
  const int64_t fd = sys::call(SYS_accept4, (*peer)->tcp.get(), 0, 0, SOCK_CLOEXEC);
  if (fd < 0 && fd != -EAGAIN) return system_error("accept", "neighbour", static_cast<int>(-fd));
  const UniqueFd close_it(static_cast<int>(fd < 0 ? -1 : fd));
  (*peer)->was_connected = (*peer)->was_connected || fd >= 0;
  return (*peer)->was_connected;
}

Result<bool> Peers::heard(std::string_view name) {
  auto peer = find(name);
  if (!peer) return tl::unexpected(peer.error());
  char byte = 0;
  const int64_t n = sys::call(SYS_recvfrom, (*peer)->udp.get(), sys::arg(&byte), 1, 0, 0, 0);
  if (n < 0 && n != -EAGAIN) return system_error("receive", "neighbour", static_cast<int>(-n));
  (*peer)->was_heard = (*peer)->was_heard || n >= 0;
  return (*peer)->was_heard;
}

Status Peers::say(std::string_view from, std::string_view to, const std::string& text) {
  auto peer = find(from);
  if (!peer) return tl::unexpected(peer.error());
  const PeerSpec* spec = find_peer(to);
  if (spec == nullptr && to != "target") {
    return usage_error("send to a neighbour", std::string(to), "a, b, isolated, target");
  }
  const sockaddr_in address = address_of(spec != nullptr ? spec->address : kTargetAddress);
  auto sent = made("sendto", std::string(to), SYS_sendto, (*peer)->udp.get(), sys::arg(text.data()),
                   text.size(), 0, sys::arg(&address), sizeof address);
  if (!sent) return tl::unexpected(sent.error());
  return {};
}

Result<std::string> network_list(std::string_view what) {
  const bool firewall = what == "firewall";
  auto netlink = Netlink::open(firewall ? NETLINK_NETFILTER : NETLINK_ROUTE);
  if (!netlink) return tl::unexpected(netlink.error());
  std::string text;
  if (what == "links") {
    const auto links = netlink->links();
    if (!links) return tl::unexpected(links.error());
    for (const LinkInfo& link : *links) text += fmt::format("{} {}\n", link.index, link.name);
    return text;
  }
  if (what == "addresses") {
    const auto addresses = netlink->addresses();
    if (!addresses) return tl::unexpected(addresses.error());
    for (const AddressInfo& one : *addresses) {
      text += fmt::format("{} {}\n", one.index, one.address.str());
    }
    return text;
  }
  if (what != "routes" && !firewall) {
    return usage_error("list the network", std::string(what), "addresses, routes, links, firewall");
  }
  constexpr uint16_t kChains = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
  NetlinkMessage message(firewall ? kChains : uint16_t{RTM_GETROUTE}, 0);
  if (firewall) {
    message.header<nfgenmsg>().version = NFNETLINK_V0;
  } else {
    message.header<rtmsg>().rtm_family = AF_INET;
  }
  auto ok = netlink->dump(message, "list the network",
                          [&](const nlmsghdr& entry) { text += entry_text(entry); });
  if (!ok) return tl::unexpected(ok.error());
  return text;
}

}  // namespace ringfence

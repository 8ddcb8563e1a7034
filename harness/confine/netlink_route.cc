// The requests of rtnetlink: links, addresses, routes, neighbours.
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <chrono>
#include <cstring>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netlink_attributes.h"

namespace ringfence {
namespace {

constexpr uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;

std::string device(int index) { return fmt::format("interface {}", index); }

void put_address(NetlinkMessage& message, uint16_t type, const IpAddress& address) {
  message.put(type, address.bytes.data(), address.size());
}

ifinfomsg& link_header(NetlinkMessage& message, int index = 0) {
  auto& header = message.header<ifinfomsg>();
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  return header;
}

bool truth(const nlattr* attribute) {
  return mnl_attr_get_payload_len(attribute) >= 1 && mnl_attr_get_u8(attribute) != 0;
}

void read_port(const nlattr* data, BridgePort& port) {
  for_each_nested(data, [&](const nlattr* a) {
    switch (mnl_attr_get_type(a)) {
      case IFLA_BRPORT_ISOLATED:
        port.isolated = truth(a);
        break;
      case IFLA_BRPORT_MODE:
        port.hairpin = truth(a);
        break;
      case IFLA_BRPORT_LEARNING:
        port.learning = truth(a);
        break;
      case IFLA_BRPORT_UNICAST_FLOOD:
        port.flood = truth(a);
        break;
      default:
        break;
    }
  });
}

std::string text_of(const nlattr* attribute) {
  const char* text = mnl_attr_get_str(attribute);
  return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
}

constexpr uint8_t kOperUp = 6;  // IF_OPER_UP of <linux/if.h>, which does not go with <net/if.h>

void read_kind(const nlattr* info, LinkInfo& link) {
  bool of_bridge = false;
  const nlattr* data = nullptr;
  for_each_nested(info, [&](const nlattr* a) {
    const uint16_t type = mnl_attr_get_type(a);
    if (type == IFLA_INFO_KIND) link.kind = text_of(a);
    if (type == IFLA_INFO_SLAVE_KIND) of_bridge = text_of(a) == "bridge";
    if (type == IFLA_INFO_SLAVE_DATA) data = a;
  });
  if (!of_bridge) return;
  link.port.emplace();
  if (data == nullptr) return;
  read_port(data, *link.port);
  for_each_nested(data, [&](const nlattr* a) {
    if (mnl_attr_get_type(a) != IFLA_BRPORT_STATE) return;
    link.forwarding = mnl_attr_get_u8(a) == BR_STATE_FORWARDING;
  });
}

LinkInfo read_link(const nlmsghdr& message) {
  LinkInfo link;
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  link.index = header->ifi_index;
  link.flags = header->ifi_flags;
  for_each_attribute(message, sizeof *header, [&](const nlattr* a) {
    const size_t size = mnl_attr_get_payload_len(a);
    switch (mnl_attr_get_type(a)) {
      case IFLA_IFNAME:
        link.name = text_of(a);
        break;
      case IFLA_OPERSTATE:
        link.operational = mnl_attr_get_u8(a) == kOperUp;
        break;
      case IFLA_QDISC:
        link.sends = text_of(a) != "noop";
        break;
      case IFLA_MTU:
        link.mtu = mnl_attr_get_u32(a);
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(mnl_attr_get_u32(a));
        break;
      case IFLA_LINK:
        link.link = static_cast<int>(mnl_attr_get_u32(a));
        break;
      case IFLA_ADDRESS:
        if (size == link.mac.bytes.size()) {
          std::memcpy(link.mac.bytes.data(), mnl_attr_get_payload(a), size);
        }
        break;
      case IFLA_LINKINFO:
        read_kind(a, link);
        break;
      case IFLA_STATS64: {
        rtnl_link_stats64 stats{};
        std::memcpy(&stats, mnl_attr_get_payload(a), std::min(size, sizeof stats));
        link.packets_in = stats.rx_packets;
        link.bytes_in = stats.rx_bytes;
        link.packets_out = stats.tx_packets;
        link.bytes_out = stats.tx_bytes;
        break;
      }
      default:
        break;
    }
  });
  return link;
}

}  // namespace

bool LinkInfo::up() const { return (flags & IFF_UP) != 0; }

Status Netlink::add_link(std::string_view kind, const std::string& name) {
  NetlinkMessage message(RTM_NEWLINK, kCreate);
  link_header(message);
  message.text(IFLA_IFNAME, name);
  nlattr* info = message.begin_nested(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, kind);
  message.end_nested(info);
  return request(message, "add interface", fmt::format("{} {}", kind, name));
}

Status Netlink::add_veth(const std::string& name, const std::string& peer) {
  NetlinkMessage message(RTM_NEWLINK, kCreate);
  link_header(message);
  message.text(IFLA_IFNAME, name);
  nlattr* info = message.begin_nested(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "veth");
  nlattr* data = message.begin_nested(IFLA_INFO_DATA);
  nlattr* other = message.begin_nested(VETH_INFO_PEER);
  const ifinfomsg header{};
  message.append(&header, sizeof header);
  message.text(IFLA_IFNAME, peer);
  message.end_nested(other);
  message.end_nested(data);
  message.end_nested(info);
  return request(message, "add interface", "veth " + name);
}

Status Netlink::add_macvlan(const std::string& name, int parent) {
  NetlinkMessage message(RTM_NEWLINK, kCreate);
  link_header(message);
  message.text(IFLA_IFNAME, name);
  message.value(IFLA_LINK, parent);
  nlattr* info = message.begin_nested(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "macvlan");
  nlattr* data = message.begin_nested(IFLA_INFO_DATA);
  message.value(IFLA_MACVLAN_MODE, uint32_t{MACVLAN_MODE_BRIDGE});
  message.end_nested(data);
  message.end_nested(info);
  return request(message, "add interface", "macvlan " + name);
}

Status Netlink::delete_link(int index) {
  NetlinkMessage message(RTM_DELLINK, 0);
  link_header(message, index);
  return request(message, "delete interface", device(index));
}

Status Netlink::change_link(int index, const char* what,
                            const std::function<void(NetlinkMessage&)>& fill) {
  NetlinkMessage message(RTM_SETLINK, 0);
  link_header(message, index);
  fill(message);
  return request(message, what, device(index));
}

Status Netlink::set_up(int index, bool up) {
  NetlinkMessage message(RTM_SETLINK, 0);
  ifinfomsg& header = link_header(message, index);
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = IFF_UP;
  return request(message, up ? "set interface up" : "set interface down", device(index));
}

Status Netlink::set_mtu(int index, uint32_t mtu) {
  return change_link(index, "set MTU", [&](NetlinkMessage& m) { m.value(IFLA_MTU, mtu); });
}

Status Netlink::set_mac(int index, const MacAddress& mac) {
  return change_link(index, "set MAC address", [&](NetlinkMessage& m) {
    m.put(IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  });
}

Status Netlink::rename(int index, const std::string& name) {
  return change_link(index, "rename interface",
                     [&](NetlinkMessage& m) { m.text(IFLA_IFNAME, name); });
}

Status Netlink::set_master(int index, int master) {
  return change_link(index, "set bridge of interface",
                     [&](NetlinkMessage& m) { m.value(IFLA_MASTER, master); });
}

Status Netlink::set_port(int index, const BridgePort& port) {
  NetlinkMessage message(RTM_SETLINK, 0);
  link_header(message, index).ifi_family = AF_BRIDGE;
  nlattr* info = message.begin_nested(IFLA_PROTINFO | NLA_F_NESTED);
  const auto flag = [&](uint16_t type, bool on) { message.value(type, uint8_t{on}); };
  flag(IFLA_BRPORT_ISOLATED, port.isolated);
  flag(IFLA_BRPORT_MODE, port.hairpin);
  flag(IFLA_BRPORT_LEARNING, port.learning);
  flag(IFLA_BRPORT_UNICAST_FLOOD, port.flood);
  flag(IFLA_BRPORT_MCAST_FLOOD, port.flood);
  message.end_nested(info);
  return request(message, "set flags of bridge port", device(index));
}

Result<Netlink> Netlink::open_events() {
  auto events = open();
  if (!events) return events;
  const uint32_t group = RTNLGRP_LINK;
  const int64_t r = sys::call(SYS_setsockopt, events->fd_.get(), SOL_NETLINK,
                              NETLINK_ADD_MEMBERSHIP, sys::arg(&group), sizeof group);
  if (r < 0) return system_error("join netlink group", "links", static_cast<int>(-r));
  return events;
}

Status Netlink::wait_until_forwarding(int index, Netlink& events) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(5);
  for (;;) {
    const auto all = links();
    if (!all) return tl::unexpected(all.error());
    for (const LinkInfo& one : *all) {
      if (one.index == index && one.forwarding && one.operational && one.sends) return {};
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return system_error("wait for bridge port", device(index), ETIMEDOUT);
    pollfd wait{events.fd_.get(), POLLIN, 0};
    (void)sys::call(SYS_poll, sys::arg(&wait), 1, static_cast<uint64_t>(left));
    // What it says does not matter, only that something changed.
    while (sys::call(SYS_recvfrom, events.fd_.get(), sys::arg(events.buffer_.data()),
                     events.buffer_.size() * sizeof(uint64_t), MSG_DONTWAIT, 0, 0) > 0) {
    }
  }
}

Status Netlink::no_address_of_its_own(int index) {
  return change_link(index, "set address generation", [&](NetlinkMessage& m) {
    nlattr* families = m.begin_nested(IFLA_AF_SPEC);
    nlattr* inet6 = m.begin_nested(AF_INET6);
    m.value(IFLA_INET6_ADDR_GEN_MODE, uint8_t{IN6_ADDR_GEN_MODE_NONE});
    m.end_nested(inet6);
    m.end_nested(families);
  });
}

Status Netlink::move_to_fd(int index, int netns_fd, const std::string& name) {
  return change_link(index, "move interface", [&](NetlinkMessage& m) {
    m.value(IFLA_NET_NS_FD, netns_fd);
    if (!name.empty()) m.text(IFLA_IFNAME, name);
  });
}

Status Netlink::move_to_pid(int index, int pid, const std::string& name) {
  return change_link(index, "move interface", [&](NetlinkMessage& m) {
    m.value(IFLA_NET_NS_PID, pid);
    if (!name.empty()) m.text(IFLA_IFNAME, name);
  });
}

Status Netlink::set_xdp(int index, int program_fd) {
  return change_link(index, "attach XDP program", [&](NetlinkMessage& m) {
    nlattr* xdp = m.begin_nested(IFLA_XDP);
    m.value(IFLA_XDP_FD, program_fd);
    m.value(IFLA_XDP_FLAGS, uint32_t{XDP_FLAGS_SKB_MODE});
    m.end_nested(xdp);
  });
}

Status Netlink::add_address(int index, const IpNetwork& address) {
  NetlinkMessage message(RTM_NEWADDR, kCreate);
  auto& header = message.header<ifaddrmsg>();
  header.ifa_family = static_cast<uint8_t>(address.address.family);
  header.ifa_prefixlen = address.prefix;
  header.ifa_index = static_cast<unsigned>(index);
  // Usable at once: nobody else has it, so nobody has to be asked (duplicate address detection).
  if (address.address.family == AF_INET6) header.ifa_flags = IFA_F_NODAD;
  put_address(message, IFA_LOCAL, address.address);
  put_address(message, IFA_ADDRESS, address.address);
  return request(message, "add address", address.str());
}

Status Netlink::add_route(int index, const NetworkRoute& route) {
  NetlinkMessage message(RTM_NEWROUTE, kCreate);
  auto& header = message.header<rtmsg>();
  header.rtm_family = static_cast<uint8_t>(route.to.address.family);
  header.rtm_dst_len = route.to.prefix;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = route.via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  header.rtm_type = RTN_UNICAST;
  if (route.to.prefix != 0) put_address(message, RTA_DST, route.to.address);
  if (route.via) put_address(message, RTA_GATEWAY, *route.via);
  message.value(RTA_OIF, index);
  return request(message, "add route", route.to.str());
}

Status Netlink::add_neighbour(int index, const NetworkNeighbour& neighbour) {
  NetlinkMessage message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  auto& header = message.header<ndmsg>();
  header.ndm_family = static_cast<uint8_t>(neighbour.address.family);
  header.ndm_ifindex = index;
  header.ndm_state = NUD_PERMANENT;
  put_address(message, NDA_DST, neighbour.address);
  message.put(NDA_LLADDR, neighbour.mac.bytes.data(), neighbour.mac.bytes.size());
  return request(message, "add neighbour", neighbour.address.str());
}

Result<std::vector<LinkInfo>> Netlink::links() {
  NetlinkMessage message(RTM_GETLINK, 0);
  link_header(message);
  std::vector<LinkInfo> list;
  auto ok = dump(message, "list interfaces", [&](const nlmsghdr& m) {
    if (m.nlmsg_type == RTM_NEWLINK) list.push_back(read_link(m));
  });
  if (!ok) return tl::unexpected(ok.error());
  return list;
}

Result<LinkInfo> Netlink::link(const std::string& name) {
  auto all = links();
  if (!all) return tl::unexpected(all.error());
  for (LinkInfo& one : *all) {
    if (one.name == name) return std::move(one);
  }
  return system_error("find interface", name, ENODEV);
}

Result<int> Netlink::index_of(const std::string& name) {
  auto one = link(name);
  if (!one) return tl::unexpected(one.error());
  return one->index;
}

Result<std::vector<AddressInfo>> Netlink::addresses() {
  NetlinkMessage message(RTM_GETADDR, 0);
  message.header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  std::vector<AddressInfo> list;
  auto ok = dump(message, "list addresses", [&](const nlmsghdr& m) {
    if (m.nlmsg_type != RTM_NEWADDR) return;
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&m));
    AddressInfo info;
    info.index = static_cast<int>(header->ifa_index);
    info.address.address.family = header->ifa_family;
    info.address.prefix = header->ifa_prefixlen;
    info.global = header->ifa_scope == RT_SCOPE_UNIVERSE;
    info.permanent = (header->ifa_flags & IFA_F_PERMANENT) != 0;
    bool local = false;
    for_each_attribute(m, sizeof *header, [&](const nlattr* a) {
      const uint16_t type = mnl_attr_get_type(a);
      // IFA_ADDRESS is the other end's on a point-to-point link, and the only one of IPv6.
      if ((type != IFA_LOCAL && (type != IFA_ADDRESS || local)) ||
          mnl_attr_get_payload_len(a) != info.address.address.size()) {
        return;
      }
      local = local || type == IFA_LOCAL;
      std::memcpy(info.address.address.bytes.data(), mnl_attr_get_payload(a),
                  info.address.address.size());
    });
    list.push_back(info);
  });
  if (!ok) return tl::unexpected(ok.error());
  return list;
}

}  // namespace ringfence

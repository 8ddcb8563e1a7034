// The annotation "ringfence.network": reader and writer.
#include "harness/policy/network.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/policy/json_reader.h"

namespace ringfence {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNameMax = 15;  // IFNAMSIZ without its end, netdevice(7)
constexpr size_t kInterfacesMax = 16;
constexpr size_t kEntriesMax = 64;
constexpr uint32_t kMtuMin = 68;  // RFC 791
constexpr uint32_t kMtuMax = 65535;
constexpr uint32_t kMtuMin6 = 1280;  // RFC 8200
constexpr unsigned kBits4 = 32;
constexpr unsigned kBits6 = 128;
constexpr unsigned kMulticast4 = 0xe0;
constexpr unsigned kMulticast6 = 0xff;

struct NamedProtocol {
  std::string_view name;
  uint8_t number;
};
constexpr std::array kProtocols = {NamedProtocol{"tcp", IPPROTO_TCP},
                                   NamedProtocol{"udp", IPPROTO_UDP},
                                   NamedProtocol{"icmp", IPPROTO_ICMP}};
struct NamedKind {
  std::string_view name;
  InterfaceKind kind;
};
constexpr std::array kKinds = {NamedKind{"veth", InterfaceKind::veth},
                               NamedKind{"macvlan", InterfaceKind::macvlan},
                               NamedKind{"loopback", InterfaceKind::loopback}};

bool at_most(const JsonNode& list, size_t count, size_t most) {
  if (count <= most) return true;
  list.fail(fmt::format("too many entries: {}", count), fmt::format("at most {}", most));
  return false;
}

std::string device_name(const JsonNode& node) {
  std::string name = node.string();
  if (!node) return name;
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (name.size() > kNameMax) {
    node.fail(fmt::format("name too long: {} bytes", name.size()),
              fmt::format("at most {} bytes", kNameMax));
  } else if (name.empty() || !plain || name == "." || name == "..") {
    node.fail("malformed interface name \"" + name + "\"",
              "1 to 15 of letters, digits, \".\", \"_\" and \"-\"");
  }
  return name;
}

IpAddress address(const JsonNode& node) {
  const std::string text = node.string();
  const auto parsed = IpAddress::parse(text);
  if (node && !parsed) {
    node.fail("malformed address \"" + text + "\"", "an address such as 10.0.0.2 or fd00::2");
  }
  return parsed.value_or(IpAddress{});
}

IpNetwork network(const JsonNode& node) {
  const std::string text = node.string();
  const auto parsed = IpNetwork::parse(text);
  if (node && !parsed) {
    node.fail("malformed address \"" + text + "\"",
              "address and prefix length such as 10.0.0.2/24 or fd00::2/64");
  }
  return parsed.value_or(IpNetwork{});
}

// Where packets go to: the host's part is empty.
IpNetwork destination(const JsonNode& node) {
  IpNetwork to = network(node);
  if (to.address.family != 0 && !to.host_bits_clear()) {
    node.fail("bits are set beyond the prefix: " + to.str(),
              "a network, such as 10.0.0.0/24, or one host, such as 10.0.0.2/32");
  }
  return to;
}

MacAddress mac_address(const JsonNode& node) {
  const std::string text = node.string();
  const auto parsed = MacAddress::parse(text);
  if (node && (!parsed || parsed->multicast() || *parsed == MacAddress{})) {
    node.fail("not the address of one interface: \"" + text + "\"",
              "a unicast address such as 02:00:00:00:00:01");
    return {};
  }
  return parsed.value_or(MacAddress{});
}

NetworkRoute read_route(const JsonNode& node) {
  node.only({"to", "via"});
  NetworkRoute route;
  if (const JsonNode via = node.get("via")) route.via = address(via);
  const JsonNode to = node.require("to");
  if (to && to.string() == "default") {
    route.to.address.family = route.via ? route.via->family : AF_INET;
  } else {
    route.to = destination(to);
  }
  if (route.via && route.via->family != 0 && route.to.address.family != route.via->family) {
    node.get("via").fail("of another family than the destination: " + route.via->str(),
                         "an address of the same family");
  }
  return route;
}

BridgePort read_port(const JsonNode& node) {
  node.only({"isolated", "hairpin", "learning", "flood"});
  const BridgePort usual;
  return {node.get("isolated").boolean(usual.isolated), node.get("hairpin").boolean(usual.hairpin),
          node.get("learning").boolean(usual.learning), node.get("flood").boolean(usual.flood)};
}

void check_address(const JsonNode& node, const IpNetwork& value) {
  const unsigned first = value.address.bytes[0];
  const bool multicast =
      value.address.family == AF_INET ? (first & 0xf0U) == kMulticast4 : first == kMulticast6;
  if (value.address.family == 0) return;
  if (multicast || value.address == IpAddress{value.address.family, {}} || value.prefix == 0) {
    node.fail("not the address of one interface: " + value.str(),
              "a unicast address with a prefix of at least 1");
  }
}

// What an interface of this kind cannot have.
void refuse(const JsonNode& node, std::string_view kind,
            std::initializer_list<std::string_view> fields) {
  for (const auto field : fields) {
    if (const JsonNode value = node.get(field)) {
      value.fail(fmt::format("{} interfaces have no {}", kind, field), "leave it out");
    }
  }
}

void read_kind(const JsonNode& node, NetworkInterface& interface) {
  const JsonNode kind = node.require("kind");
  const std::string word = kind.word({"veth", "macvlan", "loopback"});
  for (const auto& known : kKinds) {
    if (known.name == word) interface.kind = known.kind;
  }
  if (word.empty()) return;
  const bool loopback = interface.kind == InterfaceKind::loopback;
  interface.name = loopback && !node.get("name") ? "lo" : device_name(node.require("name"));
  if ((interface.name == "lo") != loopback && !interface.name.empty()) {
    node.get("name").fail("only the loopback interface is called lo",
                          loopback ? "lo" : "another name");
  }
  switch (interface.kind) {
    case InterfaceKind::veth:
      refuse(node, word, {"parent"});
      interface.bridge = device_name(node.get("bridge"));
      if (interface.bridge.empty()) refuse(node, "unbridged veth", {"port"});
      break;
    case InterfaceKind::macvlan:
      refuse(node, word, {"bridge", "port"});
      interface.parent = device_name(node.require("parent"));
      break;
    case InterfaceKind::loopback:
      refuse(node, word, {"bridge", "port", "parent", "mac"});
      break;
  }
}

NetworkInterface read_interface(const JsonNode& node) {
  node.only({"kind", "name", "bridge", "parent", "mtu", "mac", "addresses", "routes", "neighbours",
             "port"});
  NetworkInterface interface;
  read_kind(node, interface);
  if (const JsonNode mtu = node.get("mtu")) {
    interface.mtu = static_cast<uint32_t>(mtu.signed_integer(kMtuMin, kMtuMax, kMtuMax));
  }
  if (const JsonNode mac = node.get("mac")) interface.mac = mac_address(mac);
  const auto addresses = node.get("addresses").items();
  if (!at_most(node.get("addresses"), addresses.size(), kEntriesMax)) return interface;
  for (const auto& item : addresses) {
    const IpNetwork value = network(item);
    check_address(item, value);
    const auto& all = interface.addresses;
    if (std::any_of(all.begin(), all.end(),
                    [&](const IpNetwork& other) { return other.address == value.address; })) {
      item.fail("address occurs twice: " + value.address.str(), "each address once");
    }
    if (value.address.family == AF_INET6 && interface.mtu && *interface.mtu < kMtuMin6) {
      node.get("mtu").fail("too small for an IPv6 address: " + std::to_string(*interface.mtu),
                           "at least 1280");
    }
    interface.addresses.push_back(value);
  }
  const auto routes = node.get("routes").items();
  if (!at_most(node.get("routes"), routes.size(), kEntriesMax)) return interface;
  for (const auto& item : routes) interface.routes.push_back(read_route(item));
  const auto neighbours = node.get("neighbours").items();
  if (!at_most(node.get("neighbours"), neighbours.size(), kEntriesMax)) return interface;
  for (const auto& item : neighbours) {
    item.only({"address", "mac"});
    interface.neighbours.push_back(
        {address(item.require("address")), mac_address(item.require("mac"))});
  }
  if (const JsonNode port = node.get("port")) interface.port = read_port(port);
  return interface;
}

NetworkPeer read_peer(const JsonNode& node) {
  node.only({"to", "protocol", "port"});
  NetworkPeer peer;
  const JsonNode to = node.require("to");
  const std::string text = to.string();
  if (const auto host = IpAddress::parse(text)) {
    peer.to = {*host, static_cast<uint8_t>(host->family == AF_INET ? kBits4 : kBits6)};
  } else {
    peer.to = destination(to);
  }
  const JsonNode protocol = node.get("protocol");
  const std::string word = protocol.word({"tcp", "udp", "icmp"});
  for (const auto& known : kProtocols) {
    if (known.name == word) peer.protocol = known.number;
  }
  if (const JsonNode port = node.get("port")) {
    peer.port = static_cast<uint16_t>(port.signed_integer(1, UINT16_MAX, 1));
    if (peer.protocol != IPPROTO_TCP && peer.protocol != IPPROTO_UDP) {
      port.fail("a port without a protocol that has ports", "\"protocol\": \"tcp\" or \"udp\"");
    }
  }
  return peer;
}

Json write_port(const BridgePort& port) {
  Json json = Json::object();
  const BridgePort usual;
  if (port.isolated != usual.isolated) json["isolated"] = port.isolated;
  if (port.hairpin != usual.hairpin) json["hairpin"] = port.hairpin;
  if (port.learning != usual.learning) json["learning"] = port.learning;
  if (port.flood != usual.flood) json["flood"] = port.flood;
  return json;
}

Json write_interface(const NetworkInterface& interface) {
  Json json = Json::object();
  for (const auto& known : kKinds) {
    if (known.kind == interface.kind) json["kind"] = known.name;
  }
  json["name"] = interface.name;
  if (!interface.bridge.empty()) json["bridge"] = interface.bridge;
  if (!interface.parent.empty()) json["parent"] = interface.parent;
  if (interface.mtu) json["mtu"] = *interface.mtu;
  if (interface.mac) json["mac"] = interface.mac->str();
  for (const auto& address : interface.addresses) json["addresses"].push_back(address.str());
  for (const auto& route : interface.routes) {
    Json entry = Json::object();
    const bool any = route.to.prefix == 0 && (route.via || route.to.address.family == AF_INET);
    entry["to"] = any ? "default" : route.to.str();
    if (route.via) entry["via"] = route.via->str();
    json["routes"].push_back(std::move(entry));
  }
  for (const auto& neighbour : interface.neighbours) {
    json["neighbours"].push_back(
        Json{{"address", neighbour.address.str()}, {"mac", neighbour.mac.str()}});
  }
  Json port = write_port(interface.port);
  if (!port.empty()) json["port"] = std::move(port);
  return json;
}

}  // namespace

std::string write_network(const NetworkPolicy& network) {
  Json json = Json::object();
  json["interfaces"] = Json::array();
  for (const auto& interface : network.interfaces) {
    json["interfaces"].push_back(write_interface(interface));
  }
  if (network.allow) {
    json["allow"] = Json::array();
    for (const auto& peer : *network.allow) {
      Json entry = Json::object();
      entry["to"] = peer.to.str();
      for (const auto& known : kProtocols) {
        if (known.number == peer.protocol) entry["protocol"] = known.name;
      }
      if (peer.port != 0) entry["port"] = peer.port;
      json["allow"].push_back(std::move(entry));
    }
  }
  return json.dump();
}

void read_network(const JsonNode& node, NetworkPolicy& network) {
  const auto document = JsonDocument::within(node);
  if (!document) return;
  // The pointer goes on inside the text.
  const JsonNode top = document->root(node.context(), node.pointer());
  top.only({"interfaces", "allow"});
  const JsonNode list = top.require("interfaces");
  const auto interfaces = list.items();
  if (!at_most(list, interfaces.size(), kInterfacesMax)) return;
  std::set<std::string> names;
  for (const auto& item : interfaces) {
    NetworkInterface interface = read_interface(item);
    if (!names.insert(interface.name).second) {
      item.get("name").fail("name occurs twice: " + interface.name, "each name once");
      // A loopback interface need not be named.
      item.fail("name occurs twice: " + interface.name, "each name once");
    }
    network.interfaces.push_back(std::move(interface));
  }
  const JsonNode allow = top.get("allow");
  if (!allow) return;
  const auto peers = allow.items();
  if (!at_most(allow, peers.size(), kEntriesMax)) return;
  network.allow.emplace();
  for (const auto& item : peers) network.allow->push_back(read_peer(item));
  const bool filtered = std::any_of(
      network.interfaces.begin(), network.interfaces.end(),
      [](const NetworkInterface& interface) { return interface.kind == InterfaceKind::veth; });
  if (!filtered) allow.fail("nothing to filter", "an interface of kind veth as well");
}

}  // namespace ringfence

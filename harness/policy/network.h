#pragma once
// The network part of a policy: which interfaces a target's own network namespace has, what they
// are joined to outside, and whom the target may reach there. OCI has no field for it; it stands in
// the annotation "ringfence.network" as a JSON text (docs/profiles.md has the fields).
//
// Sources: ip-link(8), bridge(8), rtnetlink(7), veth(4).
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

// An IPv4 or IPv6 address, in network byte order.
struct IpAddress {
  int family = 0;  // AF_INET, AF_INET6
  std::array<uint8_t, 16> bytes{};
  [[nodiscard]] size_t size() const;  // 4 or 16
  [[nodiscard]] std::string str() const;
  static std::optional<IpAddress> parse(std::string_view text);
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "10.0.0.2/24". As an address of an interface its own bits below the prefix count; as a
// destination they are zero.
struct IpNetwork {
  IpAddress address;
  uint8_t prefix = 0;
  [[nodiscard]] std::string str() const;
  [[nodiscard]] bool host_bits_clear() const;
  static std::optional<IpNetwork> parse(std::string_view text);
  friend bool operator==(const IpNetwork&, const IpNetwork&) = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};
  [[nodiscard]] std::string str() const;
  [[nodiscard]] bool multicast() const { return (bytes[0] & 1) != 0; }
  static std::optional<MacAddress> parse(std::string_view text);
  friend bool operator==(const MacAddress&, const MacAddress&) = default;
};

struct NetworkRoute {
  IpNetwork to;                  // prefix 0: the default route
  std::optional<IpAddress> via;  // none: directly on the link
  friend bool operator==(const NetworkRoute&, const NetworkRoute&) = default;
};

struct NetworkNeighbour {  // a permanent entry, ip-neighbour(8)
  IpAddress address;
  MacAddress mac;
  friend bool operator==(const NetworkNeighbour&, const NetworkNeighbour&) = default;
};

// Flags of the bridge's port to which a veth's outer end belongs, bridge(8).
struct BridgePort {
  bool isolated = false;  // no frame from or to another isolated port
  bool hairpin = false;   // frames may leave by the port that they came in by
  bool learning = true;   // source addresses are learned
  bool flood = true;  // gets unicast to unknown addresses, and multicast; broadcast it always gets
  friend bool operator==(const BridgePort&, const BridgePort&) = default;
};

enum class InterfaceKind : uint8_t { veth, macvlan, loopback };

struct NetworkInterface {
  InterfaceKind kind = InterfaceKind::veth;
  std::string name;    // inside; "lo" for loopback
  std::string bridge;  // veth: the spawner's bridge, made when it is not there; empty: none
  std::string parent;  // macvlan: the spawner's interface below it
  std::optional<uint32_t> mtu;
  std::optional<MacAddress> mac;
  std::vector<IpNetwork> addresses;
  std::vector<NetworkRoute> routes;
  std::vector<NetworkNeighbour> neighbours;
  BridgePort port;
  friend bool operator==(const NetworkInterface&, const NetworkInterface&) = default;
};

// Whom the target may reach.
struct NetworkPeer {
  IpNetwork to;
  uint8_t protocol = 0;  // IPPROTO_TCP, _UDP, _ICMP; 0: any
  uint16_t port = 0;     // of the peer, for TCP and UDP; 0: any
  friend bool operator==(const NetworkPeer&, const NetworkPeer&) = default;
};

struct NetworkPolicy {
  std::vector<NetworkInterface> interfaces;
  // When given, everything that is not to one of these, or from one of these, is dropped at the
  // outer end of each veth, and so is what does not come from an address of the interface's own.
  std::optional<std::vector<NetworkPeer>> allow;
  [[nodiscard]] bool empty() const { return interfaces.empty() && !allow; }
  friend bool operator==(const NetworkPolicy&, const NetworkPolicy&) = default;
};

// The annotation's text, and back.
std::string write_network(const NetworkPolicy& network);
class JsonNode;
// `node` is the annotation itself, a string.
void read_network(const JsonNode& node, NetworkPolicy& network);

}  // namespace ringfence

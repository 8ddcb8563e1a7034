// The network between targets and their neighbours, and its configuration: network_namespaces(7),
// veth(4), bridge(8), packet(7), netdevice(7).
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "harness/runner/peer.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

const std::string kPort = std::to_string(kPeerPort);

// A target on the bridge of the decoy host, which knows where its neighbours are.
Policy on_bridge() {
  Policy policy = in_namespaces({Ns::net});
  policy.name += "+veth";
  NetworkInterface eth0;
  eth0.name = "eth0";
  eth0.bridge = kPeerBridge;
  eth0.mac = MacAddress::parse(kTargetMac);
  if (const auto own = IpNetwork::parse(kTargetNetwork)) eth0.addresses = {*own};
  for (const PeerSpec& peer : kPeers) {
    const auto address = IpAddress::parse(peer.address);
    const auto mac = MacAddress::parse(peer.mac);
    if (address && mac) eth0.neighbours.push_back({*address, *mac});
  }
  policy.network.interfaces = {std::move(eth0)};
  return policy;
}

Policy allowed_to_reach_a() {
  Policy policy = on_bridge();
  policy.name += "+allow";
  constexpr uint8_t kOneHost = 32;
  if (const auto a = IpAddress::parse(kPeers[0].address)) {
    policy.network.allow = {{{*a, kOneHost}, 0, 0}};
  }
  return policy;
}

Case filtered_case(std::string id, std::string title, Policy policy, Attempt attempt, Goal goal,
                   std::string step) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = "bridge(8), tc-bpf(8)";
  c.expected = Layer::kNetFilter;
  c.policy = std::move(policy);
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.needs = {"root", "veth", "bridge"};
  c.step = std::move(step);
  if (c.step.starts_with("net.filter")) c.needs.emplace_back("tc_bpf");
  return c;
}

void add_peers(std::vector<Case>& cases) {
  const auto add = [&](Case c) -> Case& { return cases.emplace_back(std::move(c)); };
  const Attempt to_a{"connect_peer", {"{peer_a}", kPort}};
  const Goal a_connected{Sight::peer_connected, "a"};

  Case& tcp =
      add(filtered_case("net.peer_only", "connect to a neighbour that the allow-list does not name",
                        allowed_to_reach_a(), {"connect_peer", {"{peer_b}", kPort}},
                        {Sight::peer_connected, "b"}, "net.filter:eth0"));
  tcp.quick = false;  // what is dropped is waited for
  tcp.liveness = to_a;
  tcp.alive = a_connected;

  Case& udp = add(filtered_case("net.peer_only.udp",
                                "send a datagram to a neighbour that the allow-list does not name",
                                allowed_to_reach_a(), {"send_peer", {"{peer_b}", kPort}},
                                {Sight::peer_heard, "b"}, "net.filter:eth0"));
  udp.liveness = {"send_peer", {"{peer_a}", kPort}};
  udp.alive = {Sight::peer_heard, "a"};
  udp.contained = true;  // it leaves the target, and is dropped on the way

  Policy isolated = on_bridge();
  isolated.name += "+isolated";
  isolated.network.interfaces[0].port.isolated = true;
  Case& port = add(filtered_case("net.peer_only.isolated",
                                 "connect from an isolated port of the bridge to another one",
                                 isolated, {"connect_peer", {"{peer_isolated}", kPort}},
                                 {Sight::peer_connected, "isolated"}, "net.port:eth0"));
  port.quick = false;
  port.liveness = to_a;
  port.alive = a_connected;

  Case& forged = add(filtered_case(
      "net.packet_raw.forged_source", "send a frame in another neighbour's name",
      allowed_to_reach_a(),
      {"forge", {kPeers[1].address, kPeers[1].mac, "{peer_a}", kPeers[0].mac, kPort, "eth0"}},
      {Sight::peer_heard, "a"}, "net.filter:eth0"));
  forged.source = "packet(7), RFC 2827";
  forged.liveness = {"forge",
                     {kTargetAddress, kTargetMac, "{peer_a}", kPeers[0].mac, kPort, "eth0"}};
  forged.alive = {Sight::peer_heard, "a"};
  forged.contained = true;

  // What neighbour a says to b, whose place the bridge has not learned, goes to every port.
  Policy quiet = on_bridge();
  quiet.name += "-flood";
  quiet.network.interfaces[0].port.flood = false;
  for (const bool by_port : {true, false}) {
    Case& sniff = add(filtered_case(
        by_port ? "net.sniff_bridge" : "net.sniff_bridge.filtered",
        by_port ? "overhear what one neighbour sends to another, flooded by the bridge"
                : "the same from an allowed neighbour, past a port that is flooded",
        by_port ? quiet : allowed_to_reach_a(), {"sniff", {"b"}}, {Sight::secret_returned},
        by_port ? "net.port:eth0" : "net.filter:eth0"));
    sniff.source = "packet(7), bridge(8)";
    // It was said, and the one it was for heard it.
    sniff.proofs = {{Sight::peer_heard, "b"}};
    sniff.liveness = {"sniff", {"target", "{peer_a}", kPort}};
    sniff.alive = {Sight::secret_returned};
    sniff.quick = false;
  }
}

struct Change {
  const char* id;
  const char* what;
  const char* title;
  Attempt attempt;
  const char* need;  // beside root
};

void add_changes(std::vector<Case>& cases) {
  for (const Change& change :
       {Change{"address",
               "addresses",
               "add an address to an interface of the host",
               {"add_address", {}},
               ""},
        Change{"route", "routes", "add a route to the host", {"add_route", {}}, ""},
        Change{"interface",
               "links",
               "add an interface to the host",
               {"add_bridge", {"rfbr9"}},
               "bridge"},
        Change{"firewall",
               "firewall",
               "drop all packets that the host receives",
               {"add_firewall", {}},
               "nf_tables"}}) {
    Case c;
    c.id = std::string("net.config.") + change.id;
    c.title = change.title;
    c.source = "network_namespaces(7)";
    c.expected = Layer::kNet;
    c.policy = in_namespaces({Ns::net});
    c.attempt = change.attempt;
    c.goal = {Sight::net_changed, change.what};
    c.proofs = {{Sight::ns_differs, "net"}};
    c.contained = true;  // in its own namespace it may
    c.outside = true;
    c.step = "ns.net";
    c.gated_by = {Layer::cap("NET_ADMIN")};
    if (*change.need != 0) c.needs = {change.need};
    cases.push_back(c);

    c.id += ".cap";
    c.title += ", in its namespace";
    c.source = "capabilities(7), CAP_NET_ADMIN";
    c.expected = Layer::cap("NET_ADMIN");
    c.policy = without_caps({"NET_ADMIN"});
    c.proofs = {{Sight::cap_missing, "NET_ADMIN"}};
    c.liveness = {"get_lo_mtu", {}};
    c.contained = false;
    c.outside = false;
    c.step = "cap.bounding";
    c.needs.emplace_back("root");
    c.needs.emplace_back("cap:NET_ADMIN");
    cases.push_back(std::move(c));
  }
}

void add_leaks(std::vector<Case>& cases) {
  Case leak;
  leak.id = "net.netns_leak";
  leak.title = "reach the host's network by a socket of it that was passed in";
  leak.source = "ioctl SIOCGSKNS, Linux 4.10; network_namespaces(7)";
  leak.expected = Layer::cap("NET_ADMIN");
  leak.policy = in_namespaces({Ns::net});
  lose_caps(leak.policy, {"NET_ADMIN"});
  leak.attempt = {"netns_leak", {"{tcp_port}"}};
  leak.goal = {Sight::loopback_connected};
  leak.proofs = {{Sight::cap_missing, "NET_ADMIN"}};
  leak.liveness = {"listen_tcp", {"20082"}};
  leak.needs = {"root", "cap:NET_ADMIN"};
  leak.gated_by = {leak.expected};
  leak.step = "cap.bounding";
  cases.push_back(leak);

  leak.id = "net.netns_leak.userns";
  leak.title += ", as root of another user namespace";
  leak.expected = Layer::kUser;
  leak.policy = in_namespaces({Ns::user, Ns::net});
  leak.proofs = {{Sight::ns_differs, "user"}};
  leak.needs = {"root", "userns"};
  leak.step = "ns.user";
  cases.push_back(std::move(leak));
}

void add_raw(std::vector<Case>& cases) {
  struct Raw {
    const char* id;
    const char* title;
    int domain, protocol;
  };
  for (const Raw& raw : {Raw{"packet", "open a packet socket", AF_PACKET, 0},
                         Raw{"icmp", "open a raw socket for ICMP", AF_INET, IPPROTO_ICMP}}) {
    Case c;
    c.id = std::string("net.packet_raw.") + raw.id;
    c.title = raw.title;
    c.source = raw.domain == AF_PACKET ? "packet(7)" : "raw(7)";
    c.expected = Layer::cap("NET_RAW");
    c.policy = without_caps({"NET_RAW"});
    c.attempt = {
        "socket",
        {std::to_string(raw.domain), std::to_string(SOCK_RAW), std::to_string(raw.protocol)}};
    c.goal = {Sight::holds_socket, "", raw.domain};
    c.proofs = {{Sight::cap_missing, "NET_RAW"}};
    c.liveness = {"socket", {std::to_string(AF_UNIX), std::to_string(SOCK_DGRAM), "0"}};
    c.alive = {Sight::holds_socket, "", AF_UNIX};
    c.needs = {"root", "cap:NET_RAW"};
    c.gated_by = {c.expected};
    c.step = "cap.bounding";
    cases.push_back(std::move(c));
  }
}

}  // namespace

std::vector<Case> net_cases() {
  std::vector<Case> cases;
  add_peers(cases);
  add_changes(cases);
  add_leaks(cases);
  add_raw(cases);
  return cases;
}

}  // namespace ringfence::suites

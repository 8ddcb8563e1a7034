#pragma once
// Neighbours: canaries that are network namespaces of their own, joined to the bridge of the decoy
// host. No process is in them; what listens there are sockets of the decoy host's init, which stay
// where they were opened, so that it hears what arrives without leaving its own namespace.
//
// Their addresses are fixed, since a case's policy names them. All of it dies with the decoy host.
#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/policy/network.h"

namespace ringfence {

inline constexpr const char* kPeerBridge = "rfbr0";
inline constexpr int kPeerPort = 7;  // echo, of TCP and UDP
// What a target has to be on that bridge, to be answered and talked to.
inline constexpr const char* kTargetAddress = "10.77.0.2";
inline constexpr const char* kTargetNetwork = "10.77.0.2/24";
inline constexpr const char* kTargetMac = "02:72:66:00:00:02";

struct PeerSpec {
  std::string_view name;  // "a", "b"; "isolated" has an isolated port of the bridge
  const char* address;
  const char* network;
  const char* mac;
  bool isolated;
};
inline constexpr std::array kPeers = {
    PeerSpec{"a", "10.77.0.11", "10.77.0.11/24", "02:72:66:00:00:0b", false},
    PeerSpec{"b", "10.77.0.12", "10.77.0.12/24", "02:72:66:00:00:0c", false},
    PeerSpec{"isolated", "10.77.0.13", "10.77.0.13/24", "02:72:66:00:00:0d", true}};
// Null when there is none of that name.
const PeerSpec* find_peer(std::string_view name);

class Peers {
 public:
  // Makes it, and the bridge with it, unless it is there. In the calling thread's namespace.
  Status make(std::string_view name);
  // Whether somebody has connected to it, and whether a datagram has come; what was seen stays.
  Result<bool> connected(std::string_view name);
  Result<bool> heard(std::string_view name);
  // `from` sends a datagram to `to`, or to the target ("target"). Nobody is asked who has the
  // address, and the bridge has not learned where `to` is unless it has spoken.
  Status say(std::string_view from, std::string_view to, const std::string& text);

 private:
  struct Peer {
    UniqueFd tcp, udp;
    bool was_connected = false;
    bool was_heard = false;
  };
  Result<Peer*> find(std::string_view name);
  std::map<std::string, Peer, std::less<>> peers_;
};

// One of the lists of a network namespace, as lines of text: what an attempt has changed shows as a
// difference. `what`: "addresses", "routes", "links", "firewall".
Result<std::string> network_list(std::string_view what);

}  // namespace ringfence

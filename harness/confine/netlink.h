#pragma once
// Netlink: typed requests to the kernel's network configuration (rtnetlink), each answered before
// the call returns.
//
// A socket belongs to the network namespace that its thread was in when it was opened, and stays
// there. The library builds and reads messages (libmnl); the socket itself is the syscall seam's,
// so that tests can make it fail. Errors keep errno, and the kernel's own words (extended
// acknowledgement, Linux 4.12) as the hint. Changing anything needs CAP_NET_ADMIN in the user
// namespace that owns the network namespace.
//
// Sources: netlink(7), rtnetlink(7), Documentation/userspace-api/netlink/intro.rst,
// include/uapi/linux/{rtnetlink,if_link,if_bridge,neighbour}.h.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/policy/network.h"

struct nlattr;
struct nlmsghdr;

namespace ringfence {

// One request under construction. Attributes beyond its room make send() fail, never overrun.
class NetlinkMessage {
 public:
  NetlinkMessage(uint16_t type, uint16_t flags, size_t room = 1024);
  // The family's own header behind the netlink one: ifinfomsg, ifaddrmsg, ...
  template <typename T>
  T& header() {
    return *static_cast<T*>(extra(sizeof(T)));
  }
  void put(uint16_t type, const void* data, size_t size);
  void text(uint16_t type, std::string_view value);  // with its NUL
  template <typename T>
  void value(uint16_t type, const T& number) {
    put(type, &number, sizeof number);
  }
  nlattr* begin_nested(uint16_t type);
  void end_nested(nlattr* nested);
  // Raw bytes at the end, aligned: a header inside an attribute (VETH_INFO_PEER).
  void append(const void* data, size_t size);
  [[nodiscard]] nlmsghdr* raw() const { return message_; }
  [[nodiscard]] bool overflowed() const { return overflowed_; }

 private:
  void* extra(size_t size);
  std::vector<uint64_t> bytes_;  // aligned for every header
  nlmsghdr* message_;
  bool overflowed_ = false;
};

// An interface as the kernel lists it.
struct LinkInfo {
  int index = 0;
  std::string name;
  std::string kind;  // "veth", "bridge", ...; empty for loopback and hardware
  unsigned flags = 0;
  uint32_t mtu = 0;
  MacAddress mac;
  int master = 0;                  // the bridge's index, 0: none
  int link = 0;                    // veth: the other end's index, in whichever namespace it is
  std::optional<BridgePort> port;  // when it belongs to a bridge
  bool forwarding = false;         // ... and its port says that it passes frames
  bool operational = false;        // IF_OPER_UP: the kernel knows of its carrier
  bool sends = false;              // it has a queue; one whose carrier is not known drops all
  uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
  [[nodiscard]] bool up() const;
};

struct AddressInfo {
  int index = 0;
  IpNetwork address;
  bool global = false;     // RT_SCOPE_UNIVERSE: not of a link, nor of the host
  bool permanent = false;  // given by somebody, and not learned for a while
};

class Netlink {
 public:
  // A socket in the calling thread's network namespace. `protocol`: NETLINK_ROUTE and the like.
  static Result<Netlink> open(int protocol = 0);
  // One that hears of changes of links, for wait_until_forwarding(); nothing is asked by it.
  static Result<Netlink> open_events();

  // ---- Links. `index` as LinkInfo::index. ------------------------------------------------------
  Status add_link(std::string_view kind, const std::string& name);  // bridge, dummy
  Status add_veth(const std::string& name, const std::string& peer);
  Status add_macvlan(const std::string& name, int parent);  // mode bridge
  Status delete_link(int index);
  Status set_up(int index, bool up = true);
  Status set_mtu(int index, uint32_t mtu);
  Status set_mac(int index, const MacAddress& mac);
  Status rename(int index, const std::string& name);
  Status set_master(int index, int master);  // 0: none
  Status set_port(int index, const BridgePort& port);
  // A bridge's port passes frames some time after both ends of its veth are up: the kernel tells
  // the bridge, and gives the interface a queue, from a work queue. A port that was made up before
  // that says that it forwards, and drops. ETIMEDOUT after five seconds.
  Status wait_until_forwarding(int index, Netlink& events);
  // No link-local address by itself: an interface has the addresses that it was given.
  Status no_address_of_its_own(int index);
  // Into another network namespace, under this name there (empty: its own).
  Status move_to_fd(int index, int netns_fd, const std::string& name = {});
  Status move_to_pid(int index, int pid, const std::string& name = {});
  // An XDP program for what comes in, in the generic mode that every interface has; -1: none.
  Status set_xdp(int index, int program_fd);

  // ---- Addresses, routes, neighbours, in the main table ----------------------------------------
  Status add_address(int index, const IpNetwork& address);
  Status add_route(int index, const NetworkRoute& route);
  Status add_neighbour(int index, const NetworkNeighbour& neighbour);

  // ---- What is there ---------------------------------------------------------------------------
  Result<std::vector<LinkInfo>> links();
  Result<LinkInfo> link(const std::string& name);
  Result<int> index_of(const std::string& name);
  Result<std::vector<AddressInfo>> addresses();

  // ---- The two kinds of exchange ---------------------------------------------------------------
  // Sends and waits for the acknowledgement. `what` and `object` are for the error.
  Status request(NetlinkMessage& message, const char* what, const std::string& object);
  // Every message of a dump. An interrupted one (NLM_F_DUMP_INTR) is asked for again. After a
  // failure to receive the kernel may still be at it: then the next needs another socket.
  Status dump(NetlinkMessage& message, const char* what,
              const std::function<void(const nlmsghdr&)>& tell);
  // Several messages at once, of which only the last is acknowledged (nf_tables batches).
  Status batch(const std::vector<NetlinkMessage*>& messages, const char* what,
               const std::string& object);

 private:
  explicit Netlink(UniqueFd fd) : fd_(std::move(fd)) {}
  Status send(const void* data, size_t size, const char* what, const std::string& object);
  Result<size_t> receive(const char* what);
  Status acknowledged(uint32_t sequence, const char* what, const std::string& object);
  Status change_link(int index, const char* what, const std::function<void(NetlinkMessage&)>& fill);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
  std::vector<uint64_t> buffer_;
};

}  // namespace ringfence

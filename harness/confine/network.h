#pragma once
// The network part of a policy as steps, and how they are made: by netlink, by the spawner's helper
// thread, while the child waits in its new network namespace. The child itself makes none of them:
// an interface's index is known only once it is there, and the child keeps nothing.
//
// The outer end of a veth is called rf<PID>.<N>, where PID is the target's and N the interface's
// number in the policy, and goes with the target's namespace. A bridge that was not there is made,
// and stays: others may have joined it.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/confine/netlink.h"
#include "harness/policy/policy.h"

namespace ringfence {

// After add_clone_namespaces(), when the target gets a new network namespace.
void add_network(Assembler& plan, const NetworkPolicy& network);
// Interfaces of the spawner's that move into it, by their names there; empty: as they are called.
// Each keeps its global, permanent addresses (runc does so), and is up afterwards. When the
// namespace ends, hardware comes back to the initial one, and what was made of software ends.
using NetDevices = std::vector<std::pair<std::string, std::string>>;
void add_net_devices(Assembler& plan, const NetDevices& devices);

// Makes the effects of a target's steps, in their order. In a thread that ends afterwards: open()
// leaves it in the target's network namespace.
class NetworkMaker {
 public:
  static Result<NetworkMaker> open(const NetworkPolicy& network, const NetDevices& devices,
                                   int pid);
  Status make(const Step::Network& step);
  // An XDP program that the outer end of each veth gets before it is up; -1: none.
  void count_with(int program_fd) { xdp_fd_ = program_fd; }
  // Ends that have got it.
  [[nodiscard]] int counted() const { return counted_; }

 private:
  NetworkMaker(const NetworkPolicy& network, const NetDevices& devices, int pid, Netlink outside,
               Netlink events, Netlink inside, UniqueFd ns)
      : network_(&network),
        devices_(&devices),
        pid_(pid),
        outside_(std::move(outside)),
        events_(std::move(events)),
        inside_(std::move(inside)),
        netns_(std::move(ns)) {}
  Status make_link(const NetworkInterface& wanted, size_t number);
  Status take(const std::string& device, const std::string& name);
  Result<int> inner(const NetworkInterface& wanted);
  const NetworkPolicy* network_;
  const NetDevices* devices_;
  int pid_;
  Netlink outside_;
  Netlink events_;  // outside, too
  Netlink inside_;
  UniqueFd netns_;
  std::map<size_t, int> outer_;  // by interface: the veth's outer end
  int xdp_fd_ = -1;
  int counted_ = 0;
};

}  // namespace ringfence

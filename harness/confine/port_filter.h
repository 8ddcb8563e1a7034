#pragma once
// The filter of a veth's outer end: an allow-list as two classic BPF programs, attached by tc
// (clsact and cls_bpf in direct-action mode). Classic, so that it needs no bpf(2) and works in a
// user namespace; at the outer end, so that nothing inside can take it away.
//
// Kernel: clsact 4.5, with NET_SCH_INGRESS and NET_CLS_BPF. Sources: tc-bpf(8), bpf(4) of the BSDs,
// Documentation/networking/filter.rst; RFC 826 (ARP), 791, 8200, 4861 (neighbour discovery).
#include <linux/filter.h>

#include <vector>

#include "harness/base/result.h"
#include "harness/confine/netlink.h"
#include "harness/policy/network.h"

namespace ringfence {

struct PortFilter {
  std::vector<sock_filter> from_target;  // what comes out of it: ingress of the outer end
  std::vector<sock_filter> to_target;    // egress
};

// `own`: the interface inside. What it sends has to come from its addresses (and its MAC address,
// when the policy gives one) and to go to an allowed peer; what it gets has to come from one and to
// go to it. ARP and neighbour discovery pass for allowed peers, and nothing else does.
PortFilter compile_port_filter(const NetworkInterface& own, const std::vector<NetworkPeer>& allow);

// Before the interface is up.
Status attach_port_filter(Netlink& netlink, int index, const PortFilter& filter);

}  // namespace ringfence

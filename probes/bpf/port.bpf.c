/* Frames that come out of a target, counted at the outer end of its veth before anything else there
 * sees them: before the bridge, and before the filter that may drop them. It only counts. Loaded by
 * harness/witness/port.h for each trial, attached by the spawner before the interface is up.
 *
 * Sources: include/uapi/linux/bpf.h (struct xdp_md), RFC 791, 826.
 */
// clang-format off: the types first, libbpf's headers use them
#include "probes/bpf/kernel_types.h"
// clang-format on
#include <bpf/bpf_helpers.h>

#include "probes/bpf/port_abi.h"

/* The kernel's interface to user space: the layout is fixed. Up to what is read. */
struct xdp_md {
  __u32 data, data_end;
};
enum { XDP_PASS = 2 };
enum { ETH_HLEN = 14, ETH_P_IP = 0x0800, ETH_P_ARP = 0x0806, ETH_P_IPV6 = 0x86dd };
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RF_PORT_KINDS);
  __type(key, __u32);
  __type(value, struct rf_port_count);
} counts SEC(".maps");

static __always_inline __u32 kind_of(const unsigned char* data, const unsigned char* end) {
  if (data + ETH_HLEN > end) return RF_PORT_OTHER;
  const __u16 type = data[12] << 8 | data[13];
  if (type == ETH_P_ARP) return RF_PORT_ARP;
  if (type == ETH_P_IPV6) return RF_PORT_IP6;
  if (type != ETH_P_IP) return RF_PORT_OTHER;
  if (data + ETH_HLEN + 10 > end) return RF_PORT_IP4;
  switch (data[ETH_HLEN + 9]) {
    case IPPROTO_TCP:
      return RF_PORT_TCP;
    case IPPROTO_UDP:
      return RF_PORT_UDP;
    case IPPROTO_ICMP:
      return RF_PORT_ICMP;
    default:
      return RF_PORT_IP4;
  }
}

SEC("xdp")
int count(struct xdp_md* ctx) {
  const unsigned char* data = (const unsigned char*)(long)ctx->data;
  const unsigned char* end = (const unsigned char*)(long)ctx->data_end;
  __u32 kind = kind_of(data, end);
  struct rf_port_count* one = bpf_map_lookup_elem(&counts, &kind);
  if (one) {
    __sync_fetch_and_add(&one->packets, 1);
    __sync_fetch_and_add(&one->bytes, end - data);
  }
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";

/* What the counting program of a port and the harness share: plain C. */
#ifndef RINGFENCE_PROBES_BPF_PORT_ABI_H
#define RINGFENCE_PROBES_BPF_PORT_ABI_H

enum rf_port_kind {
  RF_PORT_ARP,
  RF_PORT_TCP,
  RF_PORT_UDP,
  RF_PORT_ICMP,
  RF_PORT_IP4, /* any other */
  RF_PORT_IP6,
  RF_PORT_OTHER,
  RF_PORT_KINDS
};

struct rf_port_count {
  unsigned long long packets, bytes;
};

#endif

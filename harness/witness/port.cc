#include "harness/witness/port.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <array>

#include "harness/witness/ladder.h"
#include "port.skel.h"
#include "probes/bpf/port_abi.h"

namespace ringfence {

struct Port::State {
  ~State() { port_bpf__destroy(skeleton); }
  port_bpf* skeleton = nullptr;
};

Port::Port(std::unique_ptr<State> state) : state_(std::move(state)) {}
Port::Port(Port&&) noexcept = default;
Port& Port::operator=(Port&&) noexcept = default;
Port::~Port() = default;

Result<Port> Port::load() {
  const QuietLibbpf hush;
  auto state = std::make_unique<State>();
  state->skeleton = port_bpf__open();
  if (state->skeleton == nullptr) return system_error("open eBPF object", "port");
  if (const int result = port_bpf__load(state->skeleton); result != 0) {
    return unsupported_error("load the program of a port", {}, -result);
  }
  return Port(std::move(state));
}

int Port::program() const { return bpf_program__fd(state_->skeleton->progs.count); }

Result<PortSeen> Port::seen() const {
  PortSeen seen;
  seen.watched = true;
  const std::array<uint64_t*, RF_PORT_KINDS> places = {&seen.arp, &seen.tcp, &seen.udp,  &seen.icmp,
                                                       &seen.ip4, &seen.ip6, &seen.other};
  for (uint32_t kind = 0; kind < places.size(); ++kind) {
    rf_port_count count{};
    if (bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.counts), &kind, &count) != 0) {
      return system_error("BPF_MAP_LOOKUP_ELEM", "counts of a port");
    }
    *places.at(kind) = count.packets;
    seen.bytes += count.bytes;
  }
  return seen;
}

uint64_t PortSeen::packets() const { return arp + tcp + udp + icmp + ip4 + ip6 + other; }

std::string PortSeen::describe() const {
  if (packets() == 0) return "no frame";
  std::string text;
  const auto add = [&](uint64_t count, const char* what) {
    if (count == 0) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(arp, "ARP");
  add(tcp, "TCP");
  add(udp, "UDP");
  add(icmp, "ICMP");
  add(ip4, "other IPv4");
  add(ip6, "IPv6");
  add(other, "other");
  return fmt::format("{} ({} bytes)", text, bytes);
}

}  // namespace ringfence

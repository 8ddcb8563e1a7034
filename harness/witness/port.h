#pragma once
// Port: the frames that come out of one target, counted by an XDP program at the outer end of each
// of its veths, by protocol. What a target sent is so known apart from what became of it: the
// filter and the bridge come later. A program and its counters for each trial, held by descriptors
// alone.
//
// Needs CAP_BPF and CAP_NET_ADMIN (or root); generic XDP is Linux 4.12. Nothing that arrives is
// left uncounted: a sum is wrong only where the program is not attached, which the spawner tells
// (SpawnRequest::counted_ports). Sources: bpf(2), Documentation/networking/af_xdp.rst, veth(4).
#include <memory>

#include "harness/base/result.h"
#include "harness/witness/facts.h"

namespace ringfence {

class Port {
 public:
  // `unsupported` where no such program can be loaded.
  static Result<Port> load();
  Port(Port&&) noexcept;
  Port& operator=(Port&&) noexcept;
  ~Port();
  // For SpawnRequest::port_program.
  [[nodiscard]] int program() const;
  [[nodiscard]] Result<PortSeen> seen() const;

 private:
  struct State;
  explicit Port(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

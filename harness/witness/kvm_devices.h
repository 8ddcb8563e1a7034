#pragma once
// KvmDevices: what a guest does to the devices that KVM has in the kernel, by an eBPF program at
// KVM's tracepoints: accesses to their ports, to the I/O APIC and to the local APIC, with the
// values, and the interrupts that come of them. The event loop never sees any of it. What a
// processor does for its local APIC by itself (APICv, AVIC) no tracepoint tells.
//
// Needs what KvmExits needs, and a ring buffer (Linux 5.8). Sources: arch/x86/kvm/trace.h.
#include <functional>
#include <memory>
#include <span>

#include "harness/base/result.h"
#include "probes/bpf/kvm_abi.h"

namespace ringfence {

class KvmDevices {
 public:
  // Of the vCPUs that the calling thread runs: the two APICs, and these ports (below RF_KVM_PORTS).
  // `unsupported` where the programs cannot be loaded or attached.
  static Result<KvmDevices> attach(std::span<const uint16_t> ports);
  KvmDevices(KvmDevices&&) noexcept;
  KvmDevices& operator=(KvmDevices&&) noexcept;
  ~KvmDevices();

  // What came since the last call, in order.
  Status take(const std::function<void(const rf_kvm_access&)>& each);
  // Accesses that had no room.
  [[nodiscard]] uint64_t lost() const;

 private:
  struct State;
  static Status begin(State& state, std::span<const uint16_t> ports,
                      const struct PidNamespace& pidns, bool tells_reinjected);
  explicit KvmDevices(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

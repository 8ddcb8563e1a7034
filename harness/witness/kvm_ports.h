#pragma once
// KvmPorts: what a guest does to the devices that KVM has in the kernel, by an eBPF program at
// KVM's tracepoints: accesses to their ports with the values, and the interrupts that come of them.
// The event loop never sees any of it.
//
// Needs what KvmExits needs, and a ring buffer (Linux 5.8). Sources: arch/x86/kvm/trace.h.
#include <functional>
#include <memory>
#include <span>

#include "harness/base/result.h"
#include "probes/bpf/kvm_abi.h"

namespace ringfence {

class KvmPorts {
 public:
  // Of the vCPUs that the calling thread runs, at these ports (below RF_KVM_PORTS). `unsupported`
  // where the programs cannot be loaded or attached.
  static Result<KvmPorts> attach(std::span<const uint16_t> ports);
  KvmPorts(KvmPorts&&) noexcept;
  KvmPorts& operator=(KvmPorts&&) noexcept;
  ~KvmPorts();

  // What came since the last call, in order.
  Status take(const std::function<void(const rf_kvm_access&)>& each);
  // Accesses that had no room.
  [[nodiscard]] uint64_t lost() const;

 private:
  struct State;
  explicit KvmPorts(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

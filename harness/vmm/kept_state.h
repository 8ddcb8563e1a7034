#pragma once
// KeptState: all of a vCPU's state that a guest can change, to restore it later.
//
// Registers, segments, debug registers, pending events, the extended state and the MSRs of system
// calls and segment bases. The TSC goes on. One ioctl each; general and special registers and
// events wait in the shared page for the next entry where KVM takes them from there
// (KVM_CAP_SYNC_REGS).
#include <optional>
#include <vector>

#include "harness/vmm/kvm/vcpu.h"

namespace ringfence::vmm {

class KeptState {
 public:
  struct Ways {
    bool through_page = false;  // KVM_CAP_SYNC_REGS has Vcpu::kSynced
    // KVM has the local APIC: a vCPU may be halted or waiting (KVM_GET_MP_STATE); without one it is
    // runnable, always.
    bool apic = false;
  };
  static Result<KeptState> of(const Vcpu& vcpu, Ways ways);
  Status restore(Vcpu& vcpu) const;

  [[nodiscard]] const kvm_regs& regs() const { return regs_; }
  [[nodiscard]] const kvm_sregs& sregs() const { return sregs_; }

 private:
  Ways ways_;
  kvm_regs regs_{};
  kvm_sregs sregs_{};
  kvm_debugregs debugregs_{};
  kvm_vcpu_events events_{};
  uint32_t mp_state_ = 0;
  std::optional<XsaveArea> xsave_;  // else fpu_
  kvm_fpu fpu_{};
  std::optional<kvm_xcrs> xcrs_;
  std::vector<kvm_msr_entry> msrs_;
};

}  // namespace ringfence::vmm

#include "harness/vmm/kept_state.h"

#include <array>

namespace ringfence::vmm {
namespace {

// STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS, _ESP, _EIP, PAT, TSC_AUX. FS and GS
// bases are of the special registers.
constexpr std::array<uint32_t, 10> kMsrs = {0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
                                            0xc0000102, 0x174,      0x175,      0x176,
                                            0x277,      0xc0000103};

template <typename T>
Status take(Result<T> from, T& to) {
  if (!from) return tl::unexpected(std::move(from.error()));
  to = *from;
  return {};
}

}  // namespace

Result<KeptState> KeptState::of(const Vcpu& vcpu, Ways ways) {
  KeptState kept;
  kept.ways_ = ways;
  for (const Status& ok :
       {take(vcpu.regs(), kept.regs_), take(vcpu.sregs(), kept.sregs_),
        take(vcpu.debugregs(), kept.debugregs_), take(vcpu.events(), kept.events_),
        take(vcpu.mp_state(), kept.mp_state_)}) {
    if (!ok) return tl::unexpected(ok.error());
  }
  if (auto xsave = vcpu.xsave()) {
    kept.xsave_ = *xsave;
  } else if (auto ok = take(vcpu.fpu(), kept.fpu_); !ok) {
    return tl::unexpected(ok.error());
  }
  if (auto xcrs = vcpu.xcrs()) kept.xcrs_ = *xcrs;
  for (const uint32_t index : kMsrs) {
    kvm_msr_entry entry{};
    entry.index = index;
    if (auto value = vcpu.msr(index)) {
      entry.data = *value;
      // Not every MSR that can be read can be written: those whose own value is refused are left.
      if (vcpu.set_msr(index, *value)) kept.msrs_.push_back(entry);
    }
  }
  return kept;
}

Status KeptState::restore(Vcpu& vcpu) const {
  // XCR0 decides which of the extended state goes in.
  if (xcrs_) {
    if (auto ok = vcpu.set_xcrs(*xcrs_); !ok) return ok;
  }
  if (auto ok = xsave_ ? vcpu.set_xsave(*xsave_) : vcpu.set_fpu(fpu_); !ok) return ok;
  if (auto ok = vcpu.set_debugregs(debugregs_); !ok) return ok;
  auto count = vcpu.set_msrs(msrs_);
  if (!count) return tl::unexpected(count.error());
  if (*count != msrs_.size()) {
    return system_error("restore guest", "MSR " + std::to_string(msrs_[*count].index), EINVAL);
  }
  if (ways_.apic) {
    if (auto ok = vcpu.set_mp_state(mp_state_); !ok) return ok;
  }
  vcpu.forget_readiness();
  if (ways_.through_page) {
    vcpu.enter_with(regs_);
    vcpu.enter_with(sregs_);
    vcpu.enter_with(events_);
    return {};
  }
  if (auto ok = vcpu.set_regs(regs_); !ok) return ok;
  if (auto ok = vcpu.set_sregs(sregs_); !ok) return ok;
  return vcpu.set_events(events_);
}

}  // namespace ringfence::vmm

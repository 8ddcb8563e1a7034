#pragma once
// Vcpu: one virtual CPU and its shared page (struct kvm_run). Belongs to the thread that runs it;
// request_exit() alone may be called from another one or from a signal handler.
#include <sys/syscall.h>

#include <optional>

#include "harness/base/sys.h"
#include "harness/vmm/kvm/exit.h"
#include "harness/vmm/kvm/kvm.h"

namespace ringfence::vmm {

// struct kvm_xsave without the flexible member at its end.
using XsaveArea = std::array<uint32_t, 1024>;

class Vcpu {
 public:
  Vcpu(Vcpu&&) = default;
  Vcpu& operator=(Vcpu&&) = default;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] kvm_run& page() const { return *page_; }

  // KVM_RUN (4.10). EINTR and EAGAIN (a vCPU that is not runnable yet) are Intr.
  Result<Exit> run();
  // KVM_RUN and nothing else: 0 or -errno; exit() then says what page() has. For loops in which
  // each nanosecond counts.
  int64_t run_raw() noexcept { return sys::call(SYS_ioctl, fd_.get(), KVM_RUN, 0); }
  [[nodiscard]] Exit exit() noexcept;
  // The same for KVM_EXIT_IO alone, by direction (page().io.direction).
  [[nodiscard]] IoIn io_in() noexcept {
    const auto& io = page_->io;
    return {io.port, io.size, io.count, {shared_.data() + io.data_offset, io_bytes()}};
  }
  [[nodiscard]] IoOut io_out() noexcept {
    const auto& io = page_->io;
    return {io.port, io.size, io.count, {shared_.data() + io.data_offset, io_bytes()}};
  }

  // kvm_run.immediate_exit (section 5): while set, run() comes back without entering the guest.
  // Completes what the last exit left unfinished, too.
  void request_exit(bool wanted = true) noexcept {
    __atomic_store_n(&page_->immediate_exit, wanted ? 1 : 0, __ATOMIC_SEQ_CST);
  }
  // kvm_run.request_interrupt_window, .ready_for_interrupt_injection, .if_flag (section 5).
  void request_irq_window(bool wanted) noexcept {
    page_->request_interrupt_window = wanted ? 1 : 0;
  }
  [[nodiscard]] bool ready_for_interrupt() const noexcept {
    return page_->ready_for_interrupt_injection != 0;
  }
  [[nodiscard]] bool interrupts_enabled() const noexcept { return page_->if_flag != 0; }
  // After other registers were set: what the last exit said of them is no longer so. The guest is
  // asked before an interrupt goes in.
  void forget_readiness() noexcept {
    page_->ready_for_interrupt_injection = 0;
    page_->if_flag = 0;
  }

  // KVM_GET/SET_REGS (4.11, 4.12), _SREGS (4.13, 4.14), _FPU (4.22, 4.23), _DEBUGREGS (4.33, 4.34),
  // _VCPU_EVENTS (4.31, 4.32), _MP_STATE (4.38, 4.39), _XCRS (4.44, 4.45), _XSAVE (4.42, 4.43).
  [[nodiscard]] Result<kvm_regs> regs() const;
  Status set_regs(const kvm_regs& regs) const;
  [[nodiscard]] Result<kvm_sregs> sregs() const;
  Status set_sregs(const kvm_sregs& sregs) const;
  [[nodiscard]] Result<kvm_fpu> fpu() const;
  Status set_fpu(const kvm_fpu& fpu) const;
  [[nodiscard]] Result<kvm_debugregs> debugregs() const;
  Status set_debugregs(const kvm_debugregs& regs) const;
  [[nodiscard]] Result<kvm_vcpu_events> events() const;
  Status set_events(const kvm_vcpu_events& events) const;
  [[nodiscard]] Result<uint32_t> mp_state() const;
  Status set_mp_state(uint32_t state) const;
  [[nodiscard]] Result<kvm_xcrs> xcrs() const;
  Status set_xcrs(const kvm_xcrs& xcrs) const;
  [[nodiscard]] Result<XsaveArea> xsave() const;
  Status set_xsave(const XsaveArea& xsave) const;

  // Synchronized registers (KVM_CAP_SYNC_REGS, section 7): general and special registers come with
  // each exit in the shared page, and what enter_with() puts there goes in with the next entry, for
  // no ioctl. Whoever asks before it, or changes what depends on it, gets it set first.
  static constexpr int kSynced = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS |
                                 KVM_SYNC_X86_EVENTS;  // what the capability has to say
  void synchronize(bool wanted) noexcept;
  [[nodiscard]] const kvm_regs& synced_regs() const { return page_->s.regs.regs; }
  [[nodiscard]] const kvm_sregs& synced_sregs() const { return page_->s.regs.sregs; }
  void enter_with(const kvm_regs& regs) noexcept;
  void enter_with(const kvm_sregs& sregs) noexcept;
  void enter_with(const kvm_vcpu_events& events) noexcept;

  // KVM_GET_MSRS (4.18), KVM_SET_MSRS (4.19). An MSR that KVM does not know is an error, EINVAL.
  [[nodiscard]] Result<uint64_t> msr(uint32_t index) const;
  Status set_msr(uint32_t index, uint64_t value) const;
  // Several at once; how many, from the first on, KVM knew and took.
  [[nodiscard]] Result<size_t> set_msrs(std::span<const kvm_msr_entry> entries) const;
  // KVM_SET_CPUID2 (4.21), KVM_GET_CPUID2.
  Status set_cpuid(std::span<const kvm_cpuid_entry2> entries) const;
  [[nodiscard]] Result<std::vector<kvm_cpuid_entry2>> cpuid() const;

  Status interrupt(uint8_t vector) const;  // KVM_INTERRUPT (4.16): no in-kernel chip
  Status nmi() const;                      // KVM_NMI (4.64)
  // KVM_SET_GUEST_DEBUG (4.87): KVM_GUESTDBG_* and debug registers 0-7.
  Status debug(uint32_t control, const std::array<uint64_t, 8>& registers = {}) const;
  // KVM_SET_SIGNAL_MASK (4.17): the mask in force while the guest runs.
  Status set_signal_mask(uint64_t mask) const;
  // KVM_TRANSLATE (4.15): linear to physical, or nothing where no page is mapped.
  [[nodiscard]] std::optional<uint64_t> translate(uint64_t linear) const;
  [[nodiscard]] Result<uint32_t> tsc_khz() const;       // KVM_GET_TSC_KHZ (4.56)
  [[nodiscard]] Result<kvm_lapic_state> lapic() const;  // KVM_GET_LAPIC (4.57)

  [[nodiscard]] Result<Stats> stats() const { return Stats::open(fd_.get(), "vcpu"); }

  // The ring of coalesced writes (4.116), emptied: address, length, bytes, whether a port.
  [[nodiscard]] std::vector<kvm_coalesced_mmio> take_coalesced() const;

 private:
  friend class Vm;
  Vcpu(UniqueFd fd, Mapping shared);
  // Sets what waits in the page for the next entry.
  Status settle() const;
  [[nodiscard]] size_t io_bytes() const noexcept {
    return static_cast<size_t>(page_->io.size) * page_->io.count;
  }
  UniqueFd fd_;
  Mapping shared_;
  kvm_run* page_ = nullptr;
};

}  // namespace ringfence::vmm

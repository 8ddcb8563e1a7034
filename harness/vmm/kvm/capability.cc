#include "harness/vmm/kvm/capability.h"

#include <linux/kvm.h>

#include <algorithm>
#include <array>

namespace ringfence::vmm {
namespace {

constexpr std::array kTable = {
    Capability{"KVM_CAP_USER_MEMORY", KVM_CAP_USER_MEMORY, "guest memory from this process", true},
    Capability{"KVM_CAP_EXT_CPUID", KVM_CAP_EXT_CPUID, "which CPUID a guest can have", true},
    Capability{"KVM_CAP_SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR, "real mode on older VMX", false},
    Capability{"KVM_CAP_SET_IDENTITY_MAP_ADDR", KVM_CAP_SET_IDENTITY_MAP_ADDR,
               "real mode on older VMX", false},
    Capability{"KVM_CAP_NR_MEMSLOTS", KVM_CAP_NR_MEMSLOTS, "how many regions of memory", false},
    Capability{"KVM_CAP_NR_VCPUS", KVM_CAP_NR_VCPUS, "how many vCPUs are advised", false},
    Capability{"KVM_CAP_MAX_VCPUS", KVM_CAP_MAX_VCPUS, "how many vCPUs are possible", false},
    Capability{"KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT,
               "a run that comes back before it enters the guest", false},
    Capability{"KVM_CAP_SYNC_REGS", KVM_CAP_SYNC_REGS, "registers in the shared page", false},
    Capability{"KVM_CAP_READONLY_MEM", KVM_CAP_READONLY_MEM, "read-only slots: firmware", false},
    Capability{"KVM_CAP_COALESCED_MMIO", KVM_CAP_COALESCED_MMIO, "MMIO writes without exits",
               false},
    Capability{"KVM_CAP_COALESCED_PIO", KVM_CAP_COALESCED_PIO, "port writes without exits", false},
    Capability{"KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD, "a write that signals an eventfd", false},
    Capability{"KVM_CAP_IRQFD", KVM_CAP_IRQFD, "an eventfd that raises an interrupt", false},
    Capability{"KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP, "PIC, IOAPIC and local APIC in the kernel",
               false},
    Capability{"KVM_CAP_PIT2", KVM_CAP_PIT2, "the PIT in the kernel", false},
    Capability{"KVM_CAP_SPLIT_IRQCHIP", KVM_CAP_SPLIT_IRQCHIP,
               "the local APIC in the kernel, the rest outside", false},
    Capability{"KVM_CAP_MP_STATE", KVM_CAP_MP_STATE, "INIT and SIPI from outside", false},
    Capability{"KVM_CAP_VCPU_EVENTS", KVM_CAP_VCPU_EVENTS, "pending events, to save and restore",
               false},
    Capability{"KVM_CAP_DEBUGREGS", KVM_CAP_DEBUGREGS, "debug registers, to save and restore",
               false},
    Capability{"KVM_CAP_XSAVE", KVM_CAP_XSAVE, "extended state, to save and restore", false},
    Capability{"KVM_CAP_XCRS", KVM_CAP_XCRS, "XCR0, to save and restore", false},
    Capability{"KVM_CAP_SET_GUEST_DEBUG", KVM_CAP_SET_GUEST_DEBUG, "single step and breakpoints",
               false},
    Capability{"KVM_CAP_X86_USER_SPACE_MSR", KVM_CAP_X86_USER_SPACE_MSR,
               "MSR accesses answered by this process", false},
    Capability{"KVM_CAP_X86_MSR_FILTER", KVM_CAP_X86_MSR_FILTER, "which MSRs the guest may use",
               false},
    Capability{"KVM_CAP_EXIT_HYPERCALL", KVM_CAP_EXIT_HYPERCALL,
               "hypercalls answered by this process", false},
    Capability{"KVM_CAP_X86_SMM", KVM_CAP_X86_SMM, "system management mode", false},
    Capability{"KVM_CAP_NESTED_STATE", KVM_CAP_NESTED_STATE,
               "VMX or SVM for the guest, to save and restore", false},
    Capability{"KVM_CAP_X86_DISABLE_EXITS", KVM_CAP_X86_DISABLE_EXITS,
               "HLT, MWAIT and PAUSE without exits", false},
    Capability{"KVM_CAP_BINARY_STATS_FD", KVM_CAP_BINARY_STATS_FD,
               "the kernel's own counts of exits, by descriptor", false},
    Capability{"KVM_CAP_INTERNAL_ERROR_DATA", KVM_CAP_INTERNAL_ERROR_DATA,
               "what an internal error says", false},
    Capability{"KVM_CAP_TSC_CONTROL", KVM_CAP_TSC_CONTROL, "a TSC of another frequency", false},
    Capability{"KVM_CAP_GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ, "the frequency of the guest's TSC",
               false},
    Capability{"KVM_CAP_TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER,
               "the local APIC's deadline timer", false},
    Capability{"KVM_CAP_SIGNAL_MSI", KVM_CAP_SIGNAL_MSI, "message-signalled interrupts", false},
};

}  // namespace

std::span<const Capability> capabilities() { return kTable; }

const Capability* capability(int number) {
  const auto* found = std::find_if(kTable.begin(), kTable.end(),
                                   [&](const Capability& c) { return c.number == number; });
  return found == kTable.end() ? nullptr : found;
}

}  // namespace ringfence::vmm

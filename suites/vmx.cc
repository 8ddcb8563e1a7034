// Cases of VMX for the guest: guests/virt_vmx.asm with one clause each. The n-th of them has n as
// its control, in EBX (guests/bochs_test.py counts on the order as well).
#include <array>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

struct Row {
  const char* id;
  const char* title;
  const char* section;  // of the Intel SDM, volume 3
};

constexpr std::array kRows = {
    Row{"virt.vmx_cpuid", "CPUID shows VMX", "24.6"},
    Row{"virt.vmx_basic", "IA32_VMX_BASIC has a revision and the size of a region", "A.1"},
    Row{"virt.vmx_off", "VMXON with CR4.VMXE clear is #UD", "24.7"},
    Row{"virt.vmx_unlocked", "VMXON before IA32_FEATURE_CONTROL is locked is #GP", "24.7"},
    Row{"virt.vmx_locked", "IA32_FEATURE_CONTROL cannot be written once it is locked", "24.7"},
    Row{"virt.vmx_on_aligned", "VMXON with an address inside a page fails", "31.3"},
    Row{"virt.vmx_on_revision", "VMXON of a region with another revision fails", "31.3"},
    Row{"virt.vmx_on", "VMXON enters VMX operation", "31.3"},
    Row{"virt.vmx_vmxe_held", "CR4.VMXE cannot be cleared in VMX operation", "24.7"},
    Row{"virt.vmx_no_vmcs", "without a current VMCS a failure has no error number", "31.2"},
    Row{"virt.vmx_on_again", "VMXON in VMX operation is error 15", "31.4"},
    Row{"virt.vmx_clear_aligned", "VMCLEAR of an address inside a page is error 2", "31.4"},
    Row{"virt.vmx_clear_vmxon", "VMCLEAR of the VMXON region is error 3", "31.4"},
    Row{"virt.vmx_load_aligned", "VMPTRLD of an address inside a page is error 9", "31.4"},
    Row{"virt.vmx_load_vmxon", "VMPTRLD of the VMXON region is error 10", "31.4"},
    Row{"virt.vmx_load_revision", "VMPTRLD of another revision is error 11", "31.4"},
    Row{"virt.vmx_read_unsupported", "VMREAD of no field is error 12", "31.4"},
    Row{"virt.vmx_write_unsupported", "VMWRITE of no field is error 12", "31.4"},
    Row{"virt.vmx_write_read_only",
        "VMWRITE of a read-only field is error 13, unless IA32_VMX_MISC allows it", "31.4 and A.6"},
    Row{"virt.vmx_launch_launched", "VMLAUNCH of a launched VMCS is error 4", "31.4"},
    Row{"virt.vmx_resume_clear", "VMRESUME of a clear VMCS is error 5", "31.4"},
    Row{"virt.vmx_pin_controls", "pin-based controls without those that have to be set: error 7",
        "27.2.1.1 and A.3.1"},
    Row{"virt.vmx_proc_controls",
        "processor-based controls without those that have to be set: error 7",
        "27.2.1.1 and A.3.2"},
    Row{"virt.vmx_exit_controls", "VM-exit controls without those that have to be set: error 7",
        "27.2.1.2 and A.4"},
    Row{"virt.vmx_entry_controls", "VM-entry controls without those that have to be set: error 7",
        "27.2.1.3 and A.5"},
    Row{"virt.vmx_cr3_targets", "more CR3 targets than there are: error 7", "27.2.1.1"},
    Row{"virt.vmx_injection", "an event of a reserved type to inject: error 7", "27.2.1.3"},
    Row{"virt.vmx_msr_area", "an MSR area that is not aligned: error 7", "27.2.1.3"},
    Row{"virt.vmx_host_cr0", "a host CR0 that VMX does not support: error 8", "27.2.2"},
    Row{"virt.vmx_host_cr4", "a host CR4 without VMXE: error 8", "27.2.2"},
    Row{"virt.vmx_host_cr3", "a host CR3 past physical memory: error 8", "27.2.2"},
    Row{"virt.vmx_host_cs_null", "a host CS that is null: error 8", "27.2.3"},
    Row{"virt.vmx_host_tr_null", "a host TR that is null: error 8", "27.2.3"},
    Row{"virt.vmx_host_rpl", "a host selector with an RPL: error 8", "27.2.3"},
    Row{"virt.vmx_host_canonical", "a host GDT at no canonical address: error 8", "27.2.3"},
    Row{"virt.vmx_host_rip", "a host RIP that is not canonical: error 8", "27.2.4"},
    Row{"virt.vmx_guest_cr0", "a guest CR0 that VMX does not support fails the entry",
        "27.3.1.1 and 27.8"},
    Row{"virt.vmx_guest_cr4", "a guest CR4 without VMXE fails the entry", "27.3.1.1 and 27.8"},
    Row{"virt.vmx_guest_cr3", "a guest CR3 past physical memory fails the entry",
        "27.3.1.1 and 27.8"},
    Row{"virt.vmx_guest_rflags", "guest RFLAGS without bit 1 fail the entry", "27.3.1.4 and 27.8"},
    Row{"virt.vmx_guest_l_and_d", "L and D in the guest's CS fail the entry", "27.3.1.2 and 27.8"},
    Row{"virt.vmx_guest_tr_busy", "a guest TR that is not busy fails the entry",
        "27.3.1.2 and 27.8"},
    Row{"virt.vmx_guest_gdtr_limit", "a guest GDT of more than 64 KiB fails the entry",
        "27.3.1.3 and 27.8"},
    Row{"virt.vmx_guest_activity", "a guest in no known activity state fails the entry",
        "27.3.1.5 and 27.8"},
    Row{"virt.vmx_guest_link", "a VMCS link inside a page fails the entry and is qualification 4",
        "27.3.1.5 and 27.8"},
    Row{"virt.vmx_hlt", "HLT of the inner guest is exit 12, RIP at it, of one byte",
        "28.2 and appendix C"},
    Row{"virt.vmx_state", "a VM exit saves the inner guest's RSP and brings the host's back",
        "28.3.3 and 28.5.3"},
    Row{"virt.vmx_exit_cpuid", "CPUID of the inner guest is exit 10", "26.1.2 and appendix C"},
    Row{"virt.vmx_vmcall", "VMCALL of the inner guest is exit 18", "26.1.2 and appendix C"},
    Row{"virt.vmx_exception", "#UD of the inner guest is exit 0 where the bitmap has it",
        "26.2, 28.2.2 and appendix C"},
    Row{"virt.vmx_io", "OUT of the inner guest is exit 30 with the port", "26.1.3 and 28.2.1"},
    Row{"virt.vmx_msr", "RDMSR of the inner guest is exit 31", "26.1.3 and appendix C"},
    Row{"virt.vmx_triple_fault", "a triple fault of the inner guest is exit 2",
        "26.2 and appendix C"},
    Row{"virt.vmx_resume", "VMRESUME goes on where the guest's RIP points", "27.3.2.3"},
    Row{"virt.vmx_after", "after VMCSs that were refused a right one runs", "27.3 and appendix C"},
    Row{"virt.vmx_vmxoff", "after VMXOFF VMREAD is #UD", "31.3"},
    Row{"virt.vmx_vmxe_free", "after VMXOFF CR4.VMXE can be cleared", "24.7"},
};

}  // namespace

std::vector<Case> vmx_cases() {
  std::vector<Case> cases;
  for (size_t n = 0; n < kRows.size(); ++n) {
    Case c;
    c.id = kRows[n].id;
    c.title = kRows[n].title;
    c.source = std::string("Intel SDM volume 3, ") + kRows[n].section;
    c.expected = Layer::kKernel;
    c.needs = {"kvm"};
    c.quick = false;
    c.guest = GuestBody{.image = "virt_vmx",
                        .clause = c.id,
                        .fault = {},
                        .control = {"rbx=" + std::to_string(n + 1)},
                        .confined = {},
                        .scenario = "nested_vmx",
                        .emulators = {}};
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace ringfence::suites

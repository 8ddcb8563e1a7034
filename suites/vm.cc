// Cases of the mini-VMM: the processor, what comes out of a guest, memory, virtualization for the
// guest. Each is a guest of guests/ with one of its clauses; the control is the same guest on a
// machine that is wrong in what the clause is about.
#include <string_view>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

// What is wrong in the control is a setting, or the scenario's own wrong form, or both.
struct Row {
  const char* id;
  const char* title;
  const char* source;
  const char* image;
  const char* scenario = "";
  const char* control = "";  // words of vmm/scenario.h, separated by spaces
  const char* confined = "";
  const char* emulator = "";  // GuestBody::emulators, separated by spaces
  const char* clause = "";    // the guest's word, where it is not the id
};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    if (space > 0) list.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return list;
}

std::vector<Case> cases_of(std::initializer_list<Row> rows) {
  std::vector<Case> cases;
  for (const Row& row : rows) {
    Case c;
    c.id = row.id;
    c.title = row.title;
    c.source = row.source;
    c.expected = Layer::kKernel;
    c.needs = {"kvm"};
    c.quick = false;
    c.guest = GuestBody{.image = row.image,
                        .clause = *row.clause != 0 ? row.clause : row.id,
                        .fault = {},
                        .control = words(row.control),
                        .confined = words(row.confined),
                        .scenario = row.scenario,
                        .emulators = words(row.emulator)};
    cases.push_back(std::move(c));
  }
  return cases;
}

constexpr const char* kSdmModes = "Intel SDM volume 3, 3.4 and 9.8";
constexpr const char* kSdmPaging = "Intel SDM volume 3, 4.5";
constexpr const char* kSdmClimb = "Intel SDM volume 3, 9.8.5";
constexpr const char* kSdmPageFaults = "Intel SDM volume 3, 4.7";
constexpr const char* kSdmFaults = "Intel SDM volume 3, 6.15 and 21.3";
constexpr const char* kSdmControl = "Intel SDM volume 3, 2.5";
constexpr const char* kSdmMsr = "Intel SDM volume 2, RDMSR and WRMSR";
constexpr const char* kSdmShadow = "Intel SDM volume 3, 6.8";
constexpr const char* kIo = "KVM API, section 5, KVM_EXIT_IO";
constexpr const char* kMmio = "KVM API, section 5, KVM_EXIT_MMIO";
constexpr const char* kSlots = "KVM API, 4.35 KVM_SET_USER_MEMORY_REGION";

}  // namespace

std::vector<Case> cpu_cases() {
  return cases_of({
      {"cpu.mode_real", "real mode decodes 16-bit code", kSdmModes, "cpu_width", "width_real",
       "mode=protected32"},
      {"cpu.mode_protected16", "protected mode with a 16-bit code segment", kSdmModes, "cpu_width",
       "width_protected16", "mode=protected32", "mode=protected16"},
      {"cpu.mode_protected32", "protected mode with a 32-bit code segment", kSdmModes, "cpu_width",
       "width_protected32", "mode=protected16", "mode=protected32"},
      {"cpu.mode_long", "long mode decodes REX prefixes", kSdmModes, "cpu_width", "width_long",
       "mode=compat", "mode=long"},
      {"cpu.mode_compat", "compatibility mode decodes 32-bit code", kSdmModes, "cpu_width",
       "width_compat", "mode=long", "mode=compat"},
      {"cpu.page_4k", "a page of 4 KiB shows the frame that its entry names", kSdmPaging,
       "cpu_paging", "page_4k", "", "", "", "cpu.paging"},
      {"cpu.page_2m", "a page of 2 MiB shows the frame that its entry names", kSdmPaging,
       "cpu_paging", "page_2m", "", "", "", "cpu.paging"},
      {"cpu.page_1g", "a page of 1 GiB shows the frame that its entry names", kSdmPaging,
       "cpu_paging", "page_1g", "", "", "kvm:page1g", "cpu.paging"},
      {"cpu.real_int", "INT n goes through the vector table and IRET comes back", kSdmFaults,
       "cpu_real", "", "rbx=1"},
      {"cpu.real_int3", "INT3 is vector 3", kSdmFaults, "cpu_real", "", "rbx=2"},
      {"cpu.real_ud", "UD2 is #UD", kSdmFaults, "cpu_real", "", "rbx=4"},
      {"cpu.real_de", "a division by 0 is #DE", kSdmFaults, "cpu_real", "", "rbx=8"},
      {"cpu.real_gp", "a word over the segment's limit is #GP", kSdmFaults, "cpu_real", "",
       "rbx=16", "", "tcg:segment_limit"},
      {"cpu.real_segment", "a segment's base is its selector times 16", kSdmModes, "cpu_real", "",
       "rbx=32"},
      {"cpu.real_step", "TF gives #DB after each instruction", "Intel SDM volume 3, 17.3.1.4",
       "cpu_real", "", "rbx=64"},
      {"cpu.long_de", "a division by 0 in long mode is #DE", kSdmFaults, "cpu_long", "", "rbx=1"},
      {"cpu.long_ud", "UD2 in long mode is #UD", kSdmFaults, "cpu_long", "", "rbx=2"},
      {"cpu.long_gp_selector", "a selector past the GDT is #GP with the selector", kSdmFaults,
       "cpu_long", "", "rbx=4"},
      {"cpu.long_gp_canonical", "an address that is not canonical is #GP(0)", kSdmFaults,
       "cpu_long", "", "rbx=8"},
      {"cpu.pf_read", "reading what is not mapped is #PF(0), CR2 has the address", kSdmPageFaults,
       "cpu_long", "", "rbx=16"},
      {"cpu.pf_write", "writing what is not mapped is #PF(2)", kSdmPageFaults, "cpu_long", "",
       "rbx=32"},
      {"cpu.pf_write_protected", "writing a read-only page is #PF(3) with CR0.WP", kSdmPageFaults,
       "cpu_long", "", "rbx=64"},
      {"cpu.pf_fetch", "fetching from a page with NX is #PF(0x11)", kSdmPageFaults, "cpu_long", "",
       "rbx=128"},
      {"cpu.pf_reserved", "a reserved bit in an entry is #PF(9)", kSdmPageFaults, "cpu_long", "",
       "rbx=256", "", "tcg:reserved_is_present"},
      {"cpu.df", "a fault that cannot be delivered is #DF(0)", kSdmFaults, "cpu_long", "",
       "rbx=512"},
      {"cpu.long_pae_cleared", "clearing CR4.PAE in long mode is #GP", kSdmControl, "cpu_long", "",
       "rbx=1024"},
      {"cpu.long_pe_cleared", "clearing CR0.PE with paging on is #GP", kSdmControl, "cpu_long", "",
       "rbx=2048"},
      {"cpu.long_lme_cleared", "clearing EFER.LME with paging on is #GP", kSdmControl, "cpu_long",
       "", "rbx=4096"},
      {"cpu.climb_protected", "a guest climbs from real to protected mode", kSdmClimb, "cpu_climb",
       "", "rbx=4"},
      {"cpu.climb_long", "a guest climbs from protected to long mode", kSdmClimb, "cpu_climb", "",
       "rbx=8"},
      {"cpu.climb_pg_without_pae", "paging with EFER.LME and without CR4.PAE is #GP", kSdmClimb,
       "cpu_climb", "", "rbx=17", "rbx=16", "tcg!:climb_order"},
      {"cpu.climb_pg_without_pe", "paging with EFER.LME and without CR0.PE is #GP", kSdmClimb,
       "cpu_climb", "", "rbx=18", "rbx=16", "tcg!:climb_order"},
      {"cpu.host_step", "single step from outside comes out after each instruction",
       "KVM API, 4.87 KVM_SET_GUEST_DEBUG", "exit_fds", "host_step"},
      {"cpu.cr0_nw_without_cd", "CR0 with NW and without CD is #GP", kSdmControl, "cpu_registers",
       "", "rbx=1"},
      {"cpu.cr0_pg_without_pe", "CR0 with PG and without PE is #GP", kSdmControl, "cpu_registers",
       "", "rbx=2"},
      {"cpu.cr4_reserved", "a reserved bit of CR4 is #GP", kSdmControl, "cpu_registers", "",
       "rbx=4"},
      {"cpu.cr0_write", "CR0 keeps what may be written", kSdmControl, "cpu_registers", "",
       "rbx=32"},
      {"cpu.msr_unknown_read", "reading an MSR that does not exist is #GP", kSdmMsr,
       "cpu_registers", "", "rbx=8"},
      {"cpu.msr_unknown_write", "writing an MSR that does not exist is #GP", kSdmMsr,
       "cpu_registers", "", "rbx=8"},
      {"cpu.msr_write", "an MSR keeps what was written", kSdmMsr, "cpu_registers", "", "rbx=16"},
      {"cpu.cpuid", "CPUID says what the host set", "KVM API, 4.21 KVM_SET_CPUID2", "cpu_cpuid", "",
       "cpuid:0x80000001:ecx:0=1", "cpuid:0x80000001:ecx:0=0"},
      {"cpu.cpuid_features", "leaf 1 of CPUID, too, says what the host set",
       "KVM API, 4.21 KVM_SET_CPUID2", "cpu_cpuid", "", "cpuid:1:ecx:30=1", "cpuid:1:ecx:30=0",
       "kvm:cpuid1"},
      {"cpu.inject_if", "an interrupt waits while IF is clear", kSdmShadow, "cpu_inject", "inject",
       "rbx=1"},
      {"cpu.inject_taken", "an interrupt that waits comes once when IF is set", kSdmShadow,
       "cpu_inject", "inject", "rbx=8"},
      {"cpu.inject_sti", "an interrupt waits for the instruction after STI", kSdmShadow,
       "cpu_inject", "inject", "rbx=2", "", "kvm:irq_window"},
      {"cpu.inject_mov_ss", "an interrupt waits for the instruction after MOV SS", kSdmShadow,
       "cpu_inject", "inject", "", "", "tcg:int_shadow"},
      {"cpu.nmi", "an NMI comes although interrupts are off", "KVM API, 4.64 KVM_NMI", "cpu_nmi",
       "nmi"},
  });
}

std::vector<Case> exit_cases() {
  return cases_of({
      {"exit.out1", "OUT of one byte comes out as one byte", kIo, "exit_ports", "out1", "rbx=1"},
      {"exit.out2", "OUT of two bytes comes out as two bytes", kIo, "exit_ports", "out2", "rbx=1"},
      {"exit.out4", "OUT of four bytes comes out as four bytes", kIo, "exit_ports", "out4",
       "rbx=1"},
      {"exit.in1", "IN of one byte changes AL alone", kIo, "exit_ports", "reads"},
      {"exit.in2", "IN of two bytes changes AX alone", kIo, "exit_ports", "reads"},
      {"exit.in4", "IN of four bytes", kIo, "exit_ports", "reads"},
      {"exit.outsb", "OUTSB, plain and repeated, in order", kIo, "exit_ports", "outsb", "rbx=1"},
      {"exit.outsw_down", "REP OUTSW downwards", kIo, "exit_ports", "outsw_down", "rbx=1"},
      {"exit.outsd_page", "REP OUTSD over a page edge", kIo, "exit_ports", "outsd_page", "rbx=1"},
      {"exit.insb", "REP INSB, in order", kIo, "exit_ports", "reads"},
      {"exit.insw", "REP INSW, in order", kIo, "exit_ports", "reads"},
      {"exit.insd_page", "REP INSD over a page edge", kIo, "exit_ports", "reads"},
      {"exit.mmio_write1", "a write of one byte to no memory", kMmio, "exit_mmio", "mmio_write1",
       "rbx=1"},
      {"exit.mmio_write2", "a write of two bytes to no memory", kMmio, "exit_mmio", "mmio_write2",
       "rbx=1"},
      {"exit.mmio_write4", "a write of four bytes to no memory", kMmio, "exit_mmio", "mmio_write4",
       "rbx=1"},
      {"exit.mmio_write8", "a write of eight bytes to no memory", kMmio, "exit_mmio", "mmio_write8",
       "rbx=1"},
      {"exit.mmio_write_page", "a write over a page edge comes out in two parts", kMmio,
       "exit_mmio", "mmio_crossing", "rbx=1"},
      {"exit.mmio_read1", "a read of one byte from no memory", kMmio, "exit_mmio", "mmio"},
      {"exit.mmio_read2", "a read of two bytes from no memory", kMmio, "exit_mmio", "mmio"},
      {"exit.mmio_read4", "a read of four bytes from no memory", kMmio, "exit_mmio", "mmio"},
      {"exit.mmio_read8", "a read of eight bytes from no memory", kMmio, "exit_mmio", "mmio"},
      {"exit.mmio_read_page", "a read over a page edge is put together", kMmio, "exit_mmio",
       "mmio"},
      {"exit.hlt", "HLT comes out", "KVM API, section 5, KVM_EXIT_HLT", "exit_end", "halts", "",
       "rbx=1"},
      {"exit.shutdown", "a triple fault comes out as shutdown",
       "KVM API, section 5, KVM_EXIT_SHUTDOWN", "exit_end", "shuts_down", "", "rbx=2"},
      {"exit.internal_error", "code where no memory is comes out as an internal error in words",
       "KVM API, section 5, KVM_EXIT_INTERNAL_ERROR", "exit_jump", "internal_error", "", "rbx=1"},
      {"exit.immediate", "immediate_exit comes back before the first instruction",
       "KVM API, section 5, immediate_exit", "exit_fds", "immediate_exit"},
      {"exit.coalesced_port", "coalesced port writes gather in the ring",
       "KVM API, 4.116 KVM_REGISTER_COALESCED_MMIO", "exit_fds", "coalesced_port"},
      {"exit.coalesced_mmio", "coalesced MMIO writes gather in the ring",
       "KVM API, 4.116 KVM_REGISTER_COALESCED_MMIO", "exit_mmio_fds", "coalesced_mmio"},
      {"exit.ioeventfd_port", "a port write signals an eventfd and the guest goes on",
       "KVM API, 4.59 KVM_IOEVENTFD", "exit_fds", "ioeventfd_port"},
      {"exit.ioeventfd_mmio", "an MMIO write signals an eventfd and the guest goes on",
       "KVM API, 4.59 KVM_IOEVENTFD", "exit_mmio_fds", "ioeventfd_mmio"},
      {"exit.ioeventfd_match", "only the value that is waited for signals the eventfd",
       "KVM API, 4.59 KVM_IOEVENTFD", "exit_fds", "ioeventfd_match"},
      {"exit.irqfd", "an eventfd raises an interrupt of the in-kernel controller",
       "KVM API, 4.75 KVM_IRQFD", "exit_irqfd", "irqfd"},
      {"exit.hypercall", "MAP_GPA_RANGE comes out where it is asked for",
       "KVM API, section 5, KVM_EXIT_HYPERCALL", "exit_hypercall", "hypercall", "", "",
       "kvm:vmcall"},
      {"exit.hypercall_unknown", "a hypercall that KVM does not know answers -KVM_ENOSYS",
       "Linux, Documentation/virt/kvm/x86/hypercalls.rst", "exit_hypercall", "brief", "rbx=1", "",
       "kvm:vmcall"},
  });
}

std::vector<Case> mem_cases() {
  return cases_of({
      {"mem.read_only", "a read-only slot keeps its content, and the write comes out", kSlots,
       "mem_slots", "read_only", "rcx=1", "rcx=1"},
      {"mem.hole", "where no slot is, reads come out and float", kSlots, "mem_slots", "hole",
       "rcx=2", "rcx=2"},
      {"mem.alias", "two slots show one memory", kSlots, "mem_slots", "alias", "rcx=3", "rcx=3"},
      {"mem.removed", "a slot that is removed under the guest is gone", kSlots, "mem_slots",
       "removed", "rcx=4", "rcx=4"},
      {"mem.dirty_log", "the dirty log has the pages that were written, and no others",
       "KVM API, 4.8 KVM_GET_DIRTY_LOG", "mem_slots", "dirty_log", "rcx=5 rbx=1", "rcx=5"},
  });
}

// What belongs to virtualization for the guest, on a machine that does not offer it to this one.
std::vector<Case> virt_cases() {
  constexpr const char* kVmx = "Intel SDM volume 3, 24.6 and 24.7";
  constexpr const char* kSvm = "AMD APM volume 2, 15.4";
  constexpr const char* kNone = "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0";
  return cases_of({
      {"virt.cpuid_vmx", "CPUID shows no VMX where the host set none", kVmx, "virt", "",
       "cpuid:1:ecx:5=1 cpuid:0x80000001:ecx:2=0", kNone},
      {"virt.cpuid_svm", "CPUID shows no SVM where the host set none", kSvm, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=1", kNone},
      {"virt.vmxon", "VMXON without VMX is #UD", kVmx, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0 rbx=1", kNone},
      {"virt.vmrun", "VMRUN without SVM is #UD", kSvm, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0 rbx=2", kNone},
      {"virt.vmload", "VMLOAD without SVM is #UD", kSvm, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0 rbx=2", kNone, "tcg:vmload"},
      {"virt.efer_svme", "EFER.SVME without SVM is #GP", kSvm, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0 rbx=4", kNone},
      {"virt.msr_vmx_basic", "IA32_VMX_BASIC without VMX is #GP", kVmx, "virt", "",
       "cpuid:1:ecx:5=0 cpuid:0x80000001:ecx:2=0 rbx=8", kNone},
  });
}

}  // namespace ringfence::suites

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
constexpr const char* kSdmReturn = "Intel SDM volume 2, INT n and IRET";
constexpr const char* kSdmRing3 = "Intel SDM volume 3, 5.9 and 6.12.1";
constexpr const char* kSdmTss = "Intel SDM volume 3, 6.12.1 and 8.2.1";
constexpr const char* kSdmPorts = "Intel SDM volume 1, 19.5";
constexpr const char* kSdmPaging32 = "Intel SDM volume 3, 4.3";
constexpr const char* kSdmStep = "Intel SDM volume 3, 17.3.1.4";
constexpr const char* kSdmStart = "Intel SDM volume 3, 9.4 and 11.6";
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
       "cpu_inject", "inject", "rbx=2", "", "kvm:irq_window tcg:int_shadow"},
      {"cpu.inject_mov_ss", "an interrupt waits for the instruction after MOV SS", kSdmShadow,
       "cpu_inject", "inject", "", "", "tcg:int_shadow"},
      {"cpu.nmi", "an NMI comes although interrupts are off", "KVM API, 4.64 KVM_NMI", "cpu_nmi",
       "nmi"},
      {"cpu.p16_ud", "UD2 in 16-bit protected mode is #UD, without an error code", kSdmFaults,
       "cpu_protected16", "", "rbx=1"},
      {"cpu.p16_de", "a division by 0 in 16-bit protected mode is #DE", kSdmFaults,
       "cpu_protected16", "", "rbx=2"},
      {"cpu.p16_gp_selector", "a selector past the GDT in 16-bit code is #GP with the selector",
       kSdmFaults, "cpu_protected16", "", "rbx=4"},
      {"cpu.p16_np", "a segment that is not present is #NP with the selector, in 16-bit code",
       kSdmFaults, "cpu_protected16", "", "rbx=16"},
      {"cpu.p16_ss_not_present",
       "a stack segment that is not present is #SS with the selector, in 16-bit code", kSdmFaults,
       "cpu_protected16", "", "rbx=32"},
      {"cpu.p16_gp_limit", "a word over the limit of a data segment is #GP(0) in 16-bit code",
       kSdmFaults, "cpu_protected16", "", "rbx=256", "", "tcg:segment_limit"},
      {"cpu.p16_df", "a fault that cannot be delivered in 16-bit protected mode is #DF(0)",
       kSdmFaults, "cpu_protected16", "", "rbx=2048"},
      {"cpu.p16_frame", "the frame of a 16-bit interrupt gate has three words", kSdmRing3,
       "cpu_protected16", "", "rbx=8192", "", "kvm:gate16"},
      {"cpu.p32_ud", "UD2 in 32-bit protected mode is #UD, without an error code", kSdmFaults,
       "cpu_protected32", "", "rbx=1"},
      {"cpu.p32_de", "a division by 0 in 32-bit protected mode is #DE", kSdmFaults,
       "cpu_protected32", "", "rbx=2"},
      {"cpu.p32_gp_selector", "a selector past the GDT in 32-bit code is #GP with the selector",
       kSdmFaults, "cpu_protected32", "", "rbx=4"},
      {"cpu.p32_gp_type",
       "loading DS, ES, FS or GS with code that cannot be read is #GP with the selector",
       kSdmFaults, "cpu_protected32", "", "rbx=8"},
      {"cpu.p32_np", "a segment that is not present is #NP with the selector, in 32-bit code",
       kSdmFaults, "cpu_protected32", "", "rbx=16"},
      {"cpu.p32_ss_not_present",
       "a stack segment that is not present is #SS with the selector, in 32-bit code", kSdmFaults,
       "cpu_protected32", "", "rbx=32"},
      {"cpu.p32_gp_null_cs", "a jump to the null selector is #GP(0)", kSdmFaults, "cpu_protected32",
       "", "rbx=64"},
      {"cpu.p32_gp_null", "an access by a null segment is #GP(0)", kSdmFaults, "cpu_protected32",
       "", "rbx=128", "", "tcg:null_segment"},
      {"cpu.p32_gp_limit", "an access over the limit of a data segment is #GP(0)", kSdmFaults,
       "cpu_protected32", "", "rbx=256", "", "tcg:segment_limit"},
      {"cpu.p32_gp_read_only", "a write to a read-only segment is #GP(0)", kSdmFaults,
       "cpu_protected32", "", "rbx=512", "", "tcg:segment_type"},
      {"cpu.p32_ss_limit", "an access over the limit of the stack segment is #SS(0)", kSdmFaults,
       "cpu_protected32", "", "rbx=1024", "", "tcg:segment_limit"},
      {"cpu.p32_df", "a fault that cannot be delivered in 32-bit protected mode is #DF(0)",
       kSdmFaults, "cpu_protected32", "", "rbx=2048"},
      {"cpu.p32_step", "TF set by POPF gives #DB behind the next instruction, with DR6.BS",
       kSdmStep, "cpu_protected32", "", "rbx=4096"},
      {"cpu.p32_int", "INT n goes through its gate and IRET comes back", kSdmReturn, "cpu_return32",
       "", "rbx=1"},
      {"cpu.p32_int_limit", "INT n past the IDT is #GP with the vector", kSdmReturn, "cpu_return32",
       "", "rbx=2"},
      {"cpu.p32_int_not_present", "INT n to a gate that is not present is #NP with the vector",
       kSdmReturn, "cpu_return32", "", "rbx=4"},
      {"cpu.p32_iret_null", "IRET to the null selector is #GP(0)", kSdmReturn, "cpu_return32", "",
       "rbx=8"},
      {"cpu.p32_iret_not_present", "IRET to code that is not present is #NP with the selector",
       kSdmReturn, "cpu_return32", "", "rbx=16"},
      {"cpu.p32_iret_data", "IRET to a data segment is #GP with the selector", kSdmReturn,
       "cpu_return32", "", "rbx=32"},
      {"cpu.p32_iret_selector", "IRET to a selector past the GDT is #GP with the selector",
       kSdmReturn, "cpu_return32", "", "rbx=64"},
      {"cpu.p32_iret_stack", "IRET to ring 3 with a stack of ring 0 is #GP with the selector",
       kSdmReturn, "cpu_return32", "", "rbx=128"},
      {"cpu.p32_iret_step", "TF set by IRET gives #DB behind the next instruction", kSdmStep,
       "cpu_return32", "", "rbx=256"},
      {"cpu.p32_tss_stack", "a fault in ring 3 takes SS0 and ESP0 from the TSS", kSdmTss,
       "cpu_return32", "", "rbx=512"},
      {"cpu.p32_ring3_cli", "CLI in ring 3 with IOPL 0 is #GP(0)", kSdmRing3, "cpu_return32", "",
       "rbx=1024"},
      {"cpu.p32_ring3_int", "INT n in ring 3 through a gate of DPL 0 is #GP with the vector",
       kSdmRing3, "cpu_return32", "", "rbx=2048"},
      {"cpu.p32_ring3_io", "OUT in ring 3 without a bitmap is #GP(0)", kSdmPorts, "cpu_return32",
       "", "rbx=4096"},
      {"cpu.p32_ring3_bitmap", "a clear bit in the I/O bitmap opens its port to ring 3", kSdmPorts,
       "cpu_return32", "", "rbx=8192"},
      {"cpu.p32_ring3_selector", "ring 3 loading a data segment of ring 0 is #GP with the selector",
       kSdmRing3, "cpu_return32", "", "rbx=16384"},
      {"cpu.p32_ring3_int_back", "INT n from ring 3 and IRET back to it", kSdmTss, "cpu_return32",
       "", "rbx=32768"},
      {"cpu.p32_page_4m", "a page of 4 MiB shows the frame that its entry names", kSdmPaging32,
       "cpu_paging32", "", "rbx=1", "", "kvm:paging32"},
      {"cpu.p32_page_4k", "a page of 4 KiB in a 32-bit table shows the frame that its entry names",
       kSdmPaging32, "cpu_paging32", "", "rbx=2", "", "kvm:paging32"},
      {"cpu.p32_pf_read", "reading what a 32-bit table does not map is #PF(0), CR2 has the address",
       kSdmPageFaults, "cpu_paging32", "", "rbx=4", "", "kvm:paging32"},
      {"cpu.p32_pf_write", "writing what a 32-bit table does not map is #PF(2)", kSdmPageFaults,
       "cpu_paging32", "", "rbx=8", "", "kvm:paging32"},
      {"cpu.p32_pf_write_protected",
       "writing a read-only page of a 32-bit table is #PF(3) with CR0.WP", kSdmPageFaults,
       "cpu_paging32", "", "rbx=16", "", "kvm:paging32"},
      {"cpu.p32_pf_user", "ring 3 reading a page of ring 0 in a 32-bit table is #PF(5)",
       kSdmPageFaults, "cpu_paging32", "", "rbx=32", "", "kvm:paging32"},
      {"cpu.ring3_cpl", "IRETQ with RPL 3 comes to ring 3", kSdmRing3, "cpu_ring3", "", "rbx=1", "",
       "kvm:user_cs"},
      {"cpu.ring3_tss_stack", "a fault in ring 3 of long mode takes RSP0 from the TSS",
       "Intel SDM volume 3, 6.14.2 and 8.7", "cpu_ring3", "", "rbx=2"},
      {"cpu.ring3_ist", "a gate with an IST takes its stack from the TSS",
       "Intel SDM volume 3, 6.14.5", "cpu_ring3", "", "rbx=4"},
      {"cpu.ring3_cli", "CLI in ring 3 of long mode is #GP(0)", kSdmRing3, "cpu_ring3", "",
       "rbx=8"},
      {"cpu.ring3_cr0", "reading CR0 in ring 3 is #GP(0)", kSdmRing3, "cpu_ring3", "", "rbx=16"},
      {"cpu.pf_user_read", "ring 3 reading a page of ring 0 is #PF(5)", kSdmPageFaults, "cpu_ring3",
       "", "rbx=32"},
      {"cpu.pf_user_write", "ring 3 writing a read-only page is #PF(7)", kSdmPageFaults,
       "cpu_ring3", "", "rbx=64"},
      {"cpu.pf_user_absent", "ring 3 reading what is not mapped is #PF(4)", kSdmPageFaults,
       "cpu_ring3", "", "rbx=128"},
      {"cpu.pf_user_write_absent", "ring 3 writing what is not mapped is #PF(6)", kSdmPageFaults,
       "cpu_ring3", "", "rbx=256"},
      {"cpu.ring3_compat", "IRETQ to a 32-bit code segment comes to compatibility mode in ring 3",
       kSdmModes, "cpu_ring3", "", "rbx=512"},
      {"cpu.ap_waits", "a second processor waits until it is started", kSdmStart, "cpu_ap",
       "second_cpu", "rbx=1"},
      {"cpu.ap_startup_alone", "a start-up IPI without INIT starts nothing", kSdmStart, "cpu_ap",
       "second_cpu", "rbx=2"},
      {"cpu.ap_init", "INIT makes a processor wait for a start-up IPI", kSdmStart, "cpu_ap",
       "second_cpu", "rbx=4"},
      {"cpu.ap_startup", "a start-up IPI starts a processor in real mode in the page that it names",
       kSdmStart, "cpu_ap", "second_cpu", "rbx=8"},
      {"cpu.ap_memory", "what one processor writes the other reads", kSdmStart, "cpu_ap",
       "second_cpu", "rbx=16"},
      {"cpu.ap_second_startup", "a start-up IPI to a processor that runs changes nothing",
       kSdmStart, "cpu_ap", "second_cpu", "rbx=32"},
      {"cpu.ap_nmi", "an NMI by IPI comes to a processor with interrupts off, once", kSdmStart,
       "cpu_ap", "second_cpu", "rbx=64"},
      {"cpu.ap_stopped", "INIT stops a processor that runs", kSdmStart, "cpu_ap", "second_cpu",
       "rbx=128"},
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
      {"exit.fail_entry", "a state that the hardware refuses comes out as such, in words",
       "KVM API, section 5, KVM_EXIT_FAIL_ENTRY", "exit_end", "fail_entry", "", "",
       "kvm:fail_entry"},
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

// KVM's own I/O APIC; where it deviates: suites/data/deviations/kvm.json.
std::vector<Case> ioapic_cases() {
  constexpr const char* kSelect = "Intel 82093AA, 3.1.1";
  constexpr const char* kId = "Intel 82093AA, 3.2.1";
  constexpr const char* kVersion = "Intel 82093AA, 3.2.2";
  constexpr const char* kArbitration = "Intel 82093AA, 3.2.3";
  constexpr const char* kEntry = "Intel 82093AA, 3.2.4";
  constexpr const char* kTrigger = "Intel 82093AA, 3.2.4; Intel SDM volume 3, 11.8.4";
  constexpr const char* kLogical = "Intel 82093AA, 3.2.4; Intel SDM volume 3, 11.6.2.2";
  constexpr const char* kLowest = "Intel 82093AA, 3.2.4; Intel SDM volume 3, 11.6.2.4";
  return cases_of({
      {"ioapic.reset_masked", "after reset every entry is masked", kEntry, "ioapic", "ioapic",
       "rbx=0x1"},
      {"ioapic.select", "IOREGSEL keeps the index", kSelect, "ioapic", "ioapic", "rbx=0x2"},
      {"ioapic.id", "the ID is kept in bits 24 to 27", kId, "ioapic", "ioapic", "rbx=0x4"},
      {"ioapic.arbitration", "the arbitration ID is what was written to the ID, and read-only",
       kArbitration, "ioapic", "ioapic", "rbx=0x8"},
      {"ioapic.version", "the version is 11h", kVersion, "ioapic", "ioapic", "rbx=0x10"},
      {"ioapic.last_entry", "the last entry is 17h, and that is read-only", kVersion, "ioapic",
       "ioapic", "rbx=0x10"},
      {"ioapic.redirection", "an entry keeps what was written, and no other changes", kEntry,
       "ioapic", "ioapic", "rbx=0x20"},
      {"ioapic.edge", "an edge-triggered input interrupts once for each rise", kTrigger, "ioapic",
       "ioapic", "rbx=0x40"},
      {"ioapic.level", "a level-triggered input interrupts again after the EOI while it is high",
       kTrigger, "ioapic", "ioapic", "rbx=0x80", "", "kvm:apic_eoi"},
      {"ioapic.remote_irr", "Remote IRR is set from acceptance to EOI, and read-only", kEntry,
       "ioapic", "ioapic", "rbx=0x100", "", "kvm:apic_eoi"},
      {"ioapic.read_only", "Remote IRR and the delivery status cannot be set by a write", kEntry,
       "ioapic", "ioapic", "rbx=0x200"},
      {"ioapic.mask_edge", "an edge on a masked input is ignored", kEntry, "ioapic", "ioapic",
       "rbx=0x400"},
      {"ioapic.mask_level", "a level on a masked input comes when the mask goes", kEntry, "ioapic",
       "ioapic", "rbx=0x800"},
      {"ioapic.vector", "the interrupt has the entry's vector", kEntry, "ioapic", "ioapic",
       "rbx=0x1000"},
      {"ioapic.destination", "a physical destination is one local APIC", kEntry, "ioapic", "ioapic",
       "rbx=0x2000"},
      {"ioapic.logical", "a logical destination is each local APIC with one of its bits in LDR",
       kLogical, "ioapic", "ioapic", "rbx=0x4000"},
      {"ioapic.lowest_priority", "lowest priority reaches the only one of its destination", kLowest,
       "ioapic", "ioapic", "rbx=0x8000"},
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

// Virtualization for the guest: on a machine that does not offer it to this one, and SVM where the
// host's KVM can offer it.
std::vector<Case> virt_cases() {
  constexpr const char* kVmx = "Intel SDM volume 3, 24.6 and 24.7";
  constexpr const char* kSvm = "AMD APM volume 2, 15.4";
  constexpr const char* kVmrunChecks = "AMD APM volume 2, 15.5.1";
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
      {"virt.svm_enable", "EFER.SVME can be set where CPUID shows SVM", "AMD APM volume 2, 15.4",
       "virt_svm", "nested_svm", "cpuid:0x80000001:ecx:2=0", "cpuid:0x80000001:ecx:2=1"},
      {"virt.svm_off", "VMRUN with EFER.SVME clear is #UD", "AMD APM volume 2, 15.4", "virt_svm",
       "nested_svm", "rbx=1"},
      {"virt.svm_hsave", "VM_HSAVE_PA keeps the address of a page", "AMD APM volume 2, 15.4",
       "virt_svm", "nested_svm", "rbx=2"},
      {"virt.svm_hsave_aligned", "VM_HSAVE_PA with an address inside a page is #GP",
       "AMD APM volume 2, 15.4", "virt_svm", "nested_svm", "rbx=4"},
      {"virt.svm_vmcb_aligned", "VMRUN with a VMCB inside a page is #GP", "AMD APM volume 2, 15.4",
       "virt_svm", "nested_svm", "rbx=8"},
      {"virt.svm_hlt", "HLT of the inner guest is exit 0x78, RIP at it",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=16"},
      {"virt.svm_state", "VMEXIT saves the inner guest's RAX and brings the host's back",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=32"},
      {"virt.svm_cpuid", "CPUID of the inner guest is exit 0x72",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=64"},
      {"virt.svm_vmmcall", "VMMCALL of the inner guest is exit 0x81",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=128"},
      {"virt.svm_exception", "#UD of the inner guest is exit 0x46 where intercepted",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=256"},
      {"virt.svm_io", "OUT of the inner guest is exit 0x7B with the port",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=512"},
      {"virt.svm_msr", "RDMSR of the inner guest is exit 0x7C",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=1024"},
      {"virt.svm_shutdown", "a triple fault of the inner guest is exit 0x7F",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=2048"},
      {"virt.svm_no_vmrun", "a VMCB that does not intercept VMRUN is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=4096"},
      {"virt.svm_asid_0", "a VMCB with ASID 0 is refused", kVmrunChecks, "virt_svm", "nested_svm",
       "rbx=8192"},
      {"virt.svm_efer_svme", "a VMCB with EFER.SVME clear is refused", kVmrunChecks, "virt_svm",
       "nested_svm", "rbx=16384"},
      {"virt.svm_efer_reserved", "a VMCB with a reserved bit of EFER is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=32768"},
      {"virt.svm_cr0_nw", "a VMCB with CR0.NW and without CR0.CD is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=65536"},
      {"virt.svm_cr0_upper", "a VMCB with an upper bit of CR0 is refused", kVmrunChecks, "virt_svm",
       "nested_svm", "rbx=131072"},
      {"virt.svm_cr3_reserved", "a VMCB with a reserved bit of CR3 is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=262144"},
      {"virt.svm_cr4_reserved", "a VMCB with a reserved bit of CR4 is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=524288"},
      {"virt.svm_dr6_upper", "a VMCB with an upper bit of DR6 is refused", kVmrunChecks, "virt_svm",
       "nested_svm", "rbx=1048576"},
      {"virt.svm_dr7_upper", "a VMCB with an upper bit of DR7 is refused", kVmrunChecks, "virt_svm",
       "nested_svm", "rbx=2097152"},
      {"virt.svm_long_without_pae", "a VMCB with EFER.LME, CR0.PG and without CR4.PAE is refused",
       kVmrunChecks, "virt_svm", "nested_svm", "rbx=4194304"},
      {"virt.svm_long_without_pe", "a VMCB with EFER.LME, CR0.PG and without CR0.PE is refused",
       kVmrunChecks, "virt_svm", "nested_svm", "rbx=8388608"},
      {"virt.svm_code_l_and_d", "a VMCB with L and D in CS in long mode is refused", kVmrunChecks,
       "virt_svm", "nested_svm", "rbx=16777216"},
      {"virt.svm_iopm_address", "a VMCB whose I/O bitmap is past physical memory is refused",
       kVmrunChecks, "virt_svm", "nested_svm", "rbx=33554432"},
      {"virt.svm_msrpm_address", "a VMCB whose MSR bitmap is past physical memory is refused",
       kVmrunChecks, "virt_svm", "nested_svm", "rbx=67108864"},
      {"virt.svm_after", "after VMCBs that were refused a right one runs",
       "AMD APM volume 2, 15.6 and appendix C", "virt_svm", "nested_svm", "rbx=134217728"},
  });
}

}  // namespace ringfence::suites

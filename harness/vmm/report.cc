#include "harness/vmm/report.h"

#include <capstone/capstone.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace ringfence::vmm {
namespace {

constexpr uint64_t kLma = 1 << 10;
constexpr size_t kInstructions = 6;
constexpr size_t kLines = 12;
constexpr size_t kLongest = 15;  // bytes of an x86 instruction

std::string segment(const char* name, const kvm_segment& s) {
  return fmt::format("{}={:04x} base {:x} limit {:x}{}", name, s.selector, s.base, s.limit,
                     s.l != 0    ? " 64"
                     : s.db != 0 ? " 32"
                                 : " 16");
}

// The bytes from linear address `at` on, as many as are mapped.
std::vector<uint8_t> code_at(const Vcpu& vcpu, const GuestMemory& memory, uint64_t at,
                             size_t most) {
  std::vector<uint8_t> code;
  while (code.size() < most) {
    const auto physical = vcpu.translate(at + code.size());
    uint8_t byte = 0;
    if (!physical || !memory.read(*physical, {&byte, 1})) break;
    code.push_back(byte);
  }
  return code;
}

}  // namespace

std::string render_registers(const kvm_regs& r, const kvm_sregs& s) {
  std::string text;
  text +=
      fmt::format("rax={:016x} rbx={:016x} rcx={:016x} rdx={:016x}\n", r.rax, r.rbx, r.rcx, r.rdx);
  text +=
      fmt::format("rsi={:016x} rdi={:016x} rbp={:016x} rsp={:016x}\n", r.rsi, r.rdi, r.rbp, r.rsp);
  if ((s.efer & kLma) != 0) {
    text +=
        fmt::format("r8 ={:016x} r9 ={:016x} r10={:016x} r11={:016x}\n", r.r8, r.r9, r.r10, r.r11);
    text += fmt::format("r12={:016x} r13={:016x} r14={:016x} r15={:016x}\n", r.r12, r.r13, r.r14,
                        r.r15);
  }
  text += fmt::format("rip={:016x} rflags={:08x}\n", r.rip, r.rflags);
  text +=
      fmt::format("{}\n{}\n{}\n", segment("cs", s.cs), segment("ss", s.ss), segment("ds", s.ds));
  text += fmt::format("cr0={:x} cr2={:x} cr3={:x} cr4={:x} efer={:x}\n", s.cr0, s.cr2, s.cr3, s.cr4,
                      s.efer);
  text += fmt::format("gdt {:x}+{:x} idt {:x}+{:x}\n", s.gdt.base, s.gdt.limit, s.idt.base,
                      s.idt.limit);
  return text;
}

int code_bits(const kvm_sregs& sregs) {
  if ((sregs.efer & kLma) != 0 && sregs.cs.l != 0) return 64;
  return sregs.cs.db != 0 ? 32 : 16;
}

std::string disassemble(std::span<const uint8_t> code, uint64_t address, int bits, size_t most) {
  csh handle{};
  const cs_mode mode = bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16;
  if (cs_open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK) return "(no disassembler)\n";
  std::string text;
  for (size_t n = 0; n < most && !code.empty(); ++n) {
    cs_insn* insn = nullptr;
    if (cs_disasm(handle, code.data(), code.size(), address, 1, &insn) == 1) {
      text += fmt::format("  {:#x}: {} {}\n", address, insn->mnemonic, insn->op_str);
      const size_t size = insn->size;
      cs_free(insn, 1);
      address += size;
      code = code.subspan(size);
      continue;
    }
    text += fmt::format("  {:#x}: (bad)", address);
    for (const uint8_t byte : code.first(std::min(code.size(), kLongest))) {
      text += fmt::format(" {:02x}", byte);
    }
    text += '\n';
    break;
  }
  cs_close(&handle);
  return text;
}

std::string render_code(const Vcpu& vcpu, const GuestMemory& memory, size_t most) {
  const auto regs = vcpu.regs();
  const auto sregs = vcpu.sregs();
  if (!regs || !sregs) return "registers: not to be read\n";
  const uint64_t at = sregs->cs.base + regs->rip;
  const auto code = code_at(vcpu, memory, at, most * kLongest);
  if (code.empty()) return fmt::format("  nothing is mapped at {:#x}\n", at);
  return disassemble(code, at, code_bits(*sregs), most);
}

std::string report_state(const Vcpu& vcpu, const GuestMemory& memory,
                         const Transcript& transcript) {
  const auto regs = vcpu.regs();
  const auto sregs = vcpu.sregs();
  std::string text;
  if (!regs || !sregs) {
    return "registers: " + (regs ? sregs.error() : regs.error()).describe() + "\n";
  }
  text += render_registers(*regs, *sregs);
  text += "code:\n" + render_code(vcpu, memory, kInstructions);
  const auto last = transcript.entries(kLines);
  if (!last.empty()) text += "last accesses:\n";
  for (const Entry& e : last) text += "  " + render(e) + "\n";
  return text;
}

}  // namespace ringfence::vmm

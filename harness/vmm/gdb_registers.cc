#include "harness/vmm/gdb_registers.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace ringfence::vmm {
namespace {

constexpr uint64_t kLma = 1 << 10;
constexpr uint64_t kProtected = 1;
constexpr size_t kStBytes = 10;

using General = __u64 kvm_regs::*;
// gdb's order; of i386 the first eight.
constexpr std::array<General, 16> kGeneral = {
    &kvm_regs::rax, &kvm_regs::rbx, &kvm_regs::rcx, &kvm_regs::rdx, &kvm_regs::rsi, &kvm_regs::rdi,
    &kvm_regs::rbp, &kvm_regs::rsp, &kvm_regs::r8,  &kvm_regs::r9,  &kvm_regs::r10, &kvm_regs::r11,
    &kvm_regs::r12, &kvm_regs::r13, &kvm_regs::r14, &kvm_regs::r15};
constexpr std::array<std::string_view, 16> kNames64 = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                                       "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                                       "r12", "r13", "r14", "r15"};
struct Named {
  std::string_view name;
  size_t index;  // in kGeneral
};
constexpr std::array<Named, 8> kNames32 = {{{"eax", 0},
                                            {"ecx", 2},
                                            {"edx", 3},
                                            {"ebx", 1},
                                            {"esp", 7},
                                            {"ebp", 6},
                                            {"esi", 4},
                                            {"edi", 5}}};
using Segment = kvm_segment kvm_sregs::*;
constexpr std::array<Segment, 6> kSegments = {&kvm_sregs::cs, &kvm_sregs::ss, &kvm_sregs::ds,
                                              &kvm_sregs::es, &kvm_sregs::fs, &kvm_sregs::gs};
constexpr std::array<std::string_view, 6> kSegmentNames = {"cs", "ss", "ds", "es", "fs", "gs"};
constexpr std::array<std::string_view, 8> kFpuNames = {"fctrl", "fstat", "ftag",  "fiseg",
                                                       "fioff", "foseg", "fooff", "fop"};
using Control = __u64 kvm_sregs::*;
constexpr std::array<Control, 6> kControls = {&kvm_sregs::cr0, &kvm_sregs::cr2, &kvm_sregs::cr3,
                                              &kvm_sregs::cr4, &kvm_sregs::cr8, &kvm_sregs::efer};
constexpr std::array<std::string_view, 6> kControlNames = {"cr0", "cr2", "cr3",
                                                           "cr4", "cr8", "efer"};

// KVM has the tag word as FXSAVE has it, a bit for each register that is in use; gdb as FSAVE has
// it, two bits, 3 for an empty one. What kind of number is in a register is not told.
uint64_t full_tags(uint8_t abridged) {
  uint64_t tags = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if ((abridged >> i & 1) == 0) tags |= uint64_t{3} << (2 * i);
  }
  return tags;
}

uint8_t abridged_tags(uint64_t full) {
  uint8_t tags = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if ((full >> (2 * i) & 3) != 3) tags = static_cast<uint8_t>(tags | 1U << i);
  }
  return tags;
}

uint64_t fpu_control(const kvm_fpu& fpu, size_t index) {
  switch (index) {
    case 0:
      return fpu.fcw;
    case 1:
      return fpu.fsw;
    case 2:
      return full_tags(fpu.ftwx);
    case 3:
      return fpu.last_ip >> 32 & 0xffff;
    case 4:
      return fpu.last_ip & 0xffffffff;
    case 5:
      return fpu.last_dp >> 32 & 0xffff;
    case 6:
      return fpu.last_dp & 0xffffffff;
    default:
      return fpu.last_opcode;
  }
}

void set_fpu_control(kvm_fpu& fpu, size_t index, uint64_t value) {
  constexpr uint64_t kLow = 0xffffffff;
  switch (index) {
    case 0:
      fpu.fcw = static_cast<uint16_t>(value);
      break;
    case 1:
      fpu.fsw = static_cast<uint16_t>(value);
      break;
    case 2:
      fpu.ftwx = abridged_tags(value);
      break;
    case 3:
      fpu.last_ip = (fpu.last_ip & kLow) | (value & 0xffff) << 32;
      break;
    case 4:
      fpu.last_ip = (fpu.last_ip & ~kLow) | (value & kLow);
      break;
    case 5:
      fpu.last_dp = (fpu.last_dp & kLow) | (value & 0xffff) << 32;
      break;
    case 6:
      fpu.last_dp = (fpu.last_dp & ~kLow) | (value & kLow);
      break;
    default:
      fpu.last_opcode = static_cast<uint16_t>(value);
      break;
  }
}

}  // namespace

GdbArch gdb_arch_of(const kvm_sregs& sregs) {
  if ((sregs.efer & kLma) != 0) return GdbArch::x86_64;
  return sregs.cs.db != 0 ? GdbArch::i386 : GdbArch::i8086;
}

void GdbRegisters::add(std::string name, Register::Kind kind, size_t index, size_t bytes,
                       std::string_view type) {
  description_ += fmt::format(R"(<reg name="{}" bitsize="{}" type="{}"/>)", name, bytes * 8, type);
  table_.push_back(
      {std::move(name), kind, static_cast<uint8_t>(index), static_cast<uint8_t>(bytes)});
}

GdbRegisters::GdbRegisters(GdbArch arch) {
  using Kind = Register::Kind;
  const bool wide = arch == GdbArch::x86_64;
  const size_t word = wide ? 8 : 4;
  description_ = fmt::format(
      R"(<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">)"
      R"(<architecture>{}</architecture><osabi>none</osabi><feature name="org.gnu.gdb.i386.core">)",
      wide                    ? "i386:x86-64"
      : arch == GdbArch::i386 ? "i386"
                              : "i8086");
  const auto type_of = [&](size_t index) {
    return index == 6 || index == 7 ? "data_ptr" : wide ? "int64" : "int32";
  };
  if (wide) {
    for (size_t i = 0; i < kNames64.size(); ++i) {
      add(std::string(kNames64.at(i)), Kind::general, i, word, type_of(i));
    }
  } else {
    for (const Named& named : kNames32) {
      add(std::string(named.name), Kind::general, named.index, word, type_of(named.index));
    }
  }
  add(wide ? "rip" : "eip", Kind::pc, 0, word, "code_ptr");
  add("eflags", Kind::flags, 0, 4, "int32");
  for (size_t i = 0; i < kSegmentNames.size(); ++i) {
    add(std::string(kSegmentNames.at(i)), Kind::selector, i, 4, "int32");
  }
  for (size_t i = 0; i < 8; ++i) add(fmt::format("st{}", i), Kind::st, i, kStBytes, "i387_ext");
  for (size_t i = 0; i < kFpuNames.size(); ++i) {
    add(std::string(kFpuNames.at(i)), Kind::fpu_control, i, 4, "int");
  }
  description_ += "</feature>";
  if (wide) {
    description_ += R"(<feature name="org.gnu.gdb.i386.segments">)";
    add("fs_base", Kind::base, 4, word, "int");
    add("gs_base", Kind::base, 5, word, "int");
    description_ += "</feature>";
  }
  description_ += R"(<feature name="ringfence.system">)";
  for (size_t i = 0; i < kControls.size(); ++i) {
    add(std::string(kControlNames.at(i)), Kind::control, i, word, wide ? "int64" : "int32");
  }
  description_ += "</feature></target>";
}

std::vector<uint8_t> GdbRegisters::get(const CpuState& state, size_t number) const {
  const Register& r = table_.at(number);
  std::vector<uint8_t> bytes(r.bytes);
  if (r.kind == Register::Kind::st) {
    std::memcpy(bytes.data(), static_cast<const uint8_t*>(state.fpu.fpr[r.index]), kStBytes);
    return bytes;
  }
  uint64_t value = 0;
  switch (r.kind) {
    case Register::Kind::general:
      value = state.regs.*kGeneral.at(r.index);
      break;
    case Register::Kind::pc:
      value = state.regs.rip + state.sregs.cs.base;
      break;
    case Register::Kind::flags:
      value = state.regs.rflags;
      break;
    case Register::Kind::selector:
      value = (state.sregs.*kSegments.at(r.index)).selector;
      break;
    case Register::Kind::fpu_control:
      value = fpu_control(state.fpu, r.index);
      break;
    case Register::Kind::base:
      value = (state.sregs.*kSegments.at(r.index)).base;
      break;
    case Register::Kind::control:
      value = state.sregs.*kControls.at(r.index);
      break;
    case Register::Kind::st:
      break;
  }
  std::memcpy(bytes.data(), &value, bytes.size());
  return bytes;
}

void GdbRegisters::set(CpuState& state, size_t number, std::span<const uint8_t> bytes) const {
  const Register& r = table_.at(number);
  if (bytes.size() != r.bytes) return;
  if (r.kind == Register::Kind::st) {
    std::memcpy(static_cast<uint8_t*>(state.fpu.fpr[r.index]), bytes.data(), kStBytes);
    return;
  }
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  switch (r.kind) {
    case Register::Kind::general:
      state.regs.*kGeneral.at(r.index) = value;
      break;
    case Register::Kind::pc:
      state.regs.rip = value - state.sregs.cs.base;
      // A program counter of 32 bits wraps as the sum does.
      if (r.bytes == 4) state.regs.rip &= 0xffffffff;
      break;
    case Register::Kind::flags:
      state.regs.rflags = value;
      break;
    case Register::Kind::selector: {
      kvm_segment& segment = state.sregs.*kSegments.at(r.index);
      if (segment.selector == static_cast<uint16_t>(value)) break;
      segment.selector = static_cast<uint16_t>(value);
      if ((state.sregs.cr0 & kProtected) == 0) segment.base = (value & 0xffff) << 4;
      break;
    }
    case Register::Kind::fpu_control:
      set_fpu_control(state.fpu, r.index, value);
      break;
    case Register::Kind::base:
      (state.sregs.*kSegments.at(r.index)).base = value;
      break;
    case Register::Kind::control:
      state.sregs.*kControls.at(r.index) = value;
      break;
    case Register::Kind::st:
      break;
  }
}

std::vector<uint8_t> GdbRegisters::all(const CpuState& state) const {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < table_.size(); ++i) {
    const auto one = get(state, i);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return bytes;
}

bool GdbRegisters::set_all(CpuState& state, std::span<const uint8_t> bytes) const {
  size_t total = 0;
  for (const Register& r : table_) total += r.bytes;
  if (bytes.size() != total) return false;
  // The base of CS is that of the old selector until all are there: the program counter goes last.
  size_t pc = 0;
  size_t pc_at = 0;
  for (size_t i = 0, at = 0; i < table_.size(); at += table_[i].bytes, ++i) {
    if (table_[i].kind == Register::Kind::pc) {
      pc = i;
      pc_at = at;
    } else {
      set(state, i, bytes.subspan(at, table_[i].bytes));
    }
  }
  set(state, pc, bytes.subspan(pc_at, table_[pc].bytes));
  return true;
}

}  // namespace ringfence::vmm

// The words with which a case sets a machine: see scenario.h.
#include <cpuid.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "harness/base/file.h"
#include "harness/vmm/scenario.h"

namespace ringfence::vmm {
namespace {

struct Register {
  std::string_view name;
  __u64 kvm_regs::*member;
};
constexpr std::array kRegisters = {
    Register{"rax", &kvm_regs::rax},       Register{"rbx", &kvm_regs::rbx},
    Register{"rcx", &kvm_regs::rcx},       Register{"rdx", &kvm_regs::rdx},
    Register{"rsi", &kvm_regs::rsi},       Register{"rdi", &kvm_regs::rdi},
    Register{"rbp", &kvm_regs::rbp},       Register{"rsp", &kvm_regs::rsp},
    Register{"r8", &kvm_regs::r8},         Register{"r9", &kvm_regs::r9},
    Register{"r10", &kvm_regs::r10},       Register{"r11", &kvm_regs::r11},
    Register{"r12", &kvm_regs::r12},       Register{"r13", &kvm_regs::r13},
    Register{"r14", &kvm_regs::r14},       Register{"r15", &kvm_regs::r15},
    Register{"rflags", &kvm_regs::rflags},
};
constexpr std::array<std::string_view, 4> kCpuidRegisters = {"eax", "ebx", "ecx", "edx"};

std::optional<uint64_t> number(std::string_view text) {
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, err] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (err != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

tl::unexpected<Error> bad(std::string_view word) {
  return usage_error("set up guest", std::string(word),
                     "REGISTER=NUMBER, mode=real|protected16|protected32|long|compat, "
                     "pages=4k|2m|1g, clock=real|stepped, irqchip, tsc_leaf, "
                     "cpuid:LEAF:REGISTER:BIT=0|1, input=US:key:CODE, "
                     "input=US:serial:BYTE[:ERRORS], input=US:line:N");
}

// What comes from outside, in the order of time.
Status input_setting(std::string_view word, std::string_view text, std::vector<Input>& inputs) {
  constexpr uint64_t kLongest = 3600ULL * 1'000'000;  // us
  constexpr Nanos kMicrosecond = 1000;
  constexpr uint64_t kLines = 16;
  const auto parts = split(text, ':');
  if (parts.size() < 3 || parts.size() > 4) return bad(word);
  const auto at = number(parts[0]);
  const auto value = number(fmt::format("0x{}", parts[2]));
  if (!at || *at > kLongest || !value || *value > 0xff) return bad(word);
  Input input{Input::Kind::key, *at * kMicrosecond, static_cast<uint8_t>(*value), 0};
  if (parts[1] == "serial") {
    input.kind = Input::Kind::serial;
    if (parts.size() == 4) {
      const auto errors = number(fmt::format("0x{}", parts[3]));
      if (!errors || *errors > 0xff) return bad(word);
      input.errors = static_cast<uint8_t>(*errors);
    }
  } else if (parts[1] == "line" && parts.size() == 3 && *value < kLines) {
    input.kind = Input::Kind::line;
  } else if (parts[1] != "key" || parts.size() != 3) {
    return bad(word);
  }
  if (!inputs.empty() && inputs.back().at > input.at) return bad(word);
  inputs.push_back(input);
  return {};
}

Status cpuid_setting(std::string_view word, std::string_view key, uint64_t value,
                     MachineOptions& options) {
  const auto parts = split(key, ':');
  if (parts.size() != 4 || value > 1) return bad(word);
  const auto leaf = number(parts[1]);
  const auto* name = std::find(kCpuidRegisters.begin(), kCpuidRegisters.end(), parts[2]);
  const auto bit = number(parts[3]);
  if (!leaf || name == kCpuidRegisters.end() || !bit || *bit > 31) return bad(word);
  const auto which = name - kCpuidRegisters.begin();
  auto before = std::move(options.edit_cpuid);
  options.edit_cpuid = [=](std::vector<kvm_cpuid_entry2>& entries) {
    if (before) before(entries);
    for (kvm_cpuid_entry2& e : entries) {
      if (e.function != *leaf || e.index != 0) continue;
      uint32_t* const registers[] = {&e.eax, &e.ebx, &e.ecx, &e.edx};
      const uint32_t mask = 1U << *bit;
      *registers[which] = value != 0 ? *registers[which] | mask : *registers[which] & ~mask;
    }
  };
  return {};
}

}  // namespace

Status apply_setting(std::string_view word, Settings& settings) {
  if (word == "irqchip") {
    settings.options.irqchip = true;
    return {};
  }
  if (word == "tsc_leaf") {
    settings.options.tsc_leaf = true;
    return {};
  }
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos) return bad(word);
  const std::string_view key = word.substr(0, equals);
  const std::string_view text = word.substr(equals + 1);
  if (key == "mode") {
    const auto mode = mode_by_name(text);
    if (!mode) return bad(word);
    settings.options.start.mode = *mode;
    return {};
  }
  if (key == "pages") {
    if (text == "4k") {
      settings.options.start.pages = PageSize::k4;
    } else if (text == "2m") {
      settings.options.start.pages = PageSize::m2;
    } else if (text == "1g") {
      settings.options.start.pages = PageSize::g1;
    } else {
      return bad(word);
    }
    return {};
  }
  if (key == "clock") {
    if (text != "real" && text != "stepped") return bad(word);
    settings.options.clock = text == "real" ? ClockKind::real : ClockKind::stepped;
    return {};
  }
  if (key == "input") return input_setting(word, text, settings.inputs);
  const auto value = number(text);
  if (!value) return bad(word);
  if (key.starts_with("cpuid:")) return cpuid_setting(word, key, *value, settings.options);
  for (const Register& r : kRegisters) {
    if (r.name == key) {
      settings.registers.emplace_back(key, *value);
      return {};
    }
  }
  return bad(word);
}

Status set_registers(Machine& machine, const Settings& settings) {
  if (settings.registers.empty()) return {};
  auto regs = machine.vcpu().regs();
  if (!regs) return tl::unexpected(regs.error());
  for (const auto& [name, value] : settings.registers) {
    for (const Register& r : kRegisters) {
      if (r.name == name) (*regs).*(r.member) = value;
    }
  }
  return machine.vcpu().set_regs(*regs);
}

bool hardware_virtualization() {
  constexpr unsigned kVmx = 1U << 5;  // CPUID 1, ECX
  constexpr unsigned kSvm = 1U << 2;  // CPUID 80000001h, ECX
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c & kVmx) != 0) return true;
  return __get_cpuid(0x80000001, &a, &b, &c, &d) != 0 && (c & kSvm) != 0;
}

std::string_view emulator() {
  if (!hardware_virtualization()) return "kvm";
  constexpr unsigned kHypervisor = 0x40000000;
  unsigned eax = 0;
  std::array<unsigned, 3> name{};  // EBX, ECX, EDX
  __cpuid(kHypervisor, eax, name[0], name[1], name[2]);
  constexpr std::string_view kTcg = "TCGTCGTCGTCG";
  return std::memcmp(name.data(), kTcg.data(), kTcg.size()) == 0 ? "tcg" : "";
}

}  // namespace ringfence::vmm

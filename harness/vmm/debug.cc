#include "harness/vmm/debug.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ringfence::vmm {
namespace {

constexpr uint8_t kInt3 = 0xcc;
constexpr uint32_t kDebugVector = 1;       // #DB
constexpr uint32_t kBreakpointVector = 3;  // #BP
constexpr uint64_t kDr6Step = 1 << 14;     // BS
constexpr uint64_t kDr7Fixed = 1 << 10;    // SDM volume 3, 18.2.4: bit 10 is 1
constexpr uint64_t kExact = 1 << 9;        // GE

// Jumps over the vector table; NOP, NOP, INT3, HLT at kCode, and HLT where vector 3 leads.
constexpr uint64_t kCode = 0x20;
constexpr int64_t kVectorPlace = 4 * int64_t{kBreakpointVector};
std::vector<uint8_t> probe_image() {
  std::vector<uint8_t> image(0x40, 0xf4);
  image[0] = 0xeb;
  image[1] = kCode - 2;
  image[kVectorPlace] = 0x30;
  std::fill_n(image.begin() + kVectorPlace + 1, 3, uint8_t{0});
  image[kCode] = 0x90;
  image[kCode + 1] = 0x90;
  image[kCode + 2] = kInt3;
  return image;
}

// Whether a run with this control stops for `exception` at `pc`.
Result<bool> stops(const Kvm& kvm, uint32_t control, const std::array<uint64_t, 8>& registers,
                   uint32_t exception, uint64_t pc) {
  MachineOptions options;
  options.budget = {1000, std::chrono::milliseconds(1000)};
  options.host_cpuid = false;
  auto machine =
      Machine::create(kvm, probe_image(), std::make_unique<BarePlatform>(), std::move(options));
  if (!machine) return tl::unexpected(machine.error());
  if (!(*machine)->vcpu().debug(KVM_GUESTDBG_ENABLE | control, registers)) return false;
  bool stopped = false;
  (*machine)->on_exit([&](Machine&, Exit& exit) {
    const auto* debug = std::get_if<Debug>(&exit);
    if (debug == nullptr) return Handled::no;
    stopped = debug->exception == exception && debug->pc == pc;
    return Handled::stop;
  });
  const End end = (*machine)->run();
  if (end.kind == End::Kind::failed) return tl::unexpected(*end.error);
  return stopped;
}

}  // namespace

Result<DebugFacilities> probe_debug(const Kvm& kvm) {
  DebugFacilities found;
  auto step = stops(kvm, KVM_GUESTDBG_SINGLESTEP, {}, kDebugVector, kCode);
  if (!step) return tl::unexpected(step.error());
  found.step = *step;
  std::array<uint64_t, 8> registers{};
  registers[0] = kCode + 1;
  registers[7] = kDr7Fixed | kExact | 2;
  auto hardware = stops(kvm, KVM_GUESTDBG_USE_HW_BP, registers, kDebugVector, kCode + 1);
  if (!hardware) return tl::unexpected(hardware.error());
  found.hardware = *hardware;
  auto software = stops(kvm, KVM_GUESTDBG_USE_SW_BP, {}, kBreakpointVector, kCode + 2);
  if (!software) return tl::unexpected(software.error());
  found.software = *software;
  return found;
}

std::string debug_limits(const DebugFacilities& facilities) {
  std::string text;
  if (!facilities.step) text = "this KVM does not single step";
  if (!facilities.software) {
    text += text.empty() ? "this KVM " : " and ";
    text += "does not stop at INT3";
    if (facilities.hardware) {
      text += fmt::format("; breakpoints past {} are found by stepping, slowly",
                          Breakpoints::kRegisters);
    }
  }
  if (!facilities.hardware) {
    text += text.empty() ? "this KVM " : " and ";
    text += "has no debug registers for the host";
  }
  return text;
}

Status Breakpoints::insert(Kind kind, uint64_t linear) {
  const bool patch = kind == Kind::software && facilities_.software;
  if (patch) {
    if (patches_.contains(linear)) return {};
    const auto physical = machine_.vcpu().translate(linear);
    if (!physical) return system_error("set breakpoint", fmt::format("{:#x}", linear), EFAULT);
    auto original = machine_.memory().load<uint8_t>(*physical);
    if (!original) return tl::unexpected(original.error());
    if (patches_shown_) {
      if (auto ok = machine_.memory().store(*physical, kInt3); !ok) return ok;
    }
    patches_[linear] = {*physical, *original};
    return {};
  }
  if (!facilities_.hardware && kind == Kind::hardware) {
    return unsupported_error("set breakpoint", fmt::format("{:#x}", linear), ENOTSUP,
                             debug_limits(facilities_));
  }
  if (stepped_to_.contains(linear) && kind == Kind::software) return {};
  const auto same = [&](const auto& r) { return r && r->linear == linear && r->kind == kind; };
  if (std::any_of(registers_.begin(), registers_.end(), same)) return {};
  for (auto& slot : registers_) {
    if (slot || !facilities_.hardware) continue;
    slot = Register{linear, kind};
    return {};
  }
  if (kind == Kind::software && facilities_.step) {
    stepped_to_.insert(linear);
    return {};
  }
  return system_error("set breakpoint", fmt::format("{:#x}", linear), ENOSPC,
                      "all four debug registers are taken");
}

Status Breakpoints::remove(Kind kind, uint64_t linear) {
  if (const auto found = patches_.find(linear); kind == Kind::software && found != patches_.end()) {
    const Patch patch = found->second;
    patches_.erase(found);
    if (!patches_shown_) return {};
    const auto now = machine_.memory().load<uint8_t>(patch.physical);
    if (!now) return tl::unexpected(now.error());
    // What the guest itself wrote there since stays.
    if (*now == kInt3) return machine_.memory().store(patch.physical, patch.original);
    return {};
  }
  if (kind == Kind::software) stepped_to_.erase(linear);
  for (auto& slot : registers_) {
    if (slot && slot->linear == linear && slot->kind == kind) slot.reset();
  }
  return {};
}

Status Breakpoints::clear() {
  while (!patches_.empty()) {
    if (auto ok = remove(Kind::software, patches_.begin()->first); !ok) return ok;
  }
  registers_ = {};
  stepped_to_.clear();
  return {};
}

Status Breakpoints::show_patches(bool wanted) {
  if (patches_shown_ == wanted) return {};
  for (auto& [linear, patch] : patches_) {
    const auto now = machine_.memory().load<uint8_t>(patch.physical);
    if (!now) return tl::unexpected(now.error());
    // What the guest itself wrote there since is what belongs there.
    if (wanted || *now != kInt3) patch.original = *now;
    auto ok = machine_.memory().store(patch.physical, wanted ? kInt3 : patch.original);
    if (!ok) return ok;
  }
  patches_shown_ = wanted;
  return {};
}

Status Breakpoints::arm(bool step, bool breakpoints) {
  if (auto ok = show_patches(breakpoints); !ok) return ok;
  control_ = 0;
  debug_registers_ = {};
  wants_step_ = step;
  if (step || (breakpoints && !stepped_to_.empty())) control_ |= KVM_GUESTDBG_SINGLESTEP;
  if (breakpoints && !patches_.empty()) control_ |= KVM_GUESTDBG_USE_SW_BP;
  for (size_t i = 0; breakpoints && i < registers_.size(); ++i) {
    if (!registers_.at(i)) continue;
    control_ |= KVM_GUESTDBG_USE_HW_BP;
    debug_registers_.at(i) = registers_.at(i)->linear;
    debug_registers_[7] |= kDr7Fixed | kExact | uint64_t{2} << (2 * i);  // Gi; execution, 1 byte
  }
  if (control_ != 0) control_ |= KVM_GUESTDBG_ENABLE;
  return machine_.vcpu().debug(control_, debug_registers_);
}

Breakpoints::Stop Breakpoints::explain(const Debug& exit) const {
  if (exit.exception == kBreakpointVector) {
    return {patches_.contains(exit.pc) ? Hit::breakpoint : Hit::guest, Kind::software};
  }
  for (size_t i = 0; i < registers_.size(); ++i) {
    const auto& slot = registers_.at(i);
    if (slot && (control_ & KVM_GUESTDBG_USE_HW_BP) != 0 && slot->linear == exit.pc) {
      return {Hit::breakpoint, slot->kind};
    }
  }
  const bool stepping = (control_ & KVM_GUESTDBG_SINGLESTEP) != 0;
  if (stepping && stepped_to_.contains(exit.pc)) return {Hit::breakpoint, Kind::software};
  if (stepping && !wants_step_) return {Hit::nowhere, Kind::software};
  return {stepping || (exit.dr6 & kDr6Step) != 0 ? Hit::step : Hit::guest, Kind::software};
}

Status Breakpoints::pass_on(const Debug& exit) {
  const uint32_t inject =
      exit.exception == kBreakpointVector ? KVM_GUESTDBG_INJECT_BP : KVM_GUESTDBG_INJECT_DB;
  return machine_.vcpu().debug(control_ | KVM_GUESTDBG_ENABLE | inject, debug_registers_);
}

size_t Breakpoints::read(uint64_t linear, std::span<uint8_t> bytes) const {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto physical = machine_.vcpu().translate(linear + i);
    if (!physical || !machine_.memory().read(*physical, bytes.subspan(i, 1))) return i;
    if (const auto patch = patches_.find(linear + i);
        patches_shown_ && patch != patches_.end() && bytes[i] == kInt3) {
      bytes[i] = patch->second.original;
    }
  }
  return bytes.size();
}

Status Breakpoints::write(uint64_t linear, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto physical = machine_.vcpu().translate(linear + i);
    if (!physical) {
      return system_error("write guest memory", fmt::format("{:#x}", linear + i), EFAULT);
    }
    if (const auto patch = patches_.find(linear + i); patch != patches_.end()) {
      patch->second.original = bytes[i];
      if (patches_shown_) continue;
    }
    if (auto ok = machine_.memory().write(*physical, bytes.subspan(i, 1)); !ok) return ok;
  }
  return {};
}

}  // namespace ringfence::vmm

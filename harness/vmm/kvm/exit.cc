#include "harness/vmm/kvm/exit.h"

#include <fmt/format.h>
#include <linux/kvm.h>

#include <cstring>

namespace ringfence::vmm {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

std::string hex(std::span<const uint8_t> bytes) {
  constexpr size_t kShown = 32;
  std::string text;
  for (size_t i = 0; i < bytes.size() && i < kShown; ++i) {
    text += fmt::format("{}{:02x}", i == 0 ? "" : " ", bytes[i]);
  }
  if (bytes.size() > kShown) text += fmt::format(" and {} more", bytes.size() - kShown);
  return text;
}

constexpr uint64_t kVmxEntryFailed = 1ULL << 31;
// VMEXIT_INVALID is -1, of which many kernels keep 32 bits (struct vmcb_control_area, exit_code).
constexpr uint64_t kSvmInvalid = ~0ULL;
constexpr uint64_t kSvmInvalid32 = 0xffffffff;
constexpr uint32_t kUnexpectedExit = 4;  // KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON

}  // namespace

std::string_view exit_name(const Exit& exit) {
  return std::visit(
      Overloaded{[](const IoIn&) { return "io_in"; }, [](const IoOut&) { return "io_out"; },
                 [](const MmioRead&) { return "mmio_read"; },
                 [](const MmioWrite&) { return "mmio_write"; }, [](const Hlt&) { return "hlt"; },
                 [](const Shutdown&) { return "shutdown"; }, [](const Intr&) { return "intr"; },
                 [](const IrqWindowOpen&) { return "irq_window_open"; },
                 [](const FailEntry&) { return "fail_entry"; },
                 [](const InternalError&) { return "internal_error"; },
                 [](const Hypercall&) { return "hypercall"; }, [](const Debug&) { return "debug"; },
                 [](const SystemEvent&) { return "system_event"; },
                 [](const MsrRead&) { return "msr_read"; },
                 [](const MsrWrite&) { return "msr_write"; },
                 [](const UnknownExit&) { return "unknown"; }},
      exit);
}

std::string fail_entry_words(uint64_t reason) {
  if (reason == kSvmInvalid || reason == kSvmInvalid32) {
    return "VMRUN failed: invalid guest state in the VMCB (VMEXIT_INVALID)";
  }
  if ((reason & kVmxEntryFailed) == 0) {
    return fmt::format("VM entry refused, VM-instruction error {}", reason);
  }
  switch (reason & 0xffff) {
    case 33:
      return "VM entry failed: invalid guest state";
    case 34:
      return "VM entry failed: MSR loading";
    case 41:
      return "VM entry failed: machine check";
    default:
      return fmt::format("VM entry failed: basic exit reason {}", reason & 0xffff);
  }
}

std::string internal_error_words(const InternalError& error) {
  std::string data;
  for (uint32_t i = 0; i < error.words && i < error.data.size(); ++i) {
    data += fmt::format("{}{:#x}", i == 0 ? "" : " ", error.data.at(i));
  }
  switch (error.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION: {
      std::string text = "emulation failed: KVM's emulator does not do this instruction";
      // data[0] has KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES in bit 0; then one byte is
      // the length and fifteen are the instruction.
      if (error.words >= 3 && (error.data[0] & 1) != 0) {
        std::array<uint8_t, 16> raw{};
        std::memcpy(raw.data(), &error.data[1], raw.size());
        const size_t length = std::min<size_t>(raw[0], 15);
        text += ": " + hex(std::span(raw).subspan(1, length));
      }
      return text;
    }
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "an exception came up while another was delivered: " + data;
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "an exit came up while an event was delivered: " + data;
    case kUnexpectedExit:
      return "the hardware gave an exit that KVM does not expect: " + data;
    default:
      return fmt::format("internal error {}: {}", error.suberror, data);
  }
}

std::string describe(const Exit& exit) {
  return std::visit(
      Overloaded{
          [](const IoIn& e) {
            return fmt::format("IN {:#06x} size {} count {}", e.port, e.size, e.count);
          },
          [](const IoOut& e) {
            return fmt::format("OUT {:#06x} size {} count {}: {}", e.port, e.size, e.count,
                               hex(e.data));
          },
          [](const MmioRead& e) {
            return fmt::format("MMIO read {:#x} size {}", e.address, e.data.size());
          },
          [](const MmioWrite& e) {
            return fmt::format("MMIO write {:#x} size {}: {}", e.address, e.data.size(),
                               hex(e.data));
          },
          [](const Hlt&) { return std::string("HLT"); },
          [](const Shutdown&) { return std::string("SHUTDOWN: triple fault"); },
          [](const Intr&) { return std::string("INTR: interrupted from outside"); },
          [](const IrqWindowOpen&) {
            return std::string("IRQ_WINDOW_OPEN: the guest can take an interrupt");
          },
          [](const FailEntry& e) {
            return fmt::format("FAIL_ENTRY {:#x}: {} (cpu {})", e.reason,
                               fail_entry_words(e.reason), e.cpu);
          },
          [](const InternalError& e) {
            return fmt::format("INTERNAL_ERROR {}: {}", e.suberror, internal_error_words(e));
          },
          [](const Hypercall& e) {
            return fmt::format("HYPERCALL {} ({:#x}, {:#x}, {:#x})", e.nr, e.args[0], e.args[1],
                               e.args[2]);
          },
          [](const Debug& e) {
            return fmt::format("DEBUG exception {} at {:#x}, DR6 {:#x}", e.exception, e.pc, e.dr6);
          },
          [](const SystemEvent& e) {
            return fmt::format("SYSTEM_EVENT {}: {:#x}", e.type, e.data);
          },
          [](const MsrRead& e) { return fmt::format("RDMSR {:#x}", e.index); },
          [](const MsrWrite& e) { return fmt::format("WRMSR {:#x}: {:#x}", e.index, e.value); },
          [](const UnknownExit& e) {
            return fmt::format("exit reason {} (hardware {:#x})", e.reason, e.hardware);
          }},
      exit);
}

}  // namespace ringfence::vmm

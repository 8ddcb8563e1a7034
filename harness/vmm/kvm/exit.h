#pragma once
// Why KVM_RUN returned, as values. Source: KVM API, section 5 "The kvm_run structure"
// (Documentation/virt/kvm/api.rst).
//
// Spans point into the vCPU's shared page and are valid until its next run(). What a guest reads
// (IoIn, MmioRead, MsrRead) is answered by writing into the span or through the pointer before
// that.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

namespace ringfence::vmm {

// KVM_EXIT_IO. `size` is 1, 2 or 4 bytes, `count` above 1 for the string forms with a prefix (REP
// INS and OUTS), of which KVM may split one instruction into several exits.
struct IoIn {
  uint16_t port = 0;
  uint8_t size = 0;
  uint32_t count = 0;
  std::span<uint8_t> data;
};
struct IoOut {
  uint16_t port = 0;
  uint8_t size = 0;
  uint32_t count = 0;
  std::span<const uint8_t> data;
};
// KVM_EXIT_MMIO: at most 8 bytes each; KVM splits what crosses a page.
struct MmioRead {
  uint64_t address = 0;
  std::span<uint8_t> data;
};
struct MmioWrite {
  uint64_t address = 0;
  std::span<const uint8_t> data;
};
struct Hlt {};            // KVM_EXIT_HLT: without an in-kernel local APIC only
struct Shutdown {};       // KVM_EXIT_SHUTDOWN: triple fault
struct Intr {};           // KVM_EXIT_INTR, or EINTR of the ioctl: a signal or immediate_exit
struct IrqWindowOpen {};  // KVM_EXIT_IRQ_WINDOW_OPEN: the guest can take an interrupt now
// KVM_EXIT_FAIL_ENTRY: the hardware refused the state that it was to enter.
struct FailEntry {
  uint64_t reason = 0;  // VMX: the basic exit reason and bit 31; SVM: the exit code
  uint32_t cpu = 0;
};
// KVM_EXIT_INTERNAL_ERROR.
struct InternalError {
  uint32_t suberror = 0;
  uint32_t words = 0;  // of data
  std::array<uint64_t, 16> data{};
};
// KVM_EXIT_HYPERCALL, for what was enabled by KVM_CAP_EXIT_HYPERCALL.
struct Hypercall {
  uint64_t nr = 0;
  std::array<uint64_t, 6> args{};
  uint64_t* result = nullptr;
  bool long_mode = false;
};
// KVM_EXIT_DEBUG, for what KVM_SET_GUEST_DEBUG asked for.
struct Debug {
  uint32_t exception = 0;  // 1 (#DB) or 3 (#BP)
  uint64_t pc = 0;
  uint64_t dr6 = 0;
  uint64_t dr7 = 0;
};
// KVM_EXIT_SYSTEM_EVENT: shutdown 1, reset 2, crash 3, ...
struct SystemEvent {
  uint32_t type = 0;
  uint64_t data = 0;
};
// KVM_EXIT_X86_RDMSR and _WRMSR, where KVM_CAP_X86_USER_SPACE_MSR asks for them. A non-zero *error
// gives the guest #GP.
struct MsrRead {
  uint32_t index = 0;
  uint32_t reason = 0;  // KVM_MSR_EXIT_REASON_*
  uint64_t* value = nullptr;
  uint8_t* error = nullptr;
};
struct MsrWrite {
  uint32_t index = 0;
  uint32_t reason = 0;
  uint64_t value = 0;
  uint8_t* error = nullptr;
};
struct UnknownExit {
  uint32_t reason = 0;
  uint64_t hardware = 0;  // KVM_EXIT_UNKNOWN: the hardware's own number
};

using Exit =
    std::variant<IoIn, IoOut, MmioRead, MmioWrite, Hlt, Shutdown, Intr, IrqWindowOpen, FailEntry,
                 InternalError, Hypercall, Debug, SystemEvent, MsrRead, MsrWrite, UnknownExit>;

// "io_out", "mmio_read", "hlt", ...: the words of the transcript.
std::string_view exit_name(const Exit& exit);
// One line for people: "OUT 0x00e9 size 1 count 1: 41", "FAIL_ENTRY 0x80000021: VM entry failed:
// invalid guest state (cpu 0)".
std::string describe(const Exit& exit);
// The reason of a FAIL_ENTRY in words: SDM volume 3, appendix C; APM volume 2, appendix C.
std::string fail_entry_words(uint64_t reason);
// The suberror in words, with what its data say (which exit, which instruction bytes).
std::string internal_error_words(const InternalError& error);

}  // namespace ringfence::vmm

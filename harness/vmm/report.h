#pragma once
// What a person wants to see of a guest that died: registers, the next instructions, the last lines
// of its transcript.
#include <cstdint>
#include <span>
#include <string>

#include "harness/vmm/kvm/vcpu.h"
#include "harness/vmm/memory.h"
#include "harness/vmm/transcript.h"

namespace ringfence::vmm {

std::string render_registers(const kvm_regs& regs, const kvm_sregs& sregs);

// At most `most` instructions of `code`, which begins at `address`; bits is 16, 32 or 64. What is
// no instruction is shown as bytes.
std::string disassemble(std::span<const uint8_t> code, uint64_t address, int bits, size_t most);

// In which width the code segment runs.
int code_bits(const kvm_sregs& sregs);

// The next `most` instructions, one a line.
std::string render_code(const Vcpu& vcpu, const GuestMemory& memory, size_t most);

std::string report_state(const Vcpu& vcpu, const GuestMemory& memory, const Transcript& transcript);

}  // namespace ringfence::vmm

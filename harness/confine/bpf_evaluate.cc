#include "harness/confine/bpf_evaluate.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <bit>
#include <cstddef>
#include <cstring>

namespace ringfence {
namespace {

// Jump or ALU operand and operation; false for an operation that seccomp does not accept.
bool alu(uint16_t code, uint32_t& a, uint32_t x, uint32_t k) {
  const uint32_t operand = BPF_SRC(code) == BPF_X ? x : k;
  switch (BPF_OP(code)) {
    case BPF_ADD:
      a += operand;
      return true;
    case BPF_SUB:
      a -= operand;
      return true;
    case BPF_MUL:
      a *= operand;
      return true;
    case BPF_DIV:
      a = operand == 0 ? 0 : a / operand;
      return operand != 0;
    case BPF_OR:
      a |= operand;
      return true;
    case BPF_AND:
      a &= operand;
      return true;
    case BPF_XOR:
      a ^= operand;
      return true;
    case BPF_LSH:
      a = operand < 32 ? a << operand : 0;
      return true;
    case BPF_RSH:
      a = operand < 32 ? a >> operand : 0;
      return true;
    case BPF_NEG:
      a = 0U - a;
      return true;
    default:
      return false;
  }
}

bool taken(uint16_t code, uint32_t a, uint32_t operand) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return a == operand;
    case BPF_JGT:
      return a > operand;
    case BPF_JGE:
      return a >= operand;
    case BPF_JSET:
      return (a & operand) != 0;
    default:
      return false;
  }
}

}  // namespace

uint32_t bpf_evaluate(std::span<const uint64_t> program, const SeccompInput& input) {
  static_assert(sizeof(sock_filter) == sizeof(uint64_t));
  seccomp_data data{};
  data.nr = static_cast<int>(input.nr);
  data.arch = input.arch;
  for (size_t i = 0; i < input.args.size(); ++i) data.args[i] = input.args[i];
  const auto* bytes = reinterpret_cast<const unsigned char*>(&data);

  uint32_t a = 0;
  uint32_t x = 0;
  std::array<uint32_t, BPF_MEMWORDS> memory{};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const auto op = std::bit_cast<sock_filter>(program[pc]);
    switch (BPF_CLASS(op.code)) {
      case BPF_LD:
      case BPF_LDX: {
        uint32_t& reg = BPF_CLASS(op.code) == BPF_LD ? a : x;
        if (BPF_MODE(op.code) == BPF_ABS) {
          if (op.k % 4 != 0 || op.k > sizeof data - 4) return SECCOMP_RET_KILL_PROCESS;
          std::memcpy(&reg, bytes + op.k, 4);
        } else if (BPF_MODE(op.code) == BPF_IMM) {
          reg = op.k;
        } else if (BPF_MODE(op.code) == BPF_MEM && op.k < memory.size()) {
          reg = memory[op.k];
        } else if (BPF_MODE(op.code) == BPF_LEN) {
          reg = sizeof data;
        } else {
          return SECCOMP_RET_KILL_PROCESS;
        }
        break;
      }
      case BPF_ST:
      case BPF_STX:
        if (op.k >= memory.size()) return SECCOMP_RET_KILL_PROCESS;
        memory[op.k] = BPF_CLASS(op.code) == BPF_ST ? a : x;
        break;
      case BPF_ALU:
        if (!alu(op.code, a, x, op.k)) return SECCOMP_RET_KILL_PROCESS;
        break;
      case BPF_JMP:
        if (BPF_OP(op.code) == BPF_JA) {
          pc += op.k;
        } else {
          pc += taken(op.code, a, BPF_SRC(op.code) == BPF_X ? x : op.k) ? op.jt : op.jf;
        }
        break;
      case BPF_RET:
        return BPF_RVAL(op.code) == BPF_A ? a : op.k;
      case BPF_MISC:
        if (BPF_MISCOP(op.code) == BPF_TAX) {
          x = a;
        } else {
          a = x;
        }
        break;
      default:
        return SECCOMP_RET_KILL_PROCESS;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

}  // namespace ringfence

#pragma once
// The registers of a vCPU as gdb wants them: which there are, in which order, of which size, and as
// the target description (XML) that says so.
//
// Source: Debugging with GDB, G.5.6 "i386 Features": org.gnu.gdb.i386.core and .segments; control
// registers as a feature of our own. All little endian. The program counter is linear, the base of
// CS included, so that breakpoints and code are where gdb looks for them in real mode, too.
#include <linux/kvm.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ringfence::vmm {

struct CpuState {
  kvm_regs regs{};
  kvm_sregs sregs{};
  kvm_fpu fpu{};
};

// What gdb takes the processor for; decided when it connects, by the mode at that moment.
enum class GdbArch : uint8_t { i8086, i386, x86_64 };
GdbArch gdb_arch_of(const kvm_sregs& sregs);

class GdbRegisters {
 public:
  explicit GdbRegisters(GdbArch arch);

  [[nodiscard]] const std::string& description() const { return description_; }
  [[nodiscard]] size_t count() const { return table_.size(); }
  // Bytes of register `number`, which is below count().
  [[nodiscard]] size_t size(size_t number) const { return table_.at(number).bytes; }
  [[nodiscard]] std::vector<uint8_t> get(const CpuState& state, size_t number) const;
  // `bytes` has to have the register's size. A selector is changed alone, not what it stands for,
  // but in real mode, where the base goes with it.
  void set(CpuState& state, size_t number, std::span<const uint8_t> bytes) const;
  // All of them one after the other (packet `g`), and back; false for another size than theirs.
  [[nodiscard]] std::vector<uint8_t> all(const CpuState& state) const;
  bool set_all(CpuState& state, std::span<const uint8_t> bytes) const;

 private:
  struct Register {
    enum class Kind : uint8_t { general, pc, flags, selector, st, fpu_control, base, control };
    std::string name;
    Kind kind = Kind::general;
    uint8_t index = 0;  // among those of its kind
    uint8_t bytes = 0;
  };
  void add(std::string name, Register::Kind kind, size_t index, size_t bytes,
           std::string_view type);
  std::vector<Register> table_;
  std::string description_;
};

}  // namespace ringfence::vmm

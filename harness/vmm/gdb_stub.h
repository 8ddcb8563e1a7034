#pragma once
// GdbStub: the commands of the gdb remote serial protocol over an abstract target. Pure: no socket,
// no KVM; one processor, all-stop.
//
// Source: Debugging with GDB, appendix E. Understood: ? g G p P m M c s C S k D vKill Z0 z0 Z1 z1 H
// T, and the queries that gdb asks when it connects; anything else is answered by the empty packet,
// which means that the stub does not know it.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/vmm/gdb_registers.h"

namespace ringfence::vmm {

// What the stub asks of a stopped machine. Addresses are linear.
class GdbTarget {
 public:
  enum class Break : uint8_t { software, hardware };
  virtual ~GdbTarget() = default;
  virtual Result<CpuState> registers() = 0;
  virtual Status set_registers(const CpuState& state) = 0;
  // How many bytes from `address` on are mapped and were read, without our own breakpoints.
  virtual size_t read(uint64_t address, std::span<uint8_t> bytes) = 0;
  virtual Status write(uint64_t address, std::span<const uint8_t> bytes) = 0;
  // Idempotent, as the protocol asks for.
  virtual Status insert(Break kind, uint64_t address) = 0;
  virtual Status remove(Break kind, uint64_t address) = 0;
};

// Why the machine stands still, or that it is no more.
struct GdbStop {
  enum class Kind : uint8_t {
    attached,     // nothing happened
    stepped,      // or the guest trapped into #DB for itself
    breakpoint,   // one that gdb inserted, of kind `at`
    interrupted,  // by gdb
    died,         // the machine cannot go on (a triple fault, ...), and can still be looked at
    exited,       // `status`
  };
  Kind kind = Kind::attached;
  GdbTarget::Break at = GdbTarget::Break::software;
  uint8_t status = 0;
};
std::string gdb_stop_reply(const GdbStop& stop);

class GdbStub {
 public:
  // What is to happen behind the reply.
  enum class Next : uint8_t { stay, go, step, detach, kill };
  struct Answer {
    std::optional<std::string> reply;  // none before the machine stops again
    Next next = Next::stay;
    bool no_ack = false;  // from now on packets are not acknowledged
  };

  GdbStub(GdbTarget& target, GdbArch arch) : target_(target), registers_(arch) {}
  void stopped(const GdbStop& stop) { stop_ = stop; }
  Answer answer(std::string_view packet);

 private:
  std::string read_registers();
  std::string write_registers(std::string_view hex);
  std::string read_register(std::string_view text);
  std::string write_register(std::string_view text);
  std::string read_memory(std::string_view text);
  std::string write_memory(std::string_view text);
  std::string breakpoint(std::string_view packet);
  std::string query(std::string_view packet);
  Answer resume(std::string_view packet);

  GdbTarget& target_;
  GdbRegisters registers_;
  GdbStop stop_;
};

}  // namespace ringfence::vmm

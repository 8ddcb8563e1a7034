#pragma once
// Debugging of a guest from the host: single step and breakpoints by KVM_SET_GUEST_DEBUG (KVM API
// 4.87), of which a KVM may do less than all; what it does is found by trying.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "harness/vmm/gdb_stub.h"
#include "harness/vmm/machine.h"

namespace ringfence::vmm {

struct DebugFacilities {
  bool step = false;      // KVM_GUESTDBG_SINGLESTEP
  bool hardware = false;  // KVM_GUESTDBG_USE_HW_BP: the four debug registers
  bool software = false;  // KVM_GUESTDBG_USE_SW_BP: INT3 in memory comes to the host
  friend bool operator==(const DebugFacilities&, const DebugFacilities&) = default;
};
// Runs a guest of a few bytes for each.
Result<DebugFacilities> probe_debug(const Kvm& kvm);
// What is missing, for people; empty where nothing is.
std::string debug_limits(const DebugFacilities& facilities);

// The breakpoints of one machine, which has to outlive this. A software breakpoint is an INT3 in
// the guest's memory where such an INT3 comes to the host, else one of the four debug registers,
// else the guest is stepped and its place compared, which is slow; a hardware one is a debug
// register always. Errors: ENOSPC where none is left, EFAULT where nothing is mapped (INT3 only),
// ENOTSUP.
class Breakpoints {
 public:
  using Kind = GdbTarget::Break;
  static constexpr size_t kRegisters = 4;
  Breakpoints(Machine& machine, DebugFacilities facilities)
      : machine_(machine), facilities_(facilities) {}
  Breakpoints(const Breakpoints&) = delete;
  Breakpoints& operator=(const Breakpoints&) = delete;

  Status insert(Kind kind, uint64_t linear);
  Status remove(Kind kind, uint64_t linear);
  Status clear();

  // For the next entry: whether to stop behind one instruction, and whether breakpoints count.
  // Where they do not, no INT3 is in memory: the guest would have it as its own.
  Status arm(bool step, bool breakpoints = true);

  enum class Hit : uint8_t {
    breakpoint,  // one of these; `kind` says which
    step,
    nowhere,  // on the way to a breakpoint that is found by stepping: on
    guest,    // none of ours: the guest's own #BP or #DB; pass_on() gives it back
  };
  struct Stop {
    Hit hit = Hit::step;
    Kind kind = Kind::software;
  };
  [[nodiscard]] Stop explain(const Debug& exit) const;
  // Lets the guest have the exception, and goes on as it was armed.
  Status pass_on(const Debug& exit);

  // Memory as the guest has it, without the INT3s; how many bytes from `linear` on are mapped.
  size_t read(uint64_t linear, std::span<uint8_t> bytes) const;
  Status write(uint64_t linear, std::span<const uint8_t> bytes);

 private:
  struct Patch {
    uint64_t physical = 0;
    uint8_t original = 0;
  };
  Status show_patches(bool wanted);
  struct Register {
    uint64_t linear = 0;
    Kind kind = Kind::software;
  };
  Machine& machine_;
  DebugFacilities facilities_;
  std::map<uint64_t, Patch> patches_;  // by linear address
  bool patches_shown_ = true;          // the INT3s are in memory
  std::set<uint64_t> stepped_to_;
  bool wants_step_ = false;
  std::array<std::optional<Register>, kRegisters> registers_{};
  uint32_t control_ = 0;
  std::array<uint64_t, 8> debug_registers_{};
};

}  // namespace ringfence::vmm

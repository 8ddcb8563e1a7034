#pragma once
// Seeded faults: wrong devices on purpose, the control of every device case.
//
// A device is a template over a policy: NoFaults, where every question is a constant and costs
// nothing, or SwitchedFault, which has one fault of the device's table. Both are compiled always;
// the device's factory takes the id of a fault and picks.
//
// Tables are made by rule from the data sheet: from the list of registers each bit that can be 1
// stuck at 0 and each that can be 0 stuck at 1, each write ignored, each reset value wrong; and a
// list of behaviours: clear on read dropped, priority reversed, counter off by one, and so on.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

struct Fault {
  std::string_view id;    // "uart.lsr.thre.stuck0"
  std::string_view rule;  // "stuck0", "stuck1", "write_ignored", "reset_value", "priority", ...
  std::string_view text;  // for people
};

// One line of a device's list of registers.
struct FaultRegister {  // NOLINT(clang-analyzer-optin.performance.Padding): reads as a table's line
  unsigned reg;         // the device's own number of it
  std::string_view name;  // "lsr"
  // A word for each bit, lowest first: its name; "-" for one that has no fault; "=name" for one
  // that always reads 0 (it can only be stuck at 1), "+name" for one that always reads 1.
  std::string_view bits;
  bool write_ignored = false;
  uint8_t reset_xor = 0;  // the wrong reset value differs in these bits; 0: has no such fault
};

// One line of a device's list of behaviours.
struct FaultBehaviour {
  unsigned number;
  std::string_view id;  // without the device: "lsr.oe.kept"
  std::string_view rule;
  std::string_view text;
};

struct FaultSeed {
  enum class Kind : uint8_t { stuck0, stuck1, write_ignored, reset_value, behaviour };
  Kind kind = Kind::behaviour;
  uint8_t mask = 0;     // the bits that it is about
  uint16_t number = 0;  // the register or the behaviour
};

class FaultTable {
 public:
  FaultTable(std::string_view device, std::span<const FaultRegister> registers,
             std::span<const FaultBehaviour> behaviours);
  FaultTable(const FaultTable&) = delete;
  FaultTable& operator=(const FaultTable&) = delete;

  [[nodiscard]] std::span<const Fault> faults() const { return faults_; }
  // Usage error for an id that is not in the table, with the nearest one as a hint.
  [[nodiscard]] Result<FaultSeed> find(std::string_view id) const;

 private:
  void add(std::string id, std::string_view rule, std::string text, FaultSeed seed);

  std::string device_;
  std::vector<std::unique_ptr<const std::string>> words_;
  std::vector<Fault> faults_;
  std::vector<FaultSeed> seeds_;
};

// Every question that a device asks of its policy.
struct NoFaults {
  // A register's value as it is kept or read.
  static constexpr uint8_t bits(unsigned /*reg*/, uint8_t value) { return value; }
  static constexpr bool ignores(unsigned /*reg*/) { return false; }
  static constexpr uint8_t reset(unsigned /*reg*/, uint8_t value) { return value; }
  static constexpr bool on(unsigned /*behaviour*/) { return false; }
};

// Whether a saved state has to be one that the data sheet allows.
template <typename Faults>
constexpr bool kStrict = std::is_same_v<Faults, NoFaults>;

class SwitchedFault {
 public:
  explicit SwitchedFault(FaultSeed seed) : seed_(seed) {}

  [[nodiscard]] uint8_t bits(unsigned reg, uint8_t value) const {
    if (seed_.number != reg) return value;
    if (seed_.kind == FaultSeed::Kind::stuck0) return value & static_cast<uint8_t>(~seed_.mask);
    if (seed_.kind == FaultSeed::Kind::stuck1) return value | seed_.mask;
    return value;
  }
  [[nodiscard]] bool ignores(unsigned reg) const {
    return seed_.kind == FaultSeed::Kind::write_ignored && seed_.number == reg;
  }
  [[nodiscard]] uint8_t reset(unsigned reg, uint8_t value) const {
    const bool wrong = seed_.kind == FaultSeed::Kind::reset_value && seed_.number == reg;
    return wrong ? value ^ seed_.mask : value;
  }
  [[nodiscard]] bool on(unsigned behaviour) const {
    return seed_.kind == FaultSeed::Kind::behaviour && seed_.number == behaviour;
  }

 private:
  FaultSeed seed_;
};

// What a factory does: the clean device for no id, else the one with that fault.
template <typename Interface, template <typename> class Model, typename Wires>
Result<std::unique_ptr<Interface>> make_device(const FaultTable& table, const Wires& wires,
                                               std::string_view fault) {
  if (fault.empty()) return std::make_unique<Model<NoFaults>>(wires, NoFaults{});
  const auto seed = table.find(fault);
  if (!seed) return tl::unexpected(seed.error());
  return std::make_unique<Model<SwitchedFault>>(wires, SwitchedFault{*seed});
}

}  // namespace ringfence::vmm

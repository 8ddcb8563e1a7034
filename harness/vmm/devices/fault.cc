#include "harness/vmm/devices/fault.h"

#include <fmt/format.h>

#include <sstream>

#include "harness/base/suggest.h"

namespace ringfence::vmm {

FaultTable::FaultTable(std::string_view device, std::span<const FaultRegister> registers,
                       std::span<const FaultBehaviour> behaviours)
    : device_(device) {
  using Kind = FaultSeed::Kind;
  for (const auto& line : registers) {
    const std::string name(line.name);
    const auto number = static_cast<uint16_t>(line.reg);
    std::istringstream bits{std::string(line.bits)};
    std::string bit;
    for (unsigned n = 0; bits >> bit; ++n) {
      if (bit == "-") continue;
      const bool always0 = bit.front() == '=';
      const bool always1 = bit.front() == '+';
      if (always0 || always1) bit.erase(0, 1);
      const auto mask = static_cast<uint8_t>(1U << n);
      const auto about = "bit " + std::to_string(n) + " of " + name + " is stuck at ";
      const auto stuck = fmt::format("{}.{}.stuck", name, bit);
      if (!always0) add(stuck + "0", "stuck0", about + "0", {Kind::stuck0, mask, number});
      if (!always1) add(stuck + "1", "stuck1", about + "1", {Kind::stuck1, mask, number});
    }
    if (line.write_ignored) {
      add(name + ".write_ignored", "write_ignored", "writes to " + name + " are ignored",
          {Kind::write_ignored, 0, number});
    }
    if (line.reset_xor != 0) {
      add(name + ".reset_value", "reset_value", "after a reset " + name + " has a wrong value",
          {Kind::reset_value, line.reset_xor, number});
    }
  }
  for (const auto& line : behaviours) {
    add(std::string(line.id), line.rule, std::string(line.text),
        {Kind::behaviour, 0, static_cast<uint16_t>(line.number)});
  }
}

void FaultTable::add(std::string id, std::string_view rule, std::string text, FaultSeed seed) {
  words_.push_back(std::make_unique<const std::string>(device_ + "." + std::move(id)));
  const std::string_view whole = *words_.back();
  words_.push_back(std::make_unique<const std::string>(rule));
  const std::string_view kept_rule = *words_.back();
  words_.push_back(std::make_unique<const std::string>(std::move(text)));
  faults_.push_back({whole, kept_rule, *words_.back()});
  seeds_.push_back(seed);
}

Result<FaultSeed> FaultTable::find(std::string_view id) const {
  std::vector<std::string> known;
  for (size_t n = 0; n < faults_.size(); ++n) {
    if (faults_[n].id == id) return seeds_[n];
    known.emplace_back(faults_[n].id);
  }
  const auto near = nearest(id, known);
  return usage_error("seeded fault", std::string(id),
                     near.empty() ? "a device's table lists its faults" : "nearest: " + near);
}

}  // namespace ringfence::vmm

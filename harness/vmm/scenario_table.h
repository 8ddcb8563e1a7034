#pragma once
// Inside of scenario.cc and its parts: who makes which scenario.
#include <algorithm>
#include <array>
#include <functional>

#include "harness/vmm/scenario.h"

namespace ringfence::vmm {

struct ScenarioRow {
  std::string_view name;
  std::unique_ptr<Scenario> (*make)(const Kvm& kvm, bool control);
};

std::span<const ScenarioRow> exit_scenarios();
std::span<const ScenarioRow> cpu_scenarios();
std::span<const ScenarioRow> memory_scenarios();

template <typename T>
std::unique_ptr<Scenario> make_one(const Kvm& /*kvm*/, bool control) {
  return std::make_unique<T>(control);
}

// The port that a guest writes to ask the host for something.
inline bool asks(const Exit& exit, uint16_t port) {
  const auto* io = std::get_if<IoOut>(&exit);
  return io != nullptr && io->port == port;
}

}  // namespace ringfence::vmm

#include "harness/vmm/scenario.h"

#include <array>

#include "harness/base/suggest.h"
#include "harness/vmm/scenario_table.h"

namespace ringfence::vmm {
namespace {

std::array<std::span<const ScenarioRow>, 3> tables() {
  return {exit_scenarios(), cpu_scenarios(), memory_scenarios()};
}

}  // namespace

std::vector<std::string_view> scenario_names() {
  std::vector<std::string_view> names;
  for (const auto table : tables()) {
    for (const ScenarioRow& row : table) names.push_back(row.name);
  }
  return names;
}

Result<std::unique_ptr<Scenario>> make_scenario(std::string_view name, const Kvm& kvm,
                                                bool control) {
  for (const auto table : tables()) {
    for (const ScenarioRow& row : table) {
      if (row.name == name) return row.make(kvm, control);
    }
  }
  std::vector<std::string> names;
  for (const auto n : scenario_names()) names.emplace_back(n);
  const std::string near = nearest(std::string(name), names);
  return usage_error("find scenario", std::string(name),
                     near.empty() ? "no scenario has this name" : "did you mean '" + near + "'?");
}

}  // namespace ringfence::vmm

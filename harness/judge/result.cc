#include "harness/judge/result.h"

#include <array>

namespace ringfence {
namespace {

constexpr std::array<std::string_view, kVerdicts> kNames = {"held", "breached", "unproven",
                                                            "skipped", "broken"};

}  // namespace

std::string_view verdict_name(Verdict verdict) { return kNames.at(static_cast<size_t>(verdict)); }

std::optional<Verdict> verdict_by_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Verdict>(i);
  }
  return std::nullopt;
}

}  // namespace ringfence

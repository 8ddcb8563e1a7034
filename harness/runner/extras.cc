#include "harness/runner/extras.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace ringfence {

Result<RunExtras> RunExtras::open(const Witness& witness, const RunOptions& options,
                                  std::span<const Case* const> cases, int inmate_fd) {
  RunExtras extras;
  if (!options.probes.empty()) {
    auto probes = Probes::attach(witness, options.probes);
    if (!probes) return tl::unexpected(probes.error());
    extras.probes = std::move(*probes);
  }
  const auto without = [&](const char* what, const Error& error) {
    extras.notes.push_back(fmt::format("{}: {}", what, error.describe()));
  };
  const bool proof = std::any_of(cases.begin(), cases.end(), [](const Case* c) {
    return c->proves_attempt == kProvedByBracket;
  });
  if (options.full_timeline || proof) {
    auto bracket = Bracket::attach(witness, inmate_fd);
    if (bracket) {
      extras.bracket = std::move(*bracket);
    } else {
      without("attempts are not bracketed", bracket.error());
    }
  }
  if (std::any_of(cases.begin(), cases.end(), [](const Case* c) { return c->cpu_time; })) {
    auto clock = CpuClock::open(witness);
    if (clock) {
      extras.clock = std::move(*clock);
    } else {
      without("time on CPU is not known", clock.error());
    }
  }
  if (std::any_of(cases.begin(), cases.end(), [](const Case* c) { return c->guest.has_value(); })) {
    auto exits = KvmExits::attach();
    if (exits) {
      extras.kvm_exits = std::move(*exits);
    } else if (exits.error().err != ENOENT) {  // ENOENT: no KVM, so no guest will run
      without("exits of guests are counted by their machine alone", exits.error());
    }
  }
  return extras;
}

}  // namespace ringfence

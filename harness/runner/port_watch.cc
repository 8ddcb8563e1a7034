#include "harness/runner/port_watch.h"

#include <fmt/format.h>

#include <utility>

namespace ringfence {

PortWatch PortWatch::begin() {
  PortWatch watch;
  auto loaded = Port::load();
  if (loaded) {
    watch.port_.emplace(std::move(*loaded));
  } else {
    watch.absent_ = loaded.error().describe();
  }
  return watch;
}

void PortWatch::collect(const Plan& plan, TrialOutcome& outcome) const {
  KernelFacts& kernel = outcome.kernel;
  kernel.port = {};
  kernel.port.absent = absent_;
  // A target that never started sent nothing.
  if (!port_ || outcome.stage < TrialOutcome::Stage::spawned) return;
  const auto lose = [&](const std::string& what) {
    ++kernel.lost;
    kernel.lost_what += (kernel.lost_what.empty() ? "" : ", ") + what;
  };
  auto seen = port_->seen();
  if (!seen) return lose("the counters of the port: " + seen.error().describe());
  const int missing = plan.ports() - outcome.counted_ports;
  if (missing != 0)
    return lose(fmt::format("{} of {} ports are not counted", missing, plan.ports()));
  kernel.port = std::move(*seen);
  outcome.evidence.push_back({"", outcome.duration_ns / 1000, "ebpf",
                              "came out of the target at its port: " + kernel.port.describe(),
                              false});
}

}  // namespace ringfence

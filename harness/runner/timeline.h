#pragma once
// The timeline of one trial as the kernel saw it: the witness's story, told for people. What the
// target's child does before its exec is the plan's: it is told step by step, not call by call.
#include <cstdint>
#include <vector>

#include "harness/judge/trial.h"
#include "harness/spawn/plan.h"
#include "harness/witness/story.h"

namespace ringfence {

// Follows a plan through the syscalls of the child that executes it, in order.
class PlanFollower {
 public:
  explicit PlanFollower(const Plan& plan);
  // The step that made this call; null for what the spawner does beside its plan. Calls must come
  // in the order in which they were made.
  const Step* step_of(const CallRecord& call);

 private:
  struct Made {
    const Step* step;
    const Op* op;
  };
  std::vector<Made> ops_;
  size_t next_ = 0;
};

struct TimelineOptions {
  int64_t zero_ns = 0;     // CLOCK_MONOTONIC, what the lines' times count from
  size_t lines_max = 200;  // after the exec; the decisive line is never left out
};

// Lines of source `ebpf`, and `probe` for those that users' probes told, in order of time. The line
// of the call that decides is marked (see KernelFacts::decisive(); the SIGSYS of a target that
// ended by it): whether it did decide, says the judge. `outcome` is the trial's, with the kernel's
// facts; how many lines had no room is added to its story_lost.
std::vector<EvidenceLine> tell_timeline(std::vector<StoryLine> story, const Plan& plan,
                                        TrialOutcome& outcome, const TimelineOptions& options);

}  // namespace ringfence

#pragma once
// The state that a target's tasks are in, by the kernel's own list of them, next to what /proc says
// of the one that waits to be inspected.
#include "harness/judge/trial.h"
#include "harness/runner/kernel_watch.h"

namespace ringfence {

// Adds the tasks that are there now to the outcome, where the watch is to list them. `pid`: a
// process that waits, as this /proc has it, and of which both have to say the same; 0: none does.
void look_at_tasks(const KernelWatch& watch, int pid, TrialOutcome& outcome);

// Keeps of these tasks what is judged: of those in the same namespaces with the same capabilities
// one. What has no room is a fact lost.
void keep_states(std::vector<TaskState> tasks, KernelFacts& kernel);

}  // namespace ringfence

#pragma once
// Hooks that the child itself runs. As all of the child's code: no allocation, no lock, no library
// function. Internal to spawn/.
//
// Sources: clone(2), wait4(2), prctl(2) "PR_SET_PDEATHSIG", execveat(2).
#include <csignal>
#include <cstdint>

#include "harness/spawn/child.h"

namespace ringfence {

// What the fork of a hook is made by: clone(2), since filters answer clone3 with ENOSYS.
inline constexpr uint64_t kHookClone = SIGCHLD;

// Until those of the spawner have run.
int64_t wait_for_hooks(ChildStart* start);
// Runs it to its end in a process of its own, which dies with the child. 0; a hook that ended badly
// stands in the report (-ECANCELED).
int64_t run_hook(ChildStart* start, const ChildHook& hook, uint32_t step);

}  // namespace ringfence

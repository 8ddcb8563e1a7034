#pragma once
// Waiting for and reaping a child by its pidfd. Internal to spawn/. Sources: waitid(2) (P_PIDFD,
// Linux 5.4), pidfd_open(2).
#include <chrono>
#include <optional>

#include "harness/base/result.h"
#include "harness/spawn/spawn.h"

namespace ringfence {

Result<std::optional<ExitStatus>> wait_for_end(int pidfd,
                                               std::optional<std::chrono::milliseconds> timeout);
// Kills the child and reaps it; tries every way there is, since a child must not stay. Nothing when
// it was not there to be reaped any more.
std::optional<ExitStatus> reap(int pid, int pidfd);
// True for a child that is dead and whose program never started: it still has the name that
// run_child() gave it. Leaves it to be reaped.
bool ended_unstarted(int pid, int pidfd);

}  // namespace ringfence

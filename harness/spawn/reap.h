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
// Once the vfork of a child that reached its exec is over: waits until the program has started or
// the child is dead, and is true for a child whose program never started. Leaves it to be reaped.
//
// The kernel ends the vfork when the old memory is given up, which is before the new program has
// its name and before descriptors are closed, and also on the way to death. The name that
// run_child() gave the child tells: it goes after both.
bool ended_unstarted(int pid, int pidfd);

}  // namespace ringfence

#pragma once
// The caller's terminal, or its pipes, joined to the terminal of a program under a policy.
#include <optional>

#include "harness/policy/terminal.h"
#include "harness/spawn/spawn.h"

namespace ringfence::cli {

// Until the program has ended and all that it said is written. The caller's terminal, where its
// standard input is one, is raw meanwhile, and its size is the program's, unless `sized`: then the
// policy gives it one. The end of an input that is no terminal is typed as Ctrl-D.
Status relay(Child& child, bool sized);
// The size of the terminal that is our standard input, for the program's from its first instruction
// on; nothing where it is none.
std::optional<ConsoleSize> own_size();

}  // namespace ringfence::cli

#pragma once
// The caller's terminal, or its pipes, joined to the terminal of a program under a policy.
#include "harness/spawn/spawn.h"

namespace ringfence::cli {

// Until the program has ended and all that it said is written. The caller's terminal, where its
// standard input is one, is raw meanwhile, and its size is the program's, unless `sized`: then the
// policy gives it one. The end of an input that is no terminal is typed as Ctrl-D.
Status relay(Child& child, bool sized);

}  // namespace ringfence::cli

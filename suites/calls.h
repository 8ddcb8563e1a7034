#pragma once
// Which syscalls each attempt of the inmate is made of, as the kernel sees them. The inmate's own
// word on what it tried proves nothing: a witness in the kernel looks out for these.
#include "harness/judge/case.h"

namespace ringfence::suites {

// Fills `calls` (or `proves_attempt`) by the name and the parameters of the case's attempt; what
// the case already says stays. An attempt that the table does not know gets neither.
//
// Listed are the first call that can be refused and those that come after it in the same attempt,
// with every argument that is known beforehand; never one that the inmate makes all the same in
// order to begin, answer and end, and none that a step of a plan makes.
void add_calls(Case& c);

}  // namespace ringfence::suites

#pragma once
// The witness's ladder for people: for each hook the program that this kernel takes, and why it
// refuses the others. The values are Witness::survey()'s, or Witness::ladder()'s.
#include <map>
#include <span>
#include <string>

#include "harness/witness/witness.h"

namespace ringfence {

// A line for each hook and for each refusal; the verifier's log below a refusal that it explains,
// or with `verbose` below any that has one. Ends in a newline; two spaces of indentation.
std::string render_ladder(std::span<const Rung> rungs, bool verbose);

// Each hook, and the rung that is taken, or "absent: " and what its last refusal was.
std::map<std::string, std::string> hooks_of(std::span<const Rung> rungs);

}  // namespace ringfence

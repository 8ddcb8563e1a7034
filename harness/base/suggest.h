#pragma once
// "Did you mean": the nearest of a list of names, for errors on unknown words.
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

// The candidate with the smallest edit distance to `word`, or empty when none is near (more than a
// third of the word's length away, at least two edits allowed).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// Shell glob with '*' and '?' against a whole name; other characters match themselves.
bool glob_match(std::string_view glob, std::string_view name);

}  // namespace ringfence

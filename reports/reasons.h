#pragma once
// The reason words of the result stream (`reason` of a case) in plain words. The console, explain
// and the documentation take them from here.
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

struct Reason {
  std::string_view word;     // "control_failed"; ends in ':' or '<' when something follows
  std::string_view meaning;  // what it says about the case
  std::string_view advice;   // what one can do
};

const std::vector<Reason>& reasons();
// The entry for a reason as it stands in a record ("needs:cgroup2"), or null.
const Reason* reason_for(std::string_view reason);
// What follows the word: "cgroup2" of "needs:cgroup2"; empty for a reason without.
std::string_view reason_argument(std::string_view reason);

}  // namespace ringfence

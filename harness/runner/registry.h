#pragma once
// Registry: the known cases by id. Filled by whoever starts a run; nothing registers before main.
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/case.h"

namespace ringfence {

class Registry {
 public:
  // A second case with an id that is known already is a mistake of the suite's author: usage error.
  Status add(Case c);
  Status add(std::vector<Case> cases);

  [[nodiscard]] const std::vector<Case>& cases() const { return cases_; }
  [[nodiscard]] const Case* find(const std::string& id) const;
  // Cases that any of `globs` matches, in the registry's order; without globs those of the default
  // suite (`full`: all). A glob that matches nothing is an error that suggests the nearest id.
  [[nodiscard]] Result<std::vector<const Case*>> select(const std::vector<std::string>& globs,
                                                        bool full) const;
  // Leaves out those of `chosen` that are judged under their own policy alone.
  static void keep_for_a_policy(std::vector<const Case*>& chosen) {
    std::erase_if(chosen, [](const Case* c) { return !c->outside; });
  }

 private:
  std::vector<Case> cases_;  // sorted by id
};

}  // namespace ringfence

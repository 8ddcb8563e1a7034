#include "harness/runner/registry.h"

#include <algorithm>

#include "harness/base/suggest.h"

namespace ringfence {

Status Registry::add(Case c) {
  const auto at = std::lower_bound(cases_.begin(), cases_.end(), c.id,
                                   [](const Case& a, const std::string& id) { return a.id < id; });
  if (at != cases_.end() && at->id == c.id) {
    return usage_error("register case", c.id, "there is one with this id already");
  }
  cases_.insert(at, std::move(c));
  return {};
}

Status Registry::add(std::vector<Case> cases) {
  for (auto& c : cases) {
    if (auto ok = add(std::move(c)); !ok) return ok;
  }
  return {};
}

const Case* Registry::find(const std::string& id) const {
  const auto at = std::lower_bound(cases_.begin(), cases_.end(), id,
                                   [](const Case& a, const std::string& i) { return a.id < i; });
  return at != cases_.end() && at->id == id ? &*at : nullptr;
}

Result<std::vector<const Case*>> Registry::select(const std::vector<std::string>& globs,
                                                  bool full) const {
  for (const auto& glob : globs) {
    const bool any = std::any_of(cases_.begin(), cases_.end(),
                                 [&](const Case& c) { return glob_match(glob, c.id); });
    if (any) continue;
    std::vector<std::string> ids;
    ids.reserve(cases_.size());
    for (const auto& c : cases_) ids.push_back(c.id);
    const std::string near = nearest(glob, ids);
    return usage_error("select cases", glob,
                       near.empty() ? "no case matches; 'ringfence list' shows them"
                                    : "no case matches; did you mean '" + near + "'?");
  }
  std::vector<const Case*> chosen;
  for (const auto& c : cases_) {
    const bool named = std::any_of(globs.begin(), globs.end(),
                                   [&](const std::string& glob) { return glob_match(glob, c.id); });
    if (named || (globs.empty() && (c.quick || full))) chosen.push_back(&c);
  }
  return chosen;
}

}  // namespace ringfence

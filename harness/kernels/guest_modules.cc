#include "harness/kernels/guest_modules.h"

#include <fnmatch.h>

#include <algorithm>
#include <functional>
#include <set>

#include <nlohmann/json.hpp>

namespace ringfence {

using nlohmann::json;

std::string guest_modules_json(const std::vector<GuestModule>& modules) {
  json list = json::array();
  for (const auto& m : modules) {
    list.push_back(
        {{"name", m.name}, {"path", m.path}, {"depends", m.depends}, {"aliases", m.aliases}});
  }
  return list.dump(-1, ' ', true, json::error_handler_t::replace);
}

Result<std::vector<GuestModule>> parse_guest_modules(const std::string& text) {
  try {
    std::vector<GuestModule> modules;
    for (const auto& from : json::parse(text)) {
      modules.push_back({from.at("name"), from.at("path"), from.at("depends"), from.at("aliases")});
    }
    return modules;
  } catch (const json::exception& error) {
    return usage_error("read list of modules", {}, error.what());
  }
}

std::vector<const GuestModule*> modules_for(const std::vector<GuestModule>& all,
                                            const std::string& name) {
  std::vector<const GuestModule*> order;
  std::set<std::string> seen;
  std::function<void(const std::string&)> add = [&](const std::string& wanted) {
    const auto m = std::find_if(all.begin(), all.end(),
                                [&](const GuestModule& module) { return module.name == wanted; });
    if (m == all.end() || !seen.insert(wanted).second) return;
    for (const auto& other : m->depends) add(other);
    order.push_back(&*m);
  };
  add(module_name(name));
  if (!order.empty()) return order;
  for (const auto& m : all) {
    const bool meant = std::any_of(m.aliases.begin(), m.aliases.end(), [&](const std::string& a) {
      return fnmatch(a.c_str(), name.c_str(), 0) == 0;
    });
    if (meant) add(m.name);
  }
  return order;
}

}  // namespace ringfence

#include "harness/policy/landlock_annotation.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace ringfence {
namespace {

using Json = nlohmann::json;
using Rights = std::vector<LandlockRight>;

uint64_t read_rights(const JsonNode& list, const Rights& known, const std::string& what) {
  uint64_t bits = 0;
  for (const auto& item : list.items()) {
    const std::string name = item.string();
    const auto it = std::find_if(known.begin(), known.end(),
                                 [&](const LandlockRight& right) { return right.name == name; });
    if (it != known.end()) {
      bits |= it->bit;
      continue;
    }
    std::vector<std::string> names;
    names.reserve(known.size());
    for (const LandlockRight& right : known) names.emplace_back(right.name);
    fail_unknown(item, what, name, names);
  }
  return bits;
}

// What a rule allows, of what its rule set handles.
uint64_t read_allowed(const JsonNode& rule, const Rights& known, uint64_t handled,
                      const std::string& field) {
  const JsonNode list = rule.require("allowedAccess");
  const uint64_t allowed = read_rights(list, known, "access right");
  if (!list) return allowed;
  if (allowed == 0) list.fail("allows nothing", "at least one access right");
  for (const LandlockRight& right : known) {
    if ((allowed & right.bit) == 0 || (handled & right.bit) != 0) continue;
    list.fail("not handled by the rule set: " + std::string(right.name), "a right of " + field);
  }
  return allowed;
}

LandlockRuleSet read_rule_set(const JsonNode& node) {
  node.only({"handledAccessFs", "handledAccessNet", "scoped", "pathBeneath", "netPort"});
  LandlockRuleSet rules;
  rules.fs = read_rights(node.get("handledAccessFs"), landlock_fs_rights(), "access right");
  rules.net = read_rights(node.get("handledAccessNet"), landlock_net_rights(), "access right");
  rules.scoped = read_rights(node.get("scoped"), landlock_scopes(), "scope");
  if ((rules.fs | rules.net | rules.scoped) == 0) {
    node.fail("a rule set that handles nothing",
              "rights in handledAccessFs, handledAccessNet or scoped");
  }
  for (const auto& item : node.get("pathBeneath").items()) {
    item.only({"parent", "allowedAccess"});
    rules.beneath.push_back(
        {item.require("parent").absolute_path(),
         read_allowed(item, landlock_fs_rights(), rules.fs, "handledAccessFs")});
  }
  for (const auto& item : node.get("netPort").items()) {
    item.only({"port", "allowedAccess"});
    rules.ports.push_back(
        {static_cast<uint16_t>(item.require("port").unsigned_integer(UINT16_MAX)),
         read_allowed(item, landlock_net_rights(), rules.net, "handledAccessNet")});
  }
  return rules;
}

Json names_of(const Rights& known, uint64_t bits) {
  Json names = Json::array();
  for (const LandlockRight& right : known) {
    if ((bits & right.bit) != 0) names.push_back(right.name);
  }
  return names;
}

}  // namespace

void read_landlock(const JsonNode& node, Policy& policy) {
  if (!node) return;
  const auto document = JsonDocument::within(node);
  if (!document) return;
  // The pointer goes on inside the text.
  const JsonNode top = document->root(node.context(), node.pointer());
  top.only({"ruleSets"});
  const JsonNode list = top.require("ruleSets");
  for (const auto& item : list.items()) policy.landlock.push_back(read_rule_set(item));
  if (list && policy.landlock.empty()) list.fail("no rule set", "at least one");
  if (policy.landlock.size() > kMostLandlockRuleSets) {
    list.fail(std::to_string(policy.landlock.size()) + " rule sets",
              "at most " + std::to_string(kMostLandlockRuleSets));
  }
}

std::string write_landlock(const std::vector<LandlockRuleSet>& rule_sets) {
  Json json = {{"ruleSets", Json::array()}};
  for (const LandlockRuleSet& rules : rule_sets) {
    Json item = Json::object();
    if (rules.fs != 0) item["handledAccessFs"] = names_of(landlock_fs_rights(), rules.fs);
    if (rules.net != 0) item["handledAccessNet"] = names_of(landlock_net_rights(), rules.net);
    if (rules.scoped != 0) item["scoped"] = names_of(landlock_scopes(), rules.scoped);
    for (const auto& rule : rules.beneath) {
      item["pathBeneath"].push_back(
          {{"parent", rule.parent},
           {"allowedAccess", names_of(landlock_fs_rights(), rule.allowed)}});
    }
    for (const auto& rule : rules.ports) {
      item["netPort"].push_back(
          {{"port", rule.port}, {"allowedAccess", names_of(landlock_net_rights(), rule.allowed)}});
    }
    json["ruleSets"].push_back(std::move(item));
  }
  return json.dump();
}

}  // namespace ringfence

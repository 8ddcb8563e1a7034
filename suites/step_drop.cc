#include "suites/step_drop.h"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/runner/decoy.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

std::string describe(const CaseRecord& record) {
  std::string text(verdict_name(record.verdict));
  if (!record.reason.empty()) text += fmt::format(" ({}: {})", record.reason, record.detail);
  return text;
}

bool lacking(const CaseRecord& record) {
  return record.verdict == Verdict::skipped &&
         (record.reason.starts_with("host-lacks:") || record.reason.starts_with("needs:"));
}

// For one trial on an emulated processor of a busy machine; who hangs fails whatever it is.
constexpr std::chrono::seconds kPatience{60};

Result<CaseRecord> run_one(const Case& c, const Facts& facts,
                           const std::function<bool(const Step&)>& drop) {
  Registry registry;
  if (auto ok = registry.add(c); !ok) return tl::unexpected(ok.error());
  RunOptions options;
  options.full = true;
  options.seed = 1;
  options.timeout = kPatience;
  options.drop = drop;
  options.opened_witness = witness_of_process();
  Observer silent;
  auto result = run(registry, facts, options, silent);
  if (!result) return tl::unexpected(result.error());
  if (result->cases.size() != 1) return usage_error("run one case", c.id, "it gave no record");
  return std::move(result->cases.front());
}

}  // namespace

DropOutcome judge_drop(const CaseRecord& whole, const CaseRecord& dropped) {
  using Kind = DropOutcome::Kind;
  // A case that is skipped with its step and not without it hides something else.
  if (lacking(whole) && lacking(dropped)) return {Kind::absent, whole.reason};
  if (whole.verdict != Verdict::held) {
    return {Kind::failed, fmt::format("{} with the step: {}", whole.id, describe(whole))};
  }
  if (dropped.verdict != Verdict::breached) {
    return {Kind::failed, fmt::format("{} without the step: {}", dropped.id, describe(dropped))};
  }
  return {Kind::exercised, dropped.detail};
}

const DropOutcome& StepDropper::outcome(const Case& c) {
  auto it = known_.find(c.id);
  if (it == known_.end()) it = known_.emplace(c.id, run_both(c)).first;
  return it->second;
}

DropOutcome StepDropper::run_both(const Case& c) const {
  using Kind = DropOutcome::Kind;
  if (c.control) {
    // The kernel's own rule: no step makes it. With its precondition met it must let through.
    Case met = c;
    met.attempt = *c.control;
    met.control.reset();
    const auto whole = run_one(c, facts_, {});
    if (!whole) return {Kind::failed, whole.error().describe()};
    const auto open = run_one(met, facts_, {});
    if (!open) return {Kind::failed, open.error().describe()};
    return judge_drop(*whole, *open);
  }
  if (c.step.empty()) return {Kind::failed, c.id + " names no step"};
  CompileOptions options;
  options.staging = kDecoyStaging;
  const auto plan = compile(c.policy, options);
  if (!plan) return {Kind::failed, plan.error().describe()};
  const Step* step = plan->find(c.step);
  if (step == nullptr) {
    return {Kind::failed, fmt::format("{}: its policy makes no step {}", c.id, c.step)};
  }
  if (!needs_case(*step)) {
    return {Kind::failed, fmt::format("{}: its step {} confines nothing", c.id, c.step)};
  }
  const auto whole = run_one(c, facts_, {});
  if (!whole) return {Kind::failed, whole.error().describe()};
  const auto dropped = run_one(c, facts_, [&](const Step& s) { return s.key == c.step; });
  if (!dropped) return {Kind::failed, dropped.error().describe()};
  return judge_drop(*whole, *dropped);
}

std::string StepDropper::opened_by(const Case& c, const std::string& key) const {
  const auto record = run_one(c, facts_, [&](const Step& s) { return s.key == key; });
  if (!record) return record.error().describe();
  return record->verdict == Verdict::breached ? record->detail : std::string();
}

std::optional<Case> stand_in(const std::string& key) {
  const bool mask = key.starts_with("mount.mask:");
  if (!mask && !key.starts_with("mount.ro:")) return std::nullopt;
  const std::string path = key.substr(key.find(':') + 1);
  const size_t second = path.find('/', 1);
  if (second == std::string::npos) return std::nullopt;
  Case c;
  c.id = "stand_in." + key;
  c.title = "the step " + key + " on a directory of the host";
  // The decoy host's own root is the directory, so that a canary is found below it.
  c.policy = in_root({{"tmpfs", path.substr(0, second)}});
  Mount bind;
  bind.destination = path;
  bind.source = "/";
  bind.options = {"bind"};
  parse_mount_options(bind);
  c.policy.mounts.push_back(std::move(bind));
  if (mask) {
    c.expected = Layer::kMask;
    c.policy.masked_paths = {path};
    c.attempt = {"read_file", {path + "{secret_file}"}};
    c.goal = {Sight::secret_returned};
    c.proofs = {{Sight::mount_covers, path}};
  } else {
    c.expected = Layer::kReadOnly;
    c.policy.readonly_paths = {path};
    c.attempt = {"create_file", {path + "/canary/rf_new", "0644"}};
    c.goal = {Sight::file_exists, "/canary/rf_new"};
    c.proofs = {{Sight::mount_has, path, MS_RDONLY}};
  }
  c.needs = {"root"};
  c.step = key;
  return c;
}

bool needs_case(const Step& step) { return step.confines && step.exempt.empty(); }

std::vector<const Case*> cases_for(const Registry& registry, const std::string& key) {
  std::vector<const Case*> list;
  for (const Case& c : registry.cases()) {
    if (c.step == key) list.push_back(&c);
  }
  return list;
}

Result<ExemptSteps> read_exempt_steps(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  ExemptSteps steps;
  if (!json.is_object() || json.size() != 2) {
    return usage_error("read exempt steps", path, "must have set_up and exempt, nothing else");
  }
  for (auto* part : {&steps.set_up, &steps.exempt}) {
    const char* name = part == &steps.set_up ? "set_up" : "exempt";
    const auto it = json.find(name);
    if (it == json.end() || !it->is_object()) return usage_error("read exempt steps", path, name);
    for (const auto& [glob, reason] : it->items()) {
      if (!reason.is_string() || reason.get_ref<const std::string&>().empty()) {
        return usage_error("read exempt steps", path, glob + " has no reason");
      }
      part->emplace(glob, reason.get<std::string>());
    }
  }
  return steps;
}

std::vector<std::string> compare_exempt(const ExemptSteps& listed, const Plan& plan) {
  std::vector<std::string> complaints;
  const auto compare = [&](const std::map<std::string, std::string>& list, const char* kind,
                           auto belongs, bool same_reason) {
    std::map<std::string, int> used;
    for (const Step& step : plan.steps) {
      if (!belongs(step)) continue;
      const auto entry = std::find_if(list.begin(), list.end(),
                                      [&](const auto& e) { return glob_match(e.first, step.key); });
      if (entry == list.end()) {
        complaints.push_back(fmt::format("{} is {} and not listed", step.key, kind));
        continue;
      }
      ++used[entry->first];
      if (same_reason && entry->second != step.exempt) {
        complaints.push_back(fmt::format("{} is exempt because \"{}\", listed as \"{}\"", step.key,
                                         step.exempt, entry->second));
      }
    }
    for (const auto& [glob, reason] : list) {
      if (used[glob] == 0) complaints.push_back(fmt::format("no step {} is {}", glob, kind));
    }
  };
  compare(
      listed.set_up, "set-up", [](const Step& s) { return !s.confines; }, false);
  compare(
      listed.exempt, "exempt", [](const Step& s) { return s.confines && !s.exempt.empty(); }, true);
  return complaints;
}

}  // namespace ringfence::suites

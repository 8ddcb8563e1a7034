#include "reports/record_json.h"

#include <nlohmann/json.hpp>

#include "reports/text.h"

namespace ringfence {
namespace {

using Json = nlohmann::ordered_json;  // keeps our order: `type` first, for people who read it

std::string line(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

Json texts(const std::vector<std::string>& list) {
  Json json = Json::array();
  for (const auto& text : list) json.push_back(to_utf8(text));
  return json;
}

Json trial(const std::optional<TrialRecord>& record) {
  if (!record) return nullptr;
  return Json{{"achieved", record->achieved}, {"says", to_utf8(record->says)}};
}

}  // namespace

std::string record_line(const HeaderRecord& r) {
  Json facts = Json::object();
  for (const auto& [name, value] : r.facts) facts[to_utf8(name)] = to_utf8(value);
  Json axes = Json::object();
  for (const auto& [name, value] : r.axes) axes[to_utf8(name)] = to_utf8(value);
  Json header = {{"type", "header"},
                 {"run_id", to_utf8(r.run_id)},
                 {"started", to_utf8(r.started)},
                 {"version", to_utf8(r.version)},
                 {"kernel", to_utf8(r.kernel)},
                 {"machine", to_utf8(r.machine)},
                 {"cgroup_mode", to_utf8(r.cgroup_mode)},
                 {"lsms", texts(r.lsms)},
                 {"cpu", to_utf8(r.cpu)},
                 {"hypervisor", to_utf8(r.hypervisor)},
                 {"root", r.root},
                 {"target", to_utf8(r.target)},
                 {"mode", to_utf8(r.mode)},
                 {"policy", to_utf8(r.policy)},
                 {"seed", r.seed},
                 {"unenforced", texts(r.unenforced)},
                 {"notes", texts(r.notes)},
                 {"facts", std::move(facts)}};
  if (!axes.empty()) header["axes"] = std::move(axes);
  return line(header);
}

std::string record_line(const CaseRecord& r) {
  Json witnesses = Json::array();
  for (const auto& w : r.witnesses) {
    witnesses.push_back(
        Json{{"name", to_utf8(w.name)}, {"says", to_utf8(w.says)}, {"lost", w.lost}});
  }
  Json evidence = Json::array();
  for (const auto& e : r.evidence) {
    evidence.push_back(Json{{"trial", to_utf8(e.trial)},
                            {"at_us", e.at_us},
                            {"source", to_utf8(e.source)},
                            {"text", to_utf8(e.text)},
                            {"decided", e.decided}});
  }
  Json timings = Json::object();
  for (const auto& [name, ns] : r.timings_ns) timings[to_utf8(name)] = ns;
  return line(Json{{"type", "case"},
                   {"run_id", to_utf8(r.run_id)},
                   {"id", to_utf8(r.id)},
                   {"verdict", verdict_name(r.verdict)},
                   {"expected_layer", r.expected_layer.name()},
                   {"decided_by", to_utf8(r.decided_by)},
                   {"target", to_utf8(r.target)},
                   {"mode", to_utf8(r.mode)},
                   {"reason", to_utf8(r.reason)},
                   {"detail", to_utf8(r.detail)},
                   {"control", trial(r.control)},
                   {"liveness", trial(r.liveness)},
                   {"witnesses", std::move(witnesses)},
                   {"duration_ns", r.duration_ns},
                   {"timings_ns", std::move(timings)},
                   {"title", to_utf8(r.title)},
                   {"source", to_utf8(r.source)},
                   {"notes", to_utf8(r.notes)},
                   {"evidence", std::move(evidence)}});
}

std::string record_line(const GrantedRecord& r) {
  return line(Json{{"type", "granted"},
                   {"run_id", to_utf8(r.run_id)},
                   {"what", to_utf8(r.what)},
                   {"text", to_utf8(r.text)}});
}

std::string record_line(const FindingRecord& r) {
  return line(Json{{"type", "finding"},
                   {"run_id", to_utf8(r.run_id)},
                   {"id", to_utf8(r.id)},
                   {"text", to_utf8(r.text)}});
}

std::string record_line(const SummaryRecord& r) {
  Json counts = Json::object();
  for (int v = 0; v < kVerdicts; ++v) {  // every verdict, so that a reader needs no default
    const auto verdict = static_cast<Verdict>(v);
    const auto found = r.counts.find(verdict);
    counts[std::string(verdict_name(verdict))] = found == r.counts.end() ? 0 : found->second;
  }
  return line(Json{{"type", "summary"},
                   {"run_id", to_utf8(r.run_id)},
                   {"counts", std::move(counts)},
                   {"exit_code", r.exit_code},
                   {"duration_ns", r.duration_ns},
                   {"interrupted", r.interrupted},
                   {"complaints", texts(r.complaints)},
                   {"notes", texts(r.notes)}});
}

std::string started_line(const std::string& id) {
  return line(Json{{"type", "started"}, {"id", to_utf8(id)}});
}

}  // namespace ringfence

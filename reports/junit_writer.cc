#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include <pugixml.hpp>

#include "reports/text.h"
#include "reports/writer.h"

namespace ringfence {
namespace {

struct Totals {
  int tests = 0;
  int failures = 0;
  int errors = 0;
  int skipped = 0;
  int64_t duration_ns = 0;

  void add(const CaseRecord& record) {
    ++tests;
    failures += record.verdict == Verdict::breached;
    errors += record.verdict == Verdict::unproven || record.verdict == Verdict::broken;
    skipped += record.verdict == Verdict::skipped;
    duration_ns = saturated_sum(duration_ns, record.duration_ns);
  }
};

void set(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(xml_safe(value).c_str());
}

std::string seconds(int64_t ns) {
  return fmt::format("{:.6f}", static_cast<double>(std::max<int64_t>(ns, 0)) / 1e9);
}

void set_totals(pugi::xml_node node, const Totals& totals, bool with_skipped) {
  set(node, "tests", std::to_string(totals.tests));
  set(node, "failures", std::to_string(totals.failures));
  set(node, "errors", std::to_string(totals.errors));
  if (with_skipped) set(node, "skipped", std::to_string(totals.skipped));
  set(node, "time", seconds(totals.duration_ns));
}

void add_property(pugi::xml_node properties, const std::string& name, const std::string& value) {
  auto property = properties.append_child("property");
  set(property, "name", name);
  set(property, "value", value);
}

void add_properties(pugi::xml_node suite, const RunResult& run) {
  const HeaderRecord& h = run.header;
  auto properties = suite.append_child("properties");
  add_property(properties, "run_id", h.run_id);
  add_property(properties, "version", h.version);
  add_property(properties, "kernel", h.kernel);
  add_property(properties, "machine", h.machine);
  add_property(properties, "cgroup_mode", h.cgroup_mode);
  add_property(properties, "lsms", fmt::format("{}", fmt::join(h.lsms, ",")));
  add_property(properties, "cpu", h.cpu);
  add_property(properties, "hypervisor", h.hypervisor);
  add_property(properties, "root", h.root ? "yes" : "no");
  add_property(properties, "target", h.target);
  add_property(properties, "mode", h.mode);
  add_property(properties, "policy", h.policy);
  add_property(properties, "seed", std::to_string(h.seed));
  add_property(properties, "exit_code", std::to_string(run.summary.exit_code));
}

// What stands under a failure or an error: enough to begin with, without the result file.
std::string account(const CaseRecord& record) {
  std::string text = record.title + "\n";
  if (!record.expected_layer.empty())
    text += "expected layer: " + record.expected_layer.str() + "\n";
  if (!record.decided_by.empty()) text += "decided by: " + record.decided_by + "\n";
  if (!record.detail.empty()) text += record.detail + "\n";
  for (const auto& w : record.witnesses) {
    text += fmt::format("witness {}: {}{}\n", w.name, w.says,
                        w.lost == 0 ? "" : fmt::format(" ({} events lost)", w.lost));
  }
  return text;
}

void add_case(pugi::xml_node suite, const CaseRecord& record) {
  auto node = suite.append_child("testcase");
  set(node, "name", record.id);
  set(node, "classname", "ringfence." + primitive_of(record.id));
  set(node, "time", seconds(record.duration_ns));
  if (record.verdict == Verdict::held) return;
  const bool failure = record.verdict == Verdict::breached;
  const bool skipped = record.verdict == Verdict::skipped;
  auto outcome = node.append_child(failure ? "failure" : skipped ? "skipped" : "error");
  set(outcome, "type", std::string(verdict_name(record.verdict)));
  if (skipped) {
    set(outcome, "message",
        record.detail.empty() ? record.reason : record.reason + ": " + record.detail);
    return;
  }
  const std::string seen = what_was_seen(record);
  set(outcome, "message",
      failure || record.reason.empty() || seen == record.reason ? seen
                                                                : record.reason + ": " + seen);
  outcome.text().set(xml_safe(account(record)).c_str());
}

}  // namespace

std::string JunitWriter::render(const std::vector<RunResult>& results) const {
  pugi::xml_document document;
  auto declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version").set_value("1.0");
  declaration.append_attribute("encoding").set_value("UTF-8");
  auto root = document.append_child("testsuites");
  set(root, "name", "ringfence");
  Totals all;
  for (const RunResult& run : results) {
    const std::string prefix = results.size() > 1 ? run_label(run.header) + ": " : "";
    std::map<std::string, std::vector<const CaseRecord*>> by_primitive;
    for (const auto& record : run.cases) by_primitive[primitive_of(record.id)].push_back(&record);
    // A report that is green although the run was not would be a verdict lost on the way.
    CaseRecord whole;
    whole.id = "run.exit_code";
    whole.title = "the run as a whole";
    whole.reason = "exit_code";
    whole.detail = run_complaint(run);
    if (!whole.detail.empty()) by_primitive["run"].push_back(&whole);
    for (const auto& [primitive, cases] : by_primitive) {
      auto suite = root.append_child("testsuite");
      set(suite, "name", prefix + primitive);
      Totals totals;
      for (const auto* record : cases) {
        totals.add(*record);
        all.add(*record);
      }
      set_totals(suite, totals, true);
      set(suite, "timestamp", run.header.started);
      add_properties(suite, run);
      for (const auto* record : cases) add_case(suite, *record);
    }
  }
  set_totals(root, all, false);
  std::ostringstream out;
  document.save(out, "  ", pugi::format_default, pugi::encoding_utf8);
  return out.str();
}

}  // namespace ringfence

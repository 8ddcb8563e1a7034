#include <fmt/format.h>

#include <map>

#include "reports/text.h"
#include "reports/writer.h"

namespace ringfence {
namespace {

constexpr std::string_view kIndent = "  ";  // two spaces for each level, as ktap.rst asks

// One level of a KTAP document. A test line of the level above follows it.
struct Group {
  std::string name;
  std::vector<std::string> lines;  // already indented within the group
  int tests = 0;
  int failed = 0;
  int skipped = 0;

  void result(bool ok, const std::string& test, const std::string& directive) {
    lines.push_back(fmt::format("{}ok {} {}{}", ok ? "" : "not ", ++tests, test,
                                directive.empty() ? "" : " # " + directive));
    failed += !ok;
    skipped += directive.starts_with("SKIP");
  }
  void diagnostic(const std::string& text) { lines.push_back("# " + text); }
  void subtest(const Group& group) {
    lines.push_back(std::string(kIndent) + "KTAP version 1");
    lines.push_back(fmt::format("{}# Subtest: {}", kIndent, group.name));
    lines.push_back(fmt::format("{}1..{}", kIndent, group.tests));
    for (const auto& line : group.lines) lines.push_back(std::string(kIndent) + line);
    const bool all_skipped = group.tests > 0 && group.skipped == group.tests;
    result(group.failed == 0, group.name, all_skipped ? "SKIP every test was skipped" : "");
  }
};

void add_case(Group& group, const CaseRecord& record) {
  const std::string id = ktap_safe(record.id);
  const std::string reason = ktap_safe(record.reason);
  switch (record.verdict) {
    case Verdict::held:
      group.result(true, id, "");
      return;
    case Verdict::skipped:
      group.result(true, id, "SKIP " + reason);
      return;
    case Verdict::breached:
      group.diagnostic(fmt::format("{}: breached: {}", id, ktap_safe(what_was_seen(record))));
      group.result(false, id, "");
      return;
    case Verdict::unproven:
    case Verdict::broken: {
      const auto verdict = verdict_name(record.verdict);
      group.diagnostic(
          fmt::format("{}: {}: {}: {}", id, verdict, reason, ktap_safe(what_was_seen(record))));
      group.result(false, id, fmt::format("ERROR {}: {}", verdict, reason));
      return;
    }
  }
}

void add_run(Group& parent, const RunResult& run) {
  const HeaderRecord& h = run.header;
  parent.diagnostic(ktap_safe(fmt::format("ringfence {} kernel {} target {} mode {} run {}",
                                          h.version, h.kernel, h.target, h.mode, h.run_id)));
  std::map<std::string, Group> groups;
  for (const auto& record : run.cases) {
    Group& group = groups[primitive_of(record.id)];
    group.name = ktap_safe(primitive_of(record.id));
    if (group.name.empty()) group.name = "-";
    add_case(group, record);
  }
  for (const auto& [name, group] : groups) parent.subtest(group);
  // Never "ok" throughout when the run's exit code is not 0.
  if (const std::string complaint = run_complaint(run); !complaint.empty()) {
    parent.diagnostic("run: " + ktap_safe(complaint));
    parent.result(false, "run.exit_code", "");
  }
}

}  // namespace

std::string KtapWriter::render(const std::vector<RunResult>& results) const {
  Group top;
  for (const RunResult& run : results) {
    if (results.size() == 1) {
      add_run(top, run);
      continue;
    }
    Group whole;
    whole.name = ktap_safe(run_label(run.header));
    add_run(whole, run);
    top.subtest(whole);
  }
  std::string text = fmt::format("KTAP version 1\n1..{}\n", top.tests);
  for (const auto& line : top.lines) text += line + "\n";
  return text;
}

}  // namespace ringfence

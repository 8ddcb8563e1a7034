#include "reports/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/suggest.h"
#include "reports/reasons.h"
#include "reports/text.h"

namespace ringfence {
namespace {

void field(std::string& out, const Style& style, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  constexpr size_t kName = 14;
  out += "  " + paint(style, Tone::dim, pad(name, kName)) + value + "\n";
}

std::string what_control_is(const CaseRecord& record) {
  if (record.mode == "policy") return "the attempt without any confinement; it must succeed";
  if (record.expected_layer.empty()) return "the attempt where it must succeed";
  return "the attempt without " + record.expected_layer.str() + "; it must succeed";
}

std::string outcome_of(const std::optional<TrialRecord>& trial) {
  if (!trial) return "not made";
  const std::string outcome = trial->achieved ? "achieved" : "not achieved";
  return trial->says.empty() ? outcome : outcome + ": " + terminal_safe(trial->says);
}

void add_trial(std::string& out, const Style& style, const CaseRecord& record,
               std::string_view trial, const std::string& about, const std::string& outcome,
               Tone tone) {
  out += "\n" + paint(style, Tone::strong, trial) + "  " + about + "\n";
  out += "  " + paint(style, tone, outcome) + "\n";
  std::vector<const EvidenceLine*> lines;
  size_t source_width = 6;
  for (const auto& line : record.evidence) {
    if (line.trial != trial) continue;
    lines.push_back(&line);
    source_width = std::max(source_width, columns(terminal_safe(line.source)));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const auto* a, const auto* b) { return a->at_us < b->at_us; });
  for (const auto* line : lines) {
    const std::string text =
        fmt::format("{} {:>9} us  {}  {}", line->decided ? ">" : " ", line->at_us,
                    pad(terminal_safe(line->source), source_width), terminal_safe(line->text));
    if (line->decided) {
      out += paint(style, Tone::strong, text + "  <- decided") + "\n";
    } else {
      out += text + "\n";
    }
  }
}

void add_witnesses(std::string& out, const Style& style, const CaseRecord& record) {
  out += "\n" + paint(style, Tone::strong, "witnesses") + "\n";
  if (record.witnesses.empty()) out += "  none\n";
  for (const auto& witness : record.witnesses) {
    const std::string lost =
        witness.lost == 0 ? "  (0 lost)" : fmt::format("  ({} events lost)", witness.lost);
    out += fmt::format("  {} {}{}{}\n", pad(terminal_safe(witness.name), 10),
                       terminal_safe(witness.says),
                       paint(style, witness.lost == 0 ? Tone::dim : Tone::warning, lost),
                       witness.name == "inmate" ? "  (a claim, not a proof)" : "");
  }
}

void add_reason(std::string& out, const Style& style, const CaseRecord& record) {
  if (record.reason.empty() && record.detail.empty()) return;
  out += "\n" + paint(style, Tone::strong, "reason");
  if (!record.reason.empty()) out += "  " + terminal_safe(record.reason);
  out += "\n";
  const auto width = static_cast<size_t>(style.width);
  if (!record.detail.empty()) out += wrap(terminal_safe(record.detail), 2, width);
  if (const Reason* reason = reason_for(record.reason)) {
    out += wrap(reason->meaning, 2, width);
    out += wrap(reason->advice, 2, width);
  }
}

}  // namespace

Result<std::vector<FoundCase>> find_case(const std::vector<RunResult>& results,
                                         const std::string& id) {
  std::vector<FoundCase> found;
  std::vector<std::string> ids;
  for (const auto& run : results) {
    for (const auto& record : run.cases) {
      if (record.id == id) found.push_back({&run, &record});
      ids.push_back(record.id);
    }
  }
  if (!found.empty()) return found;
  const std::string near = nearest(id, ids);
  return usage_error("explain", terminal_safe("no case '" + id + "' in the file"),
                     terminal_safe(near.empty() ? fmt::format("it has {} cases", ids.size())
                                                : "did you mean '" + near + "'?"));
}

std::string render_explain(const HeaderRecord& header, const CaseRecord& record,
                           const Style& style) {
  std::string out = paint(style, Tone::strong, terminal_safe(record.id));
  out += "  " + terminal_safe(record.title) + "\n";
  const std::string verdict(verdict_name(record.verdict));
  field(out, style, "verdict",
        paint(style, tone_of(record.verdict), mark_of(style, record.verdict) + " " + verdict));
  field(out, style, "expected", record.expected_layer.str());
  field(out, style, "decided by", terminal_safe(record.decided_by));
  field(out, style, "target", terminal_safe(record.target));
  field(out, style, "mode",
        terminal_safe(header.policy.empty() ? record.mode
                                            : record.mode + ", policy " + header.policy));
  field(out, style, "kernel", terminal_safe(header.kernel));
  field(out, style, "source", terminal_safe(record.source));
  std::string took = duration_text(record.duration_ns);
  for (const auto& [name, ns] : record.timings_ns) {
    took += fmt::format(", {} {}", terminal_safe(name), duration_text(ns));
  }
  field(out, style, "took", took);
  field(out, style, "run", terminal_safe(header.run_id + " " + header.started));
  field(out, style, "notes", terminal_safe(record.notes));

  const bool ran = std::any_of(record.evidence.begin(), record.evidence.end(),
                               [](const EvidenceLine& line) { return line.trial == "confined"; });
  const bool judged = record.verdict == Verdict::held || record.verdict == Verdict::breached;
  const std::string confined = record.verdict == Verdict::breached ? "the attempt got through"
                               : record.verdict == Verdict::held ? "the attempt did not get through"
                               : ran ? "no verdict can rest on it: " + verdict
                                     : "not made";
  if (!record.control && !record.liveness && record.evidence.empty()) {
    out += "\n" + paint(style, Tone::strong, "trials") + "  none was made\n";
    add_witnesses(out, style, record);
    add_reason(out, style, record);
    return out;
  }
  add_trial(out, style, record, "control", what_control_is(record), outcome_of(record.control),
            record.control && record.control->achieved ? Tone::plain : Tone::warning);
  add_trial(out, style, record, "confined", "the attempt under the policy; it must fail", confined,
            judged ? tone_of(record.verdict) : Tone::warning);
  add_trial(out, style, record, "liveness",
            "a benign operation of the same kind under the policy; it must work",
            outcome_of(record.liveness),
            record.liveness && record.liveness->achieved ? Tone::plain : Tone::warning);
  add_witnesses(out, style, record);
  add_reason(out, style, record);
  return out;
}

}  // namespace ringfence

#include "harness/diff/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include <nlohmann/json.hpp>

#include "reports/text.h"

namespace ringfence {
namespace {

// How bad a verdict is. skipped is worse than held: what held is no longer looked at.
int badness(Verdict verdict) {
  switch (verdict) {
    case Verdict::held:
      return 0;
    case Verdict::skipped:
      return 1;
    case Verdict::unproven:
      return 2;
    case Verdict::broken:
      return 3;
    case Verdict::breached:
      break;
  }
  return 4;
}

using RunKey = std::tuple<std::string, std::string, std::string>;
using CaseKey = std::tuple<std::string, std::string, std::string>;

RunKey key_of(const RunResult& run) {
  return {run.header.target, run.header.mode, run.header.policy};
}
CaseKey key_of(const CaseRecord& record) { return {record.id, record.target, record.mode}; }

struct Pair {
  const RunResult* before = nullptr;
  const RunResult* after = nullptr;
};

std::vector<Pair> match_runs(const std::vector<RunResult>& before,
                             const std::vector<RunResult>& after) {
  std::vector<Pair> pairs;
  pairs.reserve(before.size() + after.size());
  for (const auto& run : before) pairs.push_back({&run, nullptr});
  std::vector<bool> taken(after.size(), false);
  for (const bool same_kernel : {true, false}) {
    for (Pair& pair : pairs) {
      for (size_t i = 0; i < after.size() && pair.after == nullptr; ++i) {
        const bool fits = key_of(*pair.before) == key_of(after[i]) &&
                          (!same_kernel || pair.before->header.kernel == after[i].header.kernel);
        if (taken[i] || !fits) continue;
        taken[i] = true;
        pair.after = &after[i];
      }
    }
  }
  // One run each: whatever policy it was under, that is the comparison that was asked for.
  if (before.size() == 1 && after.size() == 1 && !taken[0] &&
      before[0].header.target == after[0].header.target &&
      before[0].header.mode == after[0].header.mode) {
    taken[0] = true;
    pairs[0].after = &after[0];
  }
  for (size_t i = 0; i < after.size(); ++i) {
    if (!taken[i]) pairs.push_back({nullptr, &after[i]});
  }
  return pairs;
}

std::string label_of(const Pair& pair) {
  const HeaderRecord& one = (pair.before != nullptr ? pair.before : pair.after)->header;
  std::string label = one.target;
  if (!one.policy.empty()) label += " policy:" + one.policy;
  if (!one.kernel.empty()) label += " " + one.kernel;
  if (pair.before != nullptr && pair.after != nullptr && pair.after->header.kernel != one.kernel) {
    label += " -> " + pair.after->header.kernel;
  }
  return label;
}

std::string joined(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, ", "));
}

void compare_headers(DiffReport& report, const std::string& run, const HeaderRecord& a,
                     const HeaderRecord& b) {
  const auto compare = [&](const std::string& field, const std::string& x, const std::string& y) {
    if (x != y) report.headers.push_back({run, field, x, y});
  };
  compare("version", a.version, b.version);
  compare("kernel", a.kernel, b.kernel);
  compare("policy", a.policy, b.policy);
  compare("machine", a.machine, b.machine);
  compare("cgroup_mode", a.cgroup_mode, b.cgroup_mode);
  compare("lsms", joined(a.lsms), joined(b.lsms));
  compare("cpu", a.cpu, b.cpu);
  compare("hypervisor", a.hypervisor, b.hypervisor);
  compare("root", a.root ? "yes" : "no", b.root ? "yes" : "no");
  compare("unenforced", joined(a.unenforced), joined(b.unenforced));
  std::map<std::string, std::pair<std::string, std::string>> facts;
  for (const auto& [name, value] : a.facts) facts[name].first = value;
  for (const auto& [name, value] : b.facts) facts[name].second = value;
  for (const auto& [name, values] : facts) compare("facts." + name, values.first, values.second);
}

std::string described(const CaseRecord& record) {
  std::string text(verdict_name(record.verdict));
  if (!record.reason.empty()) text += " (" + record.reason + ")";
  return text;
}

void compare_cases(DiffReport& report, const std::string& run, const CaseRecord& a,
                   const CaseRecord& b) {
  ++report.compared;
  if (a.verdict != b.verdict) {
    report.verdicts.push_back({run, a.id, "verdict", described(a), described(b),
                               badness(b.verdict) > badness(a.verdict)});
    return;  // another verdict has another reason and often another layer
  }
  if (a.decided_by != b.decided_by) {
    report.layers.push_back({run, a.id, "decided_by", a.decided_by, b.decided_by, false});
  }
  if (a.reason != b.reason) {
    report.reasons.push_back({run, a.id, "reason", a.reason, b.reason, false});
  }
}

// For sorting changes of verdict: the verdict's word stands at the beginning of the text.
int badness_of_text(const std::string& text) {
  const auto verdict = verdict_by_name(text.substr(0, text.find(' ')));
  return verdict ? badness(*verdict) : -1;
}

void compare_runs(DiffReport& report, const std::string& run, const RunResult* before,
                  const RunResult* after) {
  std::map<CaseKey, std::pair<std::vector<const CaseRecord*>, std::vector<const CaseRecord*>>> all;
  if (before != nullptr) {
    for (const auto& record : before->cases) all[key_of(record)].first.push_back(&record);
  }
  if (after != nullptr) {
    for (const auto& record : after->cases) all[key_of(record)].second.push_back(&record);
  }
  for (const auto& [key, sides] : all) {
    const auto& [olds, news] = sides;
    for (size_t i = 0; i < std::max(olds.size(), news.size()); ++i) {
      const CaseRecord* a = i < olds.size() ? olds[i] : nullptr;
      const CaseRecord* b = i < news.size() ? news[i] : nullptr;
      if (a != nullptr && b != nullptr) {
        compare_cases(report, run, *a, *b);
      } else if (a != nullptr) {
        report.disappeared.push_back({run, a->id, "disappeared", described(*a), "", true});
      } else if (b != nullptr) {
        report.appeared.push_back(
            {run, b->id, "appeared", "", described(*b), b->verdict == Verdict::breached});
      }
    }
  }
}

std::string or_nothing(const std::string& text) {
  return text.empty() ? "nothing" : terminal_safe(text);
}

}  // namespace

bool DiffReport::same_results() const {
  const bool same_runs = std::none_of(headers.begin(), headers.end(),
                                      [](const HeaderChange& c) { return c.field == "run"; });
  return same_runs && verdicts.empty() && disappeared.empty() && appeared.empty() &&
         layers.empty() && reasons.empty();
}

DiffReport diff_results(const std::vector<RunResult>& before, const std::vector<RunResult>& after) {
  DiffReport report;
  const bool several = before.size() > 1 || after.size() > 1;
  for (const Pair& pair : match_runs(before, after)) {
    const std::string run = several ? label_of(pair) : "";
    if (pair.before != nullptr && pair.after != nullptr) {
      compare_headers(report, run, pair.before->header, pair.after->header);
    } else {
      const std::string label = label_of(pair);
      report.headers.push_back(
          {run, "run", pair.before != nullptr ? label : "", pair.after != nullptr ? label : ""});
    }
    compare_runs(report, run, pair.before, pair.after);
  }
  std::stable_sort(
      report.verdicts.begin(), report.verdicts.end(), [](const CaseChange& a, const CaseChange& b) {
        const auto rank = [](const CaseChange& c) {
          return std::tuple(!c.worse, -badness_of_text(c.after), badness_of_text(c.before), c.id);
        };
        return rank(a) < rank(b);
      });
  return report;
}

std::string render_diff(const DiffReport& report, const Style& style) {
  std::string out;
  const auto section = [&](std::string_view title, const std::vector<CaseChange>& changes) {
    if (changes.empty()) return;
    out += paint(style, Tone::strong, fmt::format("{} ({})", title, changes.size())) + "\n";
    for (const auto& change : changes) {
      const std::string run = change.run.empty() ? "" : " [" + terminal_safe(change.run) + "]";
      std::string line = "  " + terminal_safe(change.id) + run + ": ";
      if (change.what == "appeared") {
        line += terminal_safe(change.after);
      } else if (change.what == "disappeared") {
        line += "was " + terminal_safe(change.before);
      } else {
        line += or_nothing(change.before) + " -> " + or_nothing(change.after);
      }
      const bool better = change.what == "verdict" && !change.worse;
      out += paint(style,
                   change.worse ? Tone::bad
                   : better     ? Tone::good
                                : Tone::plain,
                   line) +
             "\n";
    }
    out += "\n";
  };
  section("verdicts changed", report.verdicts);
  section("cases disappeared", report.disappeared);
  section("cases appeared", report.appeared);
  section("decided by another layer", report.layers);
  section("another reason", report.reasons);
  if (!report.headers.empty()) {
    out +=
        paint(style, Tone::strong, fmt::format("where it ran ({})", report.headers.size())) + "\n";
    for (const auto& change : report.headers) {
      const std::string run = change.run.empty() ? "" : " [" + terminal_safe(change.run) + "]";
      out += fmt::format("  {}{}: {} -> {}\n", terminal_safe(change.field), run,
                         or_nothing(change.before), or_nothing(change.after));
    }
    out += "\n";
  }
  const auto worse = std::count_if(report.verdicts.begin(), report.verdicts.end(),
                                   [](const CaseChange& change) { return change.worse; });
  out += fmt::format("{} cases compared: ", report.compared);
  if (report.same_results()) return out + "the results are the same\n";
  return out + fmt::format(
                   "{} verdicts changed ({} worse), {} disappeared, {} appeared, {} "
                   "decided by another layer, {} for another reason\n",
                   report.verdicts.size(), worse, report.disappeared.size(), report.appeared.size(),
                   report.layers.size(), report.reasons.size());
}

std::string diff_json(const DiffReport& report) {
  using Json = nlohmann::ordered_json;
  const auto changes = [](const std::vector<CaseChange>& list) {
    Json json = Json::array();
    for (const auto& c : list) {
      json.push_back(Json{{"run", to_utf8(c.run)},
                          {"id", to_utf8(c.id)},
                          {"before", to_utf8(c.before)},
                          {"after", to_utf8(c.after)},
                          {"worse", c.worse}});
    }
    return json;
  };
  Json headers = Json::array();
  for (const auto& c : report.headers) {
    headers.push_back(Json{{"run", to_utf8(c.run)},
                           {"field", to_utf8(c.field)},
                           {"before", to_utf8(c.before)},
                           {"after", to_utf8(c.after)}});
  }
  const Json json{
      {"same", report.same_results()},        {"compared", report.compared},
      {"verdicts", changes(report.verdicts)}, {"disappeared", changes(report.disappeared)},
      {"appeared", changes(report.appeared)}, {"layers", changes(report.layers)},
      {"reasons", changes(report.reasons)},   {"headers", std::move(headers)}};
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace ringfence

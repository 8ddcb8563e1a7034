#include "reports/console_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "reports/text.h"
#include "reports/writer.h"

namespace ringfence {
namespace {

constexpr std::array kOrder = {Verdict::held, Verdict::breached, Verdict::unproven,
                               Verdict::skipped, Verdict::broken};
constexpr size_t kSlowest = 5;

struct Item {
  const RunResult* run;
  const CaseRecord* record;
  std::string label;  // the id; with the run, where there are several
};

// Pieces of one line, fitted before they are coloured: an escape sequence has no width.
class Line {
 public:
  Line(const Style& style, size_t width) : style_(style), room_(width) {}
  void add(Tone tone, std::string_view text) {
    if (full_) return;
    const size_t have = columns(text);
    full_ = have > room_;
    out_ += paint(style_, tone, full_ ? fit(text, room_) : std::string(text));
    room_ -= std::min(have, room_);
  }
  [[nodiscard]] const std::string& str() const { return out_; }

 private:
  const Style& style_;
  size_t room_;
  bool full_ = false;
  std::string out_;
};

size_t width_of(const Style& style) { return static_cast<size_t>(std::max(style.width, 20)); }

int count_of(const std::map<Verdict, int>& counts, Verdict verdict) {
  const auto found = counts.find(verdict);
  return found == counts.end() ? 0 : found->second;
}

std::string layer_of(const CaseRecord& record) {
  // In policy mode any layer may hold; the one that did is the news.
  if (record.mode == "policy" && !record.decided_by.empty()) return record.decided_by;
  return record.expected_layer.empty() ? "-" : record.expected_layer.str();
}

std::string bar(const Style& style, size_t done, size_t total) {
  constexpr size_t kCells = 16;
  const size_t filled = total == 0 ? 0 : std::min(kCells, done * kCells / total);
  std::string out;
  for (size_t i = 0; i < kCells; ++i) {
    if (style.unicode) {
      out += i < filled ? "\u2588" : "\u2591";
    } else {
      out += i < filled ? '#' : '.';
    }
  }
  return out;
}

std::vector<Item> items_with(const std::vector<RunResult>& results, Verdict verdict) {
  std::vector<Item> items;
  for (const auto& run : results) {
    for (const auto& record : run.cases) {
      if (record.verdict != verdict) continue;
      std::string label = terminal_safe(record.id);
      if (results.size() > 1) label += " [" + terminal_safe(run_label(run.header)) + "]";
      items.push_back({&run, &record, label});
    }
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.record->id < b.record->id; });
  return items;
}

// A path as one word for a shell.
std::string shell_word(const std::string& text) {
  std::string safe = terminal_safe(text);
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("/._-+,:@%=").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!safe.empty() && std::all_of(safe.begin(), safe.end(), plain)) return safe;
  std::string quoted = "'";
  for (const char c : safe) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string how_to_explain(const std::vector<ReportPlace>& reports, const std::string& id) {
  for (const auto& place : reports) {
    if (place.format == "jsonl" && place.path != "-") {
      return fmt::format("ringfence explain {} {}", shell_word(place.path), shell_word(id));
    }
  }
  return "run with --report jsonl=FILE, then: ringfence explain FILE " + shell_word(id);
}

void add_title(std::string& out, const Style& style, Verdict verdict, size_t count) {
  out += "\n" +
         paint(style, tone_of(verdict),
               fmt::format("{} {} ({})", mark_of(style, verdict), verdict_name(verdict), count)) +
         "\n";
}

void add_failures(std::string& out, const Style& style, const std::vector<RunResult>& results,
                  const std::vector<ReportPlace>& reports, Verdict verdict) {
  const auto items = items_with(results, verdict);
  if (items.empty()) return;
  add_title(out, style, verdict, items.size());
  const size_t width = width_of(style);
  for (const Item& item : items) {
    const CaseRecord& r = *item.record;
    out += "  " + paint(style, Tone::strong, item.label) + "\n";
    out += wrap(terminal_safe(r.title), 4, width);
    const auto line = [&](std::string_view name, const std::string& value) {
      const std::string wrapped = wrap(value, 13, width);
      if (wrapped.empty()) return;  // nothing, or nothing but spaces
      out += "    " + paint(style, Tone::dim, pad(name, 9)) + wrapped.substr(13);
    };
    std::string layers;
    if (!r.expected_layer.empty()) layers = "expected " + r.expected_layer.str();
    if (!r.decided_by.empty()) {
      layers += (layers.empty() ? "" : ", ") + ("decided by " + terminal_safe(r.decided_by));
    }
    if (verdict == Verdict::breached) {
      line("seen", terminal_safe(what_was_seen(r)));
    } else {
      line("reason", terminal_safe(r.detail.empty() ? r.reason : r.reason + ": " + r.detail));
    }
    line("layer", layers);
    for (const auto& witness : r.witnesses) {
      if (witness.lost > 0) {
        line("lost", fmt::format("{} events of {}", witness.lost, terminal_safe(witness.name)));
      }
    }
    // Never cut: it is there to be copied.
    out +=
        "    " + paint(style, Tone::dim, pad("explain", 9)) + how_to_explain(reports, r.id) + "\n";
  }
}

void add_skips(std::string& out, const Style& style, const std::vector<RunResult>& results) {
  const auto items = items_with(results, Verdict::skipped);
  if (items.empty()) return;
  add_title(out, style, Verdict::skipped, items.size());
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const Item& item : items) {
    by_reason[terminal_safe(item.record->reason)].push_back(item.label);
  }
  std::vector<std::pair<std::string, std::vector<std::string>>> order(by_reason.begin(),
                                                                      by_reason.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  for (const auto& [reason, ids] : order) {
    const size_t width = width_of(style);
    out += fit(fmt::format("  {:>4}  {}", ids.size(), reason), width) + "\n";
    if (style.detail != Detail::verbose) continue;
    for (const auto& id : ids) out += fit("        " + id, width) + "\n";
  }
}

void add_table(std::string& out, const Style& style, const std::vector<RunResult>& results) {
  std::map<std::string, std::map<Verdict, int>> rows;
  std::map<Verdict, int> total;
  for (const auto& run : results) {
    for (const auto& record : run.cases) {
      ++rows[terminal_safe(layer_of(record))][record.verdict];
      ++total[record.verdict];
    }
  }
  if (rows.empty()) return;
  size_t name_width = 8;
  for (const auto& [name, counts] : rows) name_width = std::max(name_width, columns(name));
  name_width = std::min<size_t>(name_width, 31);
  std::string head = pad("layer", name_width);
  for (const Verdict v : kOrder) head += fmt::format("{:>10}", verdict_name(v));
  out += "\n" + paint(style, Tone::strong, head) + "\n";
  const auto row = [&](const std::string& name, const std::map<Verdict, int>& counts) {
    out += pad(fit(name, name_width), name_width);
    for (const Verdict v : kOrder) {
      const int n = count_of(counts, v);
      // An absent zero lets the eye find what is there.
      out += n == 0 ? fmt::format("{:>10}", style.unicode ? "\u00b7" : ".")
                    : paint(style, tone_of(v), fmt::format("{:>10}", n));
    }
    out += "\n";
  };
  for (const auto& [name, counts] : rows) row(name, counts);
  if (rows.size() > 1) row("total", total);
}

void add_slowest(std::string& out, const Style& style, const std::vector<RunResult>& results) {
  std::vector<std::pair<int64_t, std::string>> cases;
  for (const auto& run : results) {
    for (const auto& record : run.cases) {
      if (record.verdict == Verdict::skipped) continue;
      std::string label = terminal_safe(record.id);
      if (results.size() > 1) label += " [" + terminal_safe(run_label(run.header)) + "]";
      cases.emplace_back(record.duration_ns, label);
    }
  }
  if (cases.empty()) return;
  std::stable_sort(cases.begin(), cases.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (cases.size() > kSlowest) cases.resize(kSlowest);
  out += "\n" + paint(style, Tone::strong, "slowest") + "\n";
  for (const auto& [ns, id] : cases) {
    out += fit(fmt::format("{:>12}  {}", duration_text(ns), id), width_of(style)) + "\n";
  }
}

// Of several runs: what each says of the cases on which they do not agree, and how many of each.
void add_side_by_side(std::string& out, const Style& style, const std::vector<RunResult>& results) {
  if (results.size() < 2) return;
  std::map<std::string, std::vector<const CaseRecord*>> cases;
  for (size_t i = 0; i < results.size(); ++i) {
    for (const auto& record : results[i].cases) {
      auto& row = cases[record.id];
      row.resize(results.size());
      row[i] = &record;
    }
  }
  constexpr size_t kColumn = 10;
  out += "\n" + paint(style, Tone::strong, "side by side") + "\n";
  for (size_t i = 0; i < results.size(); ++i) {
    out += fit(fmt::format("  {}: {}", i + 1, terminal_safe(run_label(results[i].header))),
               width_of(style)) +
           "\n";
  }
  size_t width = std::string_view("total").size();
  std::vector<std::string> apart;
  for (const auto& [id, of_case] : cases) {
    const auto& row = of_case;  // clang 14 captures no binding
    const auto differs = [&](const CaseRecord* r) {
      return r == nullptr || row[0] == nullptr || r->verdict != row[0]->verdict ||
             r->reason != row[0]->reason || r->decided_by != row[0]->decided_by;
    };
    if (std::none_of(row.begin(), row.end(), differs)) continue;
    apart.push_back(id);
    width = std::max(width, id.size());
  }
  width = std::min(width, size_t{40});
  std::string head = pad("", width);
  // No blanks at the ends of lines.
  const auto cell = [&](std::string_view text, size_t column) {
    return column + 1 < results.size() ? pad(text, kColumn) : std::string(text);
  };
  for (size_t i = 0; i < results.size(); ++i) head += "  " + cell(std::to_string(i + 1), i);
  out += paint(style, Tone::dim, head) + "\n";
  for (const auto& id : apart) {
    Line line(style, width_of(style));
    line.add(Tone::plain, pad(fit(terminal_safe(id), width), width));
    for (size_t i = 0; i < results.size(); ++i) {
      const CaseRecord* record = cases[id][i];
      line.add(Tone::plain, "  ");
      line.add(record != nullptr ? tone_of(record->verdict) : Tone::dim,
               cell(record != nullptr ? verdict_name(record->verdict) : "-", i));
    }
    out += line.str() + "\n";
  }
  for (const Verdict verdict : kOrder) {
    Line line(style, width_of(style));
    line.add(Tone::plain, pad(verdict_name(verdict), width));
    for (size_t i = 0; i < results.size(); ++i) {
      const int n = count_of(results[i].summary.counts, verdict);
      line.add(Tone::plain, "  ");
      line.add(n > 0 ? tone_of(verdict) : Tone::dim, cell(std::to_string(n), i));
    }
    out += line.str() + "\n";
  }
  out += apart.empty() ? "all cases agree\n" : "all other cases agree\n";
}

void add_notes(std::string& out, const Style& style, const std::vector<RunResult>& results) {
  std::vector<std::string> lines;
  for (const auto& run : results) {
    for (const auto& pointer : run.header.unenforced) {
      lines.push_back("not enforced: " + terminal_safe(pointer));
    }
    for (const auto& note : run.header.notes) lines.push_back("note: " + terminal_safe(note));
    for (const auto& finding : run.findings) {
      lines.push_back("finding: " + terminal_safe(finding.id.empty() ? "" : finding.id + ": ") +
                      terminal_safe(finding.text));
    }
    if (style.detail != Detail::verbose) continue;
    for (const auto& granted : run.granted) {
      lines.push_back("granted: " + terminal_safe(granted.what) + ": " +
                      terminal_safe(granted.text));
    }
  }
  if (!lines.empty()) out += "\n";
  for (const auto& line : lines) out += fit(line, width_of(style)) + "\n";
}

}  // namespace

int worst_exit_code(const std::vector<RunResult>& results) {
  for (const int code : {64, 1, 2, 3, 4, 0}) {
    for (const auto& run : results) {
      if (run.summary.exit_code == code) return code;
    }
  }
  return results.empty() ? 4 : results.front().summary.exit_code;
}

std::string render_progress(const Progress& progress, const Style& style) {
  size_t done = 0;
  for (const auto& [verdict, n] : progress.counts) done += static_cast<size_t>(n);
  Line line(style, width_of(style) - 1);
  line.add(Tone::plain, bar(style, done, progress.total));
  line.add(Tone::plain, fmt::format(" {}/{}", done, progress.total));
  for (const Verdict verdict : kOrder) {
    const int n = count_of(progress.counts, verdict);
    if (n == 0 && verdict != Verdict::held) continue;
    line.add(Tone::plain, "  ");
    line.add(tone_of(verdict), fmt::format("{} {}", n, verdict_name(verdict)));
  }
  const auto seconds = static_cast<double>(progress.elapsed_ns) / 1e9;
  line.add(Tone::plain, fmt::format("  {:.1f} s", seconds));
  if (!progress.running.empty()) {
    line.add(Tone::dim, "  " + terminal_safe(progress.running.front()));
    if (progress.running.size() > 1) {
      line.add(Tone::dim, fmt::format(" +{}", progress.running.size() - 1));
    }
  }
  return line.str();
}

std::string render_banner(const HeaderRecord& header, size_t total, const Style& style) {
  if (style.detail == Detail::quiet) return {};
  std::string text = fmt::format(
      "ringfence {}: {} case{} on kernel {}, cgroup {}, target {}, {} mode",
      terminal_safe(header.version), total, total == 1 ? "" : "s", terminal_safe(header.kernel),
      terminal_safe(header.cgroup_mode), terminal_safe(header.target), terminal_safe(header.mode));
  if (!header.policy.empty()) text += ", policy " + terminal_safe(header.policy);
  return paint(style, Tone::dim,
               wrap(text + fmt::format(", seed {}", header.seed), 0, width_of(style)));
}

std::string render_case_line(const CaseRecord& record, const Style& style) {
  if (style.detail == Detail::quiet) return {};
  const bool plain = record.verdict == Verdict::held || record.verdict == Verdict::skipped;
  if (plain && style.detail != Detail::verbose) return {};
  Line line(style, width_of(style));
  line.add(tone_of(record.verdict),
           mark_of(style, record.verdict) + " " + pad(verdict_name(record.verdict), 9));
  line.add(Tone::plain, terminal_safe(record.id));
  if (record.verdict == Verdict::held) {
    line.add(Tone::dim, "  " + terminal_safe(record.decided_by));
    line.add(Tone::dim, "  " + duration_text(record.duration_ns));
  } else if (record.verdict == Verdict::breached) {
    line.add(Tone::plain, "  " + terminal_safe(what_was_seen(record)));
  } else {
    line.add(Tone::plain, "  " + terminal_safe(record.reason));
    if (!record.detail.empty()) line.add(Tone::dim, ": " + terminal_safe(record.detail));
  }
  return line.str() + "\n";
}

std::string render_end(const std::vector<RunResult>& results,
                       const std::vector<ReportPlace>& reports, const Style& style) {
  std::string out;
  add_failures(out, style, results, reports, Verdict::breached);
  add_failures(out, style, results, reports, Verdict::unproven);
  add_failures(out, style, results, reports, Verdict::broken);
  if (style.detail != Detail::quiet) {
    add_skips(out, style, results);
    add_table(out, style, results);
    add_slowest(out, style, results);
    add_side_by_side(out, style, results);
    add_notes(out, style, results);
    if (!reports.empty()) out += "\n" + paint(style, Tone::strong, "reports") + "\n";
    for (const auto& place : reports) {
      const bool standard = place.path == "-";
      out += fmt::format("  {} {}\n", pad(place.format, 6),
                         standard ? "standard output" : terminal_safe(place.path));
    }
  }
  if (!out.empty()) out += "\n";

  std::map<Verdict, int> counts;
  int64_t duration = 0;
  bool interrupted = false;
  for (const auto& run : results) {
    for (const auto& record : run.cases) ++counts[record.verdict];
    duration = saturated_sum(duration, run.summary.duration_ns);
    interrupted = interrupted || run.summary.interrupted;
    const std::string whose =
        results.size() > 1 ? terminal_safe(run_label(run.header)) + ": " : std::string();
    for (const auto& complaint : run.summary.complaints) {
      out += paint(style, Tone::warning, whose + terminal_safe(complaint)) + "\n";
    }
    for (const auto& note : run.summary.notes) {
      out += paint(style, Tone::warning, whose + terminal_safe(note)) + "\n";
    }
  }
  if (interrupted) out += paint(style, Tone::warning, "interrupted: not every case ran") + "\n";
  for (const Verdict verdict : kOrder) {
    const int n = count_of(counts, verdict);
    if (verdict != Verdict::held) out += ", ";
    out += paint(style, n == 0 ? Tone::plain : tone_of(verdict),
                 fmt::format("{} {}", n, verdict_name(verdict)));
  }
  out += fmt::format(" in {}\n", duration_text(duration));
  const int code = worst_exit_code(results);
  out += paint(style,
               code == 0   ? Tone::good
               : code == 1 ? Tone::bad
                           : Tone::warning,
               fmt::format("exit {}: {}", code, exit_code_meaning(code))) +
         "\n";
  return out;
}

}  // namespace ringfence

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/runner/runner.h"

namespace ringfence {

Result<std::vector<ExpectedSkip>> parse_expected_skips(std::string_view text,
                                                       const std::string& file) {
  std::vector<ExpectedSkip> list;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    std::string line(trim(text.substr(0, end).substr(0, text.substr(0, end).find('#'))));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    std::replace(line.begin(), line.end(), '\t', ' ');
    const auto words = split(line, ' ');
    if (words.size() != 2) {
      return usage_error("read expected skips", fmt::format("{}:{}", file, number),
                         "a line is 'GLOB REASON'");
    }
    list.push_back({std::string(words[0]), std::string(words[1])});
  }
  return list;
}

void conclude(RunResult& result, const ExitRules& rules) {
  SummaryRecord& summary = result.summary;
  summary.counts.clear();
  for (int v = 0; v < kVerdicts; ++v) summary.counts[static_cast<Verdict>(v)] = 0;
  for (const auto& c : result.cases) ++summary.counts[c.verdict];

  const int held = summary.counts[Verdict::held];
  const int breached = summary.counts[Verdict::breached];
  const int unproven = summary.counts[Verdict::unproven];
  const int broken = summary.counts[Verdict::broken];
  summary.exit_code = 0;
  const auto complain = [&](int code, std::string text) {
    if (summary.exit_code == 0) summary.exit_code = code;
    summary.complaints.push_back(std::move(text));
  };
  if (breached > 0) complain(1, fmt::format("{} breached", breached));
  if (unproven > 0) complain(2, fmt::format("{} unproven", unproven));
  if (broken > 0) complain(2, fmt::format("{} broken", broken));
  for (const auto& name : rules.missing_facilities) {
    complain(2, "a required facility is missing: " + name);
  }
  if (summary.interrupted) complain(2, "interrupted");
  if (rules.expected_skips) {
    for (const auto& c : result.cases) {
      if (c.verdict != Verdict::skipped) continue;
      const bool expected = std::any_of(
          rules.expected_skips->begin(), rules.expected_skips->end(), [&](const ExpectedSkip& e) {
            return glob_match(e.glob, c.id) && glob_match(e.reason, c.reason);
          });
      if (!expected) complain(3, fmt::format("{} was skipped unexpectedly: {}", c.id, c.reason));
    }
  }
  if (rules.min_held && held < *rules.min_held) {
    complain(3, fmt::format("{} held, at least {} were asked for", held, *rules.min_held));
  }
  if (held + breached + unproven + broken == 0) complain(4, "nothing ran");
}

}  // namespace ringfence

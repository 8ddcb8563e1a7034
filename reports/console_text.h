#pragma once
// What the console shows, as pure functions from values to text. Everything that a target may have
// chosen is made safe for a terminal here. Texts end in a newline, save for the progress line.
#include <map>
#include <string>
#include <vector>

#include "reports/style.h"

namespace ringfence {

struct Progress {
  size_t total = 0;
  std::map<Verdict, int> counts;
  std::vector<std::string> running;  // ids, in the order in which they started
  int64_t elapsed_ns = 0;
};

struct ReportPlace {
  std::string format;  // "jsonl"
  std::string path;    // "-" is standard output
};

// One line of at most style.width - 1 columns, so that no terminal wraps it.
std::string render_progress(const Progress& progress, const Style& style);
// What runs where: "ringfence 0.1.0  kernel ...".
std::string render_banner(const HeaderRecord& header, size_t total, const Style& style);
// One case while the run goes on. Empty when this level of detail does not show it: quiet shows
// none, normal those that are neither held nor skipped, verbose all.
std::string render_case_line(const CaseRecord& record, const Style& style);
// Everything after the run: breached, unproven, broken, skipped, the table by layer, the slowest
// cases, the reports, and the last line with the exit code (the worst of the runs).
std::string render_end(const std::vector<RunResult>& results,
                       const std::vector<ReportPlace>& reports, const Style& style);
// The exit code of several runs: the first of 64, 1, 2, 3, 4, 0 that one of them has.
int worst_exit_code(const std::vector<RunResult>& results);

}  // namespace ringfence

#pragma once
// Reads a result stream (JSONL) back into values, strictly: by
// reports/schema/ringfence-result-1.schema.json, and beyond it that every record belongs to a
// header, that a layer exists, that names are not given twice and that a summary's counts are
// those of its records.
//
// A file may hold several headers (kernels, targets); records belong to the header with the same
// run_id. Records of the types ablation, sweep, bench and device_line are reserved: accepted when
// they have a run_id of the file, and not kept. Errors: usage, "FILE:line: JSON pointer", with what
// is allowed. Nothing throws.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/result.h"

namespace ringfence {

struct ReadOptions {
  // Accept what a killed run leaves: a last line that is cut off (dropped), and a run without its
  // summary, which is then made from the cases, `interrupted`, with a complaint that says so.
  bool accept_truncated = false;
};

// `path` "-" is standard input.
Result<std::vector<RunResult>> read_results(const std::string& path, ReadOptions options = {});
// The same from memory; `name` stands for the file in errors.
Result<std::vector<RunResult>> parse_results(std::string_view text, const std::string& name,
                                             ReadOptions options = {});

// One record of type summary alone, whose counts are then nobody's to check.
Result<SummaryRecord> parse_summary(std::string_view line, const std::string& name);
// The id in `{"type":"started","id":ID}`, which only the report "live" has; nothing for any other
// line.
std::optional<std::string> started_case(std::string_view line);

}  // namespace ringfence

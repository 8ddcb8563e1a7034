#pragma once
// What `ringfence trace` prints: a line for each denial as it happens, and a summary by layer; or
// the same as JSON lines (reports/schema/ringfence-trace-1.schema.json). Names and paths come from
// the watched processes: they are made safe for terminals here.
#include <optional>
#include <string>
#include <vector>

#include "harness/witness/probe.h"
#include "harness/witness/trace.h"
#include "reports/style.h"

namespace ringfence {

struct TraceEnd {
  const DenialLog* refusals = nullptr;
  const DenialLog* failures = nullptr;  // with --all: what failed for another reason; or null
  TraceLoss loss;
  int64_t duration_ns = 0;
  bool caps_watched = true;
  std::vector<ProbeCount> counts;  // by users' probes
  std::optional<CpuTime> cpu;      // nothing: not known, for this reason
  std::string no_cpu;
};

// The names of the columns, with a newline.
std::string trace_columns(const Style& style);
std::string trace_line(const Denial& denial, int64_t began_ns, const Style& style);
// `probe` is the name of the one that told it.
std::string trace_line(const ProbeLine& line, const std::string& probe, int64_t began_ns,
                       const Style& style);
std::string trace_summary(const TraceEnd& end, const Style& style);

// One line of JSON each, in ASCII, with its newline.
std::string trace_json_begin(const std::string& scope, const std::string& version);
std::string trace_json(const Denial& denial, int64_t began_ns);
std::string trace_json(const ProbeLine& line, const std::string& probe, int64_t began_ns);
std::string trace_json(const TraceEnd& end);

}  // namespace ringfence

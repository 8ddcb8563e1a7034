#include "reports/writer.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "reports/record_json.h"

namespace ringfence {

Result<Output> Output::open(const std::string& path) {
  Output output;
  output.path_ = path == "-" ? "standard output" : path;
  if (path == "-") return output;
  auto fd = sys::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!fd) {
    return tl::unexpected(Error{Error::Kind::usage, "open report", fd.error().err, path,
                                "choose a path that can be written"});
  }
  output.fd_ = std::move(*fd);
  return output;
}

Status Output::write(const std::string& text) {
  const int fd = fd_ ? fd_.get() : STDOUT_FILENO;
  auto written = sys::write_full(fd, text.data(), text.size());
  if (!written) return system_error("write report", path_, written.error().err);
  return {};
}

std::vector<std::string> writer_formats() { return {"jsonl", "junit", "ktap", "live"}; }

Status check_writer_format(const std::string& format) {
  const auto formats = writer_formats();
  if (std::find(formats.begin(), formats.end(), format) != formats.end()) return {};
  const std::string near = nearest(format, formats);
  return usage_error("--report", "unknown format '" + format + "'",
                     (near.empty() ? "" : "did you mean '" + near + "'? ") +
                         fmt::format("formats: {}", fmt::join(formats, ", ")));
}

Result<std::unique_ptr<Writer>> make_writer(const std::string& format, const std::string& path) {
  if (auto ok = check_writer_format(format); !ok) return tl::unexpected(ok.error());
  if (path.empty()) {
    return usage_error("--report", format, "a path is missing: " + format + "=PATH, or - as PATH");
  }
  auto output = Output::open(path);
  if (!output) return tl::unexpected(output.error());
  if (format == "junit") return std::make_unique<JunitWriter>(std::move(*output));
  if (format == "ktap") return std::make_unique<KtapWriter>(std::move(*output));
  if (format == "live") return std::make_unique<LiveWriter>(std::move(*output));
  return std::make_unique<JsonlWriter>(std::move(*output));
}

Status write_all(Writer& writer, const std::vector<RunResult>& results) {
  for (const RunResult& run : results) {
    if (auto ok = writer.begin(run.header); !ok) return ok;
    for (const auto& record : run.cases) {
      if (auto ok = writer.add(record); !ok) return ok;
    }
    for (const auto& record : run.granted) {
      if (auto ok = writer.add(record); !ok) return ok;
    }
    for (const auto& record : run.findings) {
      if (auto ok = writer.add(record); !ok) return ok;
    }
    if (auto ok = writer.end(run.summary); !ok) return ok;
  }
  return writer.finish();
}

// One write(2) per line: what a killed run leaves ends between records, save for the last line.
Status JsonlWriter::begin(const HeaderRecord& r) { return output_.write(record_line(r) + "\n"); }
Status JsonlWriter::add(const CaseRecord& r) { return output_.write(record_line(r) + "\n"); }
Status JsonlWriter::add(const GrantedRecord& r) { return output_.write(record_line(r) + "\n"); }
Status JsonlWriter::add(const FindingRecord& r) { return output_.write(record_line(r) + "\n"); }
Status JsonlWriter::end(const SummaryRecord& r) { return output_.write(record_line(r) + "\n"); }
Status JsonlWriter::finish() { return {}; }
Status LiveWriter::started(const std::string& id) { return output_.write(started_line(id) + "\n"); }

Result<RunResult*> CollectingWriter::run(const std::string& run_id) {
  for (RunResult& result : results_) {
    if (result.header.run_id == run_id) return &result;
  }
  return system_error("write report", "run_id " + run_id, EINVAL, "no header has this run_id");
}

Status CollectingWriter::begin(const HeaderRecord& header) {
  if (run(header.run_id)) {
    return system_error("write report", "run_id " + header.run_id, EEXIST,
                        "two headers have this run_id");
  }
  results_.push_back(RunResult{header, {}, {}, {}, {}});
  return {};
}

Status CollectingWriter::add(const CaseRecord& record) {
  return run(record.run_id).map([&](RunResult* r) { r->cases.push_back(record); });
}
Status CollectingWriter::add(const GrantedRecord& record) {
  return run(record.run_id).map([&](RunResult* r) { r->granted.push_back(record); });
}
Status CollectingWriter::add(const FindingRecord& record) {
  return run(record.run_id).map([&](RunResult* r) { r->findings.push_back(record); });
}
Status CollectingWriter::end(const SummaryRecord& summary) {
  return run(summary.run_id).map([&](RunResult* r) { r->summary = summary; });
}
Status CollectingWriter::finish() { return output_.write(render(results_)); }

std::string primitive_of(const std::string& id) { return id.substr(0, id.find('.')); }

std::string run_label(const HeaderRecord& header) {
  std::string label = header.target + " " + header.kernel;
  if (!header.policy.empty()) label += " policy:" + header.policy;
  for (const auto& [name, value] : header.axes) label += fmt::format(" {}={}", name, value);
  return label;
}

std::string run_complaint(const RunResult& result) {
  if (result.summary.exit_code == 0 && !result.summary.interrupted) return {};
  for (const CaseRecord& record : result.cases) {
    if (record.verdict != Verdict::held && record.verdict != Verdict::skipped) return {};
  }
  std::string text = fmt::format("exit {}: {}", result.summary.exit_code,
                                 exit_code_meaning(result.summary.exit_code));
  if (result.summary.interrupted) text += "; the run was interrupted";
  for (const auto& complaint : result.summary.complaints) text += "; " + complaint;
  return text;
}

std::string what_was_seen(const CaseRecord& record) {
  for (const EvidenceLine& line : record.evidence) {
    if (line.decided && !line.text.empty()) return line.text;
  }
  if (!record.detail.empty()) return record.detail;
  for (const WitnessRecord& witness : record.witnesses) {
    if (witness.name != "inmate" && !witness.says.empty()) return witness.says;
  }
  return record.reason;
}

std::string exit_code_meaning(int exit_code) {
  switch (exit_code) {
    case 0:
      return "everything that ran held";
    case 1:
      return "something breached";
    case 2:
      return "something unproven or broken, or a required facility missing";
    case 3:
      return "a skip that is not expected, or fewer held than required";
    case 4:
      return "nothing ran";
    case 64:
      return "usage or unreadable input";
    default:
      return "not a code of ringfence run";
  }
}

}  // namespace ringfence

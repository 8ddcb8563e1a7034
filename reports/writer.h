#pragma once
// Writers turn the records of a run into a report, one class per format, made by name.
//
// Order of calls: begin(header), then cases, granted and finding records in any order, then
// end(summary); again from begin for a further kernel or target in the same report; finish() once.
// A record may be of any run that has begun and not ended. JSONL is written and flushed record by
// record, so that a killed run leaves a readable file; the other formats need totals and are
// written by finish(). Not thread safe. Errors: system, with the path.
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/judge/result.h"

namespace ringfence {

class Writer {
 public:
  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  virtual ~Writer() = default;

  virtual Status begin(const HeaderRecord& header) = 0;
  // A case begins. Not a record: only "live" says it.
  virtual Status started(const std::string& /*id*/) { return {}; }
  virtual Status add(const CaseRecord& record) = 0;
  virtual Status add(const GrantedRecord& record) = 0;
  virtual Status add(const FindingRecord& record) = 0;
  virtual Status end(const SummaryRecord& summary) = 0;
  virtual Status finish() = 0;
};

// "jsonl", "junit", "ktap", "live".
std::vector<std::string> writer_formats();
// Usage error with the nearest name and the list for a format that is none of these.
Status check_writer_format(const std::string& format);
// Opens `path` for writing at once (created or truncated; "-" is standard output), so that a path
// that cannot be written is known before the run starts. An unknown format is a usage error with
// the nearest name and the list; so is an unwritable path.
Result<std::unique_ptr<Writer>> make_writer(const std::string& format, const std::string& path);
// All of `results` through `writer`, finish() included: a report made again from a file.
Status write_all(Writer& writer, const std::vector<RunResult>& results);

// Where a writer's bytes go.
class Output {
 public:
  static Result<Output> open(const std::string& path);
  Status write(const std::string& text);

 private:
  UniqueFd fd_;  // empty for standard output, which is not ours to close
  std::string path_;
};

// For formats that need the whole run first: collects the records by run.
class CollectingWriter : public Writer {
 public:
  explicit CollectingWriter(Output output) : output_(std::move(output)) {}
  Status begin(const HeaderRecord& header) override;
  Status add(const CaseRecord& record) override;
  Status add(const GrantedRecord& record) override;
  Status add(const FindingRecord& record) override;
  Status end(const SummaryRecord& summary) override;
  Status finish() override;

 protected:
  [[nodiscard]] virtual std::string render(const std::vector<RunResult>& results) const = 0;

 private:
  Result<RunResult*> run(const std::string& run_id);

  Output output_;
  std::vector<RunResult> results_;
};

class JsonlWriter : public Writer {
 public:
  explicit JsonlWriter(Output output) : output_(std::move(output)) {}
  Status begin(const HeaderRecord& header) override;
  Status add(const CaseRecord& record) override;
  Status add(const GrantedRecord& record) override;
  Status add(const FindingRecord& record) override;
  Status end(const SummaryRecord& summary) override;
  Status finish() override;

 protected:
  Output output_;
};

// JSONL with a line `{"type":"started","id":ID}` when a case begins: for programs that watch a run.
class LiveWriter : public JsonlWriter {
 public:
  explicit LiveWriter(Output output) : JsonlWriter(std::move(output)) {}
  Status started(const std::string& id) override;
};

// JUnit XML in the common shape (junit-10.xsd): a testsuite per primitive, which is the first
// component of a case's id. breached is a failure; unproven and broken are errors; skipped is
// skipped, with the reason.
class JunitWriter : public CollectingWriter {
 public:
  using CollectingWriter::CollectingWriter;

 protected:
  [[nodiscard]] std::string render(const std::vector<RunResult>& results) const override;
};

// KTAP version 1 (Documentation/dev-tools/ktap.rst of the kernel): a subtest per primitive.
class KtapWriter : public CollectingWriter {
 public:
  using CollectingWriter::CollectingWriter;

 protected:
  [[nodiscard]] std::string render(const std::vector<RunResult>& results) const override;
};

// --- Shared by the formats ------------------------------------------------------------------
// "pid" of "pid.signal.init".
std::string primitive_of(const std::string& id);
// "native", or "runc 6.12.1 policy:FILE": tells the runs of one report apart.
std::string run_label(const HeaderRecord& header);
// What a report must say besides its cases: empty, or why the run's exit code is not 0 although no
// case is breached, unproven or broken (skips that are not expected, nothing ran, interrupted).
std::string run_complaint(const RunResult& result);
// What the harness saw of the attempt, for one line: the deciding line of evidence, or the detail.
std::string what_was_seen(const CaseRecord& record);
// What each exit code of `ringfence run` means.
std::string exit_code_meaning(int exit_code);

}  // namespace ringfence

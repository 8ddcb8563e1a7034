#include "reports/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <tuple>

#include <nlohmann/json.hpp>

#include "reports/record_json.h"
#include "reports/testing.h"
#include "reports/text.h"
#include "reports/writer.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

std::string stream_of(const std::vector<RunResult>& results) {
  std::string text;
  for (const auto& run : results) {
    text += record_line(run.header) + "\n";
    for (const auto& r : run.cases) text += record_line(r) + "\n";
    for (const auto& r : run.granted) text += record_line(r) + "\n";
    for (const auto& r : run.findings) text += record_line(r) + "\n";
    text += record_line(run.summary) + "\n";
  }
  return text;
}

auto tie(const HeaderRecord& r) {
  return std::tie(r.run_id, r.started, r.version, r.kernel, r.machine, r.cgroup_mode, r.lsms, r.cpu,
                  r.hypervisor, r.root, r.target, r.mode, r.policy, r.seed, r.unenforced, r.notes,
                  r.axes, r.facts);
}
auto tie(const SummaryRecord& r) {
  return std::tie(r.run_id, r.counts, r.exit_code, r.duration_ns, r.interrupted, r.complaints,
                  r.notes);
}
auto tie(const GrantedRecord& r) { return std::tie(r.run_id, r.what, r.text); }
auto tie(const FindingRecord& r) { return std::tie(r.run_id, r.id, r.text); }
auto tie(const WitnessRecord& r) { return std::tie(r.name, r.says, r.lost); }
auto tie(const EvidenceLine& r) { return std::tie(r.trial, r.at_us, r.source, r.text, r.decided); }
auto tie(const TrialRecord& r) { return std::tie(r.achieved, r.says); }
auto tie(const CaseRecord& r) {
  return std::tie(r.run_id, r.id, r.title, r.source, r.verdict, r.expected_layer, r.decided_by,
                  r.target, r.mode, r.reason, r.detail, r.duration_ns, r.timings_ns, r.notes);
}

template <typename T>
void expect_same_list(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(tie(a[i]) == tie(b[i])) << i;
}

void expect_same_trial(const std::optional<TrialRecord>& a, const std::optional<TrialRecord>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (a) {
    EXPECT_TRUE(tie(*a) == tie(*b));
  }
}

void expect_same(const RunResult& a, const RunResult& b) {
  EXPECT_TRUE(tie(a.header) == tie(b.header));
  EXPECT_TRUE(tie(a.summary) == tie(b.summary));
  expect_same_list(a.cases, b.cases);
  expect_same_list(a.granted, b.granted);
  expect_same_list(a.findings, b.findings);
  for (size_t i = 0; i < a.cases.size(); ++i) {
    expect_same_list(a.cases[i].witnesses, b.cases[i].witnesses);
    expect_same_list(a.cases[i].evidence, b.cases[i].evidence);
    expect_same_trial(a.cases[i].control, b.cases[i].control);
    expect_same_trial(a.cases[i].liveness, b.cases[i].liveness);
  }
}

TEST(RoundTrip, SampleIsReadAsItWasWritten) {
  const auto sample = testing::sample_results();
  const auto read = parse_results(stream_of(sample), "sample");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_EQ(read->size(), sample.size());
  for (size_t i = 0; i < sample.size(); ++i) expect_same(sample[i], (*read)[i]);
}

TEST(RoundTrip, RandomRecordsAreReadAsTheyWereWritten) {
  std::string kept;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const auto results = testing::RandomResults(seed, false).results(3, 12);
    const std::string text = stream_of(results);
    const auto read = parse_results(text, "random");
    ASSERT_TRUE(read) << read.error().describe();
    ASSERT_EQ(read->size(), results.size());
    for (size_t i = 0; i < results.size(); ++i) expect_same(results[i], (*read)[i]);
    if (seed < 10) kept += text;
  }
  // reports.schema_random validates the same records by the schema.
  if (const char* path = std::getenv("RINGFENCE_KEEP_STREAM")) std::ofstream(path) << kept;
}

TEST(RoundTrip, BrokenUtf8IsReplacedAndNothingElse) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto results = testing::RandomResults(seed, true).results(2, 10);
    const std::string text = stream_of(results);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      ASSERT_TRUE(c == '\n' || (byte >= 0x20 && byte < 0x7F)) << "the stream is ASCII";
    }
    const auto read = parse_results(text, "random");
    ASSERT_TRUE(read) << read.error().describe();
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ((*read)[i].header.kernel, to_utf8(results[i].header.kernel));
      for (size_t c = 0; c < results[i].cases.size(); ++c) {
        EXPECT_EQ((*read)[i].cases[c].title, to_utf8(results[i].cases[c].title));
        EXPECT_EQ((*read)[i].cases[c].verdict, results[i].cases[c].verdict);
      }
    }
    EXPECT_EQ(stream_of(*read), text) << "reading loses nothing that was written";
  }
}

TEST(RoundTrip, JsonlWriterWritesEachRecordAtOnce) {
  const std::string path = ::testing::TempDir() + "rf_jsonl_" + std::to_string(::getpid());
  const auto sample = testing::sample_results();
  auto writer = make_writer("jsonl", path);
  ASSERT_TRUE(writer) << writer.error().describe();
  ASSERT_TRUE((*writer)->begin(sample[0].header));
  ASSERT_TRUE((*writer)->add(sample[0].cases[0]));
  // As a kill -9 here would leave it.
  const auto killed = read_results(path, {.accept_truncated = true});
  ASSERT_TRUE(killed) << killed.error().describe();
  ASSERT_EQ((*killed)[0].cases.size(), 1U);
  EXPECT_TRUE((*killed)[0].summary.interrupted);
  EXPECT_EQ((*killed)[0].summary.exit_code, 2) << "held so far, and not finished";
  EXPECT_FALSE(read_results(path));
  ::unlink(path.c_str());
}

// --- What is refused ----------------------------------------------------------------------------

std::string header_line() { return record_line(testing::sample_results()[0].header) + "\n"; }

void expect_refused(const std::string& text, const std::string& where, const std::string& why) {
  const auto read = parse_results(text, "FILE");
  ASSERT_FALSE(read) << why;
  EXPECT_EQ(read.error().kind, Error::Kind::usage);
  EXPECT_THAT(read.error().object, HasSubstr(where)) << read.error().describe();
  EXPECT_THAT(read.error().hint, HasSubstr(why)) << read.error().describe();
  EXPECT_EQ(testing::unsafe_part(read.error().describe()), "");
}

TEST(Reader, EveryRecordThatTheSchemaRefusesIsRefusedWithItsPointer) {
  std::istringstream lines(testing::slurp(testing::testdata("refused.jsonl")));
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    const auto example = nlohmann::json::parse(line);
    const std::string record = example["record"].dump();
    const bool header = example["record"].is_object() &&
                        example["record"].value("type", nlohmann::json()) == "header";
    const auto read = parse_results((header ? "" : header_line()) + record + "\n", "FILE");
    ASSERT_FALSE(read) << example["name"];
    EXPECT_EQ(read.error().kind, Error::Kind::usage);
    const std::string at = example["pointer"].get<std::string>();
    EXPECT_EQ(read.error().object,
              std::string(header ? "FILE:1" : "FILE:2") + (at.empty() ? "" : ": " + at))
        << example["name"] << ": " << read.error().describe();
    ++count;
  }
  EXPECT_GE(count, 40);
}

TEST(Reader, SaysWhatIsAllowedAndWhatIsNear) {
  std::string line = record_line(testing::sample_results()[0].cases[0]);
  const std::string good = "\"verdict\":\"held\"";
  ASSERT_NE(line.find(good), std::string::npos);
  line.replace(line.find(good), good.size(), "\"verdict\":\"holds\"");
  expect_refused(header_line() + line + "\n", "FILE:2: /verdict", "did you mean 'held'?");
  expect_refused(header_line() + line + "\n", "FILE:2: /verdict",
                 "allowed: held, breached, unproven, skipped, broken");
  line = record_line(testing::sample_results()[0].cases[0]);
  const std::string layer = "\"decided_by\":\"ns.pid\"";
  line.replace(line.find(layer), layer.size(), "\"decided_by\":\"ns.pit\"");
  expect_refused(header_line() + line + "\n", "FILE:2: /decided_by", "did you mean");
}

TEST(Reader, LongWordsAreRefusedQuicklyAndShownShort) {
  std::string line = record_line(testing::sample_results()[0].cases[0]);
  const std::string good = "\"decided_by\":\"ns.pid\"";
  const std::string word(size_t{4} << 20, 'x');  // edit distance to every layer would take minutes
  line.replace(line.find(good), good.size(), "\"decided_by\":\"" + word + "\"");
  const auto read = parse_results(header_line() + line + "\n", "FILE");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().object, "FILE:2: /decided_by");
  EXPECT_LT(read.error().describe().size(), 300U);
}

TEST(Reader, RefusesWhatIsNoStream) {
  expect_refused("", "FILE", "no header");
  expect_refused("\n", "FILE:1", "an empty line");
  expect_refused("hello\n", "FILE:1", "not JSON");
  expect_refused(header_line() + "{\"type\":\n", "FILE:2", "not JSON");
  expect_refused("[]\n", "FILE:1", "is an array; expected an object");
  expect_refused(std::string(100000, '[') + "\n", "FILE:1", "not JSON");
  expect_refused("\xff\xfe\x1b[2J\n", "FILE:1", "not JSON");
  expect_refused("{\"type\":\"header\",\"type\":\"case\"}\n", "FILE:1", "given twice");
  expect_refused(header_line() + header_line(), "FILE:2: /run_id", "line 1 is a header");
  const auto sample = testing::sample_results();
  expect_refused(record_line(sample[0].cases[0]) + "\n", "FILE:1: /run_id", "no header before");
  expect_refused(header_line() + record_line(sample[1].cases[0]) + "\n", "FILE:2: /run_id",
                 "no header before");
  const std::string summary = record_line(sample[0].summary) + "\n";
  expect_refused(header_line() + summary, "FILE:2: /counts/held", "says 1, the run has 0");
  const std::string whole = stream_of({sample[0]});
  expect_refused(whole + record_line(sample[0].cases[0]) + "\n", ": /run_id", "summary of");
  expect_refused(header_line() + record_line(sample[0].cases[0]) + "\n", "FILE:2",
                 "ends without the summary");
  EXPECT_EQ(read_results("/nonexistent/r.jsonl").error().err, ENOENT);
  EXPECT_EQ(read_results("/nonexistent/r.jsonl").error().kind, Error::Kind::usage);
  EXPECT_EQ(read_results("/").error().kind, Error::Kind::usage);
}

TEST(Reader, ReservedTypesAreSkipped) {
  const auto sample = testing::sample_results();
  std::string text = stream_of({sample[0]});
  const std::string reserved =
      R"({"type":"ablation","run_id":")" + sample[0].header.run_id + R"(","depth":2})" + "\n";
  text.insert(header_line().size(), reserved);
  const auto read = parse_results(text, "FILE");
  ASSERT_TRUE(read) << read.error().describe();
  expect_same(sample[0], (*read)[0]);
}

// A stream cut anywhere is either whole runs, or refused; accepted, it never shows more, and never
// a summary that was not reached.
TEST(Reader, EveryPrefixIsRefusedAndCanBeAccepted) {
  const auto sample = testing::sample_results();
  const std::string text = stream_of(sample);
  const size_t first_run = stream_of({sample[0]}).size();
  const size_t header = header_line().size();
  for (size_t size = 0; size < text.size(); size += 7) {
    const std::string cut = text.substr(0, size);
    const auto strict = parse_results(cut, "FILE");
    const bool whole = size == first_run || size == first_run - 1;
    ASSERT_EQ(strict.has_value(), whole) << size;
    const auto lenient = parse_results(cut, "FILE", {.accept_truncated = true});
    ASSERT_EQ(lenient.has_value(), size >= header - 1) << size;
    if (!lenient) continue;
    const bool ended = size >= first_run - 1;
    EXPECT_EQ((*lenient)[0].summary.interrupted, !ended) << size;
  }
  const auto cut = parse_results(text.substr(0, header + 40), "FILE");
  EXPECT_THAT(cut.error().hint, HasSubstr("was killed"));
}

// Only runs of several settings have axes; those are part of what tells the runs apart.
TEST(Reader, AHeaderWithAxesAndOneWithout) {
  HeaderRecord header = testing::sample_results()[0].header;
  EXPECT_EQ(record_line(header).find("axes"), std::string::npos);
  header.axes = {{"cmdline", "lockdown=integrity"}, {"cpus", ""}};
  const auto results =
      parse_results(record_line(header) + "\n", "FILE", {.accept_truncated = true});
  ASSERT_TRUE(results) << results.error().describe();
  EXPECT_EQ((*results)[0].header.axes, header.axes);
  EXPECT_THAT(run_label((*results)[0].header), HasSubstr(" cmdline=lockdown=integrity cpus="));
}

// Files from before summaries had notes are read.
TEST(Reader, ASummaryWithoutNotes) {
  RunResult run = testing::sample_results()[0];
  std::string text = record_line(run.header) + "\n";
  run.summary.counts.clear();
  std::string summary = record_line(run.summary);
  const std::string notes = ",\"notes\":[]";
  ASSERT_NE(summary.find(notes), std::string::npos) << summary;
  summary.erase(summary.find(notes), notes.size());
  const auto results = parse_results(text + summary + "\n", "old.jsonl");
  ASSERT_TRUE(results) << results.error().describe();
  EXPECT_TRUE((*results)[0].summary.notes.empty());
}

}  // namespace
}  // namespace ringfence

#include "reports/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "reports/json_fields.h"
#include "reports/text.h"

namespace ringfence {
namespace {

constexpr size_t kLargestFile = size_t{256} << 20;

// The last four are reserved.
const std::vector<std::string> kTypes = {"header",   "case",  "summary", "granted",    "finding",
                                         "ablation", "sweep", "bench",   "device_line"};
const std::vector<std::string> kModes = {"case", "policy"};
const std::vector<std::string> kTrials = {"control", "confined", "liveness"};
const std::vector<std::string> kWitnesses = {"ebpf", "canary",     "proc", "cgroup",
                                             "kvm",  "transcript", "wait", "inmate"};

std::vector<std::string> verdict_names() {
  std::vector<std::string> names;
  names.reserve(kVerdicts);
  for (int v = 0; v < kVerdicts; ++v) names.emplace_back(verdict_name(static_cast<Verdict>(v)));
  return names;
}

// Layer::all() builds its list anew; a file asks twice for each case.
const std::vector<std::string>& layer_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Layer& layer : Layer::all()) list.push_back(layer.str());
    return list;
  }();
  return names;
}

HeaderRecord read_header(JsonFields& f) {
  HeaderRecord r;
  f.word("run_id", r.run_id);
  f.text("started", r.started);
  f.text("version", r.version);
  f.text("kernel", r.kernel);
  f.text("machine", r.machine);
  f.text("cgroup_mode", r.cgroup_mode);
  f.texts("lsms", r.lsms);
  f.text("cpu", r.cpu);
  f.text("hypervisor", r.hypervisor);
  f.boolean("root", r.root);
  f.word("target", r.target);
  f.choice("mode", r.mode, kModes);
  f.text("policy", r.policy);
  f.natural("seed", r.seed);
  f.texts("unenforced", r.unenforced);
  f.texts("notes", r.notes);
  f.text_map("facts", r.facts);
  f.text_map_if_there("axes", r.axes);
  return r;
}

std::optional<TrialRecord> read_trial(JsonFields& f, const char* name) {
  TrialRecord r;
  const bool there = f.object_or_null(name, [&](JsonFields& trial) {
    trial.boolean("achieved", r.achieved);
    trial.text("says", r.says);
  });
  if (!there) return std::nullopt;
  return r;
}

CaseRecord read_case(JsonFields& f) {
  static const std::vector<std::string> verdicts = verdict_names();
  CaseRecord r;
  std::string word;
  f.word("run_id", r.run_id);
  f.word("id", r.id);
  f.text("title", r.title);
  f.text("source", r.source);
  f.choice("verdict", word, verdicts);
  r.verdict = verdict_by_name(word).value_or(Verdict::broken);  // refused above when unknown
  std::string layer;
  f.layer("expected_layer", layer, layer_names());
  f.layer("decided_by", r.decided_by, layer_names());
  f.word("target", r.target);
  f.choice("mode", r.mode, kModes);
  f.text("reason", r.reason);
  if (r.reason.empty() && r.verdict != Verdict::held && r.verdict != Verdict::breached) {
    f.refuse("reason", "is empty", "a reason, because the verdict is " + word);
  }
  f.text("detail", r.detail);
  r.control = read_trial(f, "control");
  r.liveness = read_trial(f, "liveness");
  f.objects("witnesses", [&](JsonFields& w) {
    WitnessRecord& record = r.witnesses.emplace_back();
    w.choice("name", record.name, kWitnesses);
    w.text("says", record.says);
    w.natural("lost", record.lost);
  });
  f.objects("evidence", [&](JsonFields& e) {
    EvidenceLine& line = r.evidence.emplace_back();
    e.choice("trial", line.trial, kTrials);
    e.integer("at_us", line.at_us);
    e.word("source", line.source);
    e.text("text", line.text);
    e.boolean("decided", line.decided);
  });
  f.integer("duration_ns", r.duration_ns, 0);
  f.integer_map("timings_ns", r.timings_ns);
  f.text("notes", r.notes);
  if (!f.refused()) r.expected_layer = Layer(layer);  // known, so it fits
  return r;
}

SummaryRecord read_summary(JsonFields& f) {
  SummaryRecord r;
  int64_t number = 0;
  f.word("run_id", r.run_id);
  f.object("counts", [&](JsonFields& counts) {
    for (const auto& name : verdict_names()) {
      counts.integer(name.c_str(), number, 0, INT32_MAX);
      r.counts[*verdict_by_name(name)] = static_cast<int>(number);
    }
  });
  number = 0;
  f.integer("exit_code", number, 0, 255);
  r.exit_code = static_cast<int>(number);
  f.integer("duration_ns", r.duration_ns, 0);
  f.boolean("interrupted", r.interrupted);
  f.texts("complaints", r.complaints);
  f.texts_if_there("notes", r.notes);
  return r;
}

std::map<Verdict, int> count(const std::vector<CaseRecord>& cases) {
  std::map<Verdict, int> counts;
  for (int v = 0; v < kVerdicts; ++v) counts[static_cast<Verdict>(v)] = 0;
  for (const auto& record : cases) ++counts[record.verdict];
  return counts;
}

class StreamReader {
 public:
  StreamReader(std::string name, ReadOptions options) : name_(std::move(name)), options_(options) {}

  Result<std::vector<RunResult>> read(std::string_view text);

 private:
  struct Run {
    RunResult result;
    bool ended = false;
    size_t line = 0;  // of the header
  };

  void record(const nlohmann::json& json, JsonComplaint& complaint);
  Run* run(const std::string& run_id, JsonComplaint& complaint);
  void add_summary(const SummaryRecord& summary, JsonComplaint& complaint);
  [[nodiscard]] tl::unexpected<Error> refuse(const JsonComplaint& complaint) const;

  std::string name_;
  ReadOptions options_;
  std::vector<Run> runs_;
  size_t line_ = 0;
};

tl::unexpected<Error> StreamReader::refuse(const JsonComplaint& complaint) const {
  const std::string pointer = complaint.pointer.empty() ? "" : ": " + complaint.pointer;
  // The file may come from anywhere, and the error goes to a terminal.
  return usage_error("read results", terminal_safe(fmt::format("{}:{}{}", name_, line_, pointer)),
                     terminal_safe(complaint.what + "; expected " + complaint.allowed));
}

StreamReader::Run* StreamReader::run(const std::string& run_id, JsonComplaint& complaint) {
  for (Run& run : runs_) {
    if (run.result.header.run_id != run_id) continue;
    if (run.ended) {
      complaint.set("/run_id", "the summary of '" + run_id + "' stands before this record",
                    "the summary as the last record of a run");
      return nullptr;
    }
    return &run;
  }
  complaint.set("/run_id", "no header before this line has the run_id '" + run_id + "'",
                "the header as the first record of a run");
  return nullptr;
}

void StreamReader::add_summary(const SummaryRecord& summary, JsonComplaint& complaint) {
  Run* owner = run(summary.run_id, complaint);
  if (owner == nullptr) return;
  for (const auto& [verdict, number] : count(owner->result.cases)) {
    const int said = summary.counts.at(verdict);
    if (said == number) continue;
    return complaint.set(
        fmt::format("/counts/{}", verdict_name(verdict)),
        fmt::format("the summary says {}, the run has {} such cases", said, number),
        "a summary that counts the records before it");
  }
  owner->result.summary = summary;
  owner->ended = true;
}

void StreamReader::record(const nlohmann::json& json, JsonComplaint& complaint) {
  JsonFields fields(json, "", complaint);
  std::string type;
  fields.choice("type", type, kTypes);
  if (complaint.any()) return;
  if (type == "header") {
    HeaderRecord header = read_header(fields);
    fields.close();
    for (const Run& run : runs_) {
      if (run.result.header.run_id == header.run_id) {
        complaint.set("/run_id", fmt::format("line {} is a header with the same run_id", run.line),
                      "a run_id of its own for each header");
      }
    }
    if (complaint.any()) return;
    runs_.push_back(Run{RunResult{std::move(header), {}, {}, {}, {}}, false, line_});
  } else if (type == "case") {
    CaseRecord record = read_case(fields);
    fields.close();
    if (complaint.any()) return;
    if (Run* owner = run(record.run_id, complaint)) owner->result.cases.push_back(record);
  } else if (type == "granted") {
    GrantedRecord record;
    fields.word("run_id", record.run_id);
    fields.word("what", record.what);
    fields.text("text", record.text);
    fields.close();
    if (complaint.any()) return;
    if (Run* owner = run(record.run_id, complaint)) owner->result.granted.push_back(record);
  } else if (type == "finding") {
    FindingRecord record;
    fields.word("run_id", record.run_id);
    fields.text("id", record.id);
    fields.text("text", record.text);
    fields.close();
    if (complaint.any()) return;
    if (Run* owner = run(record.run_id, complaint)) owner->result.findings.push_back(record);
  } else if (type == "summary") {
    const SummaryRecord summary = read_summary(fields);
    fields.close();
    if (!complaint.any()) add_summary(summary, complaint);
  } else {
    std::string run_id;
    fields.word("run_id", run_id);
    if (!complaint.any()) run(run_id, complaint);
  }
}

Result<std::vector<RunResult>> StreamReader::read(std::string_view text) {
  bool cut = false;
  while (!text.empty()) {
    ++line_;
    const size_t end = text.find('\n');
    const bool last = end == std::string_view::npos;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(last ? text.size() : end + 1);
    JsonComplaint complaint;
    if (trim(line).empty()) {
      complaint.set("", "an empty line", "one JSON object a line");
      return refuse(complaint);
    }
    nlohmann::json json;
    const bool parsed = parse_json(line, json, complaint);
    // Every record ends in a newline, so a last line without one was cut off. Whole JSON without
    // its newline has lost nothing.
    if (!parsed && last) {
      cut = true;
      if (options_.accept_truncated && !runs_.empty()) break;
      complaint = {};
      complaint.set("", "the file ends within this line: the run was killed, or the copy cut off",
                    "a newline after each record");
      return refuse(complaint);
    }
    if (parsed) record(json, complaint);
    if (complaint.any()) return refuse(complaint);
  }
  if (runs_.empty()) {
    return usage_error("read results", terminal_safe(name_),
                       "no header: the file is empty or not a result file of ringfence; "
                       "expected a record of type header first");
  }
  std::vector<RunResult> results;
  for (Run& run : runs_) {
    if (!run.ended) {
      const std::string id = run.result.header.run_id;
      if (!options_.accept_truncated) {
        return usage_error("read results", terminal_safe(fmt::format("{}:{}", name_, line_)),
                           terminal_safe("the file ends without the summary of run '" + id +
                                         "' (the run was killed, or is still going)"));
      }
      SummaryRecord& s = run.result.summary;
      s.run_id = id;
      s.counts = count(run.result.cases);
      s.interrupted = true;
      s.exit_code = s.counts[Verdict::breached] > 0 ? 1 : 2;
      s.complaints = {cut ? "the file ends within a record" : "the file ends before the summary"};
    }
    results.push_back(std::move(run.result));
  }
  return results;
}

}  // namespace

Result<std::vector<RunResult>> parse_results(std::string_view text, const std::string& name,
                                             ReadOptions options) {
  return StreamReader(name, options).read(text);
}

Result<SummaryRecord> parse_summary(std::string_view line, const std::string& name) {
  JsonComplaint complaint;
  nlohmann::json json;
  SummaryRecord summary;
  if (parse_json(line, json, complaint)) {
    JsonFields fields(json, "", complaint);
    std::string type;
    fields.choice("type", type, {"summary"});
    summary = read_summary(fields);
    fields.close();
  }
  if (complaint.any()) {
    return usage_error("read results", terminal_safe(name + ": " + complaint.pointer),
                       terminal_safe(complaint.what + "; expected " + complaint.allowed));
  }
  return summary;
}

std::optional<std::string> started_case(std::string_view line) {
  JsonComplaint complaint;
  nlohmann::json json;
  if (!line.starts_with("{\"type\":\"started\"") || !parse_json(line, json, complaint)) {
    return std::nullopt;
  }
  JsonFields fields(json, "", complaint);
  std::string type, id;
  fields.choice("type", type, {"started"});
  fields.word("id", id);
  fields.close();
  if (complaint.any()) return std::nullopt;
  return id;
}

Result<std::vector<RunResult>> read_results(const std::string& path, ReadOptions options) {
  auto text = read_file(path == "-" ? "/dev/stdin" : path, kLargestFile);
  if (!text) {
    return tl::unexpected(Error{Error::Kind::usage, "read results", text.error().err,
                                terminal_safe(path), "expected a JSONL file that ringfence wrote"});
  }
  return parse_results(*text, path, options);
}

}  // namespace ringfence

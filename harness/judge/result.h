#pragma once
// What a run says: the records of the result stream (reports/schema/), as values.
// A record belongs to the header with the same run_id. Field names are the stream's own.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/policy/layer.h"

namespace ringfence {

enum class Verdict : uint8_t { held, breached, unproven, skipped, broken };
std::string_view verdict_name(Verdict verdict);
std::optional<Verdict> verdict_by_name(std::string_view name);
inline constexpr int kVerdicts = 5;

struct WitnessRecord {
  std::string name;   // ebpf, canary, proc, cgroup, kvm, transcript, wait, inmate
  std::string says;   // "canary_killed: no (pid 3 alive)"
  uint64_t lost = 0;  // events that this witness may have missed
};

struct TrialRecord {  // control or liveness
  bool achieved = false;
  std::string says;
};

struct EvidenceLine {  // one line of `explain`
  std::string trial;   // control, confined, liveness
  int64_t at_us = 0;   // since the trial began
  std::string source;  // plan, inmate, canary, proc, cgroup, wait, ebpf, judge
  std::string text;
  bool decided = false;  // the line that decided the verdict
};

struct CaseRecord {
  std::string run_id;
  std::string id;
  std::string title;
  std::string source;
  Verdict verdict = Verdict::broken;
  Layer expected_layer;
  std::string decided_by;  // a layer's name, "unattributed", or empty
  std::string target = "native";
  std::string mode = "case";  // case, policy
  std::string reason;         // a word that a machine can read, empty for held
  std::string detail;         // the same for people
  std::optional<TrialRecord> control;
  std::optional<TrialRecord> liveness;
  std::vector<WitnessRecord> witnesses;
  std::vector<EvidenceLine> evidence;
  int64_t duration_ns = 0;
  std::map<std::string, int64_t> timings_ns;  // control, confined, liveness
  std::string notes;                          // "inmate bound at /.ringfence"
};

struct GrantedRecord {  // what the policy grants on purpose; no verdict
  std::string run_id;
  std::string what;  // "cap.NET_RAW"
  std::string text;  // "raw sockets in its own network namespace"
};

struct FindingRecord {
  std::string run_id;
  std::string id;  // case it belongs to, or empty
  std::string text;
};

struct HeaderRecord {
  std::string run_id;
  std::string started;  // UTC, ISO 8601
  std::string version;  // ringfence's
  std::string kernel;   // uname -r
  std::string machine;
  std::string cgroup_mode;
  std::vector<std::string> lsms;
  std::string cpu;
  std::string hypervisor;
  bool root = false;
  std::string target = "native";
  std::string mode = "case";
  std::string policy;  // name of the policy in policy mode
  uint64_t seed = 0;
  std::vector<std::string> unenforced;  // JSON pointers
  std::vector<std::string> notes;
  std::map<std::string, std::string> facts;  // what doctor shows, by name
  // What tells this run from the others of a matrix: "cmdline" -> "lockdown=integrity".
  std::map<std::string, std::string> axes{};
};

struct SummaryRecord {
  std::string run_id;
  std::map<Verdict, int> counts;
  int exit_code = 0;
  int64_t duration_ns = 0;
  bool interrupted = false;
  std::vector<std::string> complaints;  // why exit_code is not 0: "3 skips are not expected: ..."
  // What weakens the whole run: "no eBPF witness (needs:root): verdicts rest on weaker evidence".
  std::vector<std::string> notes{};
};

struct RunResult {
  HeaderRecord header;
  std::vector<CaseRecord> cases;
  std::vector<GrantedRecord> granted;
  std::vector<FindingRecord> findings;
  SummaryRecord summary;
};

}  // namespace ringfence

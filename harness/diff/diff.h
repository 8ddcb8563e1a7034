#pragma once
// What changed between two result files. Time, run ids and evidence are ignored: they differ in
// every run.
//
// Runs are matched by (target, mode, policy): first those of the same kernel, then the others in
// the order of the file, so that one file per kernel compares the kernels. Where both files have
// one run of the same target and mode these two are matched whatever their policies. Cases of
// matched runs are matched by (id, target, mode), several of the same in order.
#include <string>
#include <vector>

#include "harness/judge/result.h"
#include "reports/style.h"

namespace ringfence {

struct CaseChange {
  std::string run;  // "native 6.1 -> 6.12": where the file has several runs
  std::string id;
  std::string what;  // "verdict", "decided_by", "reason", "appeared", "disappeared"
  std::string before;
  std::string after;
  bool worse = false;  // a verdict that is now nearer to breached
};

struct HeaderChange {
  std::string run;
  std::string field;  // "kernel", "cgroup_mode", "facts.landlock_abi", "run" for a whole run
  std::string before;
  std::string after;
};

struct DiffReport {
  std::vector<CaseChange> verdicts;  // worst first; then by id
  std::vector<CaseChange> disappeared;
  std::vector<CaseChange> appeared;
  std::vector<CaseChange> layers;   // the same verdict, decided by another layer
  std::vector<CaseChange> reasons;  // the same verdict, for another reason
  std::vector<HeaderChange> headers;
  size_t compared = 0;  // pairs of cases

  // The same runs, and no case differs. What a header says of the host may differ: another kernel
  // with the same results is what one hopes for.
  [[nodiscard]] bool same_results() const;
  // Of `ringfence diff`: 0 when same_results(), 1 otherwise.
  [[nodiscard]] int exit_code() const { return same_results() ? 0 : 1; }
};

DiffReport diff_results(const std::vector<RunResult>& before, const std::vector<RunResult>& after);
// For people; ends in a newline.
std::string render_diff(const DiffReport& report, const Style& style);
// One JSON object, and a newline: {same, compared, verdicts, disappeared, appeared, layers,
// reasons, headers}.
std::string diff_json(const DiffReport& report);

}  // namespace ringfence

#pragma once
// The runner: chooses cases, runs each in a worker process of its own (three trials, each in a
// fresh decoy host), judges, and hands records to an observer as they come.
//
// Nothing is shared between two runs on one host; what a run makes outside its namespaces (cgroups)
// carries its name, and janitor() removes what a killed run left.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/facts.h"
#include "harness/judge/judge.h"
#include "harness/judge/result.h"
#include "harness/policy/policy.h"
#include "harness/runner/registry.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"
#include "harness/witness/probe_file.h"
#include "harness/witness/witness.h"

namespace ringfence {

class Observer;

struct RunOptions {
  std::vector<std::string> globs;
  bool full = false;             // --suite full: the cases that need seconds, too
  std::optional<Policy> policy;  // given: policy mode
  std::string rootfs;            // directory to use as root; must exist; empty: the policy's own
  int jobs = 1;
  std::chrono::milliseconds timeout{10000};  // per case
  std::optional<uint64_t> seed;
  bool shuffle = false;
  int shard_index = 1;  // 1-based
  int shard_count = 1;

  // Without the eBPF witness: everything runs, on weaker evidence.
  bool kernel_witness = true;
  // One that is open already, for callers with many runs; otherwise the run opens its own.
  const Witness* opened_witness = nullptr;
  WitnessOptions witness;       // for tests: rungs passed over
  Witness::WatchOptions watch;  // for tests: a ring too small for the story

  // Users' own BPF objects, loaded beside the witness; without it they are not.
  std::vector<ProbeFile> probes;
  // The whole story: no line left out, and each attempt in its brackets (witness/bracket.h).
  bool full_timeline = false;

  // For tests: an inmate other than our own, and steps left out of the plans: in case mode of the
  // control's as well, so that the two still differ in the expected layer alone; in policy mode of
  // the given policy's.
  std::vector<unsigned char> inmate;
  std::function<bool(const Step&)> drop;

  // Given: the cases are chosen here, in this order, and run there, in a disposable kernel; nothing
  // is started on this host. It calls the observer itself; `seed` is the run's.
  using Elsewhere = std::function<Result<RunResult>(const std::vector<const Case*>& cases,
                                                    uint64_t seed, Observer& observer)>;
  Elsewhere elsewhere;

  // Set from a signal handler: no new case starts, running ones are ended.
  const std::atomic<bool>* interrupted = nullptr;
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void header(const HeaderRecord&, size_t /*cases to come*/) {}
  virtual void started(const Case&, size_t /*running*/) {}
  virtual void finished(const CaseRecord&) {}
  virtual void granted(const GrantedRecord&) {}
  virtual void finding(const FindingRecord&) {}
  // Some times a second while cases run.
  virtual void waiting() {}
};

// Runs and returns everything; the observer sees each record as soon as it is there. Fails only
// before the first case starts (bad options, a policy that cannot be carried out).
// The calling process must have one thread. summary.exit_code is left to the caller.
Result<RunResult> run(const Registry& registry, const Facts& facts, const RunOptions& options,
                      Observer& observer);

// What a killed run left: removes it, returns how many things.
Result<size_t> janitor();

// ---- Exit codes
// ------------------------------------------------------------------------------------
struct ExpectedSkip {
  std::string glob;
  std::string reason;  // a glob, too
};
// Lines "GLOB REASON", '#' starts a comment.
Result<std::vector<ExpectedSkip>> parse_expected_skips(std::string_view text,
                                                       const std::string& file);

struct ExitRules {
  std::optional<std::vector<ExpectedSkip>> expected_skips;
  std::optional<int> min_held;
  std::vector<std::string> missing_facilities;  // of --require
};
// Fills counts, exit_code and complaints: the first that applies of 1 (breached), 2 (unproven,
// broken, a required facility missing), 3 (a skip that is not expected, fewer held than asked for),
// 4 (nothing ran), 0.
void conclude(RunResult& result, const ExitRules& rules);

}  // namespace ringfence

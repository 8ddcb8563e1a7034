#pragma once
// The eBPF witness's part in one trial: what it has to look out for, and what it saw, in the words
// of the judge.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/judge/case.h"
#include "harness/judge/trial.h"
#include "harness/spawn/plan.h"
#include "harness/witness/bracket.h"
#include "harness/witness/cpu_clock.h"
#include "harness/witness/probe.h"
#include "harness/witness/witness.h"

namespace ringfence {

// Turns "{canary_pid}" and the like into what they stand for in this decoy host.
using Expand = std::function<Result<std::string>(const std::string&)>;

// This process's own witness, opened when first asked for and kept: for callers with many runs (a
// test program, the GoogleTest bridge). Null when there can be none here.
const Witness* witness_of_process();

// What a trial has beside the witness itself; null: nobody asks for it.
struct WatchExtras {
  const Probes* probes = nullptr;
  const Bracket* bracket = nullptr;
  std::string attempt{};            // whose brackets count
  const CpuClock* clock = nullptr;  // follows what the calling process starts
  bool full_story = false;          // no line is left out of the timeline
};

class KernelWatch {
 public:
  // Watches the group of this directory (a v2 one) from now on.
  static Result<KernelWatch> begin(const Witness& witness, int group_fd,
                                   const Witness::WatchOptions& options = {},
                                   WatchExtras extras = {});
  // The facts of a trial that the witness should have watched, and could not: all of them are lost,
  // so that it proves no absence. What else was seen of it stays seen.
  static KernelFacts unwatched(const Error& error);
  // In the decoy host, before the target is spawned. The last thing looked for is the sentinel:
  // the answers that the inmate writes, each of which the harness counts when it arrives.
  Status look_for(const std::vector<Call>& calls, const Expand& expand) const;
  // Whether this trial's tasks are to be listed, by look_at_tasks(): nothing is judged by those of
  // the others, and a look takes its time.
  void list_tasks() { lists_ = true; }
  [[nodiscard]] bool lists_tasks() const { return lists_; }
  // The tasks of the target now: see Watch::tasks().
  [[nodiscard]] Result<TaskStates> tasks() const { return watch_.tasks(); }
  // After the target's end: facts, and the story as lines of evidence (runner/timeline.h), whose
  // times count from the same zero as the outcome's own. `calls` is how many were looked for.
  // TrialOutcome::messages is how many answers arrived; when the kernel saw fewer, it missed
  // something.
  void collect(size_t calls, const Plan& plan, TrialOutcome& outcome);

 private:
  explicit KernelWatch(Watch watch, int64_t began_ns, WatchExtras extras)
      : watch_(std::move(watch)), began_ns_(began_ns), extras_(std::move(extras)) {}
  void collect_extras(const Plan& plan, TrialOutcome& outcome) const;
  Watch watch_;
  int64_t began_ns_;
  WatchExtras extras_;
  UniqueFd on_cpu_;  // the clock's event
  bool lists_ = false;
};

}  // namespace ringfence

#pragma once
// One case in a worker process: compile its plans, run the three trials, judge.
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "harness/judge/judge.h"
#include "harness/runner/runner.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"
#include "harness/witness/bracket.h"
#include "harness/witness/cpu_clock.h"
#include "harness/witness/kvm_exits.h"
#include "harness/witness/probe.h"
#include "harness/witness/witness.h"

namespace ringfence {

// What all cases of a run share, made before the first worker is forked.
struct RunContext {
  Mode mode = Mode::case_mode;
  std::string run_id;
  uint64_t seed = 0;
  int inmate_fd = -1;
  std::string rootfs;              // directory of the host that targets get as root
  std::vector<std::string> binds;  // directories and files of the host that the policy binds
  std::chrono::milliseconds timeout{10000};
  std::function<bool(const Step&)> drop;
  // Policy mode: the given policy and `none`, compiled once.
  const Policy* policy = nullptr;
  const Plan* policy_plan = nullptr;
  const Plan* none_plan = nullptr;
  std::shared_ptr<CgroupRoot> cgroups;  // null when no case needs one or the host has none
  // Loaded before the first worker; null: there is none, for this reason.
  const Witness* witness = nullptr;
  Witness::WatchOptions watch;
  std::string no_witness;
  // Beside it, where somebody asks for them.
  const Probes* probes = nullptr;
  const Bracket* bracket = nullptr;
  const CpuClock* clock = nullptr;
  const KvmExits* kvm_exits = nullptr;
  bool full_timeline = false;
  int* decoy_pid = nullptr;  // where run_trial() keeps its decoy host's pid
  bool privileged = true;    // root of the initial user namespace
};

// compile(), and once more with the inmate bound as a file where the filter denies execveat.
Result<Plan> compile_for_decoy(const Policy& policy, CompileOptions options);
// Whether a case needs a group of its own.
bool needs_cgroup(const Case& c, const RunContext& context);
// The controllers of all the groups that these cases will run in: the workers share the run's own.
std::vector<std::string> group_controllers(const std::deque<const Case*>& cases,
                                           const RunContext& context);

CaseRecord run_case(const Case& c, const RunContext& context);

}  // namespace ringfence

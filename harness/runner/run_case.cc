#include "harness/runner/run_case.h"

#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/policy/read.h"
#include "harness/policy/without.h"
#include "harness/runner/decoy.h"

namespace ringfence {
namespace {

// splitmix64: well mixed from any seed, the same on every machine.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t hash(std::string_view text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

// A worker of a caller without root becomes root of a user namespace of its own, so that it can
// make decoy hosts.
Status enter_own_userns() {
  const int64_t uid = sys::call(SYS_geteuid);
  const int64_t gid = sys::call(SYS_getegid);
  if (const int64_t r = sys::call(SYS_unshare, CLONE_NEWUSER); r < 0) {
    return unsupported_error("unshare user namespace", {}, static_cast<int>(-r));
  }
  if (auto ok = write_file("/proc/self/setgroups", "deny"); !ok) return ok;
  if (auto ok = write_file("/proc/self/uid_map", fmt::format("0 {} 1", uid)); !ok) return ok;
  return write_file("/proc/self/gid_map", fmt::format("0 {} 1", gid));
}

struct Compiled {
  Plan control, confined;
};

Result<Compiled> compile_case(const Case& c, const RunContext& context) {
  CompileOptions options;
  options.drop = context.drop;
  auto confined = compile_for_decoy(c.policy, options);
  if (!confined) return tl::unexpected(confined.error());
  auto control = compile_for_decoy(without(c.policy, c.expected), options);
  if (!control) return tl::unexpected(control.error());
  return Compiled{std::move(*control), std::move(*confined)};
}

// A step that this host can never do, whoever asks, is the host's lack and no verdict.
std::optional<std::string> host_lack(const TrialOutcome& trial) {
  if (trial.error_word == "spawn_failed" && trial.failed_layer.name().starts_with("rlimit.") &&
      trial.failed_errno == EPERM) {
    return "host-lacks:cap_sys_resource";
  }
  return std::nullopt;
}

class CaseRun {
 public:
  CaseRun(const Case& c, const RunContext& context) : case_(c), context_(context) {}

  CaseRecord run() {
    const Plan* control = context_.none_plan;
    const Plan* confined = context_.policy_plan;
    Compiled own;
    if (context_.mode == Mode::case_mode) {
      auto compiled = compile_case(case_, context_);
      if (!compiled) {
        const bool lacks = compiled.error().kind == Error::Kind::unsupported;
        return untried(case_, context_.mode, lacks ? Verdict::skipped : Verdict::broken,
                       lacks ? "unsupported:policy" : "compile_failed",
                       compiled.error().describe());
      }
      own = std::move(*compiled);
      control = &own.control;
      confined = &own.confined;
    }
    const auto control_run = trial("control", *control, case_.attempt, case_.goal, {});
    const auto confined_run = trial("confined", *confined, case_.attempt, case_.goal, case_.proofs);
    const auto liveness_run = trial("liveness", *confined, case_.liveness, case_.alive, {});
    for (const TrialOutcome* t : {&control_run, &confined_run, &liveness_run}) {
      if (auto lack = host_lack(*t)) {
        return untried(case_, context_.mode, Verdict::skipped, *lack, t->error);
      }
    }
    const Trials trials{&control_run, &confined_run, &liveness_run};
    const Judgement judgement = judge(case_, context_.mode, trials, confined->seccomp_program);
    CaseRecord record = make_record(case_, context_.mode, trials, judgement);
    if (!confined->program.empty()) {
      record.notes = "the filter denies execveat: the inmate is bound at " + confined->program;
    }
    return record;
  }

 private:
  TrialOutcome trial(const std::string& name, const Plan& plan, const Attempt& attempt,
                     const Goal& goal, const std::vector<Goal>& proofs) {
    const uint64_t a = mix(context_.seed ^ hash(case_.id + "/" + name));
    TrialSpec spec;
    spec.plan = &plan;
    spec.attempt = attempt;
    spec.goal = goal;
    spec.secret = fmt::format("rf{:016x}{:016x}", a, mix(a));
    spec.nonce = fmt::format("{:012x}", mix(mix(a)) >> 16);
    spec.inmate_fd = context_.inmate_fd;
    spec.rootfs = context_.rootfs;
    spec.binds = context_.binds;
    spec.timeout = context_.timeout;
    spec.decoy_pid = context_.decoy_pid;
    std::optional<CgroupLeaf> leaf;
    std::vector<Goal> events;
    for (const Goal& proof : proofs) {
      (proof.sight == Sight::cgroup_event ? events : spec.proofs).push_back(proof);
    }
    std::optional<KernelWatch> watch;
    if (needs_cgroup(case_, context_) || context_.witness != nullptr) {
      auto made = make_leaf(plan, spec);
      if (!made) return failed_before(goal, "cgroup_failed", made.error());
      leaf = std::move(*made);
      spec.cgroup = &*leaf;
    }
    if (context_.witness != nullptr) {
      auto begun = KernelWatch::begin(*context_.witness, leaf->unified_fd(), context_.watch);
      if (!begun) return failed_before(goal, "witness_failed", begun.error());
      watch = std::move(*begun);
      spec.watch = &*watch;
      if (name != "liveness") spec.calls = case_.calls;
    }
    TrialOutcome outcome = run_trial(spec);
    if (watch) {
      watch->collect(spec.calls.size(), plan, outcome);
    } else {
      outcome.kernel.absent = context_.no_witness;
    }
    for (const Goal& event : events) outcome.proofs.push_back(look_at_cgroup(event, leaf));
    return outcome;
  }

  static TrialOutcome failed_before(const Goal& goal, const char* word, const Error& error) {
    TrialOutcome failed;
    failed.goal.goal = goal;
    failed.error_word = word;
    failed.error = error.describe();
    return failed;
  }

  Result<CgroupLeaf> make_leaf(const Plan& plan, const TrialSpec& spec) {
    if (!context_.cgroups) return unsupported_error("make cgroup", case_.id);
    auto settings = plan.settings();
    // A control without the limit runs in a group all the same, so that only the limit differs.
    if (settings.empty() && needs_cgroup(case_, context_)) {
      settings.push_back({"pids", "pids.max", "max"});
    }
    // The name holds the secret: who reads the host's path of its group has it.
    return CgroupLeaf::create(context_.cgroups, settings, "t-" + spec.secret);
  }

  static Seen look_at_cgroup(const Goal& goal, const std::optional<CgroupLeaf>& leaf) {
    const size_t dot = goal.arg.find('.');
    const auto count =
        leaf ? leaf->event(goal.arg.substr(0, dot), goal.arg.substr(dot + 1)) : Result<uint64_t>(0);
    if (!count) return {goal, false, count.error().describe(), "cgroup"};
    return {goal, *count >= static_cast<uint64_t>(goal.value),
            fmt::format("{} events: {}", goal.arg, *count), "cgroup"};
  }

  const Case& case_;
  const RunContext& context_;
};

}  // namespace

Result<Plan> compile_for_decoy(const Policy& policy, CompileOptions options) {
  options.staging = kDecoyStaging;
  auto plan = compile(policy, options);
  if (!plan || plan->seccomp_program.empty()) return plan;
  const uint32_t action = bpf_evaluate(plan->seccomp_program, {.nr = SYS_execveat, .args = {}}) &
                          SECCOMP_RET_ACTION_FULL;
  if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG) return plan;
  options.program = kDecoyInmate;
  return compile(policy, options);
}

bool needs_cgroup(const Case& c, const RunContext& context) {
  const auto limits = [](const Policy& p) {
    return p.resources.pids_limit.has_value() || p.resources.memory_limit.has_value();
  };
  if (context.mode == Mode::policy_mode && limits(*context.policy)) return true;
  return limits(c.policy) ||
         std::any_of(c.needs.begin(), c.needs.end(),
                     [](const std::string& need) { return need.starts_with("cgroup."); });
}

CaseRecord run_case(const Case& c, const RunContext& context) {
  if (!context.privileged) {
    if (auto ok = enter_own_userns(); !ok) {
      return untried(c, context.mode, Verdict::broken, "decoy_failed", ok.error().describe());
    }
  }
  return CaseRun(c, context).run();
}

}  // namespace ringfence

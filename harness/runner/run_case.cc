#include "harness/runner/run_case.h"

#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <set>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/confine/cgroup.h"
#include "harness/policy/read.h"
#include "harness/policy/without.h"
#include "harness/runner/decoy.h"
#include "harness/runner/group_look.h"
#include "harness/runner/guest_case.h"
#include "harness/runner/port_watch.h"

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

// What a read must bring back. From nowhere but the kernel: the seed stands in the report, and the
// nonce that is made of it in the inmate's own parameters, so that what came of either could be
// calculated instead of read.
Result<std::string> new_secret() {
  std::array<uint64_t, 2> words{};
  int64_t n = -EINTR;
  while (n == -EINTR) n = sys::call(SYS_getrandom, sys::arg(words.data()), sizeof words, 0);
  if (n != sizeof words) {
    return system_error("getrandom", "the secret", n < 0 ? static_cast<int>(-n) : EIO);
  }
  return fmt::format("rf{:016x}{:016x}", words[0], words[1]);
}

struct Compiled {
  Plan control, confined;
};

Result<Compiled> compile_case(const Case& c, const RunContext& context) {
  CompileOptions options;
  options.drop = context.drop;
  auto confined = compile_for_decoy(c.policy, options);
  if (!confined) return tl::unexpected(confined.error());
  auto control = compile_for_decoy(c.control ? c.policy : without(c.policy, c.expected), options);
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

// Capabilities that a process under the policy may have once its program runs. Transformation of
// capabilities during execve(), capabilities(7): root gets what the bounding set leaves (no more
// than it was permitted under no_new_privs), any other user the ambient set.
uint64_t granted_caps(const Policy& policy) {
  const Capabilities& sets = policy.capabilities;
  const bool root = !policy.set_user || policy.user.uid == 0;
  const uint64_t most = (root ? sets.bounding : sets.ambient).value_or(CapSet::all()).mask();
  if (!policy.no_new_privileges) return most;
  return most & sets.permitted.value_or(CapSet::all()).mask();
}

// Under a given policy a layer that was seen around the target explains a denial. But after it got
// through a target may have entered namespaces, put down capabilities and installed filters of its
// own, so only what the policy makes counts.
void keep_what_the_policy_makes(const Case& c, const Policy& policy, const Plan& plan,
                                TrialOutcome& confined) {
  const auto makes = [&](const Layer& layer) {
    return std::any_of(plan.steps.begin(), plan.steps.end(),
                       [&](const Step& step) { return step.confines && step.layer == layer; });
  };
  const uint64_t granted = granted_caps(policy);
  std::erase_if(confined.in_force, [&](const Layer& layer) { return !makes(layer); });
  confined.cap_effective |= granted;
  if (confined.goal.yes) return;
  constexpr std::string_view kCapPrefix = "cap.";
  const std::string_view name = c.expected.name();
  const auto cap =
      name.starts_with(kCapPrefix) ? cap_by_name(name.substr(kCapPrefix.size())) : std::nullopt;
  if (cap ? (granted >> *cap & 1) == 0 : makes(c.expected)) return;
  // A proof that is never seen: those of the case speak for a layer that is not the policy's.
  Seen& never = confined.proofs.emplace_back();
  never.says = fmt::format("the policy makes no {}", name);
  never.witness = "proc";
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
    const auto control_run =
        trial("control", *control, case_.control.value_or(case_.attempt), case_.goal, {});
    auto confined_run = trial("confined", *confined, case_.attempt, case_.goal, case_.proofs);
    const auto liveness_run = trial("liveness", *confined, case_.liveness, case_.alive, {});
    const Trials trials{&control_run, &confined_run, &liveness_run};
    for (const TrialOutcome* t : {trials.control, trials.confined, trials.liveness}) {
      if (auto lack = host_lack(*t)) {
        return untried(case_, context_.mode, Verdict::skipped, *lack, t->error);
      }
    }
    if (context_.mode == Mode::policy_mode) {
      keep_what_the_policy_makes(case_, *context_.policy, *confined, confined_run);
    }
    const Policy& in_force = context_.mode == Mode::policy_mode ? *context_.policy : case_.policy;
    confined_run.kernel.stray =
        find_stray(confined_run.kernel.states, confined_run.kernel.hosts, Separation::of(in_force));
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
    const auto failed = [&](const char* word, const Error& error) {
      TrialOutcome outcome;
      outcome.goal.goal = goal;
      outcome.error_word = word;
      outcome.error = error.describe();
      return outcome;
    };
    const auto secret = new_secret();
    if (!secret) return failed("decoy_failed", secret.error());
    TrialSpec spec;
    spec.plan = &plan;
    spec.attempt = attempt;
    spec.goal = goal;
    spec.secret = *secret;
    spec.nonce = fmt::format("{:012x}", mix(context_.seed ^ hash(case_.id + "/" + name)) >> 16);
    spec.inmate_fd = context_.inmate_fd;
    spec.rootfs = context_.rootfs;
    spec.binds = context_.binds;
    spec.timeout = context_.timeout;
    spec.decoy_pid = context_.decoy_pid;
    std::optional<CgroupLeaf> leaf;
    std::vector<Goal> events;
    for (const Goal& proof : proofs) {
      (is_of_group(proof.sight) ? events : spec.proofs).push_back(proof);
    }
    std::optional<KernelWatch> watch;
    KernelFacts unwatched;
    unwatched.absent = context_.no_witness;
    if (needs_cgroup(case_, context_) || context_.witness != nullptr) {
      auto made = make_leaf(plan, spec);
      if (!made) return failed("cgroup_failed", made.error());
      leaf = std::move(*made);
      spec.cgroup = &*leaf;
    }
    if (context_.witness != nullptr) {
      const WatchExtras extras{context_.probes, context_.bracket, attempt.name,
                               case_.cpu_time ? context_.clock : nullptr, context_.full_timeline};
      auto begun =
          KernelWatch::begin(*context_.witness, leaf->unified_fd(), context_.watch, extras);
      if (begun) {
        watch = std::move(*begun);
        if (name == "confined") watch->list_tasks();
        spec.watch = &*watch;
        if (name != "liveness") spec.calls = case_.calls;
      } else {
        unwatched = KernelWatch::unwatched(begun.error());
      }
    }
    std::optional<Rival> rival;
    if (goal.sight == Sight::rival_over) {
      auto started = Rival::start(context_.cgroups, "r-" + spec.nonce);
      if (!started) return failed("cgroup_failed", started.error());
      rival.emplace(std::move(*started));
    }
    std::optional<PortWatch> port;
    if (context_.witness != nullptr && plan.ports() > 0) {
      port = PortWatch::begin();
      spec.port_program = port->program();
    }
    TrialOutcome outcome = run_trial(spec);
    const auto rival_us = rival ? rival->used_us() : std::nullopt;
    if (watch) {
      watch->collect(spec.calls.size(), plan, outcome);
    } else {
      outcome.kernel = std::move(unwatched);
    }
    if (port) port->collect(plan, outcome);
    for (const Goal& proof : events) {
      auto seen = look_at_group(proof, leaf, outcome, rival_us);
      outcome.proofs.push_back(seen ? std::move(*seen)
                                    : Seen{proof, false, seen.error().describe(), "cgroup"});
    }
    if (is_of_group(goal.sight)) {
      auto seen = look_at_group(goal, leaf, outcome, rival_us);
      if (seen) {
        outcome.goal = std::move(*seen);
      } else if (outcome.error.empty()) {
        outcome.error_word = "witness_failed";
        outcome.error = seen.error().describe();
      }
    }
    return outcome;
  }

  Result<CgroupLeaf> make_leaf(const Plan& plan, const TrialSpec& spec) {
    if (!context_.cgroups) return unsupported_error("make cgroup", case_.id);
    auto settings = plan.settings();
    // A control without the limit runs in a group all the same, so that only the limit differs, and
    // what it used is counted.
    if (context_.mode == Mode::case_mode) {
      for (const auto& controller : cgroup_controllers(case_.policy.resources)) {
        settings.push_back({controller});
      }
    }
    if (settings.empty() && needs_cgroup(case_, context_) &&
        (plan.cgroups_path.empty() || context_.cgroups->layout().offers("pids"))) {
      settings.push_back({"pids", "pids.max", "max"});
    }
    // Where the group is what a case is about, its name holds the secret: who reads the host's path
    // of it has it. Elsewhere that would be a way to the secret that is not the attempt's.
    const bool about_groups = case_.expected == Layer::kCgroupNs;
    return CgroupLeaf::create(context_.cgroups, settings,
                              "t-" + (about_groups ? spec.secret : spec.nonce), plan.cgroups_path);
  }

  const Case& case_;
  const RunContext& context_;
};

}  // namespace

Result<Plan> compile_for_decoy(const Policy& policy, CompileOptions options) {
  options.staging = kDecoyStaging;
  options.disposable_mounts = true;
  auto plan = compile(policy, options);
  if (!plan || plan->seccomp_program.empty()) return plan;
  const uint32_t action = bpf_evaluate(plan->seccomp_program, {.nr = SYS_execveat, .args = {}}) &
                          SECCOMP_RET_ACTION_FULL;
  if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG) return plan;
  options.program = kDecoyInmate;
  return compile(policy, options);
}

bool needs_cgroup(const Case& c, const RunContext& context) {
  const auto limits = [](const Policy& p) { return p.resources != Resources{}; };
  if (context.mode == Mode::policy_mode &&
      (limits(*context.policy) || !context.policy->cgroups_path.empty())) {
    return true;
  }
  return limits(c.policy) ||
         std::any_of(c.needs.begin(), c.needs.end(),
                     [](const std::string& need) { return need.starts_with("cgroup."); });
}

std::vector<std::string> group_controllers(const std::deque<const Case*>& cases,
                                           const RunContext& context) {
  std::set<std::string> controllers = {"memory", "pids"};
  const auto want = [&](const Policy& p) {
    for (auto& controller : cgroup_controllers(p.resources)) controllers.insert(controller);
  };
  if (context.mode == Mode::policy_mode) want(*context.policy);
  for (const Case* c : cases) {
    if (context.mode == Mode::case_mode) want(c->policy);
  }
  return {controllers.begin(), controllers.end()};
}

CaseRecord run_case(const Case& c, const RunContext& context) {
  if (c.guest) return run_guest_case(c, context);
  if (!context.privileged) {
    if (auto ok = enter_own_userns(); !ok) {
      return untried(c, context.mode, Verdict::broken, "decoy_failed", ok.error().describe());
    }
  }
  return CaseRun(c, context).run();
}

}  // namespace ringfence

#include "harness/judge/judge.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "harness/base/result.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/policy/read.h"
#include "harness/witness/attribution.h"

namespace ringfence {
namespace {

// What a syscall can return as an error (MAX_ERRNO, include/linux/err.h). Anything else that an
// inmate reports as one is its invention.
constexpr int64_t kMaxErrno = 4095;

bool goal_has_canary(Sight sight) {
  switch (sight) {
    case Sight::canary_killed:
    case Sight::canary_traced:
    case Sight::canary_memory_changed:
    case Sight::file_changed:
    case Sight::file_exists:
    case Sight::file_owned_by:
    case Sight::file_mode_has:
    case Sight::file_capable:
    case Sight::file_linked:
    case Sight::port_open:
    case Sight::hostname_changed:
    case Sight::domainname_changed:
    case Sight::sysv_changed:
    case Sight::key_changed:
    case Sight::abstract_connected:
    case Sight::loopback_connected:
    case Sight::unix_connected:
    case Sight::mount_appeared:
    case Sight::tty_input:
    case Sight::mtu_changed:
    case Sight::net_changed:
    case Sight::peer_connected:
    case Sight::peer_heard:
    case Sight::task_survived:
      return true;
    default:
      return false;
  }
}

std::string end_of(const TrialOutcome& trial) {
  if (!trial.exited) return "did not end";
  if (trial.signaled) {
    // A real-time signal has no name; an inmate may choose to die of one.
    const char* name = sigabbrev_np(trial.exit_code);
    return name != nullptr ? fmt::format("killed by SIG{}", name)
                           : fmt::format("killed by signal {}", trial.exit_code);
  }
  return fmt::format("exit {}", trial.exit_code);
}

std::string says(const TrialOutcome& trial) {
  if (!trial.error.empty()) return trial.error;
  return fmt::format("{}; the inmate says {}, {}", trial.goal.says, trial.claim.describe(),
                     end_of(trial));
}

// Every proof that the case asks for was looked for, and seen, and none was looked for in vain.
bool all_seen(const Case& c, const TrialOutcome& trial) {
  const bool in_vain =
      std::any_of(trial.proofs.begin(), trial.proofs.end(), [](const Seen& s) { return !s.yes; });
  return !c.proofs.empty() && !in_vain &&
         std::all_of(c.proofs.begin(), c.proofs.end(), [&](const Goal& proof) {
           return std::any_of(trial.proofs.begin(), trial.proofs.end(),
                              [&](const Seen& s) { return s.goal == proof && s.yes; });
         });
}

bool stands(const TrialOutcome& trial, const Layer& layer) {
  return std::find(trial.in_force.begin(), trial.in_force.end(), layer) != trial.in_force.end();
}

bool lacks_gate(const Case& c, const TrialOutcome& trial) {
  return trial.stage >= TrialOutcome::Stage::inspected &&
         std::any_of(c.gated_by.begin(), c.gated_by.end(), [&](const Layer& gate) {
           const auto cap = cap_by_name(gate.name().substr(sizeof("cap.") - 1));
           return cap && (trial.cap_effective >> *cap & 1) == 0;
         });
}

bool filter_refuses(const Case& c, const TrialOutcome& trial, std::span<const uint64_t> program) {
  if (program.empty() || c.calls.empty() || !stands(trial, Layer::kSeccomp)) return false;
  return std::all_of(c.calls.begin(), c.calls.end(), [&](const Call& call) {
    const uint32_t arch = call.compat ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;
    const uint32_t action =
        bpf_evaluate(program, {.nr = static_cast<uint32_t>(call.nr), .arch = arch, .args = {}}) &
        SECCOMP_RET_ACTION_FULL;
    return action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG;
  });
}

// What stood around the target, as seen from outside, lets no attempt of this kind through.
bool held_by_policy(const Case& c, const TrialOutcome& trial, std::span<const uint64_t> program) {
  return stands(trial, c.expected) || lacks_gate(c, trial) || filter_refuses(c, trial, program);
}

// What the eBPF witness can say of this case: it watched, and the case names its calls.
bool kernel_watched(const Case& c, const TrialOutcome& trial) {
  return trial.kernel.present && !c.calls.empty();
}

// The last of its calls was denied, and none that reaches the goal ever got through: who has what
// he came for may make another call that fails.
bool ended_in_denial(const Case& c, const TrialOutcome& trial) {
  const std::vector<CallSeen>& seen = trial.kernel.calls;
  for (size_t i = 0; i < seen.size() && i < c.calls.size(); ++i) {
    if (!c.calls[i].step && seen[i].allowed > 0) return false;
  }
  return trial.kernel.ended_in_denial();
}

// Where the inmate's image was bracketed for this: the kernel did not see it begin the attempt.
bool never_begun(const Case& c, const TrialOutcome& trial) {
  return c.proves_attempt == kProvedByBracket && trial.kernel.present && trial.kernel.bracket &&
         trial.kernel.bracket->began == 0;
}

std::string names_of_calls(const Case& c) {
  std::string text;
  for (const Call& call : c.calls) {
    if (!text.empty()) text += ", ";
    text += call_name(static_cast<uint32_t>(call.nr), call.compat);
  }
  return text;
}

// What else than the call itself decides its attribution.
Surroundings surroundings(const Case& c, const TrialOutcome& trial,
                          std::span<const uint64_t> program) {
  Surroundings around;
  around.filter = program;
  around.in_force = trial.in_force;
  // A canary is there until something is done to it, and it was not: the goal was not seen.
  around.target_exists = goal_has_canary(c.goal.sight) || c.goal.sight == Sight::secret_returned;
  for (const Seen& seen : trial.proofs) {
    if (seen.goal.sight != Sight::cgroup_event || !seen.yes) continue;
    around.pids_event = around.pids_event || seen.goal.arg.starts_with("pids.");
    around.memory_event = around.memory_event || seen.goal.arg.starts_with("memory.");
  }
  around.memory_event = around.memory_event || trial.kernel.oom_kills > 0;
  around.enter_misses = trial.kernel.enter_misses;
  around.security_misses = trial.kernel.security_misses;
  around.caps_witnessed = trial.kernel.caps_watched;
  around.net_witnessed = trial.kernel.net.watched;
  return around;
}

bool died_of_sigsys(const TrialOutcome& trial) {
  return trial.signaled && trial.exit_code == SIGSYS;
}

// Anybody may die of SIGSYS, by kill(2) of himself; what a filter sent, the kernel saw.
bool killed_by_filter(const TrialOutcome& trial) {
  const KernelFacts& kernel = trial.kernel;
  return died_of_sigsys(trial) && (!kernel.present || !kernel.signals_watched || kernel.sigsys > 0);
}

// The layer that the kernel's own record names, unattributed when it names none.
Attribution by_kernel(const Case& c, const TrialOutcome& trial, std::span<const uint64_t> program) {
  if (!kernel_watched(c, trial)) return {};
  if (died_of_sigsys(trial)) {
    if (auto killed = attribute_sigsys(trial.kernel)) return *killed;
  }
  const CallRecord* call = trial.kernel.decisive();
  return call != nullptr ? attribute_call(*call, surroundings(c, trial, program)) : Attribution{};
}

// Two layers of which the kernel's record shows the one where the other is at work: who lacks a
// capability in another user namespace than his own, may lack it for either reason; what CAP_DAC_*
// would override is plain permission; and what is not one's own terminal asks for CAP_SYS_ADMIN.
bool one_and_the_same(const Layer& expected, const Layer& seen) {
  const bool cap = seen.name().starts_with("cap.");
  if (expected == Layer::kUser || expected == Layer::kCap || expected == Layer::kDac ||
      expected == Layer::kNoNewPrivs || expected == Layer::kSession) {
    return cap || seen == Layer::kUser || seen == Layer::kDac;
  }
  return expected.name().starts_with("cap.") && (seen == Layer::kUser || seen == Layer::kDac);
}

// Only what the kernel says outright contradicts: the gate, a capability, a read-only mount, the
// device controller. Of capabilities that were all asked for and are all missing, those that the
// control lacked, too, did not decide.
bool says_another(const Layer& expected, const Attribution& word) {
  const Layer& seen = word.layer;
  if (std::find(word.also.begin(), word.also.end(), expected) != word.also.end()) return false;
  if (seen == expected || seen == Layer::kUnattributed || one_and_the_same(expected, seen)) {
    return false;
  }
  return seen == Layer::kSeccomp || seen == Layer::kReadOnly || seen == Layer{"cgroup.devices"} ||
         seen.name().starts_with("cap.");
}

bool never_came_out(const Case& c, const PortSeen& port) {
  if (c.expected != Layer::kNetFilter || !port.watched) return false;
  if (c.goal.sight == Sight::peer_connected) return port.tcp == 0;
  return c.goal.sight == Sight::peer_heard && port.udp == 0;
}

// A denial counts when the harness itself saw something that an attempt which was never made, or a
// reader that kept silent, could not have produced. Nothing here is of the inmate's word.
bool denial_witnessed(const Case& c, Mode mode, const TrialOutcome& confined,
                      std::span<const uint64_t> program, std::string* why) {
  if (died_of_sigsys(confined) && !killed_by_filter(confined)) {
    *why = "it died of a SIGSYS that no filter sent";
    return false;
  }
  if (all_seen(c, confined)) return true;
  // The kernel saw the call itself, and that it was refused in the end.
  if (kernel_watched(c, confined) && ended_in_denial(c, confined)) return true;
  // Under a whole policy another layer may have held: what was done to a canary decides, or a layer
  // that stood there, as seen from outside, and that no attempt of this kind gets past.
  if (mode == Mode::policy_mode &&
      (goal_has_canary(c.goal.sight) || held_by_policy(c, confined, program))) {
    return true;
  }
  const auto missing = std::find_if(confined.proofs.begin(), confined.proofs.end(),
                                    [](const Seen& s) { return !s.yes; });
  if (missing != confined.proofs.end()) {
    *why = missing->says;
    return false;
  }
  for (const Goal& proof : c.proofs) {
    const bool looked = std::any_of(confined.proofs.begin(), confined.proofs.end(),
                                    [&](const Seen& s) { return s.goal == proof; });
    if (looked) continue;
    *why = fmt::format("nobody looked for {}", sight_name(proof.sight));
    return false;
  }
  if (goal_has_canary(c.goal.sight)) return true;
  // What the inmate says was refused, the kernel saw succeed.
  const KernelFacts& kernel = confined.kernel;
  if (kernel_watched(c, confined) && kernel.attempted() && kernel.decisive() == nullptr &&
      confined.claim.kind == Claim::Kind::denied && !c.state) {
    *why = "the kernel saw no call refused: " + names_of_calls(c);
    return false;
  }
  // A goal read off the target's own /proc needs an inspection to have taken place.
  if (confined.stage >= TrialOutcome::Stage::inspected && c.goal.sight != Sight::secret_returned) {
    return true;
  }
  *why = "nothing outside the target shows that the attempt was refused";
  return false;
}

// An attempt that was never made proves nothing. That it was refused by a deadly filter shows in
// the wait status; otherwise the inmate has to claim a denial, and the witnesses decide what that
// is worth.
bool attempt_made(const Case& c, Mode mode, const TrialOutcome& confined,
                  std::span<const uint64_t> program, std::string* why) {
  // The kernel's word, where there is one: not the inmate's. That a policy took the means away has
  // to show from outside.
  const bool gave_up = confined.claim.kind == Claim::Kind::unable && mode == Mode::policy_mode &&
                       (all_seen(c, confined) || held_by_policy(c, confined, program));
  if (kernel_watched(c, confined) && !gave_up && !confined.kernel.attempted()) {
    *why = "the kernel saw no such call in the target: " + names_of_calls(c);
    return false;
  }
  if (never_begun(c, confined) && !gave_up) {
    *why = "the kernel did not see the inmate begin the attempt " + c.attempt.name;
    return false;
  }
  switch (confined.claim.kind) {
    case Claim::Kind::achieved:
    case Claim::Kind::denied:
      return true;
    case Claim::Kind::unable:
      // Under a whole policy it is the policy that took the means away.
      if (mode == Mode::policy_mode) return true;
      *why = "the attempt was not made: " + confined.claim.describe();
      return false;
    case Claim::Kind::none:
      break;
  }
  if (killed_by_filter(confined)) return true;
  const bool expected_end =
      std::any_of(confined.proofs.begin(), confined.proofs.end(),
                  [](const Seen& s) { return s.yes && s.goal.sight == Sight::killed_by; });
  *why = "no word of the attempt arrived; " + end_of(confined);
  return expected_end;
}

}  // namespace

std::string Claim::describe() const {
  switch (kind) {
    case Kind::achieved:
      return "achieved";
    case Kind::denied:
      return "denied " + errno_name(err);
    case Kind::unable:
      return "unable to try, " + errno_name(err);
    case Kind::none:
      break;
  }
  return "nothing";
}

bool alive(const Case& c, const TrialOutcome& liveness, std::string* why) {
  if (!liveness.error.empty()) {
    *why = liveness.error;
  } else if (liveness.stage < TrialOutcome::Stage::inspected) {
    *why = "no answer arrived; " + end_of(liveness);
  } else if (!liveness.exited || liveness.signaled || liveness.exit_code != 0) {
    *why = end_of(liveness);
  } else if (liveness.claim.kind != Claim::Kind::achieved) {
    *why = "the benign twin was " + liveness.claim.describe();
  } else if (c.alive.sight != Sight::none && !liveness.goal.yes) {
    *why = liveness.goal.says;
  } else {
    return true;
  }
  return false;
}

Layer attribute(const Case& c, const TrialOutcome& confined, std::span<const uint64_t> program) {
  if (!program.empty() && killed_by_filter(confined)) return Layer::kSeccomp;
  if (const Layer seen = by_kernel(c, confined, program).layer; seen != Layer::kUnattributed) {
    return seen;
  }
  const auto denied =
      std::find_if(confined.calls.rbegin(), confined.calls.rend(),
                   [](const CallClaim& call) { return call.ret < 0 && call.ret >= -kMaxErrno; });
  if (denied != confined.calls.rend()) {
    // seccomp comes first in the kernel's syscall entry: where the filter answers this very call
    // with this very errno, no other check was reached.
    if (!program.empty() && stands(confined, Layer::kSeccomp)) {
      const uint32_t action = bpf_evaluate(program, {.nr = denied->nr, .args = denied->args});
      if ((action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
          static_cast<int64_t>(action & SECCOMP_RET_DATA) == -denied->ret) {
        return Layer::kSeccomp;
      }
    }
    const auto err = static_cast<int>(-denied->ret);
    if (err == EROFS) return Layer::kReadOnly;
    if ((err == EPERM || err == EACCES) && confined.stage >= TrialOutcome::Stage::inspected) {
      for (const Layer& gate : c.gated_by) {
        const auto cap = cap_by_name(gate.name().substr(sizeof("cap.") - 1));
        if (cap && (confined.cap_effective >> *cap & 1) == 0) return gate;
      }
    }
  }
  if (all_seen(c, confined)) return c.expected;
  const bool absent = denied != confined.calls.rend() && denied->ret == -ENOENT;
  return absent && stands(confined, Layer::kRoot) ? Layer::kRoot : Layer::kUnattributed;
}

namespace {
WitnessRecord kernel_witness(const Case& c, const TrialOutcome& trial) {
  const KernelFacts& kernel = trial.kernel;
  if (!kernel.present) {
    std::string says = "absent: " + kernel.absent;
    if (kernel.lost > 0) says += "; lost: " + kernel.lost_what;
    return {"ebpf", says, kernel.lost};
  }
  std::string says;
  if (const CallRecord* call = kernel.decisive()) {
    const std::string_view path = kernel.decisive_path();
    says = describe_call(*call, path.empty() ? std::nullopt : std::optional(path));
  } else if (kernel_watched(c, trial)) {
    says = kernel.attempted() ? "the calls were made, none was denied" : "no such call was made";
  } else {
    says = fmt::format("{} syscalls seen", kernel.all_calls);
  }
  if (kernel.sigsys > 0) {
    says += "; SIGSYS for " + call_name(kernel.sigsys_nr, kernel.sigsys_compat);
  }
  if (c.expected == Layer::kNet && kernel.net.watched) says += "; " + kernel.net.describe();
  if (kernel.port.watched) says += "; out of its port: " + kernel.port.describe();
  if (!kernel.port.absent.empty()) says += "; its port is not counted: " + kernel.port.absent;
  if (kernel.lost > 0) says += "; lost: " + kernel.lost_what;
  return {"ebpf", says, kernel.lost};
}
}  // namespace

Judgement judge(const Case& c, Mode mode, const Trials& trials, std::span<const uint64_t> program) {
  Judgement out;
  const auto give = [&](Verdict verdict, std::string reason, std::string detail) {
    out.verdict = verdict;
    out.reason = std::move(reason);
    out.detail = std::move(detail);
    return out;
  };
  const TrialOutcome& confined = *trials.confined;
  // What the harness saw stays seen, whatever went wrong afterwards.
  if (confined.goal.yes) return give(Verdict::breached, "goal_seen", confined.goal.says);
  // So does a task of it that is where the policy keeps it from, or has what the policy keeps.
  const std::optional<Stray>& stray = confined.kernel.stray;
  if (stray && (mode == Mode::policy_mode || stray->layer == c.expected)) {
    return give(Verdict::breached, "not_separate", stray->says);
  }
  // A policy that does not even let its program start is alive in no sense.
  if (confined.error_word == "spawn_failed" && confined.failed_step == "exec") {
    return give(Verdict::unproven, "liveness_failed", confined.error);
  }
  if (!confined.error.empty()) return give(Verdict::broken, confined.error_word, confined.error);

  const TrialOutcome& control = *trials.control;
  if (!control.goal.yes) {
    if (!control.error.empty()) return give(Verdict::broken, control.error_word, control.error);
    return give(Verdict::unproven, "control_failed",
                "without the layer the attempt should have succeeded: " + says(control));
  }
  std::string why;
  if (!alive(c, *trials.liveness, &why)) {
    if (!trials.liveness->error.empty()) {
      return give(Verdict::broken, trials.liveness->error_word, why);
    }
    return give(Verdict::unproven, "liveness_failed", why);
  }
  // An absence that a lost event could explain proves nothing; what was seen stays seen.
  for (const TrialOutcome* trial : {trials.control, trials.confined}) {
    if (trial->kernel.lost == 0) continue;
    // Leaving the watched group is what this goal is, and it was seen in the control.
    if (trial == trials.control && c.goal.sight == Sight::outside_group) continue;
    return give(Verdict::unproven, "evidence_lost", "eBPF: " + trial->kernel.lost_what);
  }
  if (kernel_watched(c, control) && !control.kernel.attempted()) {
    return give(Verdict::unproven, "control_failed",
                "the control reached its goal, but the kernel saw no such call in it: " +
                    names_of_calls(c));
  }
  if (never_begun(c, control)) {
    return give(Verdict::unproven, "control_failed",
                "the control reached its goal, but the kernel did not see the inmate begin the "
                "attempt " +
                    c.attempt.name);
  }
  if (!attempt_made(c, mode, confined, program, &why)) {
    return give(Verdict::unproven, "no_attempt", why);
  }
  if (confined.claim.kind == Claim::Kind::achieved && !c.contained) {
    return give(Verdict::unproven, "inmate_contradicts",
                "the inmate says that it got through; " + confined.goal.says);
  }
  if (stray) {
    return give(Verdict::unproven, "not_separate",
                stray->says + ", which is not what this case is about");
  }
  if (!confined.kernel.disagree.empty()) {
    return give(Verdict::unproven, "witnesses_disagree", confined.kernel.disagree);
  }
  if (confined.lost > 0) {
    return give(Verdict::unproven, "evidence_lost",
                fmt::format("{} messages or facts had no room", confined.lost));
  }
  // In case mode by difference: control and confined differ in this layer alone.
  // What the kernel's record says must not contradict that.
  if (mode == Mode::case_mode) {
    const Attribution seen = by_kernel(c, confined, program);
    if (says_another(c.expected, seen)) {
      return give(Verdict::unproven, "other_layer",
                  fmt::format("expected {}, but the kernel says {}: {}", c.expected.str(),
                              seen.layer.str(), seen.why));
    }
    // A namespace without a way out is what such a policy makes; then its own stack refused
    // nothing.
    if (const NetSeen& net = confined.kernel.net; c.expected == Layer::kNet && net.left > 0) {
      return give(Verdict::unproven, "other_layer",
                  "expected ns.net, but packets of the target found a way out: " + net.describe());
    }
  }
  // What never came out of the target, no filter behind its port has dropped.
  if (mode == Mode::case_mode && never_came_out(c, confined.kernel.port)) {
    return give(Verdict::unproven, "other_layer",
                "expected net.filter, but what the case is about never came out of the target: " +
                    confined.kernel.port.describe());
  }
  const Layer decided = mode == Mode::case_mode ? c.expected : attribute(c, confined, program);
  if (const Attribution seen = by_kernel(c, confined, program);
      seen.layer != Layer::kUnattributed) {
    out.why = seen.why;
  }
  if (!denial_witnessed(c, mode, confined, program, &why)) {
    return give(Verdict::unproven, "no_witness", why);
  }
  out.decided_by = decided.str();
  return give(Verdict::held, "", says(confined));
}

CaseRecord untried(const Case& c, Mode mode, Verdict verdict, std::string reason,
                   std::string detail) {
  CaseRecord record;
  record.id = c.id;
  record.title = c.title;
  record.source = c.source;
  record.verdict = verdict;
  record.expected_layer = c.expected;
  record.mode = mode == Mode::case_mode ? "case" : "policy";
  record.reason = std::move(reason);
  record.detail = std::move(detail);
  return record;
}

CaseRecord make_record(const Case& c, Mode mode, const Trials& trials, const Judgement& judgement) {
  CaseRecord record = untried(c, mode, judgement.verdict, judgement.reason, judgement.detail);
  record.decided_by = judgement.decided_by;
  if (trials.control != nullptr) {
    record.control = TrialRecord{trials.control->goal.yes, says(*trials.control)};
  }
  if (trials.liveness != nullptr) {
    std::string why;
    const bool works = alive(c, *trials.liveness, &why);
    record.liveness = TrialRecord{works, works ? end_of(*trials.liveness) : why};
  }
  const bool on_denial = judgement.verdict == Verdict::held || judgement.reason == "other_layer";
  const auto add = [&](std::string_view name, const TrialOutcome* trial) {
    if (trial == nullptr) return;
    record.duration_ns += trial->duration_ns;
    record.timings_ns[std::string(name)] = trial->duration_ns;
    for (EvidenceLine line : trial->evidence) {
      line.trial = name;
      // A call of the confined trial, and only of a verdict that rests on a denial.
      line.decided = line.decided && trial == trials.confined && on_denial;
      record.evidence.push_back(std::move(line));
    }
  };
  add("control", trials.control);
  add("confined", trials.confined);
  add("liveness", trials.liveness);

  const TrialOutcome& confined = *trials.confined;
  const auto witness = [&](const Seen& seen) {
    record.witnesses.push_back({seen.witness, seen.says, 0});
  };
  if (confined.goal.goal.sight != Sight::none && !confined.goal.says.empty()) {
    witness(confined.goal);
  }
  for (const Seen& seen : confined.proofs) witness(seen);
  record.witnesses.push_back(kernel_witness(c, confined));
  if (confined.exited) record.witnesses.push_back({"wait", end_of(confined), 0});
  record.witnesses.push_back({"inmate", confined.claim.describe(), confined.lost});
  int64_t at_us = confined.duration_ns / 1000;
  bool marked = false;
  for (const EvidenceLine& line : record.evidence) {
    if (line.trial != "confined") continue;
    at_us = std::max(at_us, line.at_us);
    marked = marked || line.decided;
  }
  std::string text = judgement.verdict == Verdict::held
                         ? "held, decided by " + judgement.decided_by + ": " + judgement.detail
                         : fmt::format("{} ({}): {}", verdict_name(judgement.verdict),
                                       judgement.reason, judgement.detail);
  if (!judgement.why.empty()) text += "; the kernel: " + judgement.why;
  record.evidence.push_back({"confined", at_us, "judge", std::move(text), !marked});
  return record;
}

}  // namespace ringfence

#pragma once
// A case with its three trials, for tests of the judge: in order at first, then changed.
#include <cerrno>
#include <csignal>
#include <span>

#include "harness/judge/judge.h"

namespace ringfence {

// A case and its three trials as they are when everything is in order: `held`.
struct Scene {
  Case c;
  TrialOutcome control, confined, liveness;

  [[nodiscard]] Judgement judge(Mode mode = Mode::case_mode,
                                std::span<const uint64_t> program = {}) const {
    return ringfence::judge(c, mode, {&control, &confined, &liveness}, program);
  }
};

inline TrialOutcome ended(Claim claim) {
  TrialOutcome trial;
  trial.stage = TrialOutcome::Stage::ended;
  trial.exited = true;
  trial.claim = claim;
  trial.duration_ns = 1000;
  return trial;
}

inline Scene in_order() {
  Scene s;
  s.c.id = "pid.signal";
  s.c.title = "kill a process of the host";
  s.c.source = "kill(2)";
  s.c.expected = Layer::kPid;
  s.c.goal = {Sight::canary_killed, "plain", 0};
  s.control = ended({Claim::Kind::achieved, 0});
  s.control.goal = {s.c.goal, true, "canary process 3: killed by SIGKILL", "canary"};
  s.confined = ended({Claim::Kind::denied, ESRCH});
  s.confined.goal = {s.c.goal, false, "canary process 3: exit 0", "canary"};
  s.liveness = ended({Claim::Kind::achieved, 0});
  return s;
}

// The same for a read: no canary shows it, a proof has to.
inline Scene read_in_order() {
  Scene s = in_order();
  s.c.goal = {Sight::secret_returned, "", 0};
  s.control.goal.goal = s.confined.goal.goal = s.c.goal;
  s.c.proofs = {{Sight::cap_missing, "DAC_OVERRIDE", 0}};
  s.confined.proofs = {{s.c.proofs[0], true, "its CapEff is 0", "proc"}};
  return s;
}

}  // namespace ringfence

#pragma once
// The judge: a pure function from a case and its three trials to a verdict.
//
// Nothing that the inmate says can make a verdict better: `held` needs a control that succeeded
// before the harness's own eyes, a confined trial whose goal it did not see reached, outside
// evidence for the denial, and a benign twin that worked. The inmate's word can only take away
// (a claim of success that no witness saw makes `unproven`).
#include <optional>
#include <span>
#include <string>

#include "harness/judge/case.h"
#include "harness/judge/result.h"
#include "harness/judge/trial.h"

namespace ringfence {

enum class Mode : uint8_t { case_mode, policy_mode };

struct Judgement {
  Verdict verdict = Verdict::broken;
  std::string reason;  // a word; empty for held
  std::string detail;
  std::string decided_by;
  std::string why{};  // how the kernel's record names the layer; empty when it names none
};

struct Trials {
  const TrialOutcome* control = nullptr;
  const TrialOutcome* confined = nullptr;
  const TrialOutcome* liveness = nullptr;
};

// `program` is the confined plan's seccomp filter, for attribution in policy mode.
Judgement judge(const Case& c, Mode mode, const Trials& trials,
                std::span<const uint64_t> program = {});

// Did the benign twin work, as seen from outside? Says why not.
bool alive(const Case& c, const TrialOutcome& liveness, std::string* why);

// The layer that stood in the way in policy mode, or Layer::kUnattributed; never a guess.
Layer attribute(const Case& c, const TrialOutcome& confined, std::span<const uint64_t> program);

// The record of a case without trials: skipped, or broken before the first one.
CaseRecord untried(const Case& c, Mode mode, Verdict verdict, std::string reason,
                   std::string detail);

// Verdict, trials, witnesses and timeline as one record of the result stream.
CaseRecord make_record(const Case& c, Mode mode, const Trials& trials, const Judgement& judgement);

}  // namespace ringfence

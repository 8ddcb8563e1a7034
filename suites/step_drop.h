#pragma once
// The step-drop check: a plan without one step must let the step's own case through. It is the
// proof that no case passes vacuously, and that no step of a profile is there for show.
//
// Used by step_drop_test.cc; a part of its own so that the check itself is tested against cases
// that do pass vacuously.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/facts.h"
#include "harness/base/result.h"
#include "harness/judge/case.h"
#include "harness/judge/result.h"
#include "harness/runner/registry.h"
#include "harness/spawn/plan.h"

namespace ringfence::suites {

// What became of one case without its step.
struct DropOutcome {
  // exercised: held with the step, breached without it. absent: skipped for what this machine
  // lacks (`detail` is the reason). failed: anything else (`detail` says what).
  enum class Kind : uint8_t { exercised, absent, failed };
  Kind kind = Kind::failed;
  std::string detail;
};

// Judges the pair of records of one case.
DropOutcome judge_drop(const CaseRecord& whole, const CaseRecord& dropped);

// Runs cases whole and without their step, each at most once.
class StepDropper {
 public:
  explicit StepDropper(Facts facts) : facts_(std::move(facts)) {}
  const DropOutcome& outcome(const Case& c);
  // What is seen when `c` runs without the set-up step `key`; empty unless it is `breached`.
  std::string opened_by(const Case& c, const std::string& key) const;

 private:
  DropOutcome run_both(const Case& c) const;
  Facts facts_;
  std::map<std::string, DropOutcome> known_;  // by case id
};

// Whether a step must have a case: it confines, and nobody has said why no attempt could tell.
bool needs_case(const Step& step);
// A step of this key that masks a path or makes it read-only, tried on a stand-in: a directory of
// the decoy host, bound where this machine has no such path. Nothing for other keys.
std::optional<Case> stand_in(const std::string& key);
// The cases that name `key` as their step.
std::vector<const Case*> cases_for(const Registry& registry, const std::string& key);

// Steps without a case, by key glob, with the reason. A set-up step opens nothing when it is
// missing; an exempt one cannot be told from outside by any attempt.
struct ExemptSteps {
  std::map<std::string, std::string> set_up;
  std::map<std::string, std::string> exempt;
};
// The file's form: {"set_up": {GLOB: REASON}, "exempt": {GLOB: REASON}}.
Result<ExemptSteps> read_exempt_steps(const std::string& path);
// Where plan and list differ, one complaint each: a step without a case that is not listed, one
// that is listed for another reason, and an entry that matches no such step (any more).
std::vector<std::string> compare_exempt(const ExemptSteps& listed, const Plan& plan);

}  // namespace ringfence::suites

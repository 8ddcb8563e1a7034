// Every confining step of a profile, dropped: its own case must say `breached`. And every built-in
// case without its step: none may pass vacuously.
#include "suites/step_drop.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <set>

#include "harness/policy/read.h"
#include "harness/runner/decoy.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

using Kind = DropOutcome::Kind;

struct World {
  Registry registry;
  StepDropper dropper{Facts::probe()};
};

// What the summary at the end is made of.
struct Tally {
  size_t steps = 0;      // all
  size_t confining = 0;  // that need a case
  size_t exempt = 0;
  size_t set_up = 0;
  std::set<std::string> exercised, by_stand_in, absent, failed;
};
std::map<std::string, Tally>& tallies() {
  static std::map<std::string, Tally> all;
  return all;
}

// GoogleTest's filters know no other characters.
std::string test_name(std::string_view key) {
  std::string name(key.ends_with('/') ? std::string(key) + "root" : std::string(key));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

class StepTest : public testing::Test {
 public:
  StepTest(World& world, std::string profile, std::string key)
      : world_(world), profile_(std::move(profile)), key_(std::move(key)) {}

  void TestBody() override {
    Tally& tally = tallies()[profile_];
    std::vector<std::string> lacks;
    bool exercised = false;
    const auto cases = cases_for(world_.registry, key_);
    for (const Case* c : cases) {
      const DropOutcome& outcome = world_.dropper.outcome(*c);
      if (outcome.kind == Kind::failed) {
        ADD_FAILURE() << outcome.detail;
      } else if (outcome.kind == Kind::absent) {
        lacks.push_back(outcome.detail);
      } else {
        exercised = true;
      }
    }
    if (cases.empty()) lacks.emplace_back("no case of its own");
    if (!exercised && !lacks.empty()) {
      if (const auto c = stand_in(key_)) {
        const DropOutcome& outcome = world_.dropper.outcome(*c);
        if (outcome.kind == Kind::failed) ADD_FAILURE() << outcome.detail;
        if (outcome.kind == Kind::exercised) {
          tally.by_stand_in.insert(fmt::format("{} ({})", key_, lacks.front()));
          return;
        }
      }
    }
    if (HasFailure()) {
      tally.failed.insert(key_);
    } else if (exercised) {
      tally.exercised.insert(key_);
    } else if (!cases.empty() && !lacks.empty()) {
      tally.absent.insert(fmt::format("{} ({})", key_, lacks.front()));
      GTEST_SKIP() << lacks.front();
    } else {
      tally.failed.insert(key_);
      FAIL() << "no case has the step " << key_;
    }
  }

 private:
  World& world_;
  std::string profile_;
  std::string key_;
};

class CaseTest : public testing::Test {
 public:
  CaseTest(World& world, const Case& c) : world_(world), case_(c) {}

  void TestBody() override {
    const DropOutcome& outcome = world_.dropper.outcome(case_);
    if (outcome.kind == Kind::absent) GTEST_SKIP() << outcome.detail;
    EXPECT_EQ(outcome.kind, Kind::exercised) << outcome.detail;
  }

 private:
  World& world_;
  const Case& case_;
};

// A set-up step: whatever its absence breaks, nothing may be open without it. Tried with one case
// for each layer.
class SetUpTest : public testing::Test {
 public:
  SetUpTest(World& world, std::string key, std::vector<const Case*> cases)
      : world_(world), key_(std::move(key)), cases_(std::move(cases)) {}

  void TestBody() override {
    for (const Case* c : cases_) {
      const std::string seen = world_.dropper.opened_by(*c, key_);
      EXPECT_EQ(seen, "") << c->id << " without " << key_;
    }
  }

 private:
  World& world_;
  std::string key_;
  std::vector<const Case*> cases_;
};

Result<Plan> compile_profile(const std::string& name) {
  auto policy = profile(name);
  if (!policy) return tl::unexpected(policy.error());
  CompileOptions options;
  options.staging = kDecoyStaging;
  return compile(*policy, options);
}

std::string suite_name(const std::string& profile) {
  std::string name = "DropStepOf_" + profile;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// A step without a case, or a stand-in for one, fails.
Status register_profile(World& world, const std::string& profile) {
  const auto plan = compile_profile(profile);
  if (!plan) return tl::unexpected(plan.error());
  Tally& tally = tallies()[profile];
  std::set<std::string> keys;
  for (const Step& step : plan->steps) {
    ++tally.steps;
    if (!step.confines) ++tally.set_up;
    if (step.confines && !step.exempt.empty()) ++tally.exempt;
    if (!needs_case(step) || !keys.insert(step.key).second) continue;
    ++tally.confining;
    testing::RegisterTest(suite_name(profile).c_str(), test_name(step.key).c_str(), nullptr,
                          nullptr, __FILE__, __LINE__,
                          [&world, profile, key = step.key]() -> testing::Test* {
                            return new StepTest(world, profile, key);
                          });
  }
  return {};
}

void register_cases(World& world) {
  for (const Case& c : world.registry.cases()) {
    if (c.guest) continue;  // no plan, no steps
    testing::RegisterTest("DropOwnStep", test_name(c.id).c_str(), nullptr, nullptr, __FILE__,
                          __LINE__,
                          [&world, &c]() -> testing::Test* { return new CaseTest(world, c); });
  }
}

void register_set_up(World& world) {
  std::map<std::string, std::vector<const Case*>> by_key;
  for (const Case& c : world.registry.cases()) {
    if (c.guest) continue;
    CompileOptions options;
    options.staging = kDecoyStaging;
    const auto plan = compile(c.policy, options);
    if (!plan) continue;  // its own test says so
    for (const Step& step : plan->steps) {
      auto& chosen = by_key[step.key];
      const bool same_layer = std::any_of(chosen.begin(), chosen.end(), [&](const Case* other) {
        return other->expected == c.expected;
      });
      if (!step.confines && !same_layer) chosen.push_back(&c);
    }
  }
  for (const auto& [key, cases] : by_key) {
    if (cases.empty()) continue;
    testing::RegisterTest("DropSetUp", test_name(key).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [&world, key = key, cases = cases]() -> testing::Test* {
                            return new SetUpTest(world, key, cases);
                          });
  }
}

class Summary : public testing::Environment {
 public:
  void TearDown() override {
    for (const auto& [profile, t] : tallies()) {
      fmt::print(
          "{}: {} steps, {} set-up, {} exempt, {} confining: {} exercised, {} on a stand-in, "
          "{} absent here",
          profile, t.steps, t.set_up, t.exempt, t.confining, t.exercised.size(),
          t.by_stand_in.size(), t.absent.size());
      if (!t.failed.empty()) fmt::print(", {} FAILED", t.failed.size());
      fmt::print("\n");
      for (const auto& key : t.by_stand_in) fmt::print("  on a stand-in: {}\n", key);
      for (const auto& key : t.absent) fmt::print("  absent: {}\n", key);
      for (const auto& key : t.failed) fmt::print("  FAILED: {}\n", key);
    }
  }
};

// ---- The check itself, with what it is to find really there
// ----------------------------------------

CaseRecord with_verdict(Verdict verdict, std::string reason = {}) {
  CaseRecord record;
  record.id = "some.case";
  record.verdict = verdict;
  record.reason = std::move(reason);
  return record;
}

TEST(StepDrop, OnlyHeldAndThenBreachedCounts) {
  const CaseRecord held = with_verdict(Verdict::held);
  const CaseRecord breached = with_verdict(Verdict::breached, "goal_seen");
  const CaseRecord lacks = with_verdict(Verdict::skipped, "host-lacks:path:/proc/scsi");
  EXPECT_EQ(judge_drop(held, breached).kind, Kind::exercised);
  for (const Verdict v : {Verdict::held, Verdict::unproven, Verdict::broken, Verdict::skipped}) {
    EXPECT_EQ(judge_drop(held, with_verdict(v)).kind, Kind::failed) << verdict_name(v);
  }
  for (const Verdict v : {Verdict::breached, Verdict::unproven, Verdict::broken}) {
    EXPECT_EQ(judge_drop(with_verdict(v), breached).kind, Kind::failed) << verdict_name(v);
  }
  EXPECT_EQ(judge_drop(lacks, lacks).kind, Kind::absent);
  EXPECT_EQ(judge_drop(lacks, breached).kind, Kind::failed);
  EXPECT_EQ(judge_drop(held, lacks).kind, Kind::failed);
  const CaseRecord odd = with_verdict(Verdict::skipped, "unsupported:policy");
  EXPECT_EQ(judge_drop(odd, odd).kind, Kind::failed);
}

Case hostname_case() {
  Case c;
  c.id = "test.hostname";
  c.expected = Layer::kUts;
  c.policy = in_namespaces({Ns::uts});
  c.attempt = {"sethostname", {"breached"}};
  c.goal = {Sight::hostname_changed};
  c.contained = true;
  c.step = "ns.uts";
  return c;
}

TEST(StepDrop, FindsACaseThatPassesVacuously) {
  const Facts facts = Facts::probe();
  if (!facts.satisfied("root")) GTEST_SKIP() << facts.why_not("root");
  StepDropper dropper(facts);
  const Case good = hostname_case();
  EXPECT_EQ(dropper.outcome(good).kind, Kind::exercised) << dropper.outcome(good).detail;

  EXPECT_NE(dropper.opened_by(good, "ns.uts"), "");
  EXPECT_EQ(dropper.opened_by(good, "fd.given"), "");

  Case second_layer = hostname_case();  // holds without its step, by a capability
  second_layer.id = "test.second_layer";
  lose_caps(second_layer.policy, {"SYS_ADMIN"});
  EXPECT_EQ(dropper.outcome(second_layer).kind, Kind::failed);

  Case other_step = hostname_case();  // a step that has nothing to do with the attempt
  other_step.id = "test.other_step";
  other_step.policy = in_namespaces({Ns::uts, Ns::ipc});
  other_step.step = "ns.ipc";
  EXPECT_EQ(dropper.outcome(other_step).kind, Kind::failed);

  Case no_such_step = hostname_case();
  no_such_step.id = "test.no_such_step";
  no_such_step.step = "ns.net";
  EXPECT_EQ(dropper.outcome(no_such_step).kind, Kind::failed);

  Case no_step = hostname_case();
  no_step.id = "test.no_step";
  no_step.step.clear();
  EXPECT_EQ(dropper.outcome(no_step).kind, Kind::failed);

  Case set_up = hostname_case();
  set_up.id = "test.set_up_step";
  set_up.step = "fd.given";
  EXPECT_EQ(dropper.outcome(set_up).kind, Kind::failed);
}

TEST(ExemptSteps, EveryDifferenceIsFound) {
  Plan plan;
  const auto add = [&](const char* key, bool confines, const char* exempt) {
    Step step;
    step.key = key;
    step.confines = confines;
    step.exempt = exempt;
    plan.steps.push_back(std::move(step));
  };
  add("mount:/proc", false, "");
  add("mount:/dev", false, "");
  add("cap.effective", true, "exec");
  add("ns.pid", true, "");
  EXPECT_TRUE(compare_exempt({{{"mount:*", "mounts"}}, {{"cap.effective", "exec"}}}, plan).empty());
  EXPECT_EQ(compare_exempt({{{"mount:/proc", "mounts"}}, {{"cap.effective", "exec"}}}, plan),
            std::vector<std::string>{"mount:/dev is set-up and not listed"});
  EXPECT_EQ(compare_exempt({{{"mount:*", "mounts"}}, {}}, plan),
            std::vector<std::string>{"cap.effective is exempt and not listed"});
  EXPECT_EQ(compare_exempt({{{"mount:*", "mounts"}}, {{"cap.effective", "why"}}}, plan).size(), 1U);
  EXPECT_EQ(
      compare_exempt({{{"mount:*", "mounts"}}, {{"cap.effective", "exec"}, {"ns.pid", "x"}}}, plan),
      std::vector<std::string>{"no step ns.pid is exempt"});
}

TEST(ExemptSteps, OfHardenedAreThoseListed) {
  const auto listed = read_exempt_steps(RINGFENCE_SUITES_DATA "/exempt_steps.json");
  ASSERT_TRUE(listed) << listed.error().describe();
  const auto plan = compile_profile("hardened");
  ASSERT_TRUE(plan) << plan.error().describe();
  const auto complaints = compare_exempt(*listed, *plan);
  EXPECT_TRUE(complaints.empty()) << fmt::format("{}", fmt::join(complaints, "\n"));
}

}  // namespace
}  // namespace ringfence::suites

int main(int argc, char** argv) {
  using namespace ringfence::suites;
  testing::InitGoogleTest(&argc, argv);
  auto cases = builtin();
  if (!cases) {
    fmt::print(stderr, "{}\n", cases.error().describe());
    return 1;
  }
  World world{std::move(*cases)};
  for (const auto& known : ringfence::profiles()) {
    const std::string& name = known.name;
    if (auto ok = register_profile(world, name); !ok) {
      fmt::print(stderr, "{}: {}\n", name, ok.error().describe());
      // podman-default is there only with the containers package's own filter.
      if (name != "podman-default") return 1;
    }
  }
  register_cases(world);
  register_set_up(world);
  testing::AddGlobalTestEnvironment(new Summary);
  return RUN_ALL_TESTS();
}

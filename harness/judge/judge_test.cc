// Every rule of the judge, and the two properties that the rest of ringfence leans on: outside
// facts alone make `breached`, and no word of an inmate makes `held` where they do not suffice.
#include "harness/judge/judge.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <random>
#include <set>

#include "harness/judge/test_scene.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using Stage = TrialOutcome::Stage;

struct Rule {
  const char* name;
  std::function<void(Scene&)> change;
  Verdict verdict;
  const char* reason;
  Mode mode = Mode::case_mode;
  bool read = false;  // starts from read_in_order()
};

void set_broken(TrialOutcome& trial) {
  trial.error = "spawn: mount: EINVAL";
  trial.error_word = "spawn_failed";
}

const std::vector<Rule>& rules() {
  static const std::vector<Rule> kRules = {
      {"in order", [](Scene&) {}, Verdict::held, ""},
      {"a read in order", [](Scene&) {}, Verdict::held, "", Mode::case_mode, true},
      {"in order under a policy", [](Scene&) {}, Verdict::held, "", Mode::policy_mode},

      // What the harness saw stays seen.
      {"breached", [](Scene& s) { s.confined.goal.yes = true; }, Verdict::breached, "goal_seen"},
      {"breached survives a denial claimed",
       [](Scene& s) {
         s.confined.goal.yes = true;
         s.confined.claim = {Claim::Kind::denied, EPERM};
       },
       Verdict::breached, "goal_seen"},
      {"breached survives an error",
       [](Scene& s) {
         s.confined.goal.yes = true;
         set_broken(s.confined);
       },
       Verdict::breached, "goal_seen"},
      {"breached survives lost evidence",
       [](Scene& s) {
         s.confined.goal.yes = true;
         s.confined.lost = 7;
       },
       Verdict::breached, "goal_seen"},
      {"breached survives a failed control",
       [](Scene& s) {
         s.confined.goal.yes = true;
         s.control.goal.yes = false;
         set_broken(s.control);
       },
       Verdict::breached, "goal_seen"},
      {"breached survives a dead twin",
       [](Scene& s) {
         s.confined.goal.yes = true;
         s.liveness.exit_code = 1;
       },
       Verdict::breached, "goal_seen"},
      {"breached survives proofs that are missing",
       [](Scene& s) {
         s.confined.goal.yes = true;
         s.confined.proofs[0].yes = false;
       },
       Verdict::breached, "goal_seen", Mode::case_mode, true},

      {"confined error", [](Scene& s) { set_broken(s.confined); }, Verdict::broken, "spawn_failed"},
      {"control error",
       [](Scene& s) {
         s.control.goal.yes = false;
         set_broken(s.control);
       },
       Verdict::broken, "spawn_failed"},
      {"control failed", [](Scene& s) { s.control.goal.yes = false; }, Verdict::unproven,
       "control_failed"},
      {"control only claims to have got through",
       [](Scene& s) {
         s.control.goal.yes = false;
         s.control.claim = {Claim::Kind::achieved, 0};
       },
       Verdict::unproven, "control_failed"},
      {"control failed under a policy", [](Scene& s) { s.control.goal.yes = false; },
       Verdict::unproven, "control_failed", Mode::policy_mode},

      {"no word", [](Scene& s) { s.confined.claim = {}; }, Verdict::unproven, "no_attempt"},
      {"unable to try",
       [](Scene& s) {
         s.confined.claim = {Claim::Kind::unable, ENOMEM};
       },
       Verdict::unproven, "no_attempt"},
      {"unable to try, under a policy",
       [](Scene& s) {
         s.confined.claim = {Claim::Kind::unable, EPERM};
       },
       Verdict::held, "", Mode::policy_mode},
      {"killed without a word",
       [](Scene& s) {
         s.confined.claim = {};
         s.confined.signaled = true;
         s.confined.exit_code = SIGKILL;
       },
       Verdict::unproven, "no_attempt"},
      {"killed by SIGSYS without a word",
       [](Scene& s) {
         s.confined.claim = {};
         s.confined.signaled = true;
         s.confined.exit_code = SIGSYS;
       },
       Verdict::held, ""},
      {"killed without a word, as the case expects",
       [](Scene& s) {
         s.confined.claim = {};
         s.confined.signaled = true;
         s.confined.exit_code = SIGKILL;
         s.c.proofs = {{Sight::killed_by, "", SIGKILL}};
         s.confined.proofs = {{s.c.proofs[0], true, "killed by SIGKILL", "wait"}};
       },
       Verdict::held, ""},

      {"twin exits with a failure", [](Scene& s) { s.liveness.exit_code = 1; }, Verdict::unproven,
       "liveness_failed"},
      {"twin killed",
       [](Scene& s) {
         s.liveness.signaled = true;
         s.liveness.exit_code = SIGSYS;
       },
       Verdict::unproven, "liveness_failed"},
      {"twin killed by signal 0 in the code", [](Scene& s) { s.liveness.signaled = true; },
       Verdict::unproven, "liveness_failed"},
      {"twin never ended", [](Scene& s) { s.liveness.exited = false; }, Verdict::unproven,
       "liveness_failed"},
      {"twin never answered", [](Scene& s) { s.liveness.stage = Stage::began; }, Verdict::unproven,
       "liveness_failed"},
      {"twin denied",
       [](Scene& s) {
         s.liveness.claim = {Claim::Kind::denied, EPERM};
       },
       Verdict::unproven, "liveness_failed"},
      {"twin's effect not seen",
       [](Scene& s) {
         s.c.alive = {Sight::holds_socket, "", 2};
         s.liveness.goal = {s.c.alive, false, "it holds no socket", "proc"};
       },
       Verdict::unproven, "liveness_failed"},
      {"twin's effect seen",
       [](Scene& s) {
         s.c.alive = {Sight::holds_socket, "", 2};
         s.liveness.goal = {s.c.alive, true, "it holds a socket", "proc"};
       },
       Verdict::held, ""},
      {"twin error", [](Scene& s) { set_broken(s.liveness); }, Verdict::broken, "spawn_failed"},

      {"inmate contradicts",
       [](Scene& s) {
         s.confined.claim = {Claim::Kind::achieved, 0};
       },
       Verdict::unproven, "inmate_contradicts"},
      {"success that is contained",
       [](Scene& s) {
         s.confined.claim = {Claim::Kind::achieved, 0};
         s.c.contained = true;
       },
       Verdict::held, ""},
      {"evidence lost", [](Scene& s) { s.confined.lost = 1; }, Verdict::unproven, "evidence_lost"},
      {"evidence lost in the control only", [](Scene& s) { s.control.lost = 1; }, Verdict::held,
       ""},

      {"proof missing", [](Scene& s) { s.confined.proofs[0].yes = false; }, Verdict::unproven,
       "no_witness", Mode::case_mode, true},
      {"one of two proofs missing",
       [](Scene& s) {
         s.c.proofs.push_back({Sight::no_new_privs, "", 0});
         s.confined.proofs.push_back({s.c.proofs[1], false, "its NoNewPrivs is 0", "proc"});
       },
       Verdict::unproven, "no_witness", Mode::case_mode, true},
      {"a proof that nobody looked for", [](Scene& s) { s.confined.proofs.clear(); },
       Verdict::unproven, "no_witness", Mode::case_mode, true},
      {"a proof of something else", [](Scene& s) { s.confined.proofs[0].goal.arg = "KILL"; },
       Verdict::unproven, "no_witness", Mode::case_mode, true},
      {"a read without proofs",
       [](Scene& s) {
         s.c.proofs.clear();
         s.confined.proofs.clear();
       },
       Verdict::unproven, "no_witness", Mode::case_mode, true},
      {"a goal in /proc, not inspected",
       [](Scene& s) {
         s.c.goal.sight = Sight::pid_exists;
         s.confined.stage = Stage::began;
       },
       Verdict::unproven, "no_witness"},
      {"a goal in /proc, inspected",
       [](Scene& s) {
         s.c.goal.sight = Sight::holds_file;
         s.confined.stage = Stage::inspected;
       },
       Verdict::held, ""},
  };
  return kRules;
}

TEST(Judge, Rules) {
  for (const Rule& rule : rules()) {
    Scene s = rule.read ? read_in_order() : in_order();
    rule.change(s);
    const Judgement j = s.judge(rule.mode);
    EXPECT_EQ(verdict_name(j.verdict), verdict_name(rule.verdict)) << rule.name << ": " << j.detail;
    EXPECT_EQ(j.reason, rule.reason) << rule.name;
    EXPECT_FALSE(j.detail.empty()) << rule.name;
    EXPECT_EQ(j.decided_by.empty(), rule.verdict != Verdict::held) << rule.name;
  }
}

// ---- Properties --------------------------------------------------------------------------------

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  bool coin() { return below(2) == 0; }
  bool rarely() { return below(8) == 0; }
  uint64_t below(uint64_t n) { return random_() % n; }

  Claim claim() {
    return {static_cast<Claim::Kind>(below(4)), coin() ? EPERM : static_cast<int>(below(140))};
  }
  // Everything that an inmate can say, and nothing else.
  void talk(TrialOutcome& trial) {
    trial.claim = claim();
    trial.calls.clear();
    for (uint64_t i = below(4); i > 0; --i) {
      trial.calls.push_back({static_cast<uint32_t>(below(460)),
                             coin() ? -static_cast<int64_t>(below(140)) : 0,
                             {below(9), below(9)}});
    }
    trial.evidence.clear();
    if (coin()) trial.evidence.push_back({"", 1, "inmate", "I was denied, believe me", coin()});
  }
  TrialOutcome outcome(const std::vector<Goal>& proofs) {
    TrialOutcome trial;
    trial.stage = rarely() ? static_cast<Stage>(below(6)) : Stage::ended;
    if (rarely()) set_broken(trial);
    trial.exited = !rarely();
    trial.signaled = rarely();
    trial.exit_code = trial.signaled ? static_cast<int>(1 + below(64)) : rarely() ? 1 : 0;
    trial.goal.yes = coin();
    trial.goal.says = "what was seen";
    for (const Goal& proof : proofs) trial.proofs.push_back({proof, !rarely(), "proof", "proc"});
    trial.cap_effective = random_();
    trial.lost = rarely() ? 1 : 0;
    talk(trial);
    return trial;
  }
  Scene scene() {
    constexpr std::array kGoals = {Sight::canary_killed, Sight::secret_returned, Sight::holds_file,
                                   Sight::cap_effective, Sight::file_changed};
    Scene s;
    s.c.id = "random.case";
    s.c.expected = Layer::kSeccomp;
    s.c.goal.sight = kGoals.at(below(kGoals.size()));
    for (uint64_t i = below(3); i > 0; --i) s.c.proofs.push_back({Sight::no_new_privs, "", 0});
    if (coin()) s.c.alive = {Sight::holds_socket, "", 2};
    s.c.contained = rarely();
    s.c.gated_by = {Layer::cap("SYS_ADMIN")};
    s.control = outcome({});
    s.confined = outcome(s.c.proofs);
    s.confined.goal.yes = rarely();
    s.liveness = outcome({});
    return s;
  }
  Mode mode() { return coin() ? Mode::case_mode : Mode::policy_mode; }

 private:
  std::mt19937_64 random_;
};

constexpr uint64_t bit(int n) { return uint64_t{1} << n; }
constexpr int kSysAdmin = 21, kNetAdmin = 12;

// What must have been seen from outside for `held`, whatever anybody says. Written from
// docs/architecture.md, not from judge.cc.
bool outside_facts_suffice(const Scene& s, Mode mode) {
  const bool control_got_through = s.control.goal.yes;
  const bool confined_stopped = !s.confined.goal.yes && s.confined.error.empty();
  bool witnessed = !s.c.proofs.empty() || s.c.goal.sight == Sight::canary_killed ||
                   s.c.goal.sight == Sight::file_changed;
  if (!witnessed && s.c.goal.sight != Sight::secret_returned) {
    witnessed = s.confined.stage >= Stage::inspected;
  }
  for (const Seen& proof : s.confined.proofs) witnessed = witnessed && proof.yes;
  if (mode == Mode::policy_mode) {
    // Any layer may hold: a canary decides alone, and so does a capability that was missing.
    witnessed =
        witnessed || s.c.goal.sight == Sight::canary_killed ||
        s.c.goal.sight == Sight::file_changed ||
        (s.confined.stage >= Stage::inspected && (s.confined.cap_effective & bit(kSysAdmin)) == 0);
  }
  const TrialOutcome& twin = s.liveness;
  const bool twin_works = twin.error.empty() && twin.stage >= Stage::inspected && twin.exited &&
                          !twin.signaled && twin.exit_code == 0 &&
                          (s.c.alive.sight == Sight::none || twin.goal.yes);
  return control_got_through && confined_stopped && witnessed && twin_works && s.confined.lost == 0;
}

constexpr int kRandomScenes = 20000;

TEST(JudgeProperty, HeldNeedsOutsideFactsAndBreachedIsTheGoalSeen) {
  Dice dice(1);
  int held = 0;
  int breached = 0;
  for (int i = 0; i < kRandomScenes; ++i) {
    const Scene s = dice.scene();
    const Mode mode = dice.mode();
    const Judgement j = s.judge(mode);
    ASSERT_EQ(j.verdict == Verdict::breached, s.confined.goal.yes) << i;
    if (j.verdict == Verdict::held) {
      ASSERT_TRUE(outside_facts_suffice(s, mode)) << i;
    }
    held += j.verdict == Verdict::held ? 1 : 0;
    breached += j.verdict == Verdict::breached ? 1 : 0;
  }
  // The dice do reach both.
  EXPECT_GT(held, kRandomScenes / 100);
  EXPECT_GT(breached, kRandomScenes / 100);
}

TEST(JudgeProperty, WordsAloneNeverGiveHeldAndNeverTakeBreachedAway) {
  Dice dice(2);
  for (int i = 0; i < kRandomScenes; ++i) {
    const Scene s = dice.scene();
    const Mode mode = dice.mode();
    const Judgement before = s.judge(mode);
    Scene lying = s;
    dice.talk(lying.confined);
    dice.talk(lying.control);
    const Judgement after = lying.judge(mode);
    ASSERT_EQ(after.verdict == Verdict::breached, before.verdict == Verdict::breached) << i;
    if (after.verdict == Verdict::held) {
      ASSERT_TRUE(outside_facts_suffice(s, mode)) << i;
    }
    // Where facts are missing, there is no word at all that would help.
    if (!outside_facts_suffice(s, mode)) {
      for (int kind = 0; kind < 4; ++kind) {
        lying.confined.claim = {static_cast<Claim::Kind>(kind), EPERM};
        lying.liveness.claim = {Claim::Kind::achieved, 0};
        ASSERT_NE(lying.judge(mode).verdict, Verdict::held) << i << " claim " << kind;
      }
    }
  }
}

TEST(JudgeProperty, CallsEvidenceAndTheControlsWordsChangeNoVerdict) {
  Dice dice(3);
  for (int i = 0; i < kRandomScenes; ++i) {
    const Scene s = dice.scene();
    const Mode mode = dice.mode();
    Scene lying = s;
    dice.talk(lying.control);
    dice.talk(lying.confined);
    lying.confined.claim = s.confined.claim;
    const Judgement before = s.judge(mode);
    const Judgement after = lying.judge(mode);
    ASSERT_EQ(before.verdict, after.verdict) << i;
    ASSERT_EQ(before.reason, after.reason) << i;
  }
}

// ---- Records -----------------------------------------------------------------------------------

TEST(Record, SaysWhatTheTrialsSaid) {
  Scene s = read_in_order();
  s.confined.lost = 2;
  s.confined.evidence = {{"", 3, "inmate", "open: EACCES", false}};
  const Trials trials{&s.control, &s.confined, &s.liveness};
  const CaseRecord r = make_record(s.c, Mode::policy_mode, trials, s.judge(Mode::policy_mode));
  EXPECT_EQ(r.id, "pid.signal");
  EXPECT_EQ(r.verdict, Verdict::unproven);
  EXPECT_EQ(r.reason, "evidence_lost");
  EXPECT_EQ(r.mode, "policy");
  ASSERT_TRUE(r.control && r.liveness);
  EXPECT_TRUE(r.control->achieved);
  EXPECT_TRUE(r.liveness->achieved);
  EXPECT_EQ(r.duration_ns, 3000);
  EXPECT_EQ(r.timings_ns.at("confined"), 1000);
  EXPECT_THAT(r.witnesses, Contains(Field(&WitnessRecord::name, "proc")));
  EXPECT_THAT(r.witnesses, Contains(Field(&WitnessRecord::name, "wait")));
  ASSERT_EQ(r.witnesses.back().name, "inmate");
  EXPECT_EQ(r.witnesses.back().lost, 2U);
  ASSERT_EQ(r.evidence.size(), 2U);
  EXPECT_EQ(r.evidence[0].trial, "confined");
  EXPECT_TRUE(r.evidence[1].decided);
  EXPECT_THAT(r.evidence[1].text, HasSubstr("unproven (evidence_lost)"));
}

// An inmate may choose how it dies: by a signal that has no name, too.
TEST(Record, EveryWayToDieHasWords) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    Scene s = in_order();
    s.confined.goal.yes = true;
    for (TrialOutcome* trial : {&s.control, &s.confined, &s.liveness}) {
      trial->signaled = true;
      trial->exit_code = signal;
    }
    const Trials trials{&s.control, &s.confined, &s.liveness};
    const CaseRecord r = make_record(s.c, Mode::case_mode, trials, s.judge());
    EXPECT_EQ(r.verdict, Verdict::breached) << signal;
    ASSERT_TRUE(r.liveness);
    EXPECT_THAT(r.liveness->says, HasSubstr("killed by ")) << signal;
  }
}

TEST(Claim, Words) {
  EXPECT_EQ((Claim{Claim::Kind::denied, EPERM}).describe(), "denied EPERM");
  EXPECT_EQ((Claim{Claim::Kind::unable, ENOMEM}).describe(), "unable to try, ENOMEM");
  EXPECT_EQ((Claim{Claim::Kind::achieved, 0}).describe(), "achieved");
  EXPECT_EQ(Claim{}.describe(), "nothing");
}

TEST(Sight, EveryOneHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Sight::cgroup_event); ++i) {
    const auto name = sight_name(static_cast<Sight>(i));
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(sight_name(Sight::cgroup_event), "cgroup_event");
}

}  // namespace
}  // namespace ringfence

// The ladder on programs of which the test knows what the kernel must say.
#include "harness/witness/ladder.h"

#include <bpf/libbpf.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <map>
#include <set>

#include "harness/witness/test_watch.h"
#include "ladder_test.skel.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

std::shared_ptr<bpf_object> open_test() {
  const std::shared_ptr<ladder_test_bpf> skeleton(ladder_test_bpf__open(),
                                                  ladder_test_bpf__destroy);
  if (!skeleton) return nullptr;
  return {skeleton, skeleton->obj};
}

const Rung* find(const std::vector<Rung>& rungs, std::string_view program) {
  for (const Rung& rung : rungs) {
    if (rung.program() == program) return &rung;
  }
  return nullptr;
}

TEST(Ladder, ListsProgramsInOrderWithoutPrivilege) {
  auto rungs = rungs_of(open_test);
  ASSERT_TRUE(rungs) << rungs.error().describe();
  std::vector<std::string> names;
  for (const Rung& rung : *rungs) names.push_back(rung.program());
  EXPECT_THAT(names, testing::UnorderedElementsAre("enter__careless", "enter__careful",
                                                   "exit__nowhere", "exit__here", "lost__nowhere"));
  EXPECT_FALSE(rungs->front().tried);
}

TEST(Ladder, TakesTheFirstThatIsNeitherAvoidedNorRefused) {
  std::vector<Rung> rungs = {{.hook = "a", .name = "x"},
                             {.hook = "a", .name = "y"},
                             {.hook = "b", .name = "x"},
                             {.hook = "b", .name = "z"}};
  const auto taken = [&] {
    std::string text;
    for (const Rung& rung : rungs) text += rung.taken ? rung.program() + " " : "";
    return text;
  };
  take_first(rungs, {});
  EXPECT_EQ(taken(), "a__x b__x ");
  take_first(rungs, {"x"});
  EXPECT_EQ(taken(), "a__y b__z ");
  rungs[1].tried = true;
  take_first(rungs, {"x"});
  EXPECT_EQ(taken(), "b__z ");
  rungs[1].loads = true;
  take_first(rungs, {"x"});
  EXPECT_EQ(taken(), "a__y b__z ");
}

TEST(Ladder, AnObjectThatCannotBeOpened) {
  const auto nothing = []() -> std::shared_ptr<bpf_object> {
    errno = ENOMEM;
    return nullptr;
  };
  auto rungs = rungs_of(nothing);
  ASSERT_FALSE(rungs);
  EXPECT_EQ(rungs.error().err, ENOMEM);
  Rung rung{.hook = "a", .name = "x"};
  try_rung(rung, nothing);
  EXPECT_TRUE(rung.tried);
  EXPECT_FALSE(rung.loads);
  EXPECT_EQ(rung.err, ENOMEM);
}

TEST(Ladder, SurveyShowsWhatTheVerifierSaid) {
  RINGFENCE_NEEDS_WITNESS();
  auto rungs = survey_object(open_test);
  ASSERT_TRUE(rungs) << rungs.error().describe();
  const Rung* careless = find(*rungs, "enter__careless");
  ASSERT_NE(careless, nullptr);
  EXPECT_TRUE(careless->tried);
  EXPECT_FALSE(careless->loads);
  EXPECT_FALSE(careless->taken);
  EXPECT_EQ(careless->err, EACCES);
  EXPECT_THAT(careless->log, HasSubstr("map_value_or_null"));
  EXPECT_THAT(careless->reason, HasSubstr("verifier's log"));
  const Rung* nowhere = find(*rungs, "exit__nowhere");
  ASSERT_NE(nowhere, nullptr);
  EXPECT_FALSE(nowhere->loads);
  EXPECT_THAT(nowhere->reason, HasSubstr("no such hook"));
  for (const char* good : {"enter__careful", "exit__here"}) {
    const Rung* rung = find(*rungs, good);
    ASSERT_NE(rung, nullptr);
    EXPECT_TRUE(rung->loads && rung->taken) << good << ": " << rung->reason;
    EXPECT_EQ(rung->reason, "");
  }
  EXPECT_FALSE(find(*rungs, "lost__nowhere")->taken);
}

// Whatever this kernel takes or refuses: exactly one rung is taken of a hook that has one that
// loads, it is the first, and every refusal has a reason.
TEST(Ladder, WhatTheKernelDoesNotHaveIsRefusedWithoutATrial) {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "needs:btf";
  std::vector<Rung> rungs = {
      {.hook = "a", .name = "raw_tp", .section = "raw_tp/no_such_tracepoint"},
      {.hook = "a", .name = "tp_btf", .section = "tp_btf/no_such_tracepoint"},
      {.hook = "a", .name = "fexit", .section = "fexit/no_such_function"},
      {.hook = "b", .name = "raw_tp", .section = "raw_tp/sys_enter"},
      {.hook = "b", .name = "fexit", .section = "fexit/cap_capable"},
      {.hook = "b", .name = "tp", .section = "tp/raw_syscalls/sys_enter"},
  };
  refuse_absent(rungs);
  for (const Rung& rung : rungs) {
    SCOPED_TRACE(rung.section);
    EXPECT_EQ(rung.tried, rung.hook == "a");
    EXPECT_EQ(rung.err, rung.hook == "a" ? ESRCH : 0);
    EXPECT_EQ(rung.reason.empty(), rung.hook != "a");
  }
  take_first(rungs, {});
  EXPECT_FALSE(rungs[0].taken || rungs[1].taken || rungs[2].taken);
  EXPECT_TRUE(rungs[3].taken);
}

TEST(Ladder, SurveyOfTheWitnessIsComplete) {
  RINGFENCE_NEEDS_WITNESS();
  const auto rungs = Witness::survey();
  ASSERT_FALSE(rungs.empty());
  std::map<std::string, int> taken;
  std::map<std::string, bool> loaded;
  for (const Rung& rung : rungs) {
    SCOPED_TRACE(rung.program());
    if (rung.hook == "capargs") continue;  // goes with cap__kretprobe alone
    EXPECT_TRUE(rung.tried);
    EXPECT_EQ(rung.loads, rung.reason.empty()) << rung.reason;
    EXPECT_EQ(rung.loads, rung.err == 0);
    EXPECT_EQ(rung.taken, rung.loads && !loaded[rung.hook]);
    loaded[rung.hook] = loaded[rung.hook] || rung.loads;
    taken[rung.hook] += rung.taken ? 1 : 0;
    if (std::getenv("RINGFENCE_TEST_AVOID") == nullptr) {
      EXPECT_TRUE(!rung.taken || shared_witness()->offers(rung.hook));
    }
  }
  for (const auto& [hook, n] : taken) EXPECT_EQ(n, loaded[hook] ? 1 : 0) << hook;
  EXPECT_EQ(taken["enter"], 1);
  EXPECT_EQ(taken["exit"], 1);
}

// RINGFENCE_TEST_TAKEN=cap__fexit,...: with RINGFENCE_TEST_AVOID, what the tests ran on.
TEST(Rungs, OneOfEachHookIsTakenAndLoads) {
  RINGFENCE_NEEDS_WITNESS();
  std::set<std::string> hooks, programs;
  for (const Rung& rung : shared_witness()->ladder()) {
    if (!rung.taken) continue;
    EXPECT_TRUE(hooks.insert(rung.hook).second) << rung.program();
    EXPECT_TRUE(rung.loads) << rung.program() << ": " << rung.reason;
    programs.insert(rung.program());
  }
  EXPECT_THAT(hooks, testing::IsSupersetOf({"enter", "exit"}));
  const char* asked = std::getenv("RINGFENCE_TEST_TAKEN");
  const std::string list = asked != nullptr ? asked : "";
  for (const auto word : split(list, ',')) EXPECT_THAT(programs, testing::Contains(word));
}

}  // namespace
}  // namespace ringfence

// What doctor says of the ladder, and that the fact `bpf` and the witness agree on who can have it.
#include "harness/witness/ladder_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "harness/base/facts.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Rung rung(std::string hook, std::string name) {
  Rung r;
  r.hook = std::move(hook);
  r.name = std::move(name);
  r.tried = true;
  return r;
}

TEST(LadderText, SaysWhatIsTakenAndWhyTheRestIsRefused) {
  std::vector<Rung> rungs = {rung("enter", "tp_btf"), rung("enter", "raw_tp"), rung("cap", "fexit"),
                             rung("cap", "kprobe")};
  rungs[0].loads = rungs[0].taken = rungs[1].loads = true;
  rungs[2].err = EPERM;
  rungs[2].reason = "EPERM: not for this process";
  rungs[2].log = "attach says no\n";
  rungs[3].err = EACCES;
  rungs[3].reason = "EACCES: see the verifier's log";
  rungs[3].log = "0: R1=ctx\n1: invalid access\n";
  const std::string text = render_ladder(rungs, false);
  EXPECT_THAT(text, HasSubstr("yes  enter           tp_btf  (also: raw_tp)\n"));
  EXPECT_THAT(text, HasSubstr("no   cap             absent\n"));
  EXPECT_THAT(text, HasSubstr("fexit refused: EPERM: not for this process\n"));
  EXPECT_THAT(text, Not(HasSubstr("attach says no")));
  EXPECT_THAT(text, HasSubstr("| 1: invalid access\n")) << "a refusal of the verifier";
  EXPECT_THAT(render_ladder(rungs, true), HasSubstr("| attach says no\n"));
  EXPECT_EQ(render_ladder({}, true), "");
}

// Exit code of a child that asks both: 0 when they agree, and 10 more for `yes`.
int ask_as(uid_t uid) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (uid != 0 && syscall(SYS_setresuid, uid, uid, uid) != 0) _exit(3);
    const bool fact = Facts::probe().satisfied("bpf") && Facts::probe().satisfied("btf");
    const bool opens = Witness::open().has_value();
    _exit((fact == opens ? 0 : 1) + (opens ? 10 : 0));
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(LadderText, TheFactBpfMeansThatTheWitnessOpens) {
  const int self = ask_as(geteuid());
  EXPECT_TRUE(self == 0 || self == 10) << self;
  if (geteuid() == 0) {
    EXPECT_EQ(ask_as(1000), 0) << "without privilege: both say no";
  }
}

TEST(LadderText, AHookWithoutAProgramIsAbsentAndSaysWhy) {
  const std::vector<Rung> rungs = {
      {.hook = "cap", .name = "tp_btf", .tried = true, .err = ESRCH, .reason = "no such hook"},
      {.hook = "cap", .name = "fexit", .tried = true, .loads = true, .taken = true},
      {.hook = "capargs", .name = "kprobe"},
      {.hook = "signal", .name = "tp_btf", .tried = true, .err = EPERM, .reason = "EPERM"},
      {.hook = "signal", .name = "raw_tp", .tried = true, .err = EINVAL, .reason = "EINVAL"},
  };
  const auto hooks = hooks_of(rungs);
  EXPECT_EQ(hooks.size(), 2U);
  EXPECT_EQ(hooks.at("cap"), "fexit");
  EXPECT_EQ(hooks.at("signal"), "absent: EINVAL");
}

TEST(LadderText, WhatAFamilyLooksAtIsSaid) {
  const std::vector<Rung> rungs = {{.hook = "lsm",
                                    .name = "fexit",
                                    .tried = true,
                                    .loads = true,
                                    .taken = true,
                                    .of = "file_open, sb_mount"}};
  EXPECT_THAT(render_ladder(rungs, false), HasSubstr(" of file_open, sb_mount\n"));
}

TEST(LadderText, WhatGoesWithAHookIsMissedOnlyWithIt) {
  std::vector<Rung> rungs = {
      {.hook = "lsm", .name = "fexit", .tried = true, .err = EPERM, .reason = "EPERM"},
      {.hook = "lsm_bpf", .name = "fexit"},
  };
  EXPECT_EQ(hooks_of(rungs).size(), 1U);
  EXPECT_EQ(hooks_of(rungs).at("lsm"), "absent: EPERM");
  rungs[0].taken = true;
  EXPECT_EQ(hooks_of(rungs).size(), 2U);
  EXPECT_EQ(hooks_of(rungs).at("lsm_bpf"), "absent: not tried");
}

TEST(LadderText, ASurveyHasAReasonForEachRefusal) {
  const auto rungs = Witness::survey();
  ASSERT_FALSE(rungs.empty());
  for (const Rung& r : rungs) {
    EXPECT_TRUE(r.tried) << r.hook << " " << r.name;
    EXPECT_EQ(r.reason.empty(), r.loads) << r.hook << " " << r.name;
    EXPECT_EQ(r.err == 0, r.loads) << r.hook << " " << r.name;
  }
}

}  // namespace
}  // namespace ringfence

// The compiled program against what the rules say, over random calls, and against the kernel's own
// way of reading it.
#include "harness/confine/seccomp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <random>

#include "harness/confine/bpf_evaluate.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

constexpr uint32_t kArchI386 = 0x40000003;
constexpr uint32_t kArchX8664 = 0xc000003e;
constexpr uint32_t kArchArm64 = 0xc00000b7;

uint32_t action_of(SeccompAction action, std::optional<uint32_t> data) {
  const uint32_t value = data.value_or(EPERM);
  switch (action) {
    case SeccompAction::allow:
      return SECCOMP_RET_ALLOW;
    case SeccompAction::errno_:
      return SECCOMP_RET_ERRNO | value;
    case SeccompAction::kill_thread:
      return SECCOMP_RET_KILL_THREAD;
    case SeccompAction::kill_process:
      return SECCOMP_RET_KILL_PROCESS;
    case SeccompAction::trap:
      return SECCOMP_RET_TRAP;
    case SeccompAction::trace:
      return SECCOMP_RET_TRACE | value;
    default:
      return SECCOMP_RET_LOG;
  }
}

bool holds(const SeccompArg& arg, const SeccompInput& input) {
  const uint64_t v = input.args.at(arg.index);
  switch (arg.op) {
    case SeccompOp::ne:
      return v != arg.value;
    case SeccompOp::lt:
      return v < arg.value;
    case SeccompOp::le:
      return v <= arg.value;
    case SeccompOp::eq:
      return v == arg.value;
    case SeccompOp::ge:
      return v >= arg.value;
    case SeccompOp::gt:
      return v > arg.value;
    case SeccompOp::masked_eq:
      return (v & arg.value) == arg.value_two;
  }
  return false;
}

// What the runtime-spec says a call gets. At most one rule of a generated profile is for a name.
uint32_t expected(const Seccomp& seccomp, const SeccompInput& input) {
  for (const SeccompRule& rule : seccomp.rules) {
    for (const auto& name : rule.names) {
      if (syscall_number(name) != static_cast<int>(input.nr)) continue;
      const bool all = std::all_of(rule.args.begin(), rule.args.end(),
                                   [&](const SeccompArg& arg) { return holds(arg, input); });
      if (all) return action_of(rule.action, rule.errno_ret);
    }
  }
  return action_of(seccomp.default_action, seccomp.default_errno);
}

// Values at and around the edges, where comparisons of two 32-bit halves go wrong.
uint64_t interesting(std::mt19937_64& random) {
  constexpr std::array<uint64_t, 8> kEdges = {
      0, 1, 0xffffffff, 0x100000000, 0x1ffffffff, 0x7fffffff, ~0ULL, 0x8000000000000000};
  if (random() % 4 == 0) return random();
  return kEdges.at(random() % kEdges.size()) + random() % 3 - 1;
}

TEST(Seccomp, ProgramDoesWhatTheRulesSay) {
  const unsigned seed = 20;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    Seccomp seccomp;
    seccomp.default_action = SeccompAction::errno_;
    seccomp.default_errno = 38;
    std::vector<int> numbers;
    for (int nr = 0; nr < 330; ++nr) {
      const std::string name = syscall_name(nr);
      if (name.empty() || random() % 3 == 0) continue;
      SeccompRule rule;
      rule.names = {name};
      constexpr std::array kActions = {SeccompAction::allow, SeccompAction::kill_process,
                                       SeccompAction::trap,  SeccompAction::trace,
                                       SeccompAction::log,   SeccompAction::kill_thread};
      rule.action = kActions.at(random() % kActions.size());
      if (rule.action == SeccompAction::trace) rule.errno_ret = random() % 4096;
      for (uint32_t index = 0; index < 6 && random() % 3 == 0; ++index) {
        SeccompArg arg;
        arg.index = index;
        arg.op = static_cast<SeccompOp>(random() % 7);
        arg.value = interesting(random);
        arg.value_two = interesting(random) & arg.value;
        rule.args.push_back(arg);
      }
      seccomp.rules.push_back(rule);
      if (round % 2 == 0 && seccomp.rules.size() > 20) break;  // with and without the binary tree
    }
    auto program = compile_seccomp(seccomp);
    ASSERT_TRUE(program) << program.error().describe();
    for (int call = 0; call < 1500; ++call) {
      SeccompInput input;
      input.nr = static_cast<uint32_t>(random() % 480);
      for (auto& arg : input.args) arg = interesting(random);
      // Half of the calls aim at a rule's own values.
      const SeccompRule& rule = seccomp.rules.at(random() % seccomp.rules.size());
      if (call % 2 == 0) {
        input.nr = static_cast<uint32_t>(syscall_number(rule.names[0]));
        for (const auto& arg : rule.args) {
          input.args.at(arg.index) = arg.op == SeccompOp::masked_eq ? arg.value_two : arg.value;
        }
      }
      ASSERT_EQ(bpf_evaluate(*program, input), expected(seccomp, input))
          << "seed " << seed << " round " << round << " nr " << input.nr;
    }
  }
}

Seccomp one_rule(const std::string& name, SeccompAction action) {
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::allow;
  seccomp.rules = {{{name}, action, 5, {}}};
  return seccomp;
}

TEST(Seccomp, AnotherArchitectureIsKilledUnlessListed) {
  Seccomp seccomp = one_rule("mount", SeccompAction::errno_);
  auto native = compile_seccomp(seccomp);
  ASSERT_TRUE(native);
  SeccompInput input;
  input.arch = kArchI386;
  input.nr = 21;  // mount of i386
  EXPECT_EQ(bpf_evaluate(*native, input), SECCOMP_RET_KILL_THREAD);
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  auto both = compile_seccomp(seccomp);
  ASSERT_TRUE(both);
  EXPECT_EQ(bpf_evaluate(*both, input), SECCOMP_RET_ERRNO | 5);
  input.nr = 20;
  EXPECT_EQ(bpf_evaluate(*both, input), SECCOMP_RET_ALLOW);
  input.arch = kArchArm64;
  EXPECT_EQ(bpf_evaluate(*both, input), SECCOMP_RET_KILL_THREAD);
}

TEST(Seccomp, NamesNewerThanTheLibraryWorkAlsoWithForeignArchitectures) {
  Seccomp seccomp = one_rule("listns", SeccompAction::errno_);
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  auto program = compile_seccomp(seccomp);
  ASSERT_TRUE(program) << program.error().describe();
  SeccompInput input;
  input.nr = static_cast<uint32_t>(syscall_number("listns"));
  EXPECT_EQ(bpf_evaluate(*program, input), SECCOMP_RET_ERRNO | 5);
}

TEST(Seccomp, ErrnoZeroAndUnknownNames) {
  Seccomp seccomp = one_rule("getpid", SeccompAction::errno_);
  seccomp.rules[0].errno_ret = 0;
  seccomp.rules[0].names.emplace_back("no_such_call_anywhere");
  auto program = compile_seccomp(seccomp);
  ASSERT_TRUE(program);
  SeccompInput input;
  input.nr = SYS_getpid;
  EXPECT_EQ(bpf_evaluate(*program, input), uint32_t{SECCOMP_RET_ERRNO});
}

TEST(Seccomp, LongerThanTheKernelTakesIsRefusedHere) {
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::errno_;
  for (uint32_t number = 0; number < 400; ++number) {
    SeccompRule rule = {{"read"}, SeccompAction::allow, {}, {}};
    for (uint32_t index = 0; index < 6; ++index) {
      rule.args.push_back({index, 0x1234567800000000ULL + number, 0, SeccompOp::eq});
    }
    seccomp.rules.push_back(rule);
  }
  auto program = compile_seccomp(seccomp);
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().kind, Error::Kind::usage);
  EXPECT_THAT(program.error().describe(), ::testing::HasSubstr("at most 4096"));
}

// Each thing that a program depends on makes another one.
TEST(Seccomp, IsCompiledOnce) {
  Seccomp seccomp;
  seccomp.default_action = SeccompAction::allow;
  seccomp.rules = {{{"mkdir", "rmdir"}, SeccompAction::errno_, 7, {{1, 0755, 3, SeccompOp::ne}}},
                   {{"sync"}, SeccompAction::log, {}, {}}};
  std::vector<Seccomp> others(10, seccomp);
  others[1].default_errno = 5;
  others[2].architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  others[3].rules[0].names = {"mkdir"};
  others[4].rules[0].errno_ret = 8;
  others[5].rules[0].args[0].value = 0700;
  others[6].rules[0].args[0].op = SeccompOp::eq;
  others[7].rules[0].args[0].index = 0;
  others[8].rules[1].action = SeccompAction::errno_;
  others[9].default_action = SeccompAction::log;
  std::vector<std::vector<uint64_t>> programs;
  for (const Seccomp& other : others) {
    bool known = true;
    auto program = compile_seccomp(other, &known);
    ASSERT_TRUE(program) << program.error().describe();
    EXPECT_FALSE(known);
    programs.push_back(std::move(*program));
  }
  for (size_t i = 0; i < others.size(); ++i) {
    bool known = false;
    const auto again = compile_seccomp(others[i], &known);
    ASSERT_TRUE(again);
    EXPECT_TRUE(known);
    EXPECT_EQ(*again, programs[i]);
    if (i > 1) {
      EXPECT_NE(*again, programs[0]) << i;
    }
  }
  // What cannot be compiled is tried each time, and the error is there each time.
  seccomp.default_action = SeccompAction::notify;
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(compile_seccomp(seccomp));
}

TEST(Seccomp, RefusesWhatItCannotCarryOut) {
  Seccomp seccomp = one_rule("mount", SeccompAction::errno_);
  seccomp.architectures = {"SCMP_ARCH_ABACUS"};
  auto arch = compile_seccomp(seccomp);
  ASSERT_FALSE(arch);
  EXPECT_EQ(arch.error().kind, Error::Kind::usage);
  seccomp.default_action = SeccompAction::notify;
  EXPECT_FALSE(compile_seccomp(seccomp));
  seccomp.flags = {"SECCOMP_FILTER_FLAG_ABACUS"};
  EXPECT_FALSE(seccomp_flags(seccomp));
  // Nobody would be asked.
  seccomp.flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  EXPECT_FALSE(seccomp_flags(seccomp));
}

TEST(Seccomp, Flags) {
  Seccomp seccomp = one_rule("mount", SeccompAction::errno_);
  EXPECT_EQ(seccomp_flags(seccomp).value_or(99), 0U);
  seccomp.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  EXPECT_EQ(seccomp_flags(seccomp).value_or(0),
            uint64_t{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW});
  seccomp.flags = {"SECCOMP_FILTER_FLAG_TSYNC"};
  EXPECT_EQ(seccomp_flags(seccomp).value_or(0), uint64_t{SECCOMP_FILTER_FLAG_TSYNC});
  seccomp.rules[0].action = SeccompAction::notify;
  EXPECT_EQ(seccomp_flags(seccomp).value_or(0),
            uint64_t{SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
                     SECCOMP_FILTER_FLAG_NEW_LISTENER});
  seccomp.flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  EXPECT_EQ(seccomp_flags(seccomp).value_or(0),
            uint64_t{SECCOMP_FILTER_FLAG_NEW_LISTENER | 1U << 5});
}

TEST(Seccomp, EachNotifiedCallHasItsAnswer) {
  Policy policy;
  policy.seccomp = one_rule("mount", SeccompAction::notify);
  policy.seccomp->architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  auto none = make_listener(policy);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, Error::Kind::usage);
  policy.seccomp->answers = {{{"mount"}, NotifyAnswer::How::refuse, EXDEV}};
  auto made = make_listener(policy);
  ASSERT_TRUE(made && *made);
  const std::vector<Listener::Answer> answers = {
      {kArchX8664, SYS_mount, NotifyAnswer::How::refuse, EXDEV},
      {kArchI386, 21, NotifyAnswer::How::refuse, EXDEV}};
  EXPECT_EQ((*made)->answers, answers);
  policy.seccomp->rules[0].action = SeccompAction::allow;
  EXPECT_FALSE(make_listener(policy).value_or(Listener{}));
}

}  // namespace
}  // namespace ringfence

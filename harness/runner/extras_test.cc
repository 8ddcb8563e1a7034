// What a run has beside the witness, on this kernel: brackets, probes, the clock of time on CPU.
#include "harness/runner/extras.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "harness/base/sys.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
#include "harness/spawn/cgroup_leaf.h"
#include "probes/inmate/image.h"
#include "probes/inmate/testdata/liars.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

Case by_bracket(std::string name) {
  Case c;
  c.id = "test." + name;
  c.title = "proven by its bracket";
  c.source = "seccomp(2)";
  c.expected = Layer::kSeccomp;
  c.policy = suites::filtered({"sethostname"}, SeccompAction::errno_);
  c.attempt = {"sethostname", {"breached"}};
  c.goal = {Sight::hostname_changed};
  c.proofs = {{Sight::seccomp_filtered}};
  c.liveness = {"setdomainname", {"benign"}};
  c.proves_attempt = kProvedByBracket;
  return c;
}

class Extras : public testing::Test {
 protected:
  void SetUp() override {
    if (witness_of_process() == nullptr) GTEST_SKIP() << "needs:bpf";
  }
  static CaseRecord record_of(const Case& c, RunOptions options = {}) {
    Registry registry;
    EXPECT_TRUE(registry.add(c));
    options.full = true;
    if (options.witness.avoid.empty()) options.opened_witness = witness_of_process();
    Observer nobody;
    auto result = run(registry, Facts::probe(), options, nobody);
    EXPECT_TRUE(result) << result.error().describe();
    if (!result || result->cases.size() != 1) return {};
    EXPECT_THAT(result->summary.notes, testing::IsEmpty());
    return result->cases[0];
  }
  static size_t lines_with(const CaseRecord& r, const std::string& trial, const std::string& text) {
    return static_cast<size_t>(
        std::count_if(r.evidence.begin(), r.evidence.end(), [&](const EvidenceLine& line) {
          return line.trial == trial && line.source == "ebpf" &&
                 line.text.find(text) != std::string::npos;
        }));
  }
};

// The same through a ring buffer and through perf buffers.
class ExtrasBy : public Extras, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(By, ExtrasBy, testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(ExtrasBy, ACaseThatNamesNoCallIsProvenByItsBracket) {
  RunOptions options;
  if (std::string(GetParam()) == "perf") options.witness.avoid = {"ringbuf"};
  const CaseRecord r = record_of(by_bracket("honest"), options);
  EXPECT_EQ(r.verdict, Verdict::held) << r.reason << ": " << r.detail;
  EXPECT_EQ(lines_with(r, "control", "begins the attempt sethostname"), 1U);
  EXPECT_EQ(lines_with(r, "control", "ends the attempt sethostname, with 0"), 1U);
  EXPECT_EQ(lines_with(r, "confined", "begins the attempt sethostname"), 1U);
  EXPECT_EQ(lines_with(r, "confined", "ends the attempt sethostname, with EPERM"), 1U);
  EXPECT_EQ(lines_with(r, "liveness", "ends the attempt setdomainname, with 0"), 1U);
}

// Its image is another one, of the same code; it never runs an attempt's.
TEST_F(Extras, AnInmateThatOnlySaysSoIsNotBracketed) {
  RunOptions options;
  const auto image = liar_idle_image();
  options.inmate.assign(image.begin(), image.end());
  const CaseRecord r = record_of(by_bracket("idle"), options);
  EXPECT_EQ(r.verdict, Verdict::unproven);
  EXPECT_EQ(lines_with(r, "confined", "the attempt"), 0U);
}

TEST_F(Extras, WithoutBeingAskedForNothingIsBracketed) {
  Case c = by_bracket("unasked");
  c.proves_attempt = "state";
  EXPECT_EQ(lines_with(record_of(c), "confined", "begins the attempt"), 0U);
  RunOptions options;
  options.full_timeline = true;
  EXPECT_EQ(lines_with(record_of(c, options), "confined", "begins the attempt"), 1U);
}

// Whatever look fails when a trial is over: a fact or a line of the story is lost, and counted.
TEST_F(Extras, EachLookThatFailsIsALoss) {
  const Witness& witness = *witness_of_process();
  const UniqueFd image(static_cast<int>(syscall(SYS_memfd_create, "inmate", MFD_CLOEXEC)));
  const auto bytes = inmate_image();
  ASSERT_EQ(write(image.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  const auto bracket = Bracket::attach(witness, image.get());
  ASSERT_TRUE(bracket) << bracket.error().describe();
  const auto root = CgroupRoot::create(CgroupLayout::probe());
  ASSERT_TRUE(root) << root.error().describe();
  size_t failed = 0;
  for (uint64_t index = 0, fired = 1; fired != 0; ++index) {
    auto group = CgroupLeaf::create(*root, {}, "look-" + std::to_string(index));
    ASSERT_TRUE(group) << group.error().describe();
    auto watch = KernelWatch::begin(witness, group->unified_fd(), {},
                                    {.bracket = &*bracket, .attempt = "kill"});
    ASSERT_TRUE(watch) << watch.error().describe();
    watch->list_tasks();
    const auto as_it_is = [](const std::string& text) -> Result<std::string> { return text; };
    ASSERT_TRUE(watch->look_for({{.nr = SYS_kill}}, as_it_is));
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<uint64_t>(group->unified_fd());
    const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
      syscall(SYS_kill, 0x3fffffff, 0);
      syscall(SYS_exit_group, 0);
    }
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    TrialOutcome outcome;
    ASSERT_TRUE(sys::arm_fault({.nr = SYS_bpf, .index = index, .err = EIO}));
    watch->collect(1, {}, outcome);
    fired = sys::fault_fired() ? 1 : 0;
    sys::disarm_faults();
    failed += fired;
    const KernelFacts& kernel = outcome.kernel;
    EXPECT_EQ(kernel.lost + kernel.story_lost > 0, fired != 0) << index << ": " << kernel.lost_what;
  }
  EXPECT_GE(failed, 5U);
  printf("%zu looks\n", failed);
}

TEST_F(Extras, TimeOnCpuIsThereWhereACaseAsksForIt) {
  Case c = by_bracket("cpu");
  EXPECT_EQ(lines_with(record_of(c), "confined", "was on a CPU for"), 0U);
  c.cpu_time = true;
  const CaseRecord r = record_of(c);
  EXPECT_EQ(r.verdict, Verdict::held) << r.detail;
  EXPECT_EQ(lines_with(r, "confined", "was on a CPU for 0 ms in user space and "), 1U);
}

}  // namespace
}  // namespace ringfence

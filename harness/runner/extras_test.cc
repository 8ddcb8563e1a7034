// What a run has beside the witness, on this kernel: brackets, probes, the clock of time on CPU.
#include "harness/runner/extras.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
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

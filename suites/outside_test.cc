// Nothing is held on the inmate's word: every held record has a witness outside the target, with
// eBPF and without; and liars whom no canary and no look into /proc gives away are caught by what
// the kernel saw.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "harness/policy/read.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
#include "probes/inmate/testdata/liars.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

using testing::HasSubstr;

const Facts& facts() {
  static const Facts known = Facts::probe();
  return known;
}
const Registry& registry() {
  static const Registry known = attempts().value();
  return known;
}

std::map<std::string, CaseRecord> judged(const Registry& cases, RunOptions options) {
  Observer nobody;
  options.jobs = 2;
  options.full = true;
  if (options.kernel_witness) options.opened_witness = witness_of_process();
  auto result = run(cases, facts(), options, nobody);
  EXPECT_TRUE(result) << result.error().describe();
  std::map<std::string, CaseRecord> records;
  if (!result) return records;
  for (CaseRecord& record : result->cases) records.emplace(record.id, std::move(record));
  return records;
}

RunOptions with(std::span<const unsigned char> inmate, const char* policy = nullptr) {
  RunOptions options;
  options.inmate.assign(inmate.begin(), inmate.end());
  if (policy != nullptr) options.policy = profile(policy).value();
  return options;
}

std::string says(const CaseRecord& record, const std::string& witness) {
  for (const WitnessRecord& w : record.witnesses) {
    if (w.name == witness) return w.says;
  }
  return {};
}

// What the kernel, a canary, /proc or a group shows. How the target ended is its own choice, unless
// somebody else ended it.
bool has_outside_witness(const CaseRecord& record) {
  return std::any_of(record.witnesses.begin(), record.witnesses.end(), [](const WitnessRecord& w) {
    if (w.says.empty() || w.name == "inmate") return false;
    if (w.name == "ebpf") return !w.says.starts_with("absent") && w.lost == 0;
    return w.name != "wait" || w.says.starts_with("killed by");
  });
}

class Outside : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!facts().satisfied("root")) GTEST_SKIP() << facts().why_not("root");
    if (witness_of_process() == nullptr) GTEST_SKIP() << "needs:bpf";
  }
};

TEST_F(Outside, EveryHeldRecordHasAWitness) {
  for (const bool kernel : {true, false}) {
    RunOptions options;
    options.kernel_witness = kernel;
    size_t held = 0;
    for (const auto& [id, record] : judged(registry(), options)) {
      const std::string ebpf = says(record, "ebpf");
      if (record.verdict != Verdict::skipped) {
        EXPECT_EQ(ebpf.starts_with("absent"), !kernel) << id << ": " << ebpf;
      }
      if (record.verdict != Verdict::held) continue;
      ++held;
      EXPECT_TRUE(has_outside_witness(record)) << id << (kernel ? "" : " without eBPF");
    }
    EXPECT_GE(held, 80U);
  }
}

TEST_F(Outside, TheInmatesWordIsNone) {
  CaseRecord record;
  record.witnesses = {{"inmate", "denied EPERM", 0}, {"wait", "exit 0", 0}};
  EXPECT_FALSE(has_outside_witness(record));
  record.witnesses.push_back({"ebpf", "absent: needs:bpf", 0});
  EXPECT_FALSE(has_outside_witness(record));
  record.witnesses.push_back({"ebpf", "kill(3, SIGKILL) = ESRCH", 1});
  EXPECT_FALSE(has_outside_witness(record));
  record.witnesses.push_back({"canary", "it is alive", 0});
  EXPECT_TRUE(has_outside_witness(record));
}

// Under a policy it attempts nothing and says that it was refused; canaries and /proc look as if it
// had been. Without the kernel's word that is a false `held`.
TEST_F(Outside, WhoShirksUnderAPolicyIsCaughtByTheKernelAlone) {
  RunOptions blind = with(liar_shirks_image(), "docker-default");
  blind.kernel_witness = false;
  const auto fooled = judged(registry(), blind);
  const auto caught = judged(registry(), with(liar_shirks_image(), "docker-default"));
  size_t by_kernel_alone = 0;
  for (const auto& [id, record] : caught) {
    const Case* c = registry().find(id);
    if (record.verdict == Verdict::skipped || c->calls.empty()) continue;
    // It cannot tell some attempts from benign twins, and makes those.
    if (says(record, "inmate") != "denied EPERM") continue;
    EXPECT_NE(record.verdict, Verdict::held) << id << ": " << record.detail;
    if (fooled.at(id).verdict != Verdict::held) continue;
    ++by_kernel_alone;
    EXPECT_EQ(record.verdict, Verdict::unproven) << id;
    EXPECT_EQ(record.reason, "no_attempt") << id << ": " << record.detail;
  }
  EXPECT_GE(by_kernel_alone, 30U) << "it lies so badly that others catch it";
  printf("%zu false `held` without the kernel's word\n", by_kernel_alone);
}

// A goal that is seen in the control without any attempt, and a success that contradicts nothing:
// all that is left is whether the attempt was made.
TEST_F(Outside, WhoBoastsIsCaughtByTheKernelAlone) {
  const Case* real = registry().find("uts.hostname");
  ASSERT_NE(real, nullptr);
  Case c = *real;
  c.id = "test.boasts";
  c.policy = without_caps({"SYS_ADMIN"});
  c.expected = Layer::cap("SYS_ADMIN");
  c.goal = {Sight::cap_effective, "SYS_ADMIN", 0};
  c.proofs = {{Sight::cap_missing, "SYS_ADMIN", 0}};
  c.contained = true;
  c.outside = false;
  Registry one;
  ASSERT_TRUE(one.add(c));
  RunOptions blind = with(liar_boasts_image());
  blind.kernel_witness = false;
  const auto fooled = judged(one, blind).at(c.id);
  EXPECT_EQ(fooled.verdict, Verdict::held) << fooled.reason << ": " << fooled.detail;
  const auto caught = judged(one, with(liar_boasts_image())).at(c.id);
  EXPECT_EQ(caught.verdict, Verdict::unproven);
  EXPECT_EQ(caught.reason, "control_failed") << caught.detail;
  EXPECT_THAT(caught.detail, HasSubstr("the kernel saw no such call"));
}

// Whatever else gives them away: the kernel's word in the record is not theirs.
TEST_F(Outside, TheKernelsWordIsNotTheLiars) {
  for (const auto image : {liar_idle_image(), liar_boasts_image()}) {
    size_t seen = 0;
    for (const auto& [id, record] : judged(registry(), with(image))) {
      if (record.verdict == Verdict::skipped || registry().find(id)->calls.empty()) continue;
      ++seen;
      EXPECT_THAT(says(record, "ebpf"), HasSubstr("no such call was made")) << id;
    }
    EXPECT_GE(seen, 80U);
  }
  size_t contradicted = 0;
  for (const auto& [id, record] : judged(registry(), with(liar_denies_image(), "none"))) {
    if (record.verdict != Verdict::breached) continue;
    EXPECT_EQ(says(record, "inmate"), "denied EPERM") << id;
    contradicted +=
        says(record, "ebpf").starts_with("the calls were made, none was denied") ? 1 : 0;
  }
  EXPECT_GE(contradicted, 30U);
}

}  // namespace
}  // namespace ringfence::suites

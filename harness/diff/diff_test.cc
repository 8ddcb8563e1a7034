#include "harness/diff/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "reports/testing.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> ids(const std::vector<CaseChange>& changes) {
  std::vector<std::string> list;
  list.reserve(changes.size());
  for (const auto& change : changes) list.push_back(change.id);
  return list;
}

CaseRecord& find(RunResult& run, const std::string& id) {
  for (auto& record : run.cases) {
    if (record.id == id) return record;
  }
  ADD_FAILURE() << id;
  return run.cases.front();
}

TEST(Diff, EqualResultsAreTheSameWhateverTimeSays) {
  const auto before = testing::sample_results();
  auto after = before;
  after[0].header.run_id = "other";
  after[0].header.started = "later";
  after[0].header.seed = 1;
  for (auto& record : after[0].cases) {
    record.run_id = "other";
    record.duration_ns += 1000;
    record.timings_ns.clear();
    record.evidence.clear();
    record.detail = "pid 4711";
  }
  const auto report = diff_results(before, after);
  EXPECT_TRUE(report.same_results());
  EXPECT_EQ(report.exit_code(), 0);
  EXPECT_EQ(report.compared, 8U);
  EXPECT_TRUE(report.headers.empty());
  EXPECT_THAT(render_diff(report, Style{}),
              HasSubstr("8 cases compared: the results are the same"));
}

std::vector<RunResult> changed() {
  auto after = testing::sample_results();
  RunResult& run = after[0];
  find(run, "pid.signal.init").verdict = Verdict::breached;
  find(run, "mnt.open_by_handle").verdict = Verdict::held;
  find(run, "net.raw").reason = "liveness_failed";
  CaseRecord& map = find(run, "user.map");
  map.verdict = Verdict::unproven;
  map.reason = "no_witness";
  find(run, "limit.pids").verdict = Verdict::broken;
  find(run, "fd.nofile").id = "fd.nofile2";
  run.header.kernel = "6.12.9";
  run.header.cgroup_mode = "hybrid";
  run.header.facts["landlock_abi"] = "6";
  run.header.facts["bpf"] = "yes";
  after[1].cases[0].decided_by = "cap.KILL";
  return after;
}

TEST(Diff, EveryKindOfChangeIsFoundAndTheWorstIsFirst) {
  const auto report = diff_results(testing::sample_results(), changed());
  EXPECT_EQ(ids(report.verdicts), (std::vector<std::string>{"pid.signal.init", "limit.pids",
                                                            "user.map", "mnt.open_by_handle"}));
  EXPECT_TRUE(report.verdicts[0].worse);
  EXPECT_TRUE(report.verdicts[1].worse);
  EXPECT_FALSE(report.verdicts[2].worse) << "broken to unproven";
  EXPECT_FALSE(report.verdicts[3].worse);
  EXPECT_EQ(ids(report.disappeared), std::vector<std::string>{"fd.nofile"});
  EXPECT_EQ(ids(report.appeared), std::vector<std::string>{"fd.nofile2"});
  EXPECT_EQ(ids(report.layers), std::vector<std::string>{"pid.signal.init"});
  EXPECT_EQ(report.layers[0].before, "unattributed");
  EXPECT_EQ(report.layers[0].after, "cap.KILL");
  EXPECT_EQ(ids(report.reasons), std::vector<std::string>{"net.raw"});
  std::vector<std::string> fields;
  for (const auto& change : report.headers) fields.push_back(change.field);
  EXPECT_EQ(fields,
            (std::vector<std::string>{"kernel", "cgroup_mode", "facts.bpf", "facts.landlock_abi"}));
  EXPECT_EQ(report.exit_code(), 1);
}

TEST(Diff, Golden) {
  const auto report = diff_results(testing::sample_results(), changed());
  EXPECT_EQ(testing::against_golden("diff.txt", render_diff(report, Style{})), "");
  EXPECT_EQ(testing::against_golden("diff.json", diff_json(report)), "");
  EXPECT_FALSE(nlohmann::json::parse(diff_json(report)).at("same").get<bool>());
}

TEST(Diff, EachChangeAloneIsADifference) {
  const auto before = testing::sample_results();
  const auto differs = [&](const std::function<void(std::vector<RunResult>&)>& change) {
    auto after = before;
    change(after);
    return diff_results(before, after).exit_code() == 1 &&
           diff_results(after, before).exit_code() == 1;
  };
  EXPECT_TRUE(differs([](auto& r) { r[0].cases[0].verdict = Verdict::unproven; }));
  EXPECT_TRUE(differs([](auto& r) { r[0].cases[0].decided_by = ""; }));
  EXPECT_TRUE(differs([](auto& r) { r[0].cases[2].reason = "timeout"; }));
  EXPECT_TRUE(differs([](auto& r) { r[0].cases.pop_back(); }));
  EXPECT_TRUE(differs([](auto& r) { r[0].cases.push_back(r[0].cases[0]); })) << "twice the id";
  EXPECT_TRUE(differs([](auto& r) { r.pop_back(); }));
  EXPECT_TRUE(differs([](auto& r) { r[1].header.target = "crun"; }));
  EXPECT_FALSE(differs([](auto& r) { r[0].header.cpu = "other"; })) << "shown, and no difference";
}

// The same verdicts on weaker evidence are the same results; the header shows what was weaker.
TEST(Diff, WhatTheWitnessesSayIsNoDifference) {
  const auto before = testing::sample_results();
  auto after = before;
  for (auto& record : after[0].cases) {
    record.witnesses = {{"ebpf", "absent: not_asked_for", 0}};
    record.evidence.clear();
  }
  after[0].header.facts["witness"] = "absent: not_asked_for";
  after[0].summary.notes = {"no eBPF witness (not_asked_for): verdicts rest on weaker evidence"};
  const auto report = diff_results(before, after);
  EXPECT_TRUE(report.same_results());
  ASSERT_EQ(report.headers.size(), 1U);
  EXPECT_EQ(report.headers[0].field, "facts.witness");
}

TEST(Diff, RunsAreMatchedByTargetModePolicyAndKernel) {
  const auto sample = testing::sample_results();
  auto old_kernel = sample[0];
  auto new_kernel = sample[0];
  new_kernel.header.kernel = "6.12.9";
  find(new_kernel, "net.raw").verdict = Verdict::held;
  // The other order in the file: the kernels still meet themselves.
  EXPECT_TRUE(diff_results({old_kernel, new_kernel}, {new_kernel, old_kernel}).same_results());
  EXPECT_TRUE(diff_results({old_kernel, sample[1]}, {sample[1], old_kernel}).same_results());
  // One kernel a file: compared with each other.
  const auto kernels = diff_results({old_kernel}, {new_kernel});
  EXPECT_EQ(ids(kernels.verdicts), std::vector<std::string>{"net.raw"});
  EXPECT_EQ(kernels.headers.at(0).field, "kernel");
  // A kernel that is gone takes its cases with it, and is not mistaken for the other.
  const auto gone = diff_results({old_kernel, new_kernel}, {new_kernel});
  EXPECT_TRUE(gone.verdicts.empty());
  EXPECT_EQ(gone.disappeared.size(), old_kernel.cases.size());
  EXPECT_EQ(gone.headers.at(0).field, "run");
}

// What is asked most: a policy before and after it was changed, under two file names.
TEST(Diff, OneRunEachIsComparedWhateverThePolicyIsCalled) {
  auto before = testing::sample_results()[0];
  before.header.policy = "old.json";
  auto after = before;
  after.header.policy = "new.json";
  find(after, "net.raw").verdict = Verdict::held;
  const auto report = diff_results({before}, {after});
  EXPECT_EQ(ids(report.verdicts), std::vector<std::string>{"net.raw"});
  EXPECT_TRUE(report.disappeared.empty() && report.appeared.empty());
  ASSERT_EQ(report.headers.size(), 1U);
  EXPECT_EQ(report.headers[0].field, "policy");
  // Among several runs a name is what tells them apart.
  EXPECT_EQ(diff_results({before, before}, {after}).disappeared.size(), 2 * before.cases.size());
}

TEST(Diff, HostileTextNeverReachesTheTerminal) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto before = testing::RandomResults(seed, true).results(2, 10);
    const auto after = testing::RandomResults(seed + 1, true).results(2, 10);
    const auto report = diff_results(before, after);
    EXPECT_EQ(testing::unsafe_part(render_diff(report, Style{})), "");
    EXPECT_FALSE(nlohmann::json::parse(diff_json(report), nullptr, false).is_discarded());
  }
}

}  // namespace
}  // namespace ringfence

// How runs end when something does not: a target that never answers, an interrupt.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <set>

#include "harness/runner/runner.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;

class Ends : public ::testing::Test {
 protected:
  // Beside an ordinary case, the same with an attempt that goes on for ten seconds, in a group
  // of its own where the host has any.
  void SetUp() override {
    if (!facts_.satisfied("root") && !facts_.satisfied("userns")) GTEST_SKIP() << "needs:userns";
    auto builtin = suites::builtin();
    ASSERT_TRUE(builtin);
    const Case* plain = builtin->find("pid.signal_host_process");
    ASSERT_NE(plain, nullptr);
    ASSERT_TRUE(registry_.add(*plain));
    Case endless = *plain;
    endless.id = "test.endless";
    endless.attempt = {"spin", {"10000"}};
    if (facts_.satisfied("cgroup.pids")) endless.policy.resources.pids_limit = 16;
    ASSERT_TRUE(registry_.add(endless));
    options_.jobs = 2;
  }
  static void expect_nothing_left() {
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    const CgroupLayout layout = CgroupLayout::probe();
    const std::string prefix = "ringfence-" + std::to_string(getpid()) + "-";
    std::set<std::string> places;
    for (const auto& [controller, point] : layout.v1) places.insert(point);
    if (!layout.unified.empty()) places.insert(layout.unified_parent);
    for (const auto& point : places) {
      for (const auto& entry : std::filesystem::directory_iterator(point)) {
        EXPECT_FALSE(entry.path().filename().string().starts_with(prefix)) << entry.path();
      }
    }
  }
  Registry registry_;
  Facts facts_ = Facts::probe();
  RunOptions options_;
  Observer nobody_;
};

TEST_F(Ends, ATargetThatNeverAnswersTimesOut) {
  options_.timeout = std::chrono::milliseconds(1500);
  const auto began = Clock::now();
  auto result = run(registry_, facts_, options_, nobody_);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(20));
  ASSERT_EQ(result->cases.size(), 2U);
  for (const CaseRecord& record : result->cases) {
    if (record.id == "test.endless") {
      EXPECT_EQ(record.verdict, Verdict::broken);
      EXPECT_EQ(record.reason, "timeout") << record.detail;
    } else {
      EXPECT_EQ(record.verdict, Verdict::held) << record.reason << record.detail;
    }
  }
  expect_nothing_left();
}

// The flag is raised while the endless case runs, by the observer's own clock.
class Impatient : public Observer {
 public:
  explicit Impatient(std::atomic<bool>& flag) : flag_(flag) {}
  void waiting() override {
    if (++ticks_ == kTicks) {
      flag_ = true;
      raised = Clock::now();
    }
  }
  Clock::time_point raised;

 private:
  static constexpr int kTicks = 8;
  std::atomic<bool>& flag_;
  int ticks_ = 0;
};

TEST_F(Ends, AnInterruptEndsWhatRunsAndTellsOfAll) {
  std::atomic<bool> flag{false};
  options_.interrupted = &flag;
  options_.timeout = std::chrono::minutes(10);
  Impatient observer(flag);
  auto result = run(registry_, facts_, options_, observer);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_LT(Clock::now() - observer.raised, std::chrono::seconds(2));
  EXPECT_TRUE(result->summary.interrupted);
  ASSERT_EQ(result->cases.size(), 2U);
  for (const CaseRecord& record : result->cases) {
    if (record.id == "test.endless") {
      EXPECT_EQ(record.verdict, Verdict::broken);
      EXPECT_EQ(record.reason, "interrupted");
    }
  }
  conclude(*result, {});
  EXPECT_EQ(result->summary.exit_code, 2);
  expect_nothing_left();
}

}  // namespace
}  // namespace ringfence

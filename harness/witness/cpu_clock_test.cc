#include "harness/witness/cpu_clock.h"

#include <gtest/gtest.h>
#include <sys/random.h>

#include <array>
#include <ctime>

#include "harness/witness/test_watch.h"

namespace ringfence {
namespace {

constexpr int64_t kMilli = 1000000;
constexpr int64_t kSpin = 100 * kMilli;

int64_t spent(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1000 * kMilli + now.tv_nsec;
}

int spin_in_user_space() {
  volatile uint64_t sum = 0;
  while (spent(CLOCK_PROCESS_CPUTIME_ID) < kSpin) {
    for (int i = 0; i < 200000; ++i) sum = sum + 1;
  }
  return 0;
}

int spin_in_the_kernel() {
  static std::array<char, 1 << 20> bytes;
  while (spent(CLOCK_PROCESS_CPUTIME_ID) < kSpin) {
    (void)!getrandom(bytes.data(), bytes.size(), GRND_NONBLOCK);
  }
  return 0;
}

int sleep_all_along() {
  const timespec t{0, 100 * kMilli};
  nanosleep(&t, nullptr);
  return 0;
}

int spin_in_a_child() {
  const pid_t pid = fork();
  if (pid == 0) _exit(spin_in_user_space());
  waitpid(pid, nullptr, 0);
  return 0;
}

// The same beside a witness with a ring buffer and one with perf buffers.
class CpuClockTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    RINGFENCE_NEEDS_WITNESS();
    ASSERT_TRUE(witness_by(GetParam())) << witness_by(GetParam()).error().describe();
    auto clock = CpuClock::open(*witness_by(GetParam()));
    ASSERT_TRUE(clock) << clock.error().describe();
    clock_ = std::make_unique<CpuClock>(std::move(*clock));
  }
  // Of a child that acts in the group that is watched, or in another.
  CpuTime time_of(const Actor::Act& act, bool watched = true) {
    auto group = test_group();
    auto other = test_group();
    EXPECT_TRUE(group && other);
    auto watch = witness_by(GetParam())->watch(id_of(*group));
    EXPECT_TRUE(watch);
    EXPECT_TRUE(clock_->begin(watch->id(), 3));
    auto event = clock_->follow(0);
    EXPECT_TRUE(event) << event.error().describe();
    Actor actor((watched ? *group : *other).unified_fd(), 0, nullptr, act);
    EXPECT_TRUE(actor.ready());
    EXPECT_EQ(actor.finish(), 0);
    auto time = clock_->time(watch->id());
    EXPECT_TRUE(time);
    clock_->end(watch->id());
    EXPECT_FALSE(clock_->time(watch->id()));
    return *time;
  }
  std::unique_ptr<CpuClock> clock_;
};
INSTANTIATE_TEST_SUITE_P(By, CpuClockTest, testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(CpuClockTest, UserSpaceIsToldFromTheKernel) {
  const CpuTime user = time_of(spin_in_user_space);
  EXPECT_GT(user.user_ns, kSpin * 7 / 10);
  EXPECT_LT(user.user_ns + user.kernel_ns, kSpin * 14 / 10);
  EXPECT_LT(user.kernel_ns, kSpin * 3 / 10);
  const CpuTime kernel = time_of(spin_in_the_kernel);
  EXPECT_GT(kernel.kernel_ns, kSpin * 7 / 10);
  EXPECT_LT(kernel.user_ns, kSpin * 3 / 10);
  EXPECT_LT(kernel.user_ns + kernel.kernel_ns, kSpin * 14 / 10);
}

TEST_P(CpuClockTest, WhatSleepsIsNotOnACpu) {
  const CpuTime sleeps = time_of(sleep_all_along);
  EXPECT_LT(sleeps.user_ns + sleeps.kernel_ns, 10 * kMilli);
}

TEST_P(CpuClockTest, ChildrenCountAndWhatIsNotWatchedDoesNot) {
  EXPECT_GT(time_of(spin_in_a_child).user_ns, kSpin * 7 / 10);
  const CpuTime other = time_of(spin_in_user_space, false);
  EXPECT_EQ(other.user_ns + other.kernel_ns, 0);
}

TEST(CpuTimeTest, ErrorGrowsWithTheRootOfTheSamples) {
  EXPECT_EQ((CpuTime{0, 0, kMilli}.error_ns()), kMilli);
  EXPECT_EQ((CpuTime{60 * kMilli, 40 * kMilli, kMilli}.error_ns()), 10 * kMilli);
}

}  // namespace
}  // namespace ringfence

// Block I/O by device, on a loop device of our own, and the page cache of a file.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>

#include "harness/spawn/cgroup_state.h"
#include "harness/spawn/test_groups.h"
#include "harness/spawn/test_loop.h"

namespace ringfence {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

constexpr int64_t kMib = int64_t{1} << 20;

// Writes 2 MiB past the page cache; the seconds that it took.
double write_seconds(const Plan& plan, const CgroupLeaf& group, const std::string& path) {
  const auto before = steady_clock::now();
  const Ran ran =
      run(plan, "dd if=/dev/zero of=" + path + " bs=65536 count=32 oflag=direct", &group);
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.end, "exit 0") << ran.out;
  return duration<double>(steady_clock::now() - before).count();
}

TEST(CgroupIo, WritesAreThrottledByDevice) {
  const CgroupLayout here = CgroupLayout::probe();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  if (!here.offers("io")) GTEST_SKIP() << "needs:cgroup.io";
  auto device = LoopDevice::make();
  if (!device) GTEST_SKIP() << "host-lacks:loop device";
  const auto [major, minor] = device->number();
  Policy policy = open_policy();
  policy.resources.io_write_bps = {{major, minor, uint64_t{kMib}}};
  auto group = group_for(here, policy);
  ASSERT_TRUE(group) << group.error().describe();
  const double limited = write_seconds(*compile(policy), *group, device->path());
  EXPECT_GT(limited, 1.3);  // two seconds' worth, less what the first slice gives
  auto io = io_state(*group);
  ASSERT_TRUE(io) << io.error().describe();
  const auto& state = (*io)[fmt::format("{}:{}", major, minor)];
  EXPECT_GE(state.wbytes, uint64_t{2 * kMib});
  EXPECT_GE(state.wios, 1U);
  // The control: a group without the limit, or with one for another device.
  Policy other = open_policy();
  other.resources.io_write_bps = {{major, minor + 1, uint64_t{kMib}}};
  auto open = group_for(here, open_policy(), {"io"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_LT(write_seconds(*compile(open_policy()), *open, device->path()), limited);
  // Operations: 8 a second, of 32.
  Policy slow = open_policy();
  slow.resources.unified = {{"io.max", fmt::format("{}:{} wiops=16", major, minor)}};
  auto counted = group_for(here, slow);
  ASSERT_TRUE(counted) << counted.error().describe();
  EXPECT_GT(write_seconds(*compile(slow), *counted, device->path()), 1.3);
}

TEST(CgroupIo, AFileLargerThanTheLimitIsWrittenWithinIt) {
  const CgroupLayout here = CgroupLayout::probe();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  if (!here.offers("memory")) GTEST_SKIP() << "needs:cgroup.memory";
  Policy policy = open_policy();
  policy.resources.memory_limit = 16 * kMib;
  auto group = group_for(here, policy);
  ASSERT_TRUE(group) << group.error().describe();
  const std::string path = fmt::format("/var/tmp/ringfence-test-{}", getpid());
  const Ran ran = run(*compile(policy),
                      "dd if=/dev/zero of=" + path + " bs=65536 count=1024; rm " + path, &*group);
  EXPECT_EQ(ran.end, "exit 0") << ran.out;
  EXPECT_THAT(ran.out, ::testing::HasSubstr("1024+0 records out"));
  auto memory = memory_state(*group);
  ASSERT_TRUE(memory) << memory.error().describe();
  EXPECT_EQ(memory->oom_kill.value_or(0), 0U);
  ASSERT_TRUE(memory->peak);
  EXPECT_LE(*memory->peak, uint64_t{24 * kMib});
  EXPECT_GT(*memory->peak, uint64_t{4 * kMib});
}

}  // namespace
}  // namespace ringfence

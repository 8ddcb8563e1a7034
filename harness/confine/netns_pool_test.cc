// Pools: what is prepared is a namespace of its own, each given out once, and the caller stays
// where it is.
#include "harness/confine/netns_pool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <set>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netns.h"

namespace ringfence {
namespace {

ino_t inode(const UniqueFd& fd) {
  struct stat st {};
  EXPECT_EQ(fstat(fd.get(), &st), 0);
  return st.st_ino;
}

class NetnsPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = make_netns();
    if (!made && made.error().err == EPERM) GTEST_SKIP() << "needs:root";
    ASSERT_TRUE(made) << made.error().describe();
  }
};

TEST_F(NetnsPoolTest, GivesEachOutOnce) {
  const ino_t home = inode(*own_netns());
  NetnsPool pool;
  ASSERT_TRUE(pool.fill(3));
  EXPECT_EQ(pool.ready(), 3U);
  ASSERT_TRUE(pool.fill(2)) << "enough are ready";
  EXPECT_EQ(pool.ready(), 3U);
  EXPECT_EQ(inode(*own_netns()), home);
  std::set<ino_t> inodes = {home};
  std::vector<UniqueFd> held;
  for (int i = 0; i < 4; ++i) {  // the fourth is made on demand
    auto one = pool.take();
    ASSERT_TRUE(one) << one.error().describe();
    EXPECT_TRUE(inodes.insert(inode(*one)).second);
    held.push_back(std::move(*one));
  }
  EXPECT_EQ(pool.ready(), 0U);
  EXPECT_EQ(inode(*own_netns()), home);
}

TEST_F(NetnsPoolTest, PreparedMeansLoopbackIsUp) {
  NetnsPool pool;
  ASSERT_TRUE(pool.fill(1));
  const auto one = pool.take();
  ASSERT_TRUE(one);
  auto inside = InNetns::enter(one->get());
  ASSERT_TRUE(inside);
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  const auto links = netlink->links();
  ASSERT_TRUE(links);
  ASSERT_EQ(links->size(), 1U);
  EXPECT_TRUE(links->front().up());
}

TEST_F(NetnsPoolTest, AFailureIsAnErrorAndKeepsWhatWasMade) {
  const ino_t home = inode(*own_netns());
  NetnsPool pool;
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_unshare, .index = sys::kEvery, .err = ENOSPC}));
  const auto none = pool.fill(1);
  const auto taken = pool.take();
  sys::disarm_faults();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().err, ENOSPC);
  ASSERT_FALSE(taken);
  EXPECT_EQ(pool.ready(), 0U);
  // The second and the third call of unshare fail: one is made, the rest is asked for again.
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_unshare, .index = 1, .err = ENOSPC}));
  EXPECT_TRUE(pool.fill(3));
  EXPECT_TRUE(sys::fault_fired());
  sys::disarm_faults();
  EXPECT_EQ(pool.ready(), 3U);
  EXPECT_EQ(inode(*own_netns()), home);
}

TEST_F(NetnsPoolTest, LeavesNoDescriptorBehind) {
  const auto open_now = [] { return list_directory("/proc/self/fd").value().size(); };
  const size_t before = open_now();
  {
    NetnsPool pool;
    ASSERT_TRUE(pool.fill(4));
    EXPECT_EQ(open_now(), before + 4);
  }
  EXPECT_EQ(open_now(), before);
}

}  // namespace
}  // namespace ringfence

#include "harness/confine/paths.h"

#include <gtest/gtest.h>

#include "harness/confine/host_mounts.h"

namespace ringfence {
namespace {

TEST(Paths, NeverLeadAboveTheRoot) {
  EXPECT_EQ(path_in_root("/"), ".");
  EXPECT_EQ(path_in_root(""), ".");
  EXPECT_EQ(path_in_root("/a/./b/../c/"), "a/c");
  EXPECT_EQ(path_in_root("/../../etc"), "etc");
  EXPECT_EQ(path_in_root("a/../../b"), "b");
}

TEST(HostMounts, ReadsThisHost) {
  auto mounts = read_mountinfo();
  ASSERT_TRUE(mounts) << mounts.error().describe();
  bool proc = false;
  for (const MountInfo& m : *mounts) proc = proc || (m.point == "/proc" && m.type == "proc");
  EXPECT_TRUE(proc);
}

}  // namespace
}  // namespace ringfence

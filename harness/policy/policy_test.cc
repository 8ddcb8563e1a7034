#include "harness/policy/policy.h"

#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cstdlib>

namespace ringfence {
namespace {

TEST(Layer, ParsesItsOwnSpellings) {
  for (const Layer& layer : Layer::all()) EXPECT_EQ(Layer::parse(layer.name()), layer);
  EXPECT_EQ(Layer::all().size(), 36U + 41U + 16U);
  EXPECT_FALSE(Layer::parse("ns.pids"));
  EXPECT_FALSE(Layer::parse(""));
  EXPECT_EQ(Layer::cap("CAP_SYS_ADMIN").name(), "cap.SYS_ADMIN");
  EXPECT_EQ(Layer::rlimit("NOFILE").name(), "rlimit.NOFILE");
}

TEST(Capabilities, NamesAgreeWithLibcap) {
  for (int c = 0; c <= kCapLast; ++c) {
    char* name = cap_to_name(c);
    ASSERT_NE(name, nullptr);
    std::string upper = name;
    for (char& letter : upper) letter = static_cast<char>(std::toupper(letter));
    EXPECT_EQ(cap_name(c), upper);
    EXPECT_EQ(cap_by_name(upper), c);
    EXPECT_EQ(cap_by_name(upper.substr(4)), c);
    cap_free(name);
  }
  EXPECT_FALSE(cap_by_name("CAP_EVERYTHING"));
}

TEST(Mount, OptionsFallIntoTheirKinds) {
  Mount mount;
  mount.options = {"nosuid", "rbind", "ro", "rw", "mode=755", "rslave", "size=64k"};
  parse_mount_options(mount);
  EXPECT_EQ(mount.flags, static_cast<uint64_t>(MS_BIND | MS_REC));
  EXPECT_EQ(mount.flag_set, static_cast<uint64_t>(MS_NOSUID));
  EXPECT_EQ(mount.propagation, static_cast<uint64_t>(MS_SLAVE | MS_REC));
  EXPECT_EQ(mount.data, "mode=755,size=64k");
}

TEST(Rlimit, NamesAgreeWithTheHeader) {
  EXPECT_EQ(rlimit_by_name("RLIMIT_NOFILE"), RLIMIT_NOFILE);
  EXPECT_EQ(rlimit_by_name("MEMLOCK"), RLIMIT_MEMLOCK);
  EXPECT_EQ(rlimit_name(RLIMIT_NPROC), "RLIMIT_NPROC");
}

}  // namespace
}  // namespace ringfence

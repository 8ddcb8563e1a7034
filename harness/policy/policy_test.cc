#include "harness/policy/policy.h"

#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cstdlib>

#include "harness/policy/overlay_options.h"

namespace ringfence {
namespace {

TEST(Layer, ParsesItsOwnSpellings) {
  for (const Layer& layer : Layer::all()) EXPECT_EQ(Layer::parse(layer.name()), layer);
  EXPECT_EQ(Layer::all().size(), 41U + 41U + 16U);
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

TEST(Mount, OptionsOfAWholeTree) {
  Mount mount;
  mount.options = {"rbind", "rro", "rnosuid", "nodev", "rexec", "ridmap"};
  parse_mount_options(mount);
  EXPECT_EQ(mount.flag_set, uint64_t{MS_RDONLY | MS_NOSUID | MS_NODEV});
  EXPECT_EQ(mount.recursive_set, uint64_t{MS_RDONLY | MS_NOSUID});
  EXPECT_EQ(mount.recursive_clear, uint64_t{MS_NOEXEC});
  EXPECT_EQ(mount.id_mapped, Mount::IdMapped::tree);
  EXPECT_EQ(mount.data, "");
}

TEST(Mount, OverlayOptionsAndTheirEscapes) {
  Mount mount;
  mount.type = "overlay";
  mount.options = {"ro",
                   R"(lowerdir=/a:/b\:c:/d\\e)",
                   "lowerdir+=/f,g",
                   "upperdir=/u",
                   "workdir=/w",
                   "userxattr",
                   "index=off"};
  parse_mount_options(mount);
  const OverlayOptions options = read_overlay_options(mount);
  EXPECT_EQ(options.lower, (std::vector<std::string>{"/a", "/b:c", R"(/d\e)", "/f,g"}));
  EXPECT_EQ(options.upper, "/u");
  EXPECT_EQ(options.work, "/w");
  EXPECT_TRUE(options.userxattr);
  EXPECT_EQ(options.others, std::vector<std::string>{"index=off"});
  EXPECT_EQ(overlay_data(options),
            R"(lowerdir=/a:/b\:c:/d\\e:/f\,g,upperdir=/u,workdir=/w,userxattr,index=off)");
}

}  // namespace
}  // namespace ringfence

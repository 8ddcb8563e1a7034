#include "harness/policy/without.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "harness/policy/builtin.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::IsEmpty;

TEST(Without, EveryLayerOfHardenedChangesItAndOnlyOnce) {
  const Policy full = hardened();
  for (const Layer& layer : Layer::all()) {
    const std::string name = layer.str();
    const bool has = name.starts_with("ns.") || name.starts_with("cap") ||
                     (name.starts_with("mount.") && name != "mount.idmap") || name == "seccomp" ||
                     name == "no_new_privs" || name == "cgroup.pids" || name == "cgroup.memory" ||
                     name == "dac" || name == "session" || name == "fd" ||
                     name == "rlimit.NOFILE" || name == "rlimit.NPROC" || name == "rlimit.MEMLOCK";
    const Policy less = without(full, layer);
    EXPECT_EQ(less != full, has) << name;
    EXPECT_EQ(without(less, layer), less) << name;
    // What is left is a policy that its own reader takes: nothing dangles.
    const auto again = parse_oci_policy(write_oci_policy(less), less.name);
    ASSERT_TRUE(again) << name << ": " << again.error().describe();
  }
}

TEST(Without, LeavesAPolicyWithoutTheLayerAlone) {
  const Policy none = *profile("none");
  for (const Layer& layer : Layer::all()) EXPECT_EQ(without(none, layer), none) << layer.name();
}

TEST(Without, NamespacesGoAlone) {
  for (const Ns ns : kAllNs) {
    const Policy less = without(hardened(), ns_layer(ns));
    EXPECT_FALSE(less.has(ns));
    EXPECT_EQ(less.namespaces.size(), 7U);
  }
  Policy expected = hardened();
  std::erase_if(expected.namespaces, [](const Namespace& n) { return n.kind == Ns::pid; });
  EXPECT_EQ(without(hardened(), Layer::kPid), expected);
}

TEST(Without, NamespacesTakeWhatHangsOnThem) {
  const Policy user = without(hardened(), Layer::kUser);
  EXPECT_THAT(user.uid_mappings, IsEmpty());
  EXPECT_THAT(user.gid_mappings, IsEmpty());
  EXPECT_THAT(without(hardened(), Layer::kTime).time_offsets, IsEmpty());
  const Policy mnt = without(hardened(), Layer::kMnt);
  EXPECT_FALSE(mnt.root);
  EXPECT_THAT(mnt.mounts, IsEmpty());
  EXPECT_THAT(mnt.masked_paths, IsEmpty());
  EXPECT_THAT(mnt.readonly_paths, IsEmpty());
  EXPECT_TRUE(mnt.seccomp);
  EXPECT_THAT(without(docker_default(), Layer::kNet).sysctl, IsEmpty());
  EXPECT_EQ(without(docker_default(), Layer::kIpc).sysctl, docker_default().sysctl);
  Policy named = hardened();
  named.hostname = "box";
  EXPECT_EQ(without(named, Layer::kUts).hostname, "");
}

TEST(Without, Mounts) {
  const Policy root = without(hardened(), Layer::kRoot);
  EXPECT_FALSE(root.root);
  EXPECT_THAT(root.mounts, IsEmpty());
  EXPECT_TRUE(root.has(Ns::mnt));
  const Policy mask = without(hardened(), Layer::kMask);
  EXPECT_THAT(mask.masked_paths, IsEmpty());
  EXPECT_EQ(mask.readonly_paths, hardened().readonly_paths);

  const Policy ro = without(hardened(), Layer::kReadOnly);
  EXPECT_THAT(ro.readonly_paths, IsEmpty());
  EXPECT_FALSE(ro.root->readonly);
  EXPECT_EQ(ro.root->flag_set, hardened().root->flag_set);
  for (const auto& m : ro.mounts) {
    EXPECT_EQ(m.flag_set & MS_RDONLY, 0U) << m.destination;
    EXPECT_NE(m.flag_set & MS_NOSUID, 0U) << m.destination;
  }

  const Policy flags = without(hardened(), Layer::kMountFlags);
  EXPECT_EQ(flags.root->flag_set, 0U);
  EXPECT_TRUE(flags.root->readonly);
  for (const auto& m : flags.mounts) {
    EXPECT_EQ(m.flag_set & ~uint64_t{MS_RDONLY}, 0U) << m.destination;
  }
  EXPECT_EQ(flags.mounts.at(1).data, "mode=755,size=64k");  // the file system's own words stay
  EXPECT_EQ(flags.mounts.at(5).flag_set, static_cast<uint64_t>(MS_RDONLY));

  const Policy propagation = without(hardened(), Layer::kPropagation);
  EXPECT_EQ(propagation.rootfs_propagation, static_cast<uint64_t>(MS_SHARED | MS_REC));
}

TEST(Without, CapabilitiesAreGivenBackSoThatTheyCount) {
  // A user other than root has them after exec only as ambient ones.
  const Policy nobody = without(hardened(), Layer::cap("SYS_ADMIN"));
  const CapSet one = CapSet::of({"SYS_ADMIN"});
  EXPECT_EQ(nobody.capabilities.bounding, one);
  EXPECT_EQ(nobody.capabilities.effective, one);
  EXPECT_EQ(nobody.capabilities.permitted, one);
  EXPECT_EQ(nobody.capabilities.inheritable, one);
  EXPECT_EQ(nobody.capabilities.ambient, one);
  const Policy root = without(docker_default(), Layer::cap("SYS_ADMIN"));
  EXPECT_TRUE(root.capabilities.bounding->has("SYS_ADMIN"));
  EXPECT_TRUE(root.capabilities.permitted->has("SYS_ADMIN"));
  EXPECT_EQ(root.capabilities.inheritable, CapSet{});
  EXPECT_EQ(root.capabilities.ambient, CapSet{});
  // Sets that the policy does not write stay unwritten.
  Policy bounding;
  bounding.capabilities.bounding = CapSet{};
  const Policy less = without(bounding, Layer::cap("SYS_ADMIN"));
  EXPECT_TRUE(less.capabilities.bounding->has("SYS_ADMIN"));
  EXPECT_FALSE(less.capabilities.effective);
  EXPECT_FALSE(less.capabilities.ambient);
  EXPECT_EQ(without(hardened(), Layer::kCap).capabilities, Capabilities{});
}

TEST(Without, TheRest) {
  EXPECT_FALSE(without(hardened(), Layer::kSeccomp).seccomp);
  EXPECT_FALSE(without(hardened(), Layer::kNoNewPrivs).no_new_privileges);
  EXPECT_FALSE(without(hardened(), Layer::kCgroupPids).resources.pids_limit);
  EXPECT_TRUE(without(hardened(), Layer::kCgroupPids).resources.memory_limit);
  EXPECT_FALSE(without(hardened(), Layer::kCgroupMemory).resources.memory_limit);
  EXPECT_FALSE(without(hardened(), Layer::kSession).new_session);
  EXPECT_FALSE(without(hardened(), Layer::kFd).close_descriptors);
  const Policy rlimit = without(hardened(), Layer::rlimit("NOFILE"));
  EXPECT_EQ(rlimit.rlimits.size(), 2U);
  const Policy dac = without(hardened(), Layer::kDac);
  EXPECT_EQ(dac.user, User{});
  EXPECT_TRUE(dac.set_user);  // root of its own user namespace
  EXPECT_FALSE(without(docker_default(), Layer::kDac).set_user);
}

}  // namespace
}  // namespace ringfence

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "harness/base/file.h"
#include "harness/policy/builtin.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// podman-default needs a file of the host.
bool absent(const std::string& name) {
  return name == "podman-default" && access(kContainersSeccomp, R_OK) != 0;
}

class Profiles : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, Profiles,
                         ::testing::Values("hardened", "docker-default", "podman-default",
                                           "rootless", "privileged", "none"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(Profiles, SurviveBeingWritten) {
  if (absent(GetParam())) GTEST_SKIP() << "needs " << kContainersSeccomp;
  const auto policy = profile(GetParam());
  ASSERT_TRUE(policy) << policy.error().describe();
  EXPECT_EQ(policy->name, GetParam());
  const std::string json = write_oci_policy(*policy);
  EXPECT_TRUE(json.ends_with("}\n"));
  const auto again = parse_oci_policy(json, policy->name);
  ASSERT_TRUE(again) << again.error().describe();
  EXPECT_EQ(again->policy, *policy);
  EXPECT_THAT(again->warnings, IsEmpty());
  EXPECT_EQ(write_oci_policy(again->policy), json);
}

// The real runc runs each of them, in a mount namespace of the test's own.
TEST_P(Profiles, RuncAcceptsThem) {
  if (absent(GetParam())) GTEST_SKIP() << "needs " << kContainersSeccomp;
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  if (std::system("command -v runc >/dev/null && command -v unshare >/dev/null") != 0) {
    GTEST_SKIP() << "needs runc and unshare";
  }
  const std::string pattern = ::testing::TempDir() + "ringfence-policy-XXXXXX";
  std::vector<char> buffer(pattern.c_str(), pattern.c_str() + pattern.size() + 1);
  ASSERT_NE(mkdtemp(buffer.data()), nullptr);
  const std::string bundle = buffer.data();
  std::filesystem::permissions(bundle, std::filesystem::perms(0755));
  for (const auto* directory : {"proc", "dev", "sys", "tmp"}) {
    std::filesystem::create_directories(bundle + "/rootfs/" + directory);
  }
  std::filesystem::copy_file(RINGFENCE_STATIC_TRUE, bundle + "/rootfs/true");
  Policy policy = *profile(GetParam());
  policy.args = {policy.root ? "/true" : bundle + "/rootfs/true"};
  std::ofstream(bundle + "/config.json") << write_oci_policy(policy);
  const std::string id = "ringfence-policy-" + std::to_string(getpid());
  const std::string command = "unshare -m --propagation private runc --root " + bundle +
                              "/state run --bundle " + bundle + " " + id + " >" + bundle +
                              "/log 2>&1 </dev/null";
  const int status = std::system(command.c_str());
  const auto log = read_file(bundle + "/log");
  EXPECT_EQ(status, 0) << (log ? *log : "");
  std::filesystem::remove_all(bundle);
}

TEST(Profile, UnknownNamesAreSuggested) {
  const auto unknown = profile("hardend");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, Error::Kind::usage);
  EXPECT_THAT(unknown.error().describe(), HasSubstr("did you mean hardened?"));
  const auto loaded = load_policy("docker-defualt");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, Error::Kind::usage);
  EXPECT_THAT(loaded.error().describe(), HasSubstr("did you mean docker-default?"));
  EXPECT_TRUE(load_policy("none"));
  EXPECT_TRUE(load_policy(RINGFENCE_SOURCE_DIR "/suites/data/policies/runc-spec.json"));
}

TEST(Profile, PodmanWithoutItsFileIsUnsupported) {
  const auto policy = podman_default("/nonexistent/seccomp.json");
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().kind, Error::Kind::unsupported);
  EXPECT_EQ(policy.error().object, "/nonexistent/seccomp.json");
  EXPECT_EQ(policy.error().err, ENOENT);
}

// The file that a real podman wrote, against the profile.
TEST(Profile, PodmanDefaultIsPodmans) {
  if (absent("podman-default")) GTEST_SKIP() << "needs " << kContainersSeccomp;
  const auto real = read_oci_policy(RINGFENCE_SOURCE_DIR "/suites/data/policies/podman.json");
  ASSERT_TRUE(real);
  const Policy ours = *profile("podman-default");
  EXPECT_EQ(ours.capabilities, real->policy.capabilities);
  EXPECT_EQ(ours.masked_paths, real->policy.masked_paths);
  EXPECT_EQ(ours.readonly_paths, real->policy.readonly_paths);
  EXPECT_EQ(ours.sysctl, real->policy.sysctl);
  EXPECT_EQ(ours.resources, real->policy.resources);
  EXPECT_EQ(ours.user, real->policy.user);
  for (const auto& mount : ours.mounts) {
    for (const auto& theirs : real->policy.mounts) {
      if (theirs.destination != mount.destination) continue;
      EXPECT_EQ(mount.flag_set, theirs.flag_set) << mount.destination;
    }
  }
  // podman resolves its profile with its own rules for each capability, into the same filter.
  EXPECT_EQ(ours.seccomp->default_action, real->policy.seccomp->default_action);
  EXPECT_EQ(ours.seccomp->default_errno, real->policy.seccomp->default_errno);
  EXPECT_EQ(ours.seccomp->rules, real->policy.seccomp->rules);
}

TEST(Profile, RootlessMapsTheCaller) {
  const Policy policy = *profile("rootless");
  EXPECT_EQ(policy.uid_mappings, (std::vector<IdMap>{{0, geteuid(), 1}}));
  EXPECT_EQ(policy.gid_mappings, (std::vector<IdMap>{{0, getegid(), 1}}));
}

TEST(Profile, NoneConfinesNothing) {
  const Policy none = *profile("none");
  Policy plain;
  plain.name = none.name;
  plain.args = none.args;
  plain.env = none.env;
  plain.new_session = plain.close_descriptors = plain.set_user = false;
  EXPECT_EQ(none, plain);
}

}  // namespace
}  // namespace ringfence

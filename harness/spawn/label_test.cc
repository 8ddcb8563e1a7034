// Labels of security modules, seen from outside of the target: where the kernel has the module, and
// may be given a profile (RINGFENCE_TEST_DISPOSABLE: a kernel that nobody needs afterwards).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <cstdlib>

#include "harness/base/facts.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Label : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("RINGFENCE_TEST_DISPOSABLE") == nullptr) {
      GTEST_SKIP() << "needs:a kernel of its own";
    }
    if (access("/sys/kernel/security/lsm", R_OK) != 0) {
      ASSERT_EQ(mount("securityfs", "/sys/kernel/security", "securityfs", 0, nullptr), 0);
    }
  }
  // The label of a target under the policy, as the module names it to others.
  static std::string label_under(const Policy& policy) {
    auto plan = compile(policy);
    if (!plan) return plan.error().describe();
    const Waiting target = wait_under(*plan);
    if (!target.child) return target.error;
    const auto text = read_file(target.proc("attr/current"));
    if (!text) return text.error().describe();
    // SELinux counts the NUL byte in.
    return std::string(trim(text->substr(0, text->find('\0'))));
  }
};

// AppArmor's binary policy, as apparmor_parser(8) writes it: security/apparmor/policy_unpack.c.
class Packed {
 public:
  Packed& name(const std::string& text) { return code(4).counted(text); }
  Packed& string(const std::string& text) { return code(5).counted(text); }
  Packed& u32(uint32_t value) { return code(2).little(value, 4); }
  Packed& open() { return code(7); }
  Packed& close() { return code(8); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  Packed& code(uint8_t value) { return little(value, 1); }
  Packed& little(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
    return *this;
  }
  Packed& counted(const std::string& text) {
    little(text.size() + 1, 2);
    bytes_ += text + '\0';
    return *this;
  }
  std::string bytes_;
};

// A profile without a single rule: it allows no capability, or only tells what it would not. (Files
// are not its matter: it says nothing of them.)
std::string profile_of(const std::string& name, bool complain) {
  constexpr uint32_t kVersion = 5;
  Packed packed;
  packed.name("version").u32(kVersion);
  packed.name("profile").open().string(name);
  packed.name("flags").open().u32(0).u32(complain ? 1 : 0).u32(0).close();
  packed.u32(0).u32(0).u32(0).u32(0);  // capabilities: allowed, audited, quiet, of a namespace
  packed.close();
  return packed.bytes();
}

TEST_F(Label, AppArmorProfile) {
  if (!Facts::probe().satisfied("lsm:apparmor")) GTEST_SKIP() << "host-lacks:lsm:apparmor";
  for (const bool complain : {true, false}) {
    const std::string name = complain ? "ringfence-complain" : "ringfence-nothing";
    const auto loaded =
        write_file("/sys/kernel/security/apparmor/.replace", profile_of(name, complain));
    ASSERT_TRUE(loaded) << loaded.error().describe();
  }
  Policy policy = open_policy();
  // The control: nobody has a profile that nobody gave it.
  EXPECT_EQ(label_under(policy), "unconfined");
  const std::string gated = "chroot / /bin/sh -c 'echo alive'";  // by a capability
  EXPECT_EQ(run(policy, gated).out, "alive\n");
  policy.apparmor_profile = "ringfence-complain";
  EXPECT_EQ(label_under(policy), "ringfence-complain (complain)");
  // It binds the program and not the spawner's steps before it.
  Policy strict = strict_policy();
  strict.apparmor_profile = "ringfence-complain";
  EXPECT_EQ(label_under(strict), "ringfence-complain (complain)");
  policy.apparmor_profile = "ringfence-nothing";
  EXPECT_EQ(label_under(policy), "ringfence-nothing (enforce)");
  const Ran ran = run(policy, gated);
  EXPECT_THAT(ran.out, HasSubstr("not permitted"));
  EXPECT_NE(ran.end, "exit 0");
  policy.apparmor_profile = "ringfence-unknown";
  EXPECT_THAT(run(policy, "echo alive").error, StartsWith("step lsm.apparmor: write"));
}

// Without a policy of its own loaded SELinux knows the labels that the kernel begins with, by name.
// Newer kernels take no label at an exec before there is a policy.
TEST_F(Label, SelinuxLabel) {
  if (!Facts::probe().satisfied("lsm:selinux")) GTEST_SKIP() << "host-lacks:lsm:selinux";
  Policy policy = open_policy();
  EXPECT_EQ(label_under(policy), "kernel");
  policy.selinux_label = "unlabeled";
  const std::string label = label_under(policy);
  if (label == "kernel") GTEST_SKIP() << "needs:an SELinux policy";
  EXPECT_EQ(label, "unlabeled");
  Policy strict = strict_policy();
  strict.selinux_label = "unlabeled";
  EXPECT_EQ(label_under(strict), "unlabeled");
}

// Where SELinux has no policy yet it takes no context of a mount, and says so: that it was asked is
// what shows here.
TEST_F(Label, MountLabel) {
  if (!Facts::probe().satisfied("lsm:selinux")) GTEST_SKIP() << "host-lacks:lsm:selinux";
  Policy policy = strict_policy();
  EXPECT_EQ(wait_under(*compile(policy)).error, "");
  policy.mount_label = "system_u:object_r:x_t:s0:c1,c2";
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  EXPECT_THAT(print_plan(*plan, true), HasSubstr(R"("context", "system_u:object_r:x_t:s0:c1,c2")"));
  const std::string error = wait_under(*plan).error;
  if (error.empty()) GTEST_SKIP() << "needs:a kernel that answers before it has an SELinux policy";
  EXPECT_THAT(error, StartsWith("step mount:/dev"));
  EXPECT_THAT(error, HasSubstr("EINVAL"));
}

TEST(MountLabel, IsLeftOutWhereThereIsNoSelinux) {
  if (Facts::probe().satisfied("lsm:selinux")) GTEST_SKIP() << "this kernel has SELinux";
  Policy policy = strict_policy();
  policy.mount_label = "system_u:object_r:x_t:s0";
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  EXPECT_THAT(print_plan(*plan, true), Not(HasSubstr("context")));
  EXPECT_EQ(wait_under(*plan).error, "");
}

}  // namespace
}  // namespace ringfence

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/policy/builtin.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

const HostProfile kHost{"SCMP_ARCH_X86_64", 6, 1};

Seccomp parse(const std::string& syscalls, const CapSet& caps = {}, const HostProfile& host = kHost,
              const std::string& more = "") {
  auto read = parse_seccomp_profile(
      R"({"defaultAction": "SCMP_ACT_ERRNO")" + more + R"(, "syscalls": [)" + syscalls + "]}",
      "p.json", caps, host);
  EXPECT_TRUE(read) << (read ? "" : read.error().describe());
  return read ? read->seccomp : Seccomp{};
}

bool kept(const std::string& conditions, const CapSet& caps, const HostProfile& host = kHost) {
  return !parse(R"({"names": ["read"], "action": "SCMP_ACT_ALLOW", )" + conditions + "}", caps,
                host)
              .rules.empty();
}

TEST(SeccompProfile, ConditionsAreDockers) {
  const CapSet admin = CapSet::of({"SYS_ADMIN"});
  const CapSet both = CapSet::of({"SYS_ADMIN", "SYS_PTRACE"});
  const std::string two = R"({"caps": ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]})";
  EXPECT_TRUE(kept(R"("includes": {})", {}));
  EXPECT_FALSE(kept(R"("includes": )" + two, admin));  // all of them
  EXPECT_TRUE(kept(R"("includes": )" + two, both));
  EXPECT_TRUE(kept(R"("excludes": )" + two, {}));
  EXPECT_FALSE(kept(R"("excludes": )" + two, admin));  // any of them
  EXPECT_TRUE(kept(R"("includes": {"arches": ["amd64", "x32"]})", {}));
  EXPECT_FALSE(kept(R"("includes": {"arches": ["arm64"]})", {}));
  EXPECT_FALSE(kept(R"("excludes": {"arches": ["amd64"]})", {}));
  EXPECT_TRUE(kept(R"("includes": {"minKernel": "4.8"})", {}));
  EXPECT_TRUE(kept(R"("includes": {"minKernel": "6.1"})", {}));
  EXPECT_FALSE(kept(R"("includes": {"minKernel": "6.2"})", {}));
  EXPECT_FALSE(kept(R"("includes": {"minKernel": "4.8"})", {}, {"SCMP_ARCH_X86_64", 3, 19}));
  EXPECT_FALSE(kept(R"("excludes": {"minKernel": "4.8"})", {}));
  EXPECT_TRUE(kept(R"("excludes": null, "includes": {"minKernel": ""})", {}));
}

TEST(SeccompProfile, ArchMapIsResolved) {
  const std::string map = R"(, "archMap": [
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}])";
  EXPECT_THAT(parse("", {}, kHost, map).architectures,
              ElementsAre("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"));
  EXPECT_THAT(parse("", {}, {"SCMP_ARCH_AARCH64", 6, 1}, map).architectures,
              ElementsAre("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"));
  EXPECT_THAT(parse("", {}, kHost, R"(, "architectures": ["SCMP_ARCH_NATIVE"])").architectures,
              ElementsAre("SCMP_ARCH_X86_64"));
}

TEST(SeccompProfile, OldNamesAndErrnoWords) {
  const Seccomp s = parse(R"({"name": "read", "action": "SCMP_ACT_KILL", "args": null,
                              "comment": "c"},
                             {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                              "errno": "ENOSYS"})",
                          {}, kHost, R"(, "defaultErrno": "EACCES", "defaultErrnoRet": 1)");
  EXPECT_EQ(s.default_errno, static_cast<uint32_t>(EACCES));
  ASSERT_EQ(s.rules.size(), 2U);
  EXPECT_THAT(s.rules[0].names, ElementsAre("read"));
  EXPECT_EQ(s.rules[0].action, SeccompAction::kill_thread);
  EXPECT_EQ(s.rules[1].errno_ret, static_cast<uint32_t>(ENOSYS));
}

bool allows(const Seccomp& s, const std::string& name) {
  return std::any_of(s.rules.begin(), s.rules.end(), [&](const SeccompRule& r) {
    return r.action == SeccompAction::allow &&
           std::find(r.names.begin(), r.names.end(), name) != r.names.end();
  });
}

TEST(DockerSeccomp, FollowsTheCapabilities) {
  const Seccomp plain = docker_seccomp({});
  for (const auto* name : {"mount", "unshare", "setns", "bpf", "clone3", "chroot", "io_uring_setup",
                           "userfaultfd", "keyctl", "kexec_load", "open_by_handle_at"}) {
    EXPECT_FALSE(allows(plain, name)) << name;
  }
  for (const auto* name : {"read", "ptrace", "socket", "personality", "clone", "execveat"}) {
    EXPECT_TRUE(allows(plain, name)) << name;
  }
  const Seccomp admin = docker_seccomp(CapSet::of({"SYS_ADMIN"}));
  for (const auto* name : {"mount", "unshare", "setns", "bpf", "clone3"}) {
    EXPECT_TRUE(allows(admin, name)) << name;
  }
  EXPECT_FALSE(allows(admin, "io_uring_setup"));
  EXPECT_TRUE(allows(docker_seccomp(CapSet::of({"SYS_CHROOT"})), "chroot"));
}

TEST(DockerSeccomp, SocketFamilies) {
  const auto permitted = [](const Seccomp& s, uint64_t family) {
    return std::any_of(s.rules.begin(), s.rules.end(), [&](const SeccompRule& r) {
      if (r.names.front() != "socket") return false;
      const SeccompArg& arg = r.args.at(0);
      switch (arg.op) {
        case SeccompOp::lt:
          return family < arg.value;
        case SeccompOp::eq:
          return family == arg.value;
        case SeccompOp::masked_eq:
          return (family & arg.value) == arg.value_two;
        default:
          return false;
      }
    });
  };
  const Seccomp docker = docker_seccomp({});
  for (const uint64_t family : {1, 2, 10, 16, 17, 44}) EXPECT_TRUE(permitted(docker, family));
  for (const uint64_t family : {12, 38, 40, 46}) EXPECT_FALSE(permitted(docker, family)) << family;
  const Seccomp hard = hardened_seccomp();
  for (const uint64_t family : {1, 2, 10}) EXPECT_TRUE(permitted(hard, family));
  for (const uint64_t family : {16, 17, 38, 40}) EXPECT_FALSE(permitted(hard, family)) << family;
}

TEST(HardenedSeccomp, IsStricterThanDockers) {
  const Seccomp hard = hardened_seccomp();
  const Seccomp docker = docker_seccomp({});
  for (const auto& rule : hard.rules) {
    for (const auto& name : rule.names) {
      EXPECT_GE(syscall_number(name), 0) << name;
      if (rule.action == SeccompAction::allow) {
        EXPECT_TRUE(allows(docker, name)) << name;
      }
    }
  }
  for (const auto* name :
       {"ptrace",      "process_vm_readv",  "keyctl",          "add_key",  "io_uring_setup",
        "userfaultfd", "unshare",           "setns",           "mount",    "fsopen",
        "move_mount",  "pivot_root",        "chroot",          "bpf",      "memfd_create",
        "capset",      "name_to_handle_at", "perf_event_open", "vmsplice", "seccomp"}) {
    EXPECT_FALSE(allows(hard, name)) << name;
  }
  for (const auto* name : {"execveat", "prctl", "capget", "mmap", "sendto", "wait4"}) {
    EXPECT_TRUE(allows(hard, name)) << name;
  }
}

}  // namespace
}  // namespace ringfence

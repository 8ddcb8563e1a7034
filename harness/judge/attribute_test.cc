// Attribution from what the inmate says of its calls and the harness saw around it: the way without
// an eBPF witness.
#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "harness/judge/test_scene.h"

namespace ringfence {
namespace {

using Stage = TrialOutcome::Stage;

constexpr uint64_t bit(int n) { return uint64_t{1} << n; }
constexpr int kSysAdmin = 21, kNetAdmin = 12;

constexpr uint64_t op(uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
  return uint64_t{code} | uint64_t{jt} << 16 | uint64_t{jf} << 24 | uint64_t{k} << 32;
}
// `nr` gets `action`, everything else is allowed.
std::vector<uint64_t> filter(uint32_t nr, uint32_t action) {
  return {op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0), op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr),
          op(BPF_RET | BPF_K, 0, 0, action), op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW)};
}

Scene denied_call(long nr, int err) {
  Scene s = in_order();
  s.c.gated_by = {Layer::cap("SYS_ADMIN"), Layer::cap("NET_ADMIN")};
  s.confined.calls = {{SYS_getpid, 1, {}}, {static_cast<uint32_t>(nr), -err, {}}};
  s.confined.cap_effective = ~uint64_t{0};
  return s;
}

TEST(Attribute, SigsysIsSeccomp) {
  Scene s = denied_call(SYS_mount, EPERM);
  s.confined.signaled = true;
  s.confined.exit_code = SIGSYS;
  const auto program = filter(SYS_mount, SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(attribute(s.c, s.confined, program), Layer::kSeccomp);
  // Without a filter of the policy's the signal is somebody else's.
  EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed);
  s.confined.exit_code = SIGKILL;
  EXPECT_EQ(attribute(s.c, s.confined, program), Layer::kUnattributed);
}

TEST(Attribute, ErrnoOfTheFilterIsSeccomp) {
  Scene s = denied_call(SYS_mount, EPERM);
  s.confined.in_force = {Layer::kSeccomp};
  const auto program = filter(SYS_mount, SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(attribute(s.c, s.confined, program), Layer::kSeccomp);
  // Another errno, another syscall, another action: the filter did not answer this.
  for (const auto& other :
       {filter(SYS_mount, SECCOMP_RET_ERRNO | EACCES),
        filter(SYS_umount2, SECCOMP_RET_ERRNO | EPERM), filter(SYS_mount, SECCOMP_RET_ALLOW),
        filter(SYS_mount, SECCOMP_RET_TRAP | EPERM)}) {
    EXPECT_EQ(attribute(s.c, s.confined, other), Layer::kUnattributed);
  }
}

// In policy mode a filter that refuses the attempt's calls explains a denial that nothing else
// shows: asked with the table that each call is of, since numbers mean other calls in the other.
TEST(Judge, AFilterIsAskedInTheTableOfTheCall) {
  const std::vector<uint64_t> no_i386 = {op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 4),
                                         op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, AUDIT_ARCH_I386),
                                         op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM),
                                         op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW)};
  constexpr long kI386Sethostname = 74;
  Scene s = read_in_order();
  s.confined.proofs[0].yes = false;
  s.confined.in_force = {Layer::kSeccomp};
  s.c.calls = {{.nr = kI386Sethostname, .compat = true}};
  EXPECT_EQ(s.judge(Mode::policy_mode, no_i386).verdict, Verdict::held);
  s.c.calls = {{.nr = kI386Sethostname}};
  EXPECT_EQ(s.judge(Mode::policy_mode, no_i386).verdict, Verdict::unproven);
  // One that is let through is one too many.
  s.c.calls = {{.nr = kI386Sethostname, .compat = true}, {.nr = SYS_sethostname}};
  EXPECT_EQ(s.judge(Mode::policy_mode, no_i386).verdict, Verdict::unproven);
}

TEST(Attribute, FilterComesBeforeCapabilities) {
  Scene s = denied_call(SYS_mount, EPERM);
  s.confined.cap_effective = 0;
  s.confined.in_force = {Layer::kSeccomp};
  EXPECT_EQ(attribute(s.c, s.confined, filter(SYS_mount, SECCOMP_RET_ERRNO | EPERM)),
            Layer::kSeccomp);
}

TEST(Attribute, ReadOnlyFileSystem) {
  EXPECT_EQ(
      attribute(denied_call(SYS_openat, EROFS).c, denied_call(SYS_openat, EROFS).confined, {}),
      Layer::kReadOnly);
}

TEST(Attribute, FirstMissingCapability) {
  for (const int err : {EPERM, EACCES}) {
    Scene s = denied_call(SYS_mount, err);
    s.confined.cap_effective = ~bit(kSysAdmin);
    EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::cap("SYS_ADMIN"));
    s.confined.cap_effective = ~bit(kNetAdmin);
    EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::cap("NET_ADMIN"));
    s.confined.cap_effective = 0;
    EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::cap("SYS_ADMIN")) << "in the kernel's order";
    // Nobody looked: what CapEff was is not known.
    s.confined.stage = Stage::began;
    EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed);
  }
  Scene s = denied_call(SYS_mount, ENOENT);
  s.confined.cap_effective = 0;
  EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed) << "no capability gives ENOENT";
}

TEST(Attribute, LastDenialCounts) {
  Scene s = denied_call(SYS_mount, EPERM);
  s.confined.calls = {{SYS_openat, -EROFS, {}}, {SYS_mount, -EPERM, {}}, {SYS_getpid, 5, {}}};
  s.confined.cap_effective = 0;
  EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::cap("SYS_ADMIN"));
}

TEST(Attribute, AnErrnoThatNoSyscallReturnsIsNone) {
  Scene s = denied_call(SYS_mount, EPERM);
  s.confined.cap_effective = 0;
  for (const int64_t ret : {int64_t{-4096}, INT64_MIN}) {
    s.confined.calls = {{SYS_mount, ret, {}}};
    EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed);
  }
}

TEST(Attribute, ProofsSpeakForTheExpectedLayer) {
  Scene s = read_in_order();
  EXPECT_EQ(attribute(s.c, s.confined, {}), s.c.expected);
  s.confined.proofs[0].yes = false;
  EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed);
  s.confined.proofs.clear();
  EXPECT_EQ(attribute(s.c, s.confined, {}), Layer::kUnattributed);
}

TEST(Attribute, DecidesInPolicyModeOnly) {
  Scene s = denied_call(SYS_mount, EROFS);
  EXPECT_EQ(s.judge(Mode::case_mode).decided_by, "ns.pid");
  EXPECT_EQ(s.judge(Mode::policy_mode).decided_by, "mount.ro");
}

}  // namespace
}  // namespace ringfence

// The pure function, rule by rule and trap by trap. The denials here are made by hand;
// denials_test.cc makes them for real.
#include "harness/witness/attribution.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "harness/base/result.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

CallRecord failed(long nr, int err) {
  CallRecord call;
  call.nr = static_cast<uint32_t>(nr);
  call.ret = -err;
  return call;
}
CallRecord refused(long nr, int64_t ret) {
  CallRecord call;
  call.nr = static_cast<uint32_t>(nr);
  call.ret = ret;
  call.no_enter = true;
  call.seccomp = 2;
  return call;
}
CallRecord lacking(long nr, int cap, int err = EPERM) {
  CallRecord call = failed(nr, err);
  call.caps_failed = 1ULL << cap;
  call.cap_last = cap;
  call.cap_last_denied = true;
  return call;
}
std::string layer_of(const CallRecord& call, const Surroundings& around = {}) {
  return attribute_call(call, around).layer.str();
}
std::string why_of(const CallRecord& call, const Surroundings& around = {}) {
  const auto found = attribute_call(call, around);
  EXPECT_EQ(found.layer, Layer::kUnattributed) << found.why;
  return found.why;
}

// --- Packets and devices -------------------------------------------------------------------------

TEST(Packets, WhatStayedIsTheNamespacesAndWhatLeftIsNot) {
  Surroundings around;
  around.in_force = {Layer::kNet};
  around.target_exists = true;
  for (const int err : {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH}) {
    CallRecord call = failed(SYS_connect, err);
    EXPECT_EQ(layer_of(call, around), "ns.net");
    EXPECT_EQ(attribute_call(call, around).why.find("packet"), std::string::npos);
    Surroundings seen = around;
    seen.net_witnessed = true;
    EXPECT_THAT(attribute_call(call, seen).why, HasSubstr("no packet was sent"));
    call.sent = true;
    EXPECT_EQ(layer_of(call, seen), "ns.net");
    EXPECT_THAT(attribute_call(call, seen).why, HasSubstr("its own stack answered"));
    call.left = true;
    EXPECT_THAT(why_of(call, seen), HasSubstr("a packet left"));
    EXPECT_THAT(why_of(call, around), HasSubstr("a packet left"));
  }
}

TEST(Devices, EpermOfADeviceThatWasAskedFor) {
  for (const long nr : {SYS_openat, SYS_mknod, SYS_mount}) {
    CallRecord call = failed(nr, EPERM);
    EXPECT_THAT(why_of(call), HasSubstr("nothing seen that decides it"));
    call.device_asked = true;
    EXPECT_EQ(layer_of(call), "cgroup.devices");
    // The kernel went on past a check that failed before it.
    call.caps_failed = 1ULL << CAP_DAC_READ_SEARCH;
    call.cap_last = CAP_DAC_READ_SEARCH;
    call.cap_last_denied = true;
    EXPECT_EQ(layer_of(call), "cgroup.devices");
    call.ret = -EACCES;
    EXPECT_NE(layer_of(call), "cgroup.devices");
    call = refused(nr, -EPERM);
    call.device_asked = true;
    EXPECT_EQ(layer_of(call), "seccomp");
  }
}

// --- What is a denial at all ---------------------------------------------------------------------

TEST(Denied, IsAnErrorOrARefusal) {
  EXPECT_TRUE(failed(SYS_kill, EPERM).denied());
  EXPECT_TRUE(failed(SYS_kill, 4095).denied());
  EXPECT_FALSE(failed(SYS_kill, 4096).denied());  // an address
  EXPECT_FALSE(failed(SYS_kill, 0).denied());
  EXPECT_TRUE(refused(SYS_kill, 0).denied());
  EXPECT_THAT(why_of(failed(SYS_kill, 0)), HasSubstr("not denied"));
}

TEST(Denied, IsNotWhatGoesOn) {
  EXPECT_FALSE(failed(SYS_connect, EINPROGRESS).denied());
  EXPECT_TRUE(refused(SYS_connect, -EINPROGRESS).denied());  // a filter may say anything
}

TEST(Denied, IsNotWhatASignalInterrupted) {
  for (const int err : {512, 513, 514, 516}) {
    EXPECT_FALSE(failed(SYS_read, err).denied());
    EXPECT_FALSE(refused(SYS_read, -err).denied());
    EXPECT_THAT(describe_call(failed(SYS_read, err)), HasSubstr("interrupted"));
  }
  EXPECT_TRUE(failed(SYS_read, EINTR).denied());
  EXPECT_TRUE(failed(SYS_read, 511).denied());
  EXPECT_TRUE(failed(SYS_read, 517).denied());
}

// --- The gate
// --------------------------------------------------------------------------------------

TEST(Gate, IsSeccompWithAnyValue) {
  const auto filter = words_of(filter_on(SYS_mkdir, SECCOMP_RET_ERRNO | EPERM));
  Surroundings around;
  for (const int64_t ret : {int64_t{-EPERM}, int64_t{0}, int64_t{SYS_mkdir}, int64_t{-ENOSYS},
                            int64_t{-EROFS}, int64_t{77}}) {
    EXPECT_EQ(layer_of(refused(SYS_mkdir, ret), around), "seccomp") << ret;
    around.filter = filter;
    EXPECT_EQ(layer_of(refused(SYS_mkdir, ret), around), "seccomp") << ret;
  }
}

TEST(Gate, ExcludesWhatElseMayHaveDoneIt) {
  CallRecord call = refused(SYS_mkdir, -EPERM);
  Surroundings around;
  around.enter_misses = 3;
  EXPECT_THAT(why_of(call, around), HasSubstr("left out 3 runs"));
  around.enter_misses = 0;

  call.traced = true;
  EXPECT_THAT(why_of(call, around), HasSubstr("ptracer"));
  call.traced = false;

  call.dispatched = true;
  EXPECT_THAT(why_of(call, around), HasSubstr("user dispatch"));
  call.dispatched = false;

  call.seccomp = 0;
  EXPECT_THAT(why_of(call, around), HasSubstr("no filter was on"));
  call.seccomp = 2;

  around.filter = std::span<const uint64_t>();
  EXPECT_THAT(why_of(call, around), HasSubstr("the policy has none"));
  const auto other = words_of(filter_on(SYS_rmdir, SECCOMP_RET_ERRNO | EPERM));
  around.filter = other;
  EXPECT_THAT(why_of(call, around), HasSubstr("not the policy's"));
  // SECCOMP_RET_LOG lets it pass, too.
  const auto logs = words_of(filter_on(SYS_mkdir, SECCOMP_RET_LOG));
  around.filter = logs;
  EXPECT_THAT(why_of(call, around), HasSubstr("not the policy's"));
  EXPECT_EQ(layer_of(call), "seccomp");
}

TEST(Gate, AsksTheFilterWithTableAndArguments) {
  const auto filter = words_of(filter_on(39, SECCOMP_RET_ERRNO | EPERM, true));
  Surroundings around;
  around.filter = filter;
  CallRecord call = refused(39, -EPERM);
  EXPECT_EQ(layer_of(call, around), "unattributed");
  call.compat = true;
  EXPECT_EQ(layer_of(call, around), "seccomp");

  const auto by_argument =
      words_of(filter_on_argument(SYS_socket, 0, 16, SECCOMP_RET_ERRNO | EPERM));
  around.filter = by_argument;
  call = refused(SYS_socket, -EPERM);
  call.args[0] = 16;
  EXPECT_EQ(layer_of(call, around), "seccomp");
  call.args[0] = 1;
  EXPECT_EQ(layer_of(call, around), "unattributed");
  // Without the arguments the filter cannot be asked.
  call.args_known = false;
  EXPECT_EQ(layer_of(call, around), "seccomp");
}

// --- Capabilities
// ----------------------------------------------------------------------------------

TEST(Capability, IsNamedWhenItsCheckWasTheLastToFail) {
  EXPECT_EQ(layer_of(lacking(SYS_sethostname, CAP_SYS_ADMIN)), "cap.SYS_ADMIN");
  EXPECT_EQ(layer_of(lacking(SYS_bind, CAP_NET_BIND_SERVICE, EACCES)), "cap.NET_BIND_SERVICE");
  CallRecord call = lacking(SYS_bpf, CAP_SYS_ADMIN);
  call.caps_failed |= 1ULL << CAP_BPF;
  const auto found = attribute_call(call, {});
  EXPECT_EQ(found.layer, Layer::cap("SYS_ADMIN"));
  EXPECT_THAT(found.why, HasSubstr("as is CAP_BPF before it"));
}

TEST(Capability, IsNotNamedOtherwise) {
  // A later check was passed: that one failed, and did not matter.
  CallRecord call = lacking(SYS_mount, CAP_SYS_ADMIN);
  call.cap_last = CAP_DAC_OVERRIDE;
  call.cap_last_denied = false;
  EXPECT_THAT(why_of(call), HasSubstr("nothing seen"));
  // Another error than a lack of permission.
  for (const int err : {EINVAL, ENOENT, ENOMEM, ENOSPC}) {
    EXPECT_EQ(layer_of(lacking(SYS_mount, CAP_SYS_ADMIN, err)), "unattributed") << err;
  }
  // Known to fail in calls that succeed.
  call = lacking(SYS_mount, CAP_SYS_ADMIN);
  call.noise = 1ULL << CAP_SYS_ADMIN;
  EXPECT_THAT(why_of(call), HasSubstr("succeeded without it"));
  call.noise = 1ULL << CAP_NET_ADMIN;
  EXPECT_EQ(layer_of(call), "cap.SYS_ADMIN");
  // One that this harness has no name for.
  EXPECT_EQ(layer_of(lacking(SYS_mount, 55)), "unattributed");
  // Changed by a tracer, perhaps.
  call = lacking(SYS_mount, CAP_SYS_ADMIN);
  call.traced = true;
  EXPECT_THAT(why_of(call), HasSubstr("ptracer"));
}

TEST(Capability, HeldAndAskedForElsewhereIsTheUserNamespace) {
  CallRecord call = lacking(SYS_sethostname, CAP_SYS_ADMIN);
  call.cap_elsewhere = true;
  EXPECT_EQ(layer_of(call), "cap.SYS_ADMIN");  // not held at home either
  call.cap_effective = 1ULL << CAP_SYS_ADMIN;
  EXPECT_EQ(layer_of(call), "ns.user");
  call.cap_effective = 1ULL << CAP_SYS_CHROOT;
  EXPECT_EQ(layer_of(call), "cap.SYS_ADMIN");
}

// Held, and the check failed in its own user namespace: it was not asked of this task.
TEST(Capability, HeldAndAskedForAtHomeIsAnothers) {
  CallRecord call = lacking(SYS_access, CAP_DAC_OVERRIDE, EACCES);
  call.cap_effective = 1ULL << CAP_DAC_OVERRIDE;
  EXPECT_THAT(why_of(call), HasSubstr("other credentials"));
}

TEST(Capability, OfNoWeightWhateverItsCallLearned) {
  for (const long nr : {SYS_execve, SYS_execveat, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_brk}) {
    EXPECT_THAT(why_of(lacking(nr, CAP_SYS_ADMIN)), HasSubstr("memory is left"));
    EXPECT_EQ(layer_of(lacking(nr, CAP_DAC_OVERRIDE)), "cap.DAC_OVERRIDE");
  }
  EXPECT_EQ(layer_of(lacking(SYS_clone, CAP_SYS_ADMIN)), "cap.SYS_ADMIN");
  EXPECT_THAT(why_of(lacking(SYS_capset, CAP_SETPCAP)), HasSubstr("inheritable"));
  EXPECT_EQ(layer_of(lacking(SYS_prctl, CAP_SETPCAP)), "cap.SETPCAP");
  EXPECT_THAT(why_of(lacking(SYS_write, CAP_FSETID)), HasSubstr("bits of a file"));
}

TEST(Capability, OfALinkByADescriptor) {
  CallRecord call = lacking(SYS_linkat, CAP_DAC_READ_SEARCH, ENOENT);
  Surroundings around;
  around.in_force = {Layer::kRoot};
  around.target_exists = true;
  EXPECT_EQ(layer_of(call, around), "mount.root");  // of a name, which leads nowhere
  call.args[4] = AT_EMPTY_PATH;
  EXPECT_EQ(layer_of(call, around), "cap.DAC_READ_SEARCH");
  call.cap_last_denied = false;
  EXPECT_EQ(layer_of(call, around), "mount.root");
}

TEST(Capability, OfFilesIsSaidToBePlainPermission) {
  for (const int cap : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER}) {
    const auto found = attribute_call(lacking(SYS_openat, cap, EACCES), {});
    EXPECT_TRUE(found.layer.name().starts_with("cap."));
    EXPECT_THAT(found.why, HasSubstr("to override plain permission"));
  }
  EXPECT_THAT(attribute_call(lacking(SYS_open_by_handle_at, CAP_DAC_READ_SEARCH), {}).why,
              testing::Not(HasSubstr("plain permission")));
}

TEST(Capability, UnseenLeavesTheQuestionOpen) {
  Surroundings around;
  around.caps_witnessed = false;
  EXPECT_THAT(why_of(failed(SYS_open, EACCES), around), HasSubstr("shows no capability checks"));
  EXPECT_THAT(why_of(failed(SYS_mount, EPERM), around), HasSubstr("shows no capability checks"));
  EXPECT_EQ(layer_of(failed(SYS_open, EROFS), around), "mount.ro");
}

// --- The rest
// --------------------------------------------------------------------------------------

TEST(Plain, AccessWithoutACapabilityAskedForIsNotKnown) {
  EXPECT_THAT(why_of(failed(SYS_open, EACCES)), HasSubstr("an LSM"));
  EXPECT_THAT(why_of(failed(SYS_open, EPERM)), HasSubstr("nothing seen that decides it"));
}

TEST(Hidden, NeedsSomethingThatExistsAndANamespaceThatStands) {
  struct Row {
    long nr;
    int err;
    Layer layer;
  };
  const Row rows[] = {{SYS_kill, ESRCH, Layer::kPid},           {SYS_ptrace, ESRCH, Layer::kPid},
                      {SYS_pidfd_open, ESRCH, Layer::kPid},     {SYS_openat, ENOENT, Layer::kRoot},
                      {SYS_unlink, ENOENT, Layer::kMnt},        {SYS_shmget, ENOENT, Layer::kIpc},
                      {SYS_shmat, EINVAL, Layer::kIpc},         {SYS_shmctl, EIDRM, Layer::kIpc},
                      {SYS_connect, ECONNREFUSED, Layer::kNet}, {SYS_ioctl, ENODEV, Layer::kNet},
                      {SYS_connect, ENETUNREACH, Layer::kNet}};
  for (const Row& row : rows) {
    SCOPED_TRACE(call_name(static_cast<uint32_t>(row.nr), false));
    const CallRecord call = failed(row.nr, row.err);
    Surroundings around;
    around.in_force = {row.layer};
    EXPECT_EQ(layer_of(call, around), "unattributed");  // does it exist?
    around.target_exists = true;
    EXPECT_EQ(layer_of(call, around), row.layer.name());
    around.in_force = {Layer::kUts, Layer::kSeccomp};
    EXPECT_EQ(layer_of(call, around), "unattributed");
    // The same number of the other table is another call.
    around.in_force = {row.layer};
    CallRecord compat = call;
    compat.compat = true;
    EXPECT_EQ(layer_of(compat, around), "unattributed");
    CallRecord other = call;
    other.nr = SYS_getpid;
    EXPECT_EQ(layer_of(other, around), "unattributed");
  }
}

TEST(Hidden, APidNamespaceAboveItsOwn) {
  CallRecord call = failed(SYS_setns, EINVAL);
  call.args[1] = CLONE_NEWPID;
  Surroundings around;
  around.in_force = {Layer::kPid};
  EXPECT_EQ(layer_of(call, around), "unattributed");  // does it exist?
  around.target_exists = true;
  EXPECT_EQ(layer_of(call, around), "ns.pid");
  call.args[1] = CLONE_NEWPID | CLONE_NEWUTS;  // or the descriptor is of one kind only
  EXPECT_EQ(layer_of(call, around), "unattributed");
  call.args[1] = CLONE_NEWPID;
  around.in_force = {Layer::kUts};
  EXPECT_EQ(layer_of(call, around), "unattributed");
  around.in_force = {Layer::kPid};
  call.ret = -EPERM;
  EXPECT_NE(layer_of(call, around), "ns.pid");
}

TEST(Mount, ReadOnlyAndLocked) {
  EXPECT_EQ(layer_of(failed(SYS_mkdir, EROFS)), "mount.ro");
  CallRecord call = failed(SYS_mount, EPERM);
  call.cap_last = CAP_SYS_ADMIN;
  constexpr uint64_t kChange = MS_REMOUNT | MS_BIND;
  constexpr uint64_t kKinds = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  call.args[3] = kChange | kKinds;
  EXPECT_EQ(layer_of(call), "mount.ro");
  call.args[3] = kChange | kKinds | MS_NOATIME;  // or it is the times that are locked
  EXPECT_EQ(layer_of(call), "unattributed");
  call.args[3] = kChange | MS_RDONLY;
  EXPECT_EQ(layer_of(call), "mount.flags");
  call.args[3] = kChange;
  EXPECT_THAT(why_of(call), HasSubstr("locked"));
  call.args[3] = MS_REMOUNT | MS_RDONLY;  // of the file system
  EXPECT_EQ(layer_of(call), "unattributed");
  call.args[3] = kChange | MS_RDONLY;
  call.cap_last = -1;  // refused before the check: an LSM
  EXPECT_EQ(layer_of(call), "unattributed");
}

TEST(Limit, NeedsItsOwnSign) {
  Surroundings around;
  const CallRecord fork = failed(SYS_fork, EAGAIN);
  EXPECT_EQ(layer_of(fork), "unattributed");
  around.pids_event = true;
  EXPECT_EQ(layer_of(fork, around), "cgroup.pids");
  EXPECT_EQ(layer_of(failed(SYS_read, EAGAIN), around), "unattributed");
  CallRecord user = fork;
  user.caps_failed = 1ULL << CAP_SYS_RESOURCE | 1ULL << CAP_SYS_ADMIN;
  EXPECT_EQ(layer_of(user, around), "rlimit.NPROC");

  EXPECT_EQ(layer_of(failed(SYS_mmap, ENOMEM)), "unattributed");
  around.memory_event = true;
  EXPECT_EQ(layer_of(failed(SYS_clone, ENOMEM), around), "cgroup.memory");
  // An OOM kill before, and then RLIMIT_AS or RLIMIT_DATA: which of them is not seen.
  for (const long nr : {SYS_mmap, SYS_mremap, SYS_brk}) {
    EXPECT_THAT(why_of(failed(nr, ENOMEM), around), HasSubstr("address space"));
  }
  EXPECT_EQ(layer_of(lacking(SYS_mlock, CAP_IPC_LOCK, ENOMEM), around), "rlimit.MEMLOCK");
  EXPECT_EQ(layer_of(lacking(SYS_mmap, CAP_IPC_LOCK, EAGAIN)), "rlimit.MEMLOCK");

  EXPECT_EQ(layer_of(failed(SYS_open, EMFILE)), "rlimit.NOFILE");
  EXPECT_EQ(layer_of(failed(SYS_mq_open, EMFILE)), "unattributed");
  EXPECT_EQ(layer_of(failed(SYS_inotify_init1, EMFILE)), "unattributed");

  CallRecord big = failed(SYS_write, EFBIG);
  EXPECT_EQ(layer_of(big), "unattributed");
  big.file_size = true;
  EXPECT_EQ(layer_of(big), "rlimit.FSIZE");
}

TEST(Kernel, SaysEnosysItselfOnlyOnceEntered) {
  EXPECT_EQ(layer_of(failed(SYS_uselib, ENOSYS)), "kernel");
  EXPECT_EQ(layer_of(refused(SYS_uselib, -ENOSYS)), "seccomp");
}

TEST(Sigsys, IsAFilter) {
  KernelFacts facts;
  EXPECT_FALSE(attribute_sigsys(facts));
  facts.sigsys = 1;
  facts.sigsys_nr = SYS_mount;
  EXPECT_EQ(attribute_sigsys(facts)->layer, Layer::kSeccomp);
  EXPECT_THAT(attribute_sigsys(facts)->why, HasSubstr("mount"));
  facts.sigsys_compat = true;
  EXPECT_THAT(attribute_sigsys(facts)->why, HasSubstr("i386"));
}

TEST(Facts, TheLastDenialDecidesUnlessALaterCallSucceeded) {
  KernelFacts facts;
  EXPECT_EQ(facts.decisive(), nullptr);
  EXPECT_FALSE(facts.ended_in_denial());
  EXPECT_FALSE(facts.attempted());
  CallSeen first;
  first.count = first.denied = 1;
  first.last = first.last_denied = failed(SYS_kill, EPERM);
  first.last.at_ns = first.last_denied.at_ns = 10;
  CallSeen second = first;
  second.last.at_ns = second.last_denied.at_ns = 20;
  second.last_denied.nr = second.last.nr = SYS_tkill;
  facts.calls = {second, first};
  EXPECT_EQ(facts.decisive()->nr, static_cast<uint32_t>(SYS_tkill));
  EXPECT_TRUE(facts.ended_in_denial());
  facts.calls[1].allowed = 1;
  facts.calls[1].last.at_ns = 30;
  EXPECT_FALSE(facts.ended_in_denial());
  facts.calls[1].last.at_ns = 15;
  EXPECT_TRUE(facts.ended_in_denial());
}

TEST(Attribution, AModuleByItsHook) {
  CallRecord call = failed(SYS_openat, EACCES);
  call.lsm_hook = "file_open";
  call.lsm_ret = -EACCES;
  EXPECT_EQ(layer_of(call), "lsm");
  EXPECT_THAT(attribute_call(call, {}).why, HasSubstr("file_open said EACCES"));
  call.lsm_by = LsmBy::landlock;
  EXPECT_EQ(layer_of(call), "lsm.landlock");
  call.lsm_by = LsmBy::bpf;
  EXPECT_EQ(layer_of(call), "lsm.bpf");
  call.lsm_by = LsmBy::before_bpf;
  EXPECT_EQ(layer_of(call), "lsm");
  EXPECT_THAT(attribute_call(call, {}).why, HasSubstr("no eBPF program"));
  call.lsm_by = LsmBy::unsure;
  EXPECT_EQ(layer_of(call), "unattributed");
  EXPECT_THAT(why_of(call), HasSubstr("fanotify"));
  call.lsm_hook = "bprm_check_security";
  EXPECT_THAT(why_of(call), HasSubstr("IMA"));
}

// It wins over what else points to a layer, unless the call ended in another error.
TEST(Attribution, AModuleOnlyByTheErrorThatTheCallEndedIn) {
  CallRecord call = lacking(SYS_openat, CAP_SYS_ADMIN);
  call.lsm_hook = "file_open";
  call.lsm_by = LsmBy::bpf;
  call.lsm_ret = -EACCES;
  EXPECT_EQ(layer_of(call), "cap.SYS_ADMIN");
  call.lsm_ret = -EPERM;
  EXPECT_EQ(layer_of(call), "lsm.bpf");
  call = failed(SYS_open, EPERM);
  call.device_asked = true;
  call.lsm_hook = "file_open";
  call.lsm_ret = -EPERM;
  EXPECT_EQ(layer_of(call), "lsm");
}

// commoncap and Yama are modules that ask for a capability: what is missing is that.
TEST(Attribution, AModuleThatAskedForACapabilityIsThatCapability) {
  CallRecord call = lacking(SYS_ptrace, CAP_SYS_PTRACE);
  call.lsm_hook = "ptrace_access_check";
  call.lsm_ret = -EPERM;
  EXPECT_EQ(layer_of(call), "cap.SYS_PTRACE");
  call.cap_last_denied = false;
  EXPECT_EQ(layer_of(call), "lsm");
}

TEST(Attribution, AModuleIsNotNamedByProgramsThatWereLeftOut) {
  CallRecord call = failed(SYS_openat, EACCES);
  call.lsm_hook = "file_open";
  call.lsm_by = LsmBy::before_bpf;
  call.lsm_ret = -EACCES;
  Surroundings around;
  around.security_misses = 2;
  EXPECT_EQ(layer_of(call, around), "unattributed");
  EXPECT_THAT(why_of(call, around), HasSubstr("left out 2 runs"));
}

}  // namespace
}  // namespace ringfence

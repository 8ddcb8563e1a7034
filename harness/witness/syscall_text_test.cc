// Syscalls as text: every one has its arguments, and no register beyond them is ever shown.
#include "harness/witness/syscall_text.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "harness/policy/read.h"
#include "harness/witness/facts.h"
#include "harness/witness/story.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kGarbage = 0xdeadbeefcafef00d;

CallRecord call_of(long nr, std::vector<uint64_t> args, int64_t ret = 0) {
  CallRecord call;
  call.nr = static_cast<uint32_t>(nr);
  call.args.fill(kGarbage);
  std::copy(args.begin(), args.end(), call.args.begin());
  call.ret = ret;
  return call;
}

std::string text_of(long nr, std::vector<uint64_t> args, int64_t ret = 0,
                    std::optional<std::string_view> path = std::nullopt) {
  return describe_call(call_of(nr, std::move(args), ret), path);
}

constexpr uint64_t kCwd = static_cast<uint32_t>(AT_FDCWD);

TEST(SyscallText, EverySyscallThatHasANameHasAnArity) {
  int known = 0;
  for (uint32_t nr = 0; nr < 600; ++nr) {
    const std::string name = syscall_name(nr);
    if (name.empty()) continue;
    ++known;
    EXPECT_TRUE(shape_of(nr, false, {})) << name;
  }
  EXPECT_GT(known, 360);
}

TEST(SyscallText, TheTableIsInOrderAndOfKnownKinds) {
  const auto shapes = syscall_shapes();
  EXPECT_TRUE(std::is_sorted(shapes.begin(), shapes.end(),
                             [](const auto& a, const auto& b) { return a.nr < b.nr; }));
  for (size_t i = 1; i < shapes.size(); ++i) EXPECT_NE(shapes[i - 1].nr, shapes[i].nr);
  for (const SyscallShape& shape : shapes) {
    EXPECT_LE(shape.kinds.size(), 6U) << shape.nr;
    EXPECT_EQ(shape.kinds.find_first_not_of("dfFulxopSOqNcgPMUDTRCEAmYkKbirtI"),
              std::string_view::npos)
        << shape.nr << " " << shape.kinds;
    EXPECT_LE(std::count(shape.kinds.begin(), shape.kinds.end(), 'S'), 1) << shape.nr;
  }
}

// As many arguments are shown as the table says; with six registers of garbage.
TEST(SyscallText, NoRegisterBeyondTheArguments) {
  for (const SyscallShape& shape : syscall_shapes()) {
    std::array<uint64_t, 6> args{};
    args.fill(kGarbage);
    const auto kinds = shape_of(shape.nr, false, args);
    ASSERT_TRUE(kinds);
    const std::string text = arguments_text(shape.nr, false, args, std::nullopt);
    const auto commas = static_cast<size_t>(std::count(text.begin(), text.end(), ','));
    EXPECT_EQ(text.empty() ? 0 : commas + 1, kinds->size()) << syscall_name(shape.nr) << text;
  }
  EXPECT_EQ(text_of(SYS_getpid, {}, 7), "getpid() = 7");
  EXPECT_EQ(text_of(SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1}), "prctl(PR_SET_NO_NEW_PRIVS, 1) = 0");
  EXPECT_EQ(text_of(600, {1, 2}, -ENOSYS), "syscall 600(...) = ENOSYS");
  CallRecord compat = call_of(74, {0x1000, 6}, -EPERM);
  compat.compat = true;
  EXPECT_EQ(describe_call(compat), "i386 syscall 74(0x1000, 6) = EPERM");
  compat.nr = 399;
  EXPECT_EQ(describe_call(compat), "i386 syscall 399(...) = EPERM");
}

TEST(SyscallText, ConstantsByName) {
  EXPECT_EQ(text_of(SYS_openat, {kCwd, 0x7000, O_RDONLY | O_CLOEXEC}, -EACCES, "/etc/shadow"),
            "openat(AT_FDCWD, \"/etc/shadow\", O_RDONLY|O_CLOEXEC) = EACCES");
  EXPECT_EQ(text_of(SYS_openat, {kCwd, 0x7000, O_WRONLY | O_CREAT, 0600}, 3, "f"),
            "openat(AT_FDCWD, \"f\", O_WRONLY|O_CREAT, 0600) = 3");
  EXPECT_EQ(text_of(SYS_openat, {5, 0x7000, O_RDWR | O_TMPFILE, 0600}, 3),
            "openat(5, 0x7000, O_RDWR|O_TMPFILE, 0600) = 3");
  // A directory alone is no O_TMPFILE, and takes no mode.
  EXPECT_EQ(text_of(SYS_openat, {kCwd, 0x7000, O_DIRECTORY}, 3, "."),
            "openat(AT_FDCWD, \".\", O_RDONLY|O_DIRECTORY) = 3");
  EXPECT_EQ(text_of(SYS_pipe2, {0x10, O_CLOEXEC}), "pipe2(0x10, O_CLOEXEC) = 0");
  EXPECT_EQ(text_of(SYS_kill, {3, SIGKILL}, -ESRCH), "kill(3, SIGKILL) = ESRCH");
  EXPECT_EQ(text_of(SYS_kill, {static_cast<uint64_t>(-1), 0}, 0), "kill(-1, 0) = 0");
  EXPECT_EQ(text_of(SYS_unshare, {CLONE_NEWUSER | CLONE_NEWNET}, -EPERM),
            "unshare(CLONE_NEWUSER|CLONE_NEWNET) = EPERM");
  EXPECT_EQ(text_of(SYS_clone, {CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0}, -EPERM),
            "clone(CLONE_NEWUSER|SIGCHLD, NULL, NULL, NULL, NULL) = EPERM");
  EXPECT_EQ(text_of(SYS_socket, {AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1}, -EPERM),
            "socket(AF_INET, SOCK_RAW|SOCK_CLOEXEC, 1) = EPERM");
  EXPECT_EQ(text_of(SYS_mount, {0, 0x10, 0, MS_REMOUNT | MS_BIND, 0}, -EPERM, "/mnt"),
            "mount(NULL, \"/mnt\", NULL, MS_REMOUNT|MS_BIND, NULL) = EPERM");
  EXPECT_EQ(text_of(SYS_umount2, {0x10, MNT_DETACH}, -EINVAL, "/proc/kcore"),
            "umount2(\"/proc/kcore\", MNT_DETACH) = EINVAL");
  EXPECT_EQ(text_of(SYS_ptrace, {PTRACE_SEIZE, 4, 0, 0}, -EPERM),
            "ptrace(PTRACE_SEIZE, 4, NULL, NULL) = EPERM");
  EXPECT_EQ(text_of(SYS_prctl, {PR_CAPBSET_DROP, 21}), "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) = 0");
  EXPECT_EQ(text_of(SYS_seccomp, {1, 0, 0x20}), "seccomp(SECCOMP_SET_MODE_FILTER, 0, 0x20) = 0");
  EXPECT_EQ(text_of(SYS_linkat, {7, 0x10, kCwd, 0x20, AT_EMPTY_PATH}, -ENOENT, "/there"),
            "linkat(7, 0x10, AT_FDCWD, \"/there\", AT_EMPTY_PATH) = ENOENT");
  EXPECT_EQ(text_of(SYS_keyctl, {KEYCTL_SEARCH, 1, 0x10, 0x20, 0}, -ENOKEY, "rf"),
            "keyctl(KEYCTL_SEARCH, 1, 0x10, \"rf\", 0) = ENOKEY");
  // Numbers that have no name stay numbers, and bits without one are kept.
  EXPECT_EQ(text_of(SYS_kill, {1, 99}), "kill(1, 99) = 0");
  EXPECT_EQ(text_of(SYS_socket, {200, 9, 0}), "socket(200, 9, 0) = 0");
  EXPECT_THAT(text_of(SYS_prctl, {PR_CAPBSET_READ, 4000}), HasSubstr("4000"));
  EXPECT_EQ(text_of(SYS_unshare, {CLONE_NEWNS | 1}), "unshare(CLONE_NEWNS|0x1) = 0");
}

TEST(SyscallText, Results) {
  EXPECT_EQ(result_text(SYS_mmap, false, 0x7f12a4c3e000), "0x7f12a4c3e000");
  EXPECT_EQ(result_text(SYS_write, false, 100000), "100000");
  EXPECT_EQ(result_text(SYS_lseek, false, -4096), "-4096") << "no errno";
  CallRecord refused = call_of(SYS_getpid, {}, -EPERM);
  refused.no_enter = true;
  EXPECT_EQ(describe_call(refused), "getpid() = EPERM, never entered");
  refused.args_known = false;
  EXPECT_EQ(describe_call(refused), "getpid(?) = EPERM, never entered");
}

TEST(SyscallText, AStringOfTheTargetIsHarmless) {
  EXPECT_EQ(quoted("a\"b\\c\n\t\x1b[2J\x9b"), "\"a\\\"b\\\\c\\n\\t\\x1b[2J\\x9b\"");
  EXPECT_EQ(text_of(SYS_chroot, {1}, 0, ""), "chroot(\"\") = 0");
  const std::string full(RF_PATH - 1, 'x');
  EXPECT_THAT(text_of(SYS_chroot, {1}, 0, full), HasSubstr("xx\"...) = 0"));
  EXPECT_THAT(text_of(SYS_chroot, {1}, 0, full.substr(1)), Not(HasSubstr("...")));
}

TEST(Story, SignalsSayForWhat) {
  rf_event_number e{};
  e.head.kind = RF_EV_SIGNAL;
  e.number = SIGSYS;
  e.more[1] = 12;
  e.more[2] = SYS_ptrace;
  EXPECT_EQ(tell(e.head, sizeof e).text, "SIGSYS for ptrace, for task 12");
  e.more[2] = -2 - 74;
  EXPECT_EQ(tell(e.head, sizeof e).text, "SIGSYS for i386 syscall 74, for task 12");
  e.number = SIGCHLD;
  e.more[0] = CLD_EXITED;
  EXPECT_TRUE(is_childs_end(tell(e.head, sizeof e)));
  e.more[0] = SI_USER;
  EXPECT_FALSE(is_childs_end(tell(e.head, sizeof e)));
  e.head.kind = RF_EV_CAP;
  EXPECT_EQ(tell(e.head, sizeof e.head).text, "") << "an event that is too short";
}

// A kernel newer than our list of capabilities must not end the harness.
TEST(Story, ACapabilityOfANewerKernel) {
  rf_event_cap e{};
  e.head.kind = RF_EV_CAP;
  e.cap = 60;
  e.ret = -EPERM;
  EXPECT_EQ(tell(e.head, sizeof e).text, "asked for capability 60: has it not");
}

}  // namespace
}  // namespace ringfence

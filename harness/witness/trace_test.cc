// Recorded events become denials, and denials a list without repetition. That the kernel gives such
// events, and that the scope is right, is for ci/tests/trace.py, with real containers.
#include "harness/witness/trace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "harness/witness/operation.h"
#include "harness/witness/test_watch.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

rf_event_path call_event(long nr, int64_t ret, const char* path = "") {
  rf_event_path e{};
  e.head.kind = RF_EV_CALL;
  e.head.at = 5'000'000;
  e.head.tgid = e.head.tid = 7;
  (void)std::snprintf(e.head.comm, sizeof e.head.comm, "app");
  e.head.uid = 1000;
  (void)std::snprintf(e.path, sizeof e.path, "%s", path);
  e.call.nr = static_cast<uint32_t>(nr);
  e.call.ret = ret;
  e.call.cap_last = RF_NO_CAP;
  return e;
}

rf_event_number sigsys_event(int64_t nr, int64_t code) {
  rf_event_number e{};
  e.head.kind = RF_EV_SIGNAL;
  e.head.tgid = e.head.tid = 7;
  e.number = SIGSYS;
  e.more[0] = code;
  e.more[1] = 7;
  e.more[2] = nr;
  return e;
}

struct Reading {
  uint64_t noise = 0;
  Surroundings around;
  DenialReader reader{[this](uint32_t, bool) { return noise; }};
  template <typename E>
  std::optional<Denial> operator()(const E& e) {
    return reader.read(e.head, sizeof e, around);
  }
};

TEST(DenialReader, NamesTheMissingCapability) {
  Reading read;
  auto event = call_event(SYS_chroot, -EPERM, "/srv");
  event.call.cap_last = CAP_SYS_CHROOT;
  event.call.cap_last_ret = -EPERM;
  auto denial = read(event);
  ASSERT_TRUE(denial);
  EXPECT_EQ(denial->decided.layer.name(), "cap.SYS_CHROOT");
  EXPECT_EQ(denial->operation, "chroot(\"/srv\")");
  EXPECT_EQ(denial->result, "EPERM");
  EXPECT_EQ(denial->comm, "app");
  EXPECT_EQ(denial->uid, 1000U);
  EXPECT_TRUE(denial->refused);
  // The same check fails in such calls that succeed: it is not what decided.
  read.noise = 1ULL << CAP_SYS_CHROOT;
  EXPECT_NE(read(event)->decided.layer.name(), "cap.SYS_CHROOT");
}

TEST(DenialReader, ARefusalAtTheGateIsSeccompWhateverItReturns) {
  Reading read;
  for (const int64_t ret : {int64_t{-EPERM}, int64_t{-ENOSYS}, int64_t{0}}) {
    auto event = call_event(SYS_keyctl, ret);
    event.call.flags = RF_NO_ENTER;
    event.call.seccomp = 2;
    const auto denial = read(event);
    ASSERT_TRUE(denial);
    EXPECT_TRUE(denial->refused) << ret;
    EXPECT_EQ(denial->decided.layer, Layer::kSeccomp);
  }
}

TEST(DenialReader, FailedChecksInACallThatSucceedsAreNoDenial) {
  Reading read;
  auto event = call_event(SYS_mmap, 0x7f0000000000);
  event.call.cap_last = CAP_SYS_ADMIN;
  event.call.cap_last_ret = -EPERM;
  EXPECT_FALSE(read(event));
  rf_event_cap check{};
  check.head.kind = RF_EV_CAP;
  check.cap = CAP_SYS_ADMIN;
  check.ret = -EPERM;
  EXPECT_FALSE(read(check));
}

TEST(DenialReader, WhatIsNotThereIsNoRefusal) {
  Reading read;
  for (const int err : {ENOENT, EAGAIN, EINTR, ENOTTY, EEXIST, ESRCH, ENOSYS}) {
    const auto denial = read(call_event(SYS_openat, -err, "/x"));
    ASSERT_TRUE(denial);
    EXPECT_FALSE(denial->refused) << err;
  }
  for (const int err : {EPERM, EACCES, EROFS, EMFILE}) {
    EXPECT_TRUE(read(call_event(SYS_openat, -err, "/x"))->refused) << err;
  }
}

TEST(DenialReader, WhatNoProgramSeesIsNoFailure) {
  Reading read;
  EXPECT_FALSE(read(call_event(SYS_futex, -512)));
  EXPECT_FALSE(read(call_event(SYS_rt_sigreturn, -EPERM)));
  // A regular file in an epoll set; with another error it is no refusal either.
  EXPECT_FALSE(read(call_event(SYS_epoll_ctl, -EPERM))->refused);
  auto filtered = call_event(SYS_epoll_ctl, -EPERM);
  filtered.call.flags = RF_NO_ENTER;
  EXPECT_TRUE(read(filtered)->refused);
}

TEST(DenialReader, AKillByTheFilterIsToldOfOnce) {
  Reading read;
  const auto killed = read(sigsys_event(SYS_keyctl, 1));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->result, "SIGSYS");
  EXPECT_EQ(killed->call, "keyctl");
  EXPECT_EQ(killed->decided.layer, Layer::kSeccomp);
  auto end = call_event(SYS_keyctl, SYS_keyctl);
  end.call.flags = RF_NO_ENTER;
  EXPECT_FALSE(read(end));
  EXPECT_TRUE(read(end));  // the next one is another
  // Sent by somebody with kill(2), or by itself with a filter's code: no filter.
  EXPECT_FALSE(read(sigsys_event(-1, 1)));
  EXPECT_FALSE(read(sigsys_event(SYS_keyctl, SI_USER)));
  EXPECT_EQ(read(sigsys_event(-2 - 20, 1))->call, "i386 syscall 20");
}

TEST(DenialReader, ASecondCallAfterAHandledSignalCounts) {
  Reading read;
  ASSERT_TRUE(read(sigsys_event(SYS_keyctl, 1)));
  auto other = call_event(SYS_openat, -EACCES, "/etc/shadow");
  EXPECT_TRUE(read(other));
}

TEST(DenialReader, ShortEventsAreNothing) {
  Reading read;
  const auto event = call_event(SYS_chroot, -EPERM);
  EXPECT_FALSE(read.reader.read(event.head, sizeof(rf_event), read.around));
  const auto signal = sigsys_event(SYS_keyctl, 1);
  EXPECT_FALSE(read.reader.read(signal.head, sizeof(rf_event), read.around));
}

Denial denial(const std::string& operation, const char* layer = "seccomp") {
  Denial d;
  d.comm = "app";
  d.call = operation.substr(0, operation.find('('));
  d.operation = operation;
  d.result = "EPERM";
  d.decided.layer = Layer(layer);
  return d;
}

TEST(DenialLog, TellsOfEachKindOnceAndCountsTheRest) {
  DenialLog log;
  EXPECT_TRUE(log.add(denial("keyctl(0)")));
  for (int i = 0; i < 11; ++i) EXPECT_FALSE(log.add(denial("keyctl(0)")));
  EXPECT_TRUE(log.add(denial("keyctl(1)")));
  EXPECT_TRUE(log.add(denial("bpf()")));
  EXPECT_TRUE(log.add(denial("chroot(\"/\")", "cap.SYS_CHROOT")));
  auto other = denial("keyctl(0)");
  other.comm = "other";
  EXPECT_TRUE(log.add(other));
  auto result = denial("keyctl(0)");
  result.result = "ENOSYS";
  EXPECT_TRUE(log.add(result));
  EXPECT_EQ(log.count(), 17U);
  EXPECT_EQ(log.groups().front().count, 12U);
  const auto totals = log.totals();
  ASSERT_EQ(totals.size(), 2U);
  EXPECT_EQ(totals[0].layer.name(), "seccomp");
  EXPECT_EQ(totals[0].count, 16U);
  EXPECT_EQ(totals[0].calls.front(), (std::pair<std::string, uint64_t>{"keyctl", 15}));
  EXPECT_EQ(totals[1].layer.name(), "cap.SYS_CHROOT");
  for (int i = 0; i < 100; ++i) log.add(denial("x()", "unattributed"));
  EXPECT_EQ(log.totals().back().layer, Layer::kUnattributed);
}

TEST(DenialLog, NamesThatAreMadeUpFillNoMemory) {
  DenialLog log;
  size_t told = 0;
  const size_t many = DenialLog::kGroupsMax * 2;
  for (size_t i = 0; i < many; ++i) {
    told += log.add(denial("openat(\"/" + std::to_string(i) + "\")", "dac")) ? 1 : 0;
  }
  EXPECT_EQ(told, DenialLog::kGroupsMax + 1);
  EXPECT_EQ(log.groups().size(), DenialLog::kGroupsMax + 1);
  EXPECT_EQ(log.count(), many);
}

CallRecord call_of(long nr, std::array<uint64_t, 6> args) {
  CallRecord call;
  call.nr = static_cast<uint32_t>(nr);
  call.args = args;
  return call;
}

TEST(OperationText, SaysWhatWasAskedFor) {
  const auto at_cwd = static_cast<uint64_t>(AT_FDCWD);
  EXPECT_EQ(operation_text(call_of(SYS_openat, {at_cwd, 1, O_WRONLY | O_CREAT, 0600}), "x"),
            "openat(\"x\", O_WRONLY|O_CREAT)");
  EXPECT_EQ(operation_text(call_of(SYS_openat, {5, 1, O_RDONLY}), "x"),
            "openat(5, \"x\", O_RDONLY)");
  EXPECT_EQ(operation_text(call_of(SYS_kill, {12, SIGKILL, 99}), ""), "kill(12, SIGKILL)");
  EXPECT_EQ(operation_text(call_of(SYS_kill, {~0ULL, 0}), ""), "kill(-1, 0)");
  EXPECT_EQ(operation_text(call_of(SYS_unshare, {0x10000000 | 0x20000}), ""),
            "unshare(CLONE_NEWUSER|CLONE_NEWNS)");
  EXPECT_EQ(operation_text(call_of(SYS_socket, {40, 1 | O_CLOEXEC, 0}), ""),
            "socket(AF_VSOCK, SOCK_STREAM, 0)");
  EXPECT_EQ(operation_text(call_of(SYS_mknodat, {at_cwd, 1, 020600, 0x103}), "d"),
            "mknodat(\"d\", 020600, 0x103)");
  // Registers of arguments that it does not have.
  EXPECT_EQ(operation_text(call_of(SYS_getppid, {1, 2, 3, 4, 5, 6}), ""), "getppid()");
  EXPECT_EQ(operation_text(call_of(SYS_chroot, {1}), std::string(RF_PATH - 1, 'a')),
            "chroot(\"" + std::string(RF_PATH - 1, 'a') + "\"...)");
  EXPECT_EQ(operation_text(call_of(SYS_chroot, {1}), ""), "chroot(?)");
}

TEST(WalkTree, FindsEveryDescendantOnce) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    // With a child of its own; both wait for the gate to close.
    const pid_t grandchild = fork();
    close(gate[1]);
    char byte = 0;
    (void)!read(gate[0], &byte, 1);
    if (grandchild > 0) waitpid(grandchild, nullptr, 0);
    _exit(0);
  }
  close(gate[0]);
  std::set<int> seen;
  std::vector<int> taken;
  // The grandchild may not be there yet.
  while (taken.size() < 2) {
    seen.clear();
    taken.clear();
    ASSERT_TRUE(walk_tree(child, seen, [&](int pid) -> Status {
      taken.push_back(pid);
      return {};
    }));
  }
  EXPECT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken.front(), child);
  auto failed =
      walk_tree(child, seen = {}, [](int) -> Status { return system_error("take", {}, E2BIG); });
  EXPECT_FALSE(failed);
  close(gate[1]);
  waitpid(child, nullptr, 0);
}

// Whoever follows live sleeps until there is something. With a witness of its own: one that looks
// for processes once does so for ever.
TEST(Tracer, WakesWhoWaits) {
  RINGFENCE_NEEDS_WITNESS();
  auto witness = Witness::open();
  ASSERT_TRUE(witness);
  Actor actor(-1, 0, {}, [] { return errno_of(syscall(SYS_chroot, "/ringfence-no-such")); });
  ASSERT_TRUE(actor.ready());
  auto tracer = Tracer::process(*witness, actor.pid());
  ASSERT_TRUE(tracer);
  actor.finish();
  pollfd waits{.fd = tracer->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&waits, 1, 20000), 1);
}

}  // namespace
}  // namespace ringfence

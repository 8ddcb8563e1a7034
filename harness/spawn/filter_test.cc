// What a filter's other actions do, as the kernel and a tracer see it; and what has to come first.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include <csignal>

#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

Policy with_rule(const std::vector<std::string>& calls, SeccompAction action,
                 std::optional<uint32_t> value = {}) {
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{calls, action, value, {}}};
  return policy;
}

// How often the kernel's log tells of uname while a target runs, with the filter's answer as
// `code`; -1 where nobody can tell.
// One that is `wanted` is waited for: a thread of the kernel writes the log.
int told(const Policy& policy, const std::string& code, bool wanted = false) {
  const UniqueFd log(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const auto actions = read_file("/proc/sys/kernel/seccomp/actions_logged");
  if (!log || !actions || actions->find("log") == std::string::npos ||
      actions->find("errno") == std::string::npos || access("/proc/self/loginuid", F_OK) != 0) {
    return -1;  // audit, which writes it, keeps that file
  }
  lseek(log.get(), 0, SEEK_END);
  EXPECT_THAT(run(policy, "uname -s; echo done").out, HasSubstr("done\n"));
  int count = 0;
  char record[8192];
  pollfd ready{log.get(), POLLIN, 0};
  for (;;) {
    const ssize_t n = read(log.get(), record, sizeof record);
    // EPIPE: some records were overwritten before they were read.
    if (n <= 0 && errno != EPIPE) {
      if (!wanted || count > 0 || poll(&ready, 1, 10000) != 1) break;
      continue;
    }
    const std::string_view text(record, n > 0 ? static_cast<size_t>(n) : 0);
    const bool found = text.find("type=1326") != text.npos &&
                       text.find("syscall=63 ") != text.npos &&
                       text.find("code=" + code) != text.npos;
    if (found) ++count;
  }
  return count;
}

constexpr const char* kLogged = "0x7ffc0000";  // SECCOMP_RET_LOG
constexpr const char* kErrno = "0x50000";      // SECCOMP_RET_ERRNO

// The call goes on, and the kernel's log has it.
TEST(Filter, LogLetsThroughAndTells) {
  const int none = told(with_rule({"uname"}, SeccompAction::allow), kLogged);
  if (none < 0) GTEST_SKIP() << "host-lacks:audit";
  EXPECT_EQ(none, 0);
  const Policy policy = with_rule({"uname"}, SeccompAction::log);
  EXPECT_GT(told(policy, kLogged, true), 0);
  EXPECT_THAT(run(policy, "uname -s").out, HasSubstr("Linux\n"));
}

// With the flag the log has a refusal as well; without it, none.
TEST(Filter, FlagLogTellsOfRefusals) {
  Policy policy = with_rule({"uname"}, SeccompAction::errno_, EXDEV);
  const int none = told(policy, kErrno);
  if (none < 0) GTEST_SKIP() << "host-lacks:audit";
  EXPECT_EQ(none, 0);
  policy.seccomp->flags = {"SECCOMP_FILTER_FLAG_LOG"};
  EXPECT_GT(told(policy, kErrno, true), 0);
}

// A tracer that asked for it is told, with the number of the rule; without one the call fails.
TEST(Filter, TraceTellsTheTracer) {
  constexpr unsigned long kNumber = 42;
  const std::vector<std::string> calls = {"mkdir", "mkdirat"};
  const std::string directory = fmt::format("/dev/shm/ringfence-test-{}", getpid());
  const Policy policy = with_rule(calls, SeccompAction::trace, kNumber);
  EXPECT_THAT(run(policy, "mkdir " + directory).out, HasSubstr("not implemented"));
  EXPECT_EQ(rmdir(directory.c_str()), -1);
  EXPECT_EQ(run(with_rule(calls, SeccompAction::allow), "mkdir " + directory).end, "exit 0");
  EXPECT_EQ(rmdir(directory.c_str()), 0);

  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd go(fds[1]);
  auto plan = compile(policy);
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "read x; exec mkdir " + directory};
  request.env = {"PATH=/usr/bin:/bin"};
  request.fds = {{0, in.get()}};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  const pid_t pid = child->pid();
  ASSERT_EQ(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESECCOMP), 0);
  go.reset();  // `read` ends
  int stops = 0;
  int status = 0;
  while (waitid(P_PID, static_cast<id_t>(pid), nullptr, WEXITED | WSTOPPED | WNOWAIT) == 0) {
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WSTOPPED | WNOWAIT), 0);
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) break;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      unsigned long number = 0;
      EXPECT_EQ(ptrace(PTRACE_GETEVENTMSG, pid, 0, &number), 0);
      EXPECT_EQ(number, kNumber);
      ++stops;
      ptrace(PTRACE_CONT, pid, 0, 0);
    } else {
      ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    }
  }
  EXPECT_GT(stops, 0);
  auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 0");  // the tracer let it go on
  EXPECT_EQ(rmdir(directory.c_str()), 0);
}

// seccomp(2): without CAP_SYS_ADMIN a filter is loaded only by who can gain nothing by exec.
TEST(Filter, NoNewPrivsComesFirst) {
  Policy policy = with_rule({"mkdir", "mkdirat"}, SeccompAction::errno_, EXDEV);
  policy.no_new_privileges = true;
  auto plan = compile(policy);
  ASSERT_TRUE(plan);
  const auto* privs = plan->find("no_new_privs");
  const auto* filter = plan->find("seccomp");
  ASSERT_TRUE(privs != nullptr && filter != nullptr);
  EXPECT_LT(privs, filter);
  {
    const Waiting target = wait_under(*plan);
    ASSERT_EQ(target.error, "");
    EXPECT_EQ(target.status("NoNewPrivs"), "1");
    EXPECT_EQ(target.status("Seccomp"), "2");
  }
  const pid_t pid = fork();
  if (pid == 0) {
    if (setgroups(0, nullptr) != 0 || setresgid(4242, 4242, 4242) != 0 ||
        setresuid(4242, 4242, 4242) != 0) {
      _exit(2);
    }
    prctl(PR_SET_DUMPABLE, 1);
    const bool first = run(policy, "mkdir /tmp/ringfence-test || exit 7").end == "exit 7";
    policy.no_new_privileges = false;
    const std::string error = run(policy, "echo alive").error;
    const bool refused = error.find("step seccomp: ") != std::string::npos &&
                         error.find("EACCES") != std::string::npos;
    if (!refused) std::fprintf(stderr, "%s\n", error.c_str());
    _exit(first && refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ringfence

// Every syscall that the harness makes in one run fails once, through the seam, with each errno
// that the table below lists for it: a verdict or a clear error, never a hang, a leak, or a false
// `held`. False is told from true by runs whose truth is known: each case runs also with its
// confining step left out, so that the attempt does get through.
//
// Calls are numbered over all processes of a run. Of a syscall that a run makes more than six times
// the first three, the last and two in between (by a fixed seed) fail; with RINGFENCE_FAULTS=all in
// the environment all of them do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/confine/seccomp.h"
#include "harness/policy/read.h"
#include "harness/policy/without.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kDeadline = std::chrono::seconds(60);  // of one run; a hang is longer
constexpr auto kTimeout = std::chrono::milliseconds(2000);
constexpr uint64_t kSeed = 2;

// What each syscall may answer, by its man page: interrupted, out of something, refused, missing.
// Left out is what would be a truthful answer to the harness's question (ENOENT for a look at a
// file, EAGAIN for a look at a listener), and what the kernel cannot say about valid arguments.
const std::map<long, std::vector<int>>& errnos() {
  static const std::map<long, std::vector<int>> table = {
      {SYS_accept4, {EINTR, EMFILE, ENOMEM}},
      {SYS_add_key, {EDQUOT, ENOMEM}},
      {SYS_bind, {EADDRINUSE, ENOMEM}},
      {SYS_capget, {EPERM}},
      {SYS_capset, {EPERM}},
      {SYS_chdir, {ENOMEM, EACCES}},
      {SYS_bpf, {EPERM, ENOMEM}},
      {SYS_clock_gettime, {EINVAL}},
      {SYS_clone3, {EAGAIN, ENOMEM, ENOSYS, EPERM, ENOSPC}},
      {SYS_close, {EINTR, EIO}},
      {SYS_close_range, {ENOSYS, ENOMEM}},
      {SYS_connect, {EINTR, EADDRNOTAVAIL}},
      {SYS_dup3, {EMFILE, EINTR}},
      {SYS_execveat, {ENOMEM, EACCES, ENOSYS, E2BIG}},
      {SYS_execve, {ENOMEM, EACCES}},
      {SYS_faccessat, {EACCES, ENOMEM}},
      {SYS_fchmod, {EPERM, EIO}},
      {SYS_fchmodat, {EPERM, EIO}},
      {SYS_fchown, {EPERM, EIO}},
      {SYS_fchownat, {EPERM, EIO}},
      {SYS_fcntl, {EMFILE, EPERM}},
      {SYS_flock, {EINTR, ENOLCK, EWOULDBLOCK}},
      {SYS_fsconfig, {EPERM, EINVAL}},
      {SYS_fsmount, {EPERM, EMFILE}},
      {SYS_fsopen, {EPERM, ENOSYS}},
      {SYS_fstat, {ENOMEM}},
      {SYS_fstatfs, {EINTR, ENOMEM}},
      {SYS_futex, {EINTR, EAGAIN}},
      {SYS_getdents64, {EIO, ENOMEM}},
      {SYS_getpriority, {ESRCH}},
      {SYS_getrandom, {EINTR, ENOSYS}},
      {SYS_getsockname, {ENOBUFS}},
      {SYS_getsockopt, {ENOMEM}},
      {SYS_getxattr, {EPERM, E2BIG}},
      {SYS_ioctl, {EPERM, ENOTTY}},
      {SYS_keyctl, {ENOMEM, EDQUOT}},
      {SYS_kill, {EPERM}},
      {SYS_landlock_create_ruleset, {ENOSYS}},
      {SYS_listen, {EADDRINUSE}},
      {SYS_memfd_create, {EMFILE, ENOMEM}},
      {SYS_mkdirat, {ENOSPC, EACCES, EROFS}},
      {SYS_mknodat, {EPERM}},
      {SYS_mmap, {ENOMEM}},
      {SYS_mount, {EPERM, ENOMEM, EBUSY}},
      {SYS_mount_setattr, {ENOSYS, EPERM}},
      {SYS_move_mount, {EPERM, EBUSY}},
      {SYS_mprotect, {ENOMEM}},
      {SYS_munmap, {ENOMEM}},
      {SYS_name_to_handle_at, {EOPNOTSUPP}},
      {SYS_newfstatat, {ENOMEM, EACCES}},
      {SYS_open_tree, {EMFILE, EPERM}},
      {SYS_openat, {EINTR, EMFILE, ENOMEM, EACCES}},
      {SYS_openat2, {ENOSYS, EAGAIN, EMFILE}},
      {SYS_pidfd_getfd, {EPERM, EMFILE}},
      {SYS_pidfd_open, {EMFILE, ENOMEM, ENOSYS}},
      {SYS_pidfd_send_signal, {EPERM, ENOSYS}},
      {SYS_pipe2, {EMFILE, ENFILE}},
      {SYS_pivot_root, {EBUSY, EPERM}},
      {SYS_poll, {EINTR, ENOMEM}},
      {SYS_prctl, {EPERM, EINVAL}},
      {SYS_pread64, {EIO, EINTR}},
      {SYS_prlimit64, {EPERM}},
      {SYS_read, {EINTR, EIO}},
      {SYS_readlinkat, {ENOMEM, EACCES}},
      {SYS_recvmsg, {EINTR, EAGAIN, ENOMEM}},
      {SYS_rt_sigaction, {EINVAL}},
      {SYS_rt_sigprocmask, {EINVAL}},
      {SYS_seccomp, {EINVAL, ENOMEM, EACCES, ENOSYS}},
      {SYS_sendmsg, {EINTR, ENOBUFS}},
      {SYS_sendto, {EINTR, EAGAIN, ENOBUFS}},
      {SYS_sethostname, {EPERM}},
      {SYS_setdomainname, {EPERM}},
      {SYS_setgid, {EPERM}},
      {SYS_setgroups, {EPERM, ENOMEM}},
      {SYS_setpriority, {EACCES, EPERM}},
      {SYS_setresgid, {EPERM, EAGAIN}},
      {SYS_setresuid, {EPERM, EAGAIN}},
      {SYS_setsid, {EPERM}},
      {SYS_setsockopt, {ENOMEM}},
      {SYS_setuid, {EPERM, EAGAIN}},
      {SYS_setxattr, {ENOSPC, EPERM}},
      {SYS_shmat, {ENOMEM, EACCES}},
      {SYS_shmdt, {EINVAL}},
      {SYS_shmget, {ENOSPC, ENOMEM}},
      {SYS_socket, {EMFILE, ENOBUFS}},
      {SYS_socketpair, {EMFILE, ENOMEM}},
      {SYS_symlinkat, {ENOSPC, EROFS}},
      {SYS_umount2, {EBUSY, EPERM}},
      {SYS_uname, {EFAULT}},
      {SYS_unlinkat, {EBUSY, EPERM, EIO}},
      {SYS_unshare, {EPERM, ENOSPC, ENOMEM}},
      {SYS_wait4, {EINTR, ECHILD}},
      {SYS_waitid, {EINTR, ECHILD}},
      {SYS_lseek, {EINVAL}},
      {SYS_fchdir, {EACCES, EIO}},
      {SYS_mq_open, {ENOSPC, EMFILE}},
      {SYS_write, {EINTR, EIO, ENOSPC}},
      // These always succeed.
      {SYS_getpid, {}},
      {SYS_getppid, {}},
      {SYS_geteuid, {}},
      {SYS_getegid, {}},
      {SYS_getuid, {}},
      {SYS_getgid, {}},
      {SYS_umask, {}},
      {SYS_sched_yield, {}},
  };
  return table;
}

// What a forked run found, over a pipe.
struct Outcome {
  bool reported = false;  // false: it hung, or ended without a word
  bool error = false;     // run() gave an Error
  bool described = false;
  Verdict verdict = Verdict::broken;
  int descriptors = 0;  // more than before
  char text[160] = {};  // reason and detail, or the Error
};

class Faults : public ::testing::Test {
 protected:
  void SetUp() override {
    auto registry = suites::builtin();
    ASSERT_TRUE(registry) << registry.error().describe();
    registry_ = std::move(*registry);
    // What orphans a run leaves come to us and are counted.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    if (!facts_.satisfied("root")) GTEST_SKIP() << facts_.why_not("root");
    (void)facts_.all();  // found out once; their own syscalls fail in a test of their own
  }
  void TearDown() override { sys::disarm_faults(); }

  static int descriptors() {
    const auto begin = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<int>(std::distance(begin, std::filesystem::directory_iterator()));
  }

  // The run itself, in the forked child.
  void run_here(const RunOptions& options, Outcome& outcome) {
    Observer nobody;
    const int before = descriptors();
    {
      auto result = run(registry_, facts_, options, nobody);
      std::string text;
      if (!result) {
        outcome.error = true;
        text = result.error().describe();
      } else if (result->cases.size() == 1) {
        const CaseRecord& record = result->cases[0];
        outcome.verdict = record.verdict;
        text = record.reason + ": " + record.detail;
        outcome.described = record.verdict == Verdict::held || !record.reason.empty();
      } else {
        return;
      }
      if (outcome.error) outcome.described = !text.empty();
      std::strncpy(outcome.text, text.c_str(), sizeof outcome.text - 1);
    }
    outcome.descriptors = descriptors() - before;
    outcome.reported = true;
  }

  Outcome run_once(const RunOptions& options, pid_t* ran = nullptr) {
    Outcome outcome;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return outcome;
    const pid_t pid = fork();
    if (pid == 0) {
      run_here(options, outcome);
      _exit(write(fds[1], &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
    }
    close(fds[1]);
    pollfd ready{fds[0], POLLIN, 0};
    const auto limit = std::chrono::milliseconds(kDeadline).count();
    if (poll(&ready, 1, static_cast<int>(limit)) != 1 ||
        read(fds[0], &outcome, sizeof outcome) != sizeof outcome) {
      outcome = {};
    }
    close(fds[0]);
    if (!outcome.reported) kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    if (ran != nullptr) *ran = pid;
    return outcome;
  }

  // Children of the run that outlived it; none is right. They are ended and waited for.
  static int orphans() {
    int count = 0;
    for (;;) {
      siginfo_t info{};
      if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) return count;
      ++count;
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const int pid = parse_int(entry.path().filename().native()).value_or(0);
        if (pid <= 1 || waitid(P_PID, static_cast<id_t>(pid), &info,
                               WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) {
          continue;
        }
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, __WALL);
      }
    }
  }

  // Groups whose maker had this pid.
  static std::vector<std::string> groups_of(pid_t pid) { return groups(std::to_string(pid) + "-"); }

  // All groups of that kind of name.
  static std::vector<std::string> groups(const std::string& maker = "") {
    std::vector<std::string> found;
    const std::string prefix = "ringfence-" + maker;
    const CgroupLayout layout = CgroupLayout::probe();
    std::set<std::string> parents = {layout.unified, layout.unified_parent};
    for (const auto& [controller, point] : layout.v1) parents.insert(point);
    for (const auto& parent : parents) {
      std::error_code ignored;
      for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
        if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
      }
    }
    return found;
  }

  static std::vector<uint64_t> sample(uint64_t calls, std::mt19937_64& random) {
    const char* all = std::getenv("RINGFENCE_FAULTS");
    std::set<uint64_t> chosen;
    constexpr uint64_t kFew = 6;
    if (calls <= kFew || (all != nullptr && std::string(all) == "all")) {
      for (uint64_t i = 0; i < calls; ++i) chosen.insert(i);
    } else {
      chosen = {0, 1, 2, calls - 1, 3 + random() % (calls - 4), 3 + random() % (calls - 4)};
    }
    return {chosen.begin(), chosen.end()};
  }

  // `truth` is what a run without a fault says: held, or breached where the confining step is gone.
  void fail_each(const RunOptions& options, Verdict truth, bool every_errno, bool facts = false) {
    ASSERT_TRUE(sys::start_counting());
    const Outcome plain = run_once(options);
    ASSERT_TRUE(plain.reported);
    ASSERT_EQ(plain.verdict, truth) << plain.text;
    ASSERT_EQ(plain.descriptors, 0);
    ASSERT_EQ(orphans(), 0);
    std::map<long, uint64_t> counts;
    constexpr long kNumbers = 480;
    for (long nr = 0; nr < kNumbers; ++nr) {
      if (const uint64_t n = sys::count(nr); n > 0) counts[nr] = n;
    }
    std::mt19937_64 random(kSeed);
    size_t fired = 0;
    std::map<Verdict, size_t> verdicts;
    size_t errors = 0;
    for (const auto& [nr, calls] : counts) {
      const auto row = errnos().find(nr);
      // A probe of facts asks for many things, and being refused is an answer.
      EXPECT_TRUE(facts || row != errnos().end()) << "no errno is listed for " << call_name(nr);
      const std::vector<int> listed =
          row != errnos().end() ? row->second : std::vector<int>{EPERM, ENOSYS};
      for (const uint64_t index : sample(calls, random)) {
        for (const int err : listed) {
          const std::string what =
              call_name(nr) + " " + std::to_string(index) + " " + errno_name(err);
          const auto before = groups();  // of others, who may have had the same pid
          ASSERT_TRUE(sys::arm_fault({nr, index, err}));
          pid_t pid = 0;
          const Outcome outcome = run_once(options, &pid);
          fired += sys::fault_fired() ? 1 : 0;
          sys::disarm_faults();
          EXPECT_TRUE(outcome.reported) << what << ": no end, or an end without a word";
          if (!outcome.reported) continue;
          EXPECT_TRUE(outcome.described) << what;
          outcome.error ? ++errors : ++verdicts[outcome.verdict];
          if (!outcome.error) {
            const Verdict false_one = truth == Verdict::held ? Verdict::breached : Verdict::held;
            EXPECT_NE(outcome.verdict, false_one) << what << ": " << outcome.text;
          }
          EXPECT_EQ(outcome.descriptors, 0) << what;
          EXPECT_EQ(orphans(), 0) << what << ": " << outcome.text;
          for (const std::string& group : groups_of(pid)) {
            EXPECT_NE(std::count(before.begin(), before.end(), group), 0)
                << what << ": " << outcome.text << " left " << group;
          }
          if (!every_errno) break;
        }
      }
    }
    EXPECT_GT(fired, 50U);
    EXPECT_GT(errors, 0U);
    // Not every failure may be swallowed.
    EXPECT_GT(verdicts[Verdict::broken], 10U);
    std::string summary;
    for (const auto& [verdict, n] : verdicts) {
      summary += std::string(verdict_name(verdict)) + " " + std::to_string(n) + ", ";
    }
    RecordProperty("verdicts", summary + "error " + std::to_string(errors));
    std::printf("%zu faults fired: %serror %zu\n", fired, summary.c_str(), errors);
  }

  RunOptions options_for(const std::string& id) {
    RunOptions options;
    options.globs = {id};
    options.full = true;
    options.seed = kSeed;
    options.opened_witness = witness_of_process();  // before the fork: attaching is not the run's
    options.timeout = kTimeout;
    return options;
  }

  void fail_case(const std::string& id) {
    const Case* c = registry_.find(id);
    ASSERT_NE(c, nullptr) << id;
    for (const auto& need : c->needs) {
      if (!facts_.satisfied(need)) GTEST_SKIP() << facts_.why_not(need);
    }
    RunOptions options = options_for(id);
    fail_each(options, Verdict::held, true);
    options.drop = [c](const Step& step) { return step.key == c->step; };
    fail_each(options, Verdict::breached, false);
  }

  Registry registry_;
  Facts facts_ = Facts::probe();
};

TEST_F(Faults, UserNamespace) { fail_case("user.root_outside"); }
TEST_F(Faults, RootAndMounts) { fail_case("mnt.old_root_visible"); }
TEST_F(Faults, FilterThatKills) { fail_case("seccomp.action.kill_process"); }
TEST_F(Faults, CgroupLimit) { fail_case("limit.pids.fork_bomb"); }
TEST_F(Faults, Capability) { fail_case("cap.kill"); }

TEST_F(Faults, FactsOfTheMachine) {
  facts_ = Facts::probe();  // anew in every run
  fail_each(options_for("pid.signal_host_process"), Verdict::held, false, true);
}

TEST_F(Faults, GivenPolicy) {
  auto policy = profile("docker-default");
  ASSERT_TRUE(policy) << policy.error().describe();
  RunOptions options = options_for("pid.signal_host_process");
  options.policy = *policy;
  fail_each(options, Verdict::held, false);
  options.policy = without(*policy, Layer::kPid);
  fail_each(options, Verdict::breached, false);
}

}  // namespace
}  // namespace ringfence

// What looks like a denial to a tracer and is none, or looks like none and is one.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/prctl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <thread>

#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

struct Sighting {
  KernelFacts facts;
  std::vector<StoryLine> story;
  int status = -1;
  int said = -1;
};

// Runs `act` in a watched child, looking for these calls.
Sighting watched(const std::vector<rf_want>& wants, const Actor::Prepare& prepare,
                 const Actor::Act& act) {
  Sighting result;
  auto group = test_group();
  EXPECT_TRUE(group);
  if (!group) return result;
  auto watch = shared_witness()->watch(id_of(*group));
  EXPECT_TRUE(watch);
  if (!watch) return result;
  Actor actor(group->unified_fd(), 0, prepare, act);
  EXPECT_TRUE(actor.ready()) << actor.trouble();
  EXPECT_TRUE(watch->look_for(wants));
  result.status = actor.finish();
  result.said = actor.said();
  auto facts = watch->facts();
  EXPECT_TRUE(facts);
  if (facts) result.facts = *facts;
  result.story = lines_of(*watch);
  return result;
}

bool nothing() { return true; }

TEST(Traps, ASuccessWithFailedChecksTeachesNoise) {
  RINGFENCE_NEEDS_WITNESS();
  if (!shared_witness()->offers("cap")) GTEST_SKIP() << "needs:cap_capable";
  auto seen = watched({want_call(SYS_mmap), want_call(SYS_clone)}, drop_all, [] {
    (void)mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    waitpid(static_cast<int>(pid), nullptr, 0);
    return 0;
  });
  ASSERT_EQ(seen.facts.calls.size(), 2U);
  const auto unseen = [](const CallSeen& call) { return call.last.cap_last < 0; };
  if (std::all_of(seen.facts.calls.begin(), seen.facts.calls.end(), unseen)) {
    // Inlined into its caller, where neither fexit nor a kprobe meets it.
    GTEST_SKIP() << "host-lacks:cap_capable for what nobody is denied for";
  }
  for (const CallSeen& call : seen.facts.calls) {
    EXPECT_EQ(call.count, 1U);
    EXPECT_EQ(call.denied, 0U);
    // The check did fail: were it not known as noise, the next denial would be put down to it.
    EXPECT_EQ(call.last.cap_last, CAP_SYS_ADMIN);
    EXPECT_TRUE(call.last.cap_last_denied);
  }
  EXPECT_EQ(seen.facts.decisive(), nullptr);

  seen = watched({want_call(SYS_clone)}, drop_all,
                 [] { return errno_of(syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0)); });
  EXPECT_EQ(seen.said, EPERM);
  ASSERT_NE(seen.facts.decisive(), nullptr);
  const auto found = attribute_call(*seen.facts.decisive(), {});
  EXPECT_EQ(found.layer, Layer::kUnattributed);
  EXPECT_THAT(found.why, HasSubstr("succeeded without it"));
}

TEST(Traps, ANewTaskComesOutOfItsParentsClone) {
  RINGFENCE_NEEDS_WITNESS();
  const auto seen = watched(
      {want_call(SYS_fork), want_call(SYS_clone), want_call(SYS_clone3), want_call(SYS_vfork)},
      [] { return put_on(filter_on(SYS_acct, SECCOMP_RET_ERRNO | EPERM)); },
      [] {
        for (int i = 0; i < 4; ++i) {
          clone_args args{};
          args.exit_signal = SIGCHLD;
          const long pid = i == 0   ? syscall(SYS_fork)
                           : i == 1 ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)
                                    : syscall(SYS_clone3, &args, sizeof args);
          if (pid == 0) _exit(0);
          waitpid(static_cast<int>(pid), nullptr, 0);
        }
        std::thread([] {}).join();
        return 0;
      });
  EXPECT_EQ(seen.facts.lost, 0U) << seen.facts.lost_what;
  EXPECT_EQ(seen.facts.decisive(), nullptr) << describe_call(*seen.facts.decisive());
  EXPECT_EQ(seen.facts.calls[0].count, 1U);
  EXPECT_EQ(seen.facts.tasks, 5U);
}

TEST(Traps, TheReturnFromASignalHandlerIsNoResult) {
  RINGFENCE_NEEDS_WITNESS();
  const auto seen = watched({want_call(SYS_rt_sigreturn), want_call(SYS_pause)}, nothing, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    const itimerval soon{.it_interval = {0, 0}, .it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    return errno_of(syscall(SYS_pause));  // EINTR is what rt_sigreturn puts back
  });
  EXPECT_EQ(seen.said, EINTR);
  EXPECT_EQ(seen.facts.calls[0].count, 1U);
  EXPECT_EQ(seen.facts.calls[0].denied, 0U);
  EXPECT_EQ(seen.facts.calls[0].last.ret, 0);
  // Interrupted: neither denied nor allowed.
  EXPECT_EQ(seen.facts.calls[1].count, 1U);
  EXPECT_EQ(seen.facts.calls[1].denied, 0U);
  EXPECT_EQ(seen.facts.calls[1].allowed, 0U);
}

TEST(Traps, APtracerMayHaveChangedAnything) {
  RINGFENCE_NEEDS_WITNESS();
  const auto seen =
      watched({want_call(SYS_mkdir), want_call(SYS_rmdir), want_call(SYS_link)}, nothing, [] {
        const int pid = fork();
        if (pid == 0) {
          put_on(filter_on(SYS_rmdir, SECCOMP_RET_ERRNO | EPERM));
          ptrace(PTRACE_TRACEME, 0, 0, 0);
          raise(SIGSTOP);
          syscall(SYS_mkdir, "/not-there/x", 0700);
          syscall(SYS_rmdir, "/not-there");
          raise(SIGSTOP);
          syscall(SYS_link, "/not-there", "/x");
          _exit(0);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        ptrace(PTRACE_CONT, pid, 0, 0);
        waitpid(pid, &status, 0);
        // From here on call by call; link(2) becomes no call at all.
        for (bool entering = true; !WIFEXITED(status); entering = !entering) {
          if (ptrace(PTRACE_SYSCALL, pid, 0, 0) != 0) break;
          waitpid(pid, &status, 0);
          if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
            entering = !entering;
            continue;
          }
          const long nr =
              ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, orig_rax), nullptr);
          if (nr == SYS_link) {
            ptrace(PTRACE_POKEUSER, pid, offsetof(user_regs_struct, orig_rax), -1L);
          }
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
      });
  EXPECT_EQ(seen.said, 0);
  ASSERT_EQ(seen.facts.calls.size(), 3U);
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(seen.facts.calls[i].denied, 1U);
    const auto found = attribute_call(seen.facts.calls[i].last_denied, {});
    EXPECT_EQ(found.layer, Layer::kUnattributed);
    EXPECT_THAT(found.why, HasSubstr("ptracer"));
  }
  EXPECT_TRUE(seen.facts.calls[1].last_denied.no_enter);
  EXPECT_EQ(seen.facts.calls[2].count, 0U);
}

TEST(Traps, AThreadThatExecutesTakesTheLeadersPlace) {
  RINGFENCE_NEEDS_WITNESS();
  const auto seen = watched({want_call(SYS_execve)}, nothing, [] {
    usleep(30000);  // so that the thread is born at another time than its leader
    std::thread([] {
      const char* args[] = {"true", nullptr};
      execv("/bin/true", const_cast<char**>(args));
    }).join();
    return 1;
  });
  EXPECT_EQ(seen.status, 0);
  EXPECT_EQ(seen.facts.lost, 0U) << seen.facts.lost_what;
  EXPECT_EQ(seen.facts.calls[0].count, 1U);
  EXPECT_EQ(seen.facts.calls[0].allowed, 1U);
}

TEST(Traps, ACallThatBeganBeforeTheWatchIsAFactLost) {
  RINGFENCE_NEEDS_WITNESS();
  auto group = test_group();
  ASSERT_TRUE(group);
  auto watch = shared_witness()->watch(id_of(*group));
  ASSERT_TRUE(watch);
  const rf_want wants[] = {want_call(SYS_read), want_call(SYS_kill)};
  ASSERT_TRUE(watch->look_for(wants));
  Actor actor(-1, 0, nothing, [] { return errno_of(syscall(SYS_kill, 0x7ffffff0, 0)); });
  ASSERT_TRUE(actor.ready());
  usleep(50000);  // it is in read(2) by now
  const UniqueFd procs(openat(group->unified_fd(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  const std::string pid = std::to_string(actor.pid());
  ASSERT_EQ(write(procs.get(), pid.data(), pid.size()), static_cast<ssize_t>(pid.size()));
  EXPECT_EQ(actor.finish(), 0);
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->lost, 1U);
  EXPECT_THAT(facts->lost_what, HasSubstr("without a beginning"));
  EXPECT_EQ(facts->calls[0].count, 0U);
  EXPECT_EQ(facts->calls[1].denied, 1U);  // seen whole
}

TEST(Traps, SigsysCountsOnlyWhenAFilterSentIt) {
  RINGFENCE_NEEDS_WITNESS();
  const auto ignored = [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    return sigaction(SIGSYS, &action, nullptr) == 0;
  };
  auto seen = watched({want_call(SYS_getppid)}, ignored, [] {
    kill(getpid(), SIGSYS);
    return 0;
  });
  EXPECT_EQ(seen.facts.sigsys, 0U);
  // Syscall user dispatch: to the target itself, before any filter.
  seen = watched({want_call(SYS_getppid)}, ignored, [] {
    static volatile char selector = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { selector = 0; };
    sigaction(SIGSYS, &action, nullptr);
    // The C library's own calls may go through: rt_sigreturn among them.
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) != 0) return errno;
    selector = 1;
    syscall(SYS_getppid);
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    return 0;
  });
  EXPECT_EQ(seen.said, 0);
  EXPECT_EQ(seen.facts.sigsys, 0U);
  EXPECT_EQ(seen.facts.calls[0].denied, 0U);
}

// In another trial's group its calls would pass for those of that trial's target.
TEST(Traps, WhoComesFromAnotherTrialIsALossOfBoth) {
  RINGFENCE_NEEDS_WITNESS();
  auto group = test_group();
  ASSERT_TRUE(group);
  const auto to = shared_witness()->watch(id_of(*group));
  ASSERT_TRUE(to) << to.error().describe();
  const rf_want wants[] = {want_call(SYS_getpgid)};
  ASSERT_TRUE(to->look_for(wants));
  const int fd = group->unified_fd();
  const auto from = watched({want_call(SYS_getpgid)}, nothing, [fd] {
    const int procs = openat(fd, "cgroup.procs", O_WRONLY);
    if (write(procs, "0", 1) != 1) return errno;
    return errno_of(syscall(SYS_getpgid, 0x3fffffff));
  });
  ASSERT_EQ(from.said, ESRCH);
  EXPECT_EQ(from.facts.lost, 1U) << from.facts.lost_what;
  const auto facts = to->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->calls[0].count, 1U);
  EXPECT_EQ(facts->lost, 1U);
  EXPECT_THAT(facts->lost_what, HasSubstr("1 tasks that came from another trial's"));
}

// EINPROGRESS: the connection goes on, and here it comes about.
TEST(Traps, AConnectionThatGoesOnIsNeitherDeniedNorAllowed) {
  RINGFENCE_NEEDS_WITNESS();
  Scene::get();
  const auto seen = watched({want_call(SYS_connect)}, nothing, [] {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(Scene::get().tcp_port));
    if (errno_of(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to)) != EINPROGRESS) {
      return EXDEV;
    }
    pollfd connected{.fd = fd, .events = POLLOUT, .revents = 0};
    int err = EXDEV;
    socklen_t size = sizeof err;
    return poll(&connected, 1, 5000) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) == 0
               ? err
               : EXDEV;
  });
  ASSERT_EQ(seen.said, 0) << "it was connected";
  EXPECT_EQ(seen.facts.calls[0].count, 1U);
  EXPECT_EQ(seen.facts.calls[0].denied, 0U);
  EXPECT_EQ(seen.facts.calls[0].allowed, 0U);
  EXPECT_EQ(seen.facts.decisive(), nullptr);
}

// To itself a process may send any siginfo, rt_sigqueueinfo(2): also that of a filter.
TEST(Traps, AForgedSigsysIsNoFilters) {
  RINGFENCE_NEEDS_WITNESS();
  const auto forge = [](long call_nr) {
    siginfo_t info{};
    info.si_signo = SIGSYS;
    info.si_code = 1;  // SYS_SECCOMP
    info.si_syscall = SYS_mount;
    info.si_arch = 0xc000003e;
    return call_nr == SYS_rt_sigqueueinfo
               ? syscall(call_nr, getpid(), SIGSYS, &info)
               : syscall(call_nr, getpid(), syscall(SYS_gettid), SIGSYS, &info);
  };
  for (const long nr : {SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo}) {
    const auto seen = watched({want_call(nr)}, nothing, [&] { return errno_of(forge(nr)); });
    ASSERT_TRUE(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSYS) << seen.said;
    EXPECT_EQ(seen.facts.calls[0].allowed, 1U);
    EXPECT_EQ(seen.facts.lost, 0U) << seen.facts.lost_what;
    EXPECT_EQ(seen.facts.sigsys, 0U);
    EXPECT_FALSE(attribute_sigsys(seen.facts));
    for (const StoryLine& line : seen.story) {
      if (line.kind != RF_EV_SIGNAL) continue;
      EXPECT_EQ(line.text.find("mount"), std::string::npos) << line.text;
    }
  }
}

// Gets SIGUSR1 from a timer of its own, on one CPU with whom this one starts next.
struct Timed {
  Timed() {
    came = static_cast<std::atomic<int>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    static std::atomic<int>* count;
    count = came;
    sched_getaffinity(0, sizeof everywhere, &everywhere);
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof here, &here);
    pid = fork();
    if (pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGUSR1, [](int) { count->fetch_add(1); });
    signal(SIGUSR2, SIG_IGN);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    timer_t timer{};
    const timespec often{.tv_sec = 0, .tv_nsec = 200'000};
    const itimerspec spec{.it_interval = often, .it_value = often};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) _exit(1);
    if (timer_settime(timer, 0, &spec, nullptr) != 0) _exit(1);
    while (true) pause();
  }
  ~Timed() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    sched_setaffinity(0, sizeof everywhere, &everywhere);
    munmap(came, 4096);
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

  std::atomic<int>* came;
  pid_t pid = -1;
  cpu_set_t everywhere{};
};

// A timer's signal comes in an interrupt of whoever runs just then; the watched task did not send
// it.
TEST(Traps, ATimerOfSomebodyElseIsNotItsSignal) {
  RINGFENCE_NEEDS_WITNESS();
  const Timed timed;
  const auto seen = watched({want_call(SYS_kill)}, nothing, [&] {
    const int until = *timed.came + 50;
    // No call, which would fill the story.
    for (uint64_t spins = 0; *timed.came < until && spins < 1ULL << 34; ++spins) {
    }
    return *timed.came < until ? ETIME : errno_of(kill(timed.pid, SIGUSR2));
  });
  ASSERT_EQ(seen.said, 0);
  int of_timer = 0, sent = 0;
  for (const StoryLine& line : seen.story) {
    if (line.kind != RF_EV_SIGNAL) continue;
    of_timer += line.number == SIGUSR1 ? 1 : 0;
    sent += line.number == SIGUSR2 ? 1 : 0;
  }
  EXPECT_EQ(of_timer, 0);
  EXPECT_EQ(sent, 1);
}

TEST(Traps, AGateWithUserDispatchOnIsNotTheFilterForSure) {
  RINGFENCE_NEEDS_WITNESS();
  const auto seen = watched({want_call(SYS_getppid)}, nothing, [] {
    static volatile char selector = 0;
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) != 0) return errno;
    if (!put_on(filter_on(SYS_getppid, SECCOMP_RET_ERRNO | EPERM))) return errno;
    return errno_of(syscall(SYS_getppid));
  });
  EXPECT_EQ(seen.said, EPERM);
  ASSERT_NE(seen.facts.decisive(), nullptr);
  EXPECT_THAT(attribute_call(*seen.facts.decisive(), {}).why, HasSubstr("user dispatch"));
}

sigjmp_buf g_back;

TEST(Traps, AVsyscallIsNoSyscall) {
  RINGFENCE_NEEDS_WITNESS();
  if (!shared_witness()->offers("vsyscall")) GTEST_SKIP() << "needs:emulate_vsyscall";
  const auto seen = watched({want_call(SYS_time)}, nothing, [] {
    struct sigaction action {};
    action.sa_handler = [](int) { siglongjmp(g_back, 1); };
    sigaction(SIGSEGV, &action, nullptr);
    if (sigsetjmp(g_back, 1) != 0) return ENOSYS;
    using Time = long (*)(long*);
    return reinterpret_cast<Time>(0xffffffffff600400)(nullptr) > 0 ? 0 : EINVAL;
  });
  if (seen.said == ENOSYS) GTEST_SKIP() << "host-lacks:vsyscall";
  EXPECT_EQ(seen.said, 0);
  EXPECT_EQ(seen.facts.calls[0].count, 0U);
  EXPECT_EQ(seen.facts.lost, 0U);
  EXPECT_TRUE(std::any_of(seen.story.begin(), seen.story.end(),
                          [](const StoryLine& line) { return line.text == "vsyscall 1"; }));
}

}  // namespace
}  // namespace ringfence

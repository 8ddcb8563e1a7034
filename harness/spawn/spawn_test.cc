#include "harness/spawn/spawn.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <set>
#include <thread>

#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Spawn, NothingConfined) {
  const Ran ran = run(open_policy(), "echo hello");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_EQ(ran.end, "exit 0");
}

TEST(Spawn, EverythingAtOnce) {
  const Ran ran =
      run(strict_policy(), "id; hostname; mkdir x; echo $$; pwd; ulimit -n; cat /proc/self/status");
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, StartsWith("uid=1000 gid=1000 groups=1000,7,8\nfenced\n"
                                  "mkdir: cannot create directory 'x': Protocol error\n"
                                  "1\n/tmp\n256\n"));
  for (const char* line :
       {"Umask:\t0027", "Seccomp:\t2", "NoNewPrivs:\t1", "NSsid:\t1", "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"}) {
    EXPECT_THAT(ran.out, HasSubstr(line));
  }
  EXPECT_EQ(ran.end, "exit 0");
}

// The harness's own descriptors of a spawn are low numbers here, and must not be taken for those
// that the target gets at the same numbers (something to read on 3 is no sign that the parent is
// gone).
TEST(Spawn, EveryNumberGiven) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  ASSERT_EQ(write(out.get(), "x", 1), 1);
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "exit 7"};
  for (int number = 0; number < 16; ++number) request.fds.emplace_back(number, in.get());
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  const auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 7");
}

TEST(Spawn, ArgumentsAndEnvironmentAreExactlyThoseGiven) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  const Ran ran =
      run(*plan, "env -0 | tr '\\0' '\\n' | sort | grep -v '^\\(_\\|PWD\\|SHLVL\\|OLDPWD\\)='");
  EXPECT_EQ(ran.out, "PATH=/usr/bin:/bin\n");
}

TEST(Spawn, ByDescriptorWithoutAPath) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  const UniqueFd exe(open("/bin/false", O_PATH | O_CLOEXEC));
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_fd = exe.get();
  request.args = {"false"};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  EXPECT_EQ(child->wait()->value().describe(), "exit 1");
}

TEST(Spawn, SearchesThePathOfTheTargetsEnvironment) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "false";
  request.args = {"false"};
  request.env = {"PATH=/nowhere:/etc/passwd:/usr/bin"};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  EXPECT_EQ(child->wait()->value().describe(), "exit 1");
  request.env = {"PATH=/nowhere"};
  SpawnFailure failure;
  auto missing = spawn(request, &failure);
  ASSERT_FALSE(missing);
  EXPECT_EQ(failure.key, "exec");
  EXPECT_EQ(failure.err, ENOENT);
}

TEST(Spawn, AFilterThatKillsExecIsAnErrorAndNoTarget) {
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"execve", "execveat"}, SeccompAction::kill_process, {}, {}}};
  const Ran ran = run(policy, "echo alive");
  EXPECT_THAT(ran.error, HasSubstr("ended within exec"));
  EXPECT_THAT(ran.error, HasSubstr("SIGSYS"));
  policy.seccomp->rules[0].action = SeccompAction::errno_;
  EXPECT_THAT(run(policy, "echo alive").error, HasSubstr("step exec: execve"));
}

TEST(Spawn, GivenDescriptorsMayCollideWithTheirNumbers) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  int a[2];
  int b[2];
  ASSERT_EQ(pipe2(a, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(b, O_CLOEXEC), 0);
  const UniqueFd a_in(a[0]), b_in(b[0]);
  UniqueFd a_out(a[1]), b_out(b[1]);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  const std::string to_b = std::to_string(b_out.get());
  ASSERT_LT(b_out.get(), 16);
  // Crosswise: the number of one is where the other goes.
  request.args = {"sh", "-c", "echo a >&" + to_b + "; echo b >&" + std::to_string(a_out.get())};
  request.fds = {{b_out.get(), a_out.get()}, {a_out.get(), b_out.get()}};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  a_out.reset();
  b_out.reset();
  char buffer[8] = {};
  EXPECT_EQ(read(a_in.get(), buffer, sizeof buffer), 2);
  EXPECT_STREQ(buffer, "a\n");
  EXPECT_EQ(read(b_in.get(), buffer, sizeof buffer), 2);
  EXPECT_STREQ(buffer, "b\n");
}

TEST(Spawn, ATargetStartsWithDefaultSignals) {
  auto* before = std::signal(SIGPIPE, SIG_IGN);
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  const Waiting waiting = wait_under(*plan);
  std::signal(SIGPIPE, before);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(waiting.status("SigIgn"), "0000000000000000");
  EXPECT_EQ(waiting.status("SigBlk"), "0000000000000000");
}

TEST(Spawn, TargetsEndWithTheirHandle) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  int pid = 0;
  {
    const Waiting waiting = wait_under(*plan);
    ASSERT_EQ(waiting.error, "");
    pid = waiting.child->pid();
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_TRUE(childless());
}

TEST(Spawn, TargetsEndWithTheSpawner) {
  auto plan = compile(strict_policy());  // changes ids, which clears the signal of prctl(2)
  ASSERT_TRUE(plan);
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  const pid_t spawner = fork();
  if (spawner == 0) {
    SpawnRequest request;
    request.plan = &*plan;
    request.exe_path = "/bin/sleep";
    request.args = {"sleep", "1000"};
    request.fds = {{1, out.get()}};
    auto child = spawn(request);
    if (child) raise(SIGKILL);  // no destructor
    _exit(1);
  }
  out.reset();
  int status = 0;
  ASSERT_EQ(waitpid(spawner, &status, 0), spawner);
  EXPECT_TRUE(WIFSIGNALED(status));
  // The target's copy of the pipe goes with it.
  pollfd over{in.get(), POLLIN, 0};
  EXPECT_EQ(poll(&over, 1, 10000), 1);
}

TEST(Spawn, AThousandLeaveNoDescriptorAndNoChild) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/true";
  request.args = {"true"};
  const size_t before = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    auto child = spawn(request);
    ASSERT_TRUE(child) << child.error().describe();
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_TRUE(childless());
}

TEST(Spawn, ManyThreadsShareOnePlan) {
  auto plan = compile(strict_policy());
  ASSERT_TRUE(plan);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        if (run(*plan, "exit 7").end == "exit 7") ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 20);
}

TEST(Spawn, AUserWithoutPrivilegesCanUseAUserNamespace) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (setgroups(0, nullptr) != 0 || setresgid(4242, 4242, 4242) != 0 ||
        setresuid(4242, 4242, 4242) != 0) {
      _exit(2);
    }
    prctl(PR_SET_DUMPABLE, 1);
    Policy policy = strict_policy();
    policy.uid_mappings = policy.gid_mappings = {{0, 4242, 1}};
    policy.user = User{};
    policy.oom_score_adj.reset();
    const Ran ran = run(policy, "id -u; exit 7");
    if (ran.end != "exit 7") std::fprintf(stderr, "%s\n", ran.error.c_str());
    _exit(ran.end == "exit 7" && ran.out == "0\n" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (WEXITSTATUS(status) == 1 &&
      read_file("/proc/sys/user/max_user_namespaces").value_or("0\n") == "0\n") {
    GTEST_SKIP() << "needs:userns";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// The policy says "no supplementary groups"; who cannot have it so is told.
TEST(Plan, GroupsThatStayAreNoted) {
  Policy policy = strict_policy();
  policy.user = User{};
  const auto notes_with = [&](const std::vector<gid_t>& groups) {
    const pid_t pid = fork();
    if (pid == 0) {
      if (setgroups(groups.size(), groups.data()) != 0 || setresgid(4242, 4242, 4242) != 0 ||
          setresuid(4242, 4242, 4242) != 0) {
        _exit(99);
      }
      policy.uid_mappings = policy.gid_mappings = {{0, 4242, 1}};
      auto plan = compile(policy);
      if (!plan) _exit(98);
      _exit(static_cast<int>(
          std::count_if(plan->notes.begin(), plan->notes.end(), [](const std::string& note) {
            return note.find("supplementary groups stay") != std::string::npos;
          })));
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(notes_with({4243}), 1);
  EXPECT_EQ(notes_with({}), 0);
  auto plan = compile(policy);  // as root they go
  ASSERT_TRUE(plan);
  EXPECT_NE(plan->find("dac.groups"), nullptr);
}

TEST(Spawn, RefusesWhatItCannotMean) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  SpawnRequest request;
  EXPECT_FALSE(spawn(request));
  request.plan = &*plan;
  EXPECT_FALSE(spawn(request));
  request.exe_path = "/bin/true";
  request.fds = {{16, 0}};
  EXPECT_FALSE(spawn(request));
  request.fds.clear();
  plan->controllers = {"pids"};
  auto without_group = spawn(request);
  ASSERT_FALSE(without_group);
  EXPECT_EQ(without_group.error().kind, Error::Kind::usage);
}

TEST(Plan, PrintsALineForEachStep) {
  auto plan = compile(strict_policy());
  ASSERT_TRUE(plan);
  const std::string text = print_plan(*plan, false);
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), plan->steps.size());
  EXPECT_THAT(text, HasSubstr("mount.mask:/proc/keys"));
  const std::string calls = print_plan(*plan, true);
  EXPECT_THAT(calls, HasSubstr("pivot_root(\".\", \".\")"));
  EXPECT_THAT(calls, HasSubstr("setresuid(1000, 1000, 1000)"));
}

TEST(Plan, KeysAreUnique) {
  auto plan = compile(strict_policy());
  ASSERT_TRUE(plan);
  std::set<std::string> keys;
  for (const Step& step : plan->steps) EXPECT_TRUE(keys.insert(step.key).second) << step.key;
}

}  // namespace
}  // namespace ringfence

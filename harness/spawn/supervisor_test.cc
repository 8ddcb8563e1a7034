// Notified calls: what the target gets for them, and what came of them outside.
#include "harness/spawn/supervisor.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <nlohmann/json.hpp>

#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using How = NotifyAnswer::How;

const std::vector<std::string> kMkdir = {"mkdir", "mkdirat"};

Policy notified(const std::vector<std::string>& calls, How how, int64_t value = 0) {
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{calls, SeccompAction::notify, {}, {}}};
  policy.seccomp->answers = {{calls, how, value}};
  return policy;
}

// A directory for the target to make; gone at the end.
struct Place {
  std::string path = fmt::format("/dev/shm/ringfence-notify-{}", getpid());
  Place() { rmdir(path.c_str()); }
  ~Place() { rmdir(path.c_str()); }
  [[nodiscard]] bool made() const {
    struct stat status {};
    return stat(path.c_str(), &status) == 0;
  }
};

TEST(Supervisor, Refuses) {
  const Place place;
  const Ran ran = run(notified(kMkdir, How::refuse, EXDEV), "mkdir " + place.path);
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, HasSubstr("Invalid cross-device link"));
  EXPECT_FALSE(place.made());
}

TEST(Supervisor, LetsGoOn) {
  const Place place;
  EXPECT_EQ(run(notified(kMkdir, How::proceed), "mkdir " + place.path).end, "exit 0");
  EXPECT_TRUE(place.made());
}

TEST(Supervisor, Pretends) {
  const Place place;
  EXPECT_EQ(run(notified(kMkdir, How::pretend, 0), "mkdir " + place.path).end, "exit 0");
  EXPECT_FALSE(place.made());
}

// Each answer is counted, from many processes at once as well.
TEST(Supervisor, AnswersManyAtOnce) {
  auto plan = compile(notified(kMkdir, How::refuse, EXDEV));
  ASSERT_TRUE(plan);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "for i in 1 2 3 4 5 6 7 8; do mkdir /not-made & done 2>&-; wait"};
  request.env = {"PATH=/usr/bin:/bin"};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  auto end = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 0");
  EXPECT_EQ(child->answered(), 8U);
}

// What the child calls between the filter and its program is asked as well.
TEST(Supervisor, AnswersForTheStart) {
  const Ran let = run(notified({"execve", "execveat"}, How::proceed), "echo alive");
  EXPECT_EQ(let.out, "alive\n") << let.error;
  const Ran refused = run(notified({"execve", "execveat"}, How::refuse, EXDEV), "echo alive");
  EXPECT_THAT(refused.error, HasSubstr("EXDEV"));
  EXPECT_TRUE(childless());
}

// The child cannot wait by a call where the filter ends it for that, or asks.
TEST(Supervisor, TakesTheListenerOfWhoCannotWait) {
  for (const SeccompAction action : {SeccompAction::kill_process, SeccompAction::notify}) {
    const Place place;
    Policy policy = notified(kMkdir, How::refuse, EXDEV);
    policy.seccomp->rules.push_back({{"futex"}, action, {}, {}});
    policy.seccomp->answers.push_back({{"futex"}, How::refuse, EXDEV});
    EXPECT_THAT(run(policy, "mkdir " + place.path).out, HasSubstr("Invalid cross-device link"));
  }
}

TEST(Supervisor, EveryWayIn) {
  const Place place;
  Policy policy = notified(kMkdir, How::refuse, EXDEV);
  policy.namespaces = {{Ns::pid, ""}, {Ns::mnt, ""}, {Ns::time, ""}};
  for (const Entry entry : {Entry::clone, Entry::unshare}) {
    CompileOptions options;
    options.entry = entry;
    auto plan = compile(policy, options);
    ASSERT_TRUE(plan);
    const Ran ran = run(*plan, "mkdir " + place.path);
    EXPECT_THAT(ran.out, HasSubstr("Invalid cross-device link")) << ran.error;
  }
}

// Without a privilege outside: the listener is of a child in its own user namespace.
TEST(Supervisor, WithoutPrivilege) {
  Policy policy = notified(kMkdir, How::refuse, EXDEV);
  policy.namespaces = {{Ns::user, ""}};
  policy.uid_mappings = {{0, 4242, 1}};
  policy.gid_mappings = {{0, 4242, 1}};
  const pid_t pid = fork();
  if (pid == 0) {
    if (setgroups(0, nullptr) != 0 || setresgid(4242, 4242, 4242) != 0 ||
        setresuid(4242, 4242, 4242) != 0) {
      _exit(77);
    }
    prctl(PR_SET_DUMPABLE, 1);
    const Ran ran = run(policy, "mkdir /not-made");
    if (ran.out.find("Invalid cross-device link") != std::string::npos) _exit(0);
    std::fprintf(stderr, "%s%s\n", ran.out.c_str(), ran.error.c_str());
    _exit(ran.error.find("clone3") != std::string::npos ? 77 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "host-lacks:userns";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A filter below that asks already: the kernel has one listener for a task, and says so.
TEST(Supervisor, OneListenerIsAll) {
  auto plan = compile(notified({"uname"}, How::proceed));
  ASSERT_TRUE(plan);
  const pid_t pid = fork();
  if (pid == 0) {
    sock_filter code[] = {{0x06, 0, 0, SECCOMP_RET_ALLOW}};
    sock_fprog program{1, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) <
        0) {
      _exit(2);
    }
    const std::string error = run(*plan, "echo alive").error;
    _exit(error.find("step seccomp: seccomp") != std::string::npos &&
                  error.find("EBUSY") != std::string::npos
              ? 0
              : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Supervisor, LeavesNothing) {
  const size_t before = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run(notified({"uname"}, How::proceed), "uname >/dev/null").end, "exit 0");
    run(notified({"execve"}, How::refuse, EXDEV), "uname");
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_TRUE(childless());
}

// ---- listenerPath ------------------------------------------------------------------------------
struct Agent {
  std::string path = fmt::format("/tmp/ringfence-agent-{}", getpid());
  UniqueFd socket;
  Agent() {
    unlink(path.c_str());
    socket = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(&address.sun_path[0], path.size());
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(socket.get(), 1), 0);
  }
  ~Agent() { unlink(path.c_str()); }
  // What the runtime sends: its words, and the listener.
  [[nodiscard]] std::pair<nlohmann::json, UniqueFd> receive() const {
    const UniqueFd from(accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string text;
    UniqueFd listener;
    for (;;) {
      char buffer[4096];
      iovec data{buffer, sizeof buffer};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
      msghdr message{};
      message.msg_iov = &data;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t n = recvmsg(from.get(), &message, MSG_CMSG_CLOEXEC);
      if (n <= 0) break;
      text.append(buffer, static_cast<size_t>(n));
      for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        listener = UniqueFd(fd);
      }
    }
    return {nlohmann::json::parse(text, nullptr, false), std::move(listener)};
  }
};

Policy answered_by(const Agent& agent, const std::vector<std::string>& calls) {
  Policy policy = notified(calls, How::proceed);
  policy.seccomp->answers.clear();
  policy.seccomp->listener_path = agent.path;
  return policy;
}

TEST(Supervisor, HandsTheListenerToASocket) {
  const Place place;
  const Agent agent;
  Policy policy = answered_by(agent, kMkdir);
  policy.seccomp->listener_metadata = "who asks";
  policy.annotations["a"] = "b";
  std::pair<nlohmann::json, UniqueFd> got;
  uint64_t asked = 0;
  std::thread answers([&] {
    got = agent.receive();
    for (;;) {
      pollfd event{got.second.get(), POLLIN, 0};
      if (poll(&event, 1, 20'000) != 1 || (event.revents & POLLIN) == 0) break;
      seccomp_notif request{};
      seccomp_notif_resp response{};
      if (ioctl(got.second.get(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) continue;
      response.id = request.id;
      response.error = -EXDEV;
      ++asked;
      ioctl(got.second.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
  });
  const Ran ran = run(policy, "mkdir " + place.path);
  answers.join();
  EXPECT_THAT(ran.out, HasSubstr("Invalid cross-device link")) << ran.error;
  EXPECT_EQ(asked, 1U);
  EXPECT_FALSE(place.made());
  const nlohmann::json& state = got.first;
  EXPECT_EQ(state["fds"], nlohmann::json({"seccompFd"}));
  EXPECT_EQ(state["metadata"], "who asks");
  EXPECT_EQ(state["ociVersion"], policy.oci_version);
  EXPECT_GT(state["pid"], 0);
  EXPECT_EQ(state["state"]["pid"], state["pid"]);
  EXPECT_EQ(state["state"]["status"], "creating");
  EXPECT_EQ(state["state"]["annotations"]["a"], "b");
}

// Nothing goes through because nobody answers.
TEST(Supervisor, AnAgentThatWentAwayRefuses) {
  const Place place;
  const Agent agent;
  Policy policy = answered_by(agent, kMkdir);
  std::thread takes([&] { (void)agent.receive(); });
  const Ran ran = run(policy, "mkdir " + place.path);
  takes.join();
  EXPECT_THAT(ran.out, HasSubstr("not implemented")) << ran.error;
  EXPECT_FALSE(place.made());
}

// Before the program has started, when the spawner can only wait.
TEST(Supervisor, AnAgentThatWentAwayLetsNothingStart) {
  const Agent agent;
  Policy policy = answered_by(agent, {"execve", "execveat"});
  std::thread takes([&] { (void)agent.receive(); });
  const std::string error = run(policy, "echo alive").error;
  takes.join();
  EXPECT_THAT(error, HasSubstr("ENOSYS"));
  EXPECT_TRUE(childless());
  // ... which takes that the child can let go of the listener.
  policy.seccomp->rules.push_back({{"close"}, SeccompAction::errno_, {}, {}});
  EXPECT_THAT(run(policy, "echo alive").error, HasSubstr("must allow close"));
}

TEST(Supervisor, NoSocketNoTarget) {
  Policy policy = notified(kMkdir, How::proceed);
  policy.seccomp->answers.clear();
  policy.seccomp->listener_path = "/not/there";
  const std::string error = run(policy, "echo alive").error;
  EXPECT_THAT(error, HasSubstr("/linux/seccomp/listenerPath"));
  EXPECT_THAT(error, HasSubstr("ENOENT"));
  EXPECT_TRUE(childless());
}

// Nobody to answer at all is refused before anything is made.
TEST(Supervisor, NobodyToAnswer) {
  Policy policy = notified(kMkdir, How::proceed);
  policy.seccomp->answers.clear();
  auto plan = compile(policy);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, Error::Kind::usage);
}

}  // namespace
}  // namespace ringfence

#include "harness/confine/namespace_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace ringfence {
namespace {

// A process that has done `enter` and stays until it is destroyed. `enter` may fork deeper: the
// pid that it gives is the one to look at, in its own innermost pid namespace's parent's numbers.
class Stays {
 public:
  explicit Stays(uint64_t flags) {
    std::array<int, 2> ready{};
    EXPECT_EQ(pipe2(ready.data(), O_CLOEXEC), 0);
    pid_ = static_cast<pid_t>(syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, 0));
    if (pid_ == 0) {
      (void)!write(ready[1], "r", 1);
      for (;;) pause();
    }
    char byte = 0;
    if (pid_ > 0) {
      EXPECT_EQ(read(ready[0], &byte, 1), 1);
    }
    close(ready[0]);
    close(ready[1]);
  }
  Stays(const Stays&) = delete;
  Stays& operator=(const Stays&) = delete;
  ~Stays() { end(); }
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] int pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(NamespaceFd, SaysItsKind) {
  for (const Ns ns : kAllNs) {
    auto own = NamespaceFd::of_process(0, ns);
    ASSERT_TRUE(own) << own.error().describe();
    auto kind = own->kind();
    ASSERT_TRUE(kind) << kind.error().describe();
    EXPECT_EQ(*kind, ns) << ns_name(ns);
  }
}

TEST(NamespaceFd, ParentOwnerAndDepth) {
  const Stays inside(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWUTS);
  if (inside.pid() < 0) GTEST_SKIP() << "needs:userns";
  const auto own_user = NamespaceFd::of_process(0, Ns::user);
  const auto own_pid = NamespaceFd::of_process(0, Ns::pid);
  const auto user = NamespaceFd::of_process(inside.pid(), Ns::user);
  const auto pid = NamespaceFd::of_process(inside.pid(), Ns::pid);
  const auto uts = NamespaceFd::of_process(inside.pid(), Ns::uts);
  ASSERT_TRUE(own_user && own_pid && user && pid && uts);
  EXPECT_FALSE(*user->same_as(*own_user));
  for (const auto* ns : {&*pid, &*uts}) {
    auto owner = ns->owner();
    ASSERT_TRUE(owner) << owner.error().describe();
    ASSERT_TRUE(*owner);
    EXPECT_TRUE(*(*owner)->same_as(*user));
  }
  auto parent = pid->parent();
  ASSERT_TRUE(parent && *parent);
  EXPECT_TRUE(*(*parent)->same_as(*own_pid));
  EXPECT_EQ(*user->depth_below(*own_user), 1);
  EXPECT_EQ(*pid->depth_below(*own_pid), 1);
  EXPECT_EQ(*pid->depth_below(*pid), 0);
  EXPECT_EQ(*own_pid->depth_below(*pid), std::nullopt);
  EXPECT_EQ(*user->owner_uid(), geteuid());
  // Only pid and user namespaces lie in one another.
  EXPECT_EQ(uts->parent().error().err, EINVAL);
}

TEST(NamespaceFd, OfAPidfdAndOfOneThatHasEnded) {
  Stays inside(CLONE_NEWUSER | CLONE_NEWUTS);
  if (inside.pid() < 0) GTEST_SKIP() << "needs:userns";
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, inside.pid(), 0)));
  auto uts = NamespaceFd::of_pidfd(pidfd.get(), Ns::uts);
  ASSERT_TRUE(uts) << uts.error().describe();
  EXPECT_TRUE(*uts->same_as(*NamespaceFd::of_process(inside.pid(), Ns::uts)));
  const std::string path = "/proc/" + std::to_string(inside.pid()) + "/ns/uts";
  EXPECT_TRUE(*uts->same_as(*NamespaceFd::at_path(path)));
  inside.end();
  EXPECT_EQ(NamespaceFd::of_pidfd(pidfd.get(), Ns::uts).error().err, ESRCH);
  EXPECT_EQ(*uts->kind(), Ns::uts);  // held, whoever is in it
  EXPECT_EQ(NamespaceFd::at_path("/proc/self/status").error().kind, Error::Kind::usage);
}

}  // namespace
}  // namespace ringfence

// Each thing that is seen in /proc, against a real process in which it is there, and one in which
// it is not.
#include "harness/runner/sight.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <vector>

#include "harness/base/file.h"
#include "harness/runner/test_world.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

// A child that has done `set_up` and waits; killed and reaped at the end.
class Waiter {
 public:
  explicit Waiter(const std::function<bool()>& set_up) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      // Far from the numbers that the tests look at.
      const int out = fcntl(ends[1], F_DUPFD_CLOEXEC, 200);
      close(ends[0]);
      close(ends[1]);
      const char byte = set_up() ? 'y' : 'n';
      (void)!write(out, &byte, 1);
      for (;;) pause();
    }
    close(ends[1]);
    char byte = 0;
    ready_ = read(ends[0], &byte, 1) == 1 && byte == 'y';
    close(ends[0]);
  }
  ~Waiter() { end(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] Seen sees(Sight sight, std::string arg = {}, int64_t value = 0) const {
    Inspection at;
    at.pid = pid_;
    auto seen = look_at_process({sight, std::move(arg), value}, at);
    Seen out;
    if (seen) out = std::move(*seen);
    return out;
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

const std::function<bool()> kNothing = [] { return true; };
bool is_root() { return geteuid() == 0; }

// A directory of the test's own, gone at its end.
class Scratch {
 public:
  Scratch() { path_ = mkdtemp(name_.data()) != nullptr ? name_.data() : ""; }
  ~Scratch() {
    (void)unlink((path_ + "/marker").c_str());
    (void)rmdir(path_.c_str());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string marker() const {
    close(open((path_ + "/marker").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    return path_ + "/marker";
  }

 private:
  std::array<char, 32> name_{"/tmp/ringfence-sight-XXXXXX"};
  std::string path_;
};

#define EXPECT_SEEN(waiter, ...)                   \
  do {                                             \
    const Seen seen_ = (waiter).sees(__VA_ARGS__); \
    EXPECT_TRUE(seen_.yes) << seen_.says;          \
    EXPECT_FALSE(seen_.says.empty());              \
    EXPECT_EQ(seen_.witness, "proc");              \
  } while (false)
#define EXPECT_UNSEEN(waiter, ...)                 \
  do {                                             \
    const Seen seen_ = (waiter).sees(__VA_ARGS__); \
    EXPECT_FALSE(seen_.yes) << seen_.says;         \
    EXPECT_FALSE(seen_.says.empty());              \
    EXPECT_EQ(seen_.witness, "proc");              \
  } while (false)

TEST(Sights, Identity) {
  if (!is_root()) GTEST_SKIP() << "needs root";
  const Waiter other([] {
    const std::array<gid_t, 2> groups = {7777, 8888};
    return setgroups(groups.size(), groups.data()) == 0 && setresgid(1234, 1234, 1234) == 0 &&
           setresuid(1000, 1000, 1000) == 0;
  });
  const Waiter same(kNothing);
  ASSERT_TRUE(other.ready() && same.ready());
  EXPECT_SEEN(other, Sight::uid_is, "", 1000);
  EXPECT_UNSEEN(same, Sight::uid_is, "", 1000);
  EXPECT_SEEN(same, Sight::uid_is, "", 0);
  EXPECT_SEEN(other, Sight::gid_is, "", 1234);
  EXPECT_UNSEEN(same, Sight::gid_is, "", 1234);
  EXPECT_SEEN(other, Sight::in_group, "", 7777);
  EXPECT_SEEN(other, Sight::in_group, "", 8888);
  EXPECT_UNSEEN(other, Sight::in_group, "", 777);
  EXPECT_UNSEEN(same, Sight::in_group, "", 7777);
}

TEST(Sights, EffectiveUidAndNotTheReal) {
  if (!is_root()) GTEST_SKIP() << "needs root";
  const Waiter mixed([] { return setresuid(0, 1000, 0) == 0; });
  ASSERT_TRUE(mixed.ready());
  EXPECT_SEEN(mixed, Sight::uid_is, "", 1000);
}

TEST(Sights, Capabilities) {
  if ((effective_caps(0) >> CAP_SYS_CHROOT & 1) == 0) GTEST_SKIP() << "needs CAP_SYS_CHROOT";
  const Waiter with(kNothing);
  const Waiter without([] {
    if (prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT) != 0) return false;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    if (syscall(SYS_capget, &header, data.data()) != 0) return false;
    data[0].effective &= ~(1U << CAP_SYS_CHROOT);
    return syscall(SYS_capset, &header, data.data()) == 0;
  });
  ASSERT_TRUE(with.ready() && without.ready());
  EXPECT_SEEN(with, Sight::cap_effective, "SYS_CHROOT");
  EXPECT_UNSEEN(without, Sight::cap_effective, "SYS_CHROOT");
  EXPECT_SEEN(without, Sight::cap_missing, "SYS_CHROOT");
  EXPECT_UNSEEN(with, Sight::cap_missing, "SYS_CHROOT");
  EXPECT_SEEN(without, Sight::bounding_lacks, "SYS_CHROOT");
  EXPECT_UNSEEN(with, Sight::bounding_lacks, "SYS_CHROOT");
  EXPECT_EQ(effective_caps(without.pid()), effective_caps(0) & ~(uint64_t{1} << CAP_SYS_CHROOT));
}

TEST(Sights, ExecutableDirectoryAndRoot) {
  const Scratch scratch;
  ASSERT_NE(scratch.marker(), "");
  const Waiter here([&] { return chdir(scratch.path().c_str()) == 0; });
  ASSERT_TRUE(here.ready());
  EXPECT_SEEN(here, Sight::cwd_is, scratch.path());
  EXPECT_SEEN(here, Sight::cwd_is, "/tmp/ringfence-*");
  EXPECT_UNSEEN(here, Sight::cwd_is, "/somewhere/else");
  EXPECT_SEEN(here, Sight::exe_is, "*/ringfence_runner_test");
  EXPECT_UNSEEN(here, Sight::exe_is, "*/inmate*");
  EXPECT_UNSEEN(here, Sight::root_differs);
  EXPECT_UNSEEN(here, Sight::file_inside, "/marker");
  const Waiter elsewhere([&] { return chroot(scratch.path().c_str()) == 0; });
  if (!elsewhere.ready()) GTEST_SKIP() << "needs chroot";
  EXPECT_SEEN(elsewhere, Sight::root_differs);
  EXPECT_SEEN(elsewhere, Sight::file_inside, "/marker");
  EXPECT_UNSEEN(elsewhere, Sight::file_inside, "/other");
}

TEST(Sights, OpenFiles) {
  const Scratch scratch;
  const std::string path = scratch.marker();
  const Waiter reads([&] { return open(path.c_str(), O_RDONLY) >= 0; });
  const Waiter writes([&] { return open(path.c_str(), O_RDWR) >= 0; });
  const Waiter none(kNothing);
  ASSERT_TRUE(reads.ready() && writes.ready() && none.ready());
  EXPECT_SEEN(reads, Sight::holds_file, path);
  EXPECT_SEEN(reads, Sight::holds_file, "*/marker");
  EXPECT_UNSEEN(reads, Sight::holds_file, path, 1);
  EXPECT_SEEN(writes, Sight::holds_file, path, 1);
  EXPECT_UNSEEN(none, Sight::holds_file, path);

  const Waiter proc([] { return open("/proc/self/status", O_RDONLY) >= 0; });
  ASSERT_TRUE(proc.ready());
  EXPECT_SEEN(proc, Sight::holds_proc_file, "/proc/*/status");
  EXPECT_UNSEEN(proc, Sight::holds_proc_file, "/proc/*/mem");
  EXPECT_UNSEEN(proc, Sight::holds_proc_file, "/proc/*/status", 1);
  // What only looks like procfs is none.
  EXPECT_UNSEEN(reads, Sight::holds_proc_file, path);
}

TEST(Sights, Devices) {
  const Waiter zero([] { return open("/dev/zero", O_RDONLY) >= 0; });
  ASSERT_TRUE(zero.ready());
  EXPECT_SEEN(zero, Sight::holds_device, "", static_cast<int64_t>(makedev(1, 5)));
  EXPECT_UNSEEN(zero, Sight::holds_device, "", static_cast<int64_t>(makedev(1, 7)));
}

TEST(Sights, Sockets) {
  const auto open_at = [](int number) {
    return [number] {
      const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
      const bool moved = dup2(fd, number) == number;
      if (fd != number) close(fd);
      return moved;
    };
  };
  const Waiter holds(open_at(50));
  ASSERT_TRUE(holds.ready());
  EXPECT_SEEN(holds, Sight::holds_socket, "", AF_UNIX);
  EXPECT_UNSEEN(holds, Sight::holds_socket, "", AF_INET);
  // Descriptor 3 is where every inmate answers.
  const Waiter answers([&] {
    for (int fd = 3; fd < 60; ++fd) close(fd);
    return open_at(3)();
  });
  ASSERT_TRUE(answers.ready());
  EXPECT_UNSEEN(answers, Sight::holds_socket, "", AF_UNIX);
}

TEST(Sights, Namespaces) {
  const Waiter same(kNothing);
  ASSERT_TRUE(same.ready());
  EXPECT_UNSEEN(same, Sight::ns_differs, "uts");
  EXPECT_UNSEEN(same, Sight::ns_unplanned, "user");
  EXPECT_UNSEEN(same, Sight::ns_differs, "no such kind");
  const Waiter user([] { return unshare(CLONE_NEWUSER) == 0; });
  if (!user.ready()) GTEST_SKIP() << "needs user namespaces";
  EXPECT_SEEN(user, Sight::ns_differs, "user");
  EXPECT_SEEN(user, Sight::ns_unplanned, "user");
  Inspection planned;
  planned.pid = user.pid();
  planned.planned_userns = true;
  const Goal goal{Sight::ns_unplanned, "user", 0};
  EXPECT_FALSE(look_at_process(goal, planned)->yes);
  const Waiter deeper([] {
    const std::string map = "0 " + std::to_string(geteuid()) + " 1";
    const std::string gids = "0 " + std::to_string(getegid()) + " 1";
    return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", map) && write_file("/proc/self/gid_map", gids) &&
           unshare(CLONE_NEWUSER) == 0;
  });
  ASSERT_TRUE(deeper.ready());
  planned.pid = deeper.pid();
  EXPECT_TRUE(look_at_process(goal, planned)->yes) << "one by the policy, one of its own";
  Inspection near;
  near.pid = user.pid();
  near.canaries = {{"here", getpid()}, {"away", deeper.pid()}};
  const auto shares = [&](const char* what) {
    return look_at_process({Sight::shares_ns, what, 0}, near)->yes;
  };
  EXPECT_TRUE(shares("uts:here"));
  EXPECT_TRUE(shares("uts:away"));
  EXPECT_FALSE(shares("user:here"));
  EXPECT_FALSE(shares("user:away"));
  EXPECT_FALSE(shares("no such kind:here"));
  EXPECT_FALSE(shares("uts:nobody"));
  EXPECT_FALSE(shares("uts"));
  const Waiter uts([] { return unshare(CLONE_NEWUSER | CLONE_NEWUTS) == 0; });
  ASSERT_TRUE(uts.ready());
  EXPECT_SEEN(uts, Sight::ns_differs, "uts");
  EXPECT_UNSEEN(uts, Sight::ns_differs, "ipc");
}

TEST(Sights, Mounts) {
  const Scratch scratch;
  const Waiter plain(kNothing);
  const Waiter mounted([&] {
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           mount("none", scratch.path().c_str(), "tmpfs", MS_NODEV, "") == 0 &&
           mount("none", scratch.path().c_str(), "tmpfs", MS_RDONLY | MS_NOSUID, "") == 0;
  });
  ASSERT_TRUE(plain.ready());
  EXPECT_UNSEEN(plain, Sight::mount_covers, scratch.path());
  EXPECT_UNSEEN(plain, Sight::mount_has, scratch.path(), MS_RDONLY);
  if (!mounted.ready()) GTEST_SKIP() << "needs user namespaces";
  EXPECT_SEEN(mounted, Sight::mount_covers, scratch.path());
  EXPECT_SEEN(mounted, Sight::mount_has, scratch.path(), MS_RDONLY);
  EXPECT_SEEN(mounted, Sight::mount_has, "/tmp/ringfence-sight-*", MS_RDONLY | MS_NOSUID);
  EXPECT_UNSEEN(mounted, Sight::mount_has, scratch.path(), MS_RDONLY | MS_NOEXEC);
  EXPECT_UNSEEN(mounted, Sight::mount_has, scratch.path(), MS_NODEV);  // the one below has it
}

TEST(Sights, SeccompAndNoNewPrivs) {
  const Waiter free_one(kNothing);
  const Waiter filtered([] {
    sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const sock_fprog program{1, &allow};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
  });
  ASSERT_TRUE(free_one.ready() && filtered.ready());
  EXPECT_SEEN(filtered, Sight::seccomp_filtered);
  EXPECT_SEEN(filtered, Sight::no_new_privs);
  // This process may itself be filtered (in a container): then there is no other side to show.
  if (prctl(PR_GET_SECCOMP) == 0) EXPECT_UNSEEN(free_one, Sight::seccomp_filtered);
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) EXPECT_UNSEEN(free_one, Sight::no_new_privs);
}

TEST(Sights, Amounts) {
  constexpr int kFiles = 200;  // more than this process has, with a witness of its own
  constexpr int64_t kMiB = 1 << 20;
  const Waiter uses([] {
    for (int i = 0; i < kFiles; ++i) {
      if (open("/dev/null", O_RDONLY) < 0) return false;
    }
    void* big = mmap(nullptr, 48 * kMiB, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    // Not mlock(): AddressSanitizer makes that do nothing.
    if (big == MAP_FAILED || syscall(SYS_mlock, big, 64 << 10) != 0) return false;
    return setpriority(PRIO_PROCESS, 0, 10) == 0;
  });
  const Waiter idle(kNothing);
  ASSERT_TRUE(uses.ready() && idle.ready());
  // What both have of this process: little, or a sanitizer's.
  std::ifstream statm("/proc/" + std::to_string(idle.pid()) + "/statm");
  int64_t all_pages = 0, pages = 0;
  ASSERT_TRUE(statm >> all_pages >> pages);
  const int64_t inherited = pages * sysconf(_SC_PAGESIZE);
  EXPECT_SEEN(uses, Sight::open_files_over, "", kFiles - 1);
  EXPECT_UNSEEN(uses, Sight::open_files_over, "", 1000);
  EXPECT_UNSEEN(idle, Sight::open_files_over, "", kFiles - 1);
  EXPECT_SEEN(uses, Sight::locked_over, "", 32);
  EXPECT_UNSEEN(uses, Sight::locked_over, "", 64);
  EXPECT_UNSEEN(idle, Sight::locked_over, "", 0);
  EXPECT_SEEN(uses, Sight::memory_over, "", inherited + 32 * kMiB);
  EXPECT_UNSEEN(idle, Sight::memory_over, "", inherited + 32 * kMiB);
  EXPECT_SEEN(uses, Sight::nice_below, "", 11);
  EXPECT_UNSEEN(uses, Sight::nice_below, "", 10);
}

TEST(Sights, TasksAndPids) {
  const std::string wrong = in_world([]() -> std::string {
    Waiter first(kNothing);
    const Waiter second(kNothing);
    if (!first.ready() || !second.ready()) return "no children";
    Inspection at;
    at.pid = first.pid();
    at.not_targets = {1};
    const auto sees = [&](Sight sight, int64_t value) {
      return look_at_process({sight, "", value}, at)->yes;
    };
    if (target_pids({1}) != std::vector<int>{first.pid(), second.pid()}) return "target_pids";
    if (!sees(Sight::tasks_over, 1)) return "two tasks are over one";
    if (sees(Sight::tasks_over, 2)) return "two tasks are not over two";
    if (!sees(Sight::pid_exists, second.pid())) return "the second exists";
    if (sees(Sight::pid_exists, 1)) return "init is no target";
    if (sees(Sight::pid_exists, 31000)) return "there is no 31000";
    const int gone = first.pid();
    first.end();
    if (sees(Sight::pid_exists, gone)) return "the first is gone";
    if (sees(Sight::tasks_over, 1)) return "one is left";
    return "";
  });
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong;
  EXPECT_EQ(wrong, "");
}

TEST(Sights, BoottimeIsKnownWithinTenSeconds) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  Inspection at;
  const Goal goal{Sight::boottime_known, "", 0};
  const auto known = [&](const std::vector<std::string>& said) {
    at.secrets_read = said;
    return look_at_process(goal, at)->yes;
  };
  EXPECT_FALSE(known({}));
  EXPECT_FALSE(known({std::to_string(now.tv_sec + 100)}));
  EXPECT_FALSE(known({std::to_string(now.tv_sec + 100000), "words"}));
  EXPECT_TRUE(known({std::to_string(now.tv_sec)}));
  EXPECT_TRUE(known({"words", std::to_string(now.tv_sec + 3)}));
}

// A process that is gone shows nothing, whatever is asked.
TEST(Sights, NothingIsSeenOfAProcessThatIsGone) {
  Waiter waiter(kNothing);
  Inspection at;
  at.pid = waiter.pid();
  waiter.end();
  int asked = 0;
  for (int i = static_cast<int>(Sight::uid_is); i <= static_cast<int>(Sight::locked_over); ++i) {
    const auto sight = static_cast<Sight>(i);
    for (const char* arg : {"*", "SYS_ADMIN", "user", "/"}) {
      for (const int64_t value : {0, 1, 19}) {
        const auto seen = look_at_process({sight, arg, value}, at);
        ASSERT_TRUE(seen) << sight_name(sight);
        EXPECT_FALSE(seen->yes) << sight_name(sight) << " " << arg << ": " << seen->says;
        ++asked;
      }
    }
  }
  EXPECT_GT(asked, 200);
  EXPECT_EQ(status_field(at.pid, "Uid"), "");
  EXPECT_EQ(effective_caps(at.pid), 0U);
}

TEST(Sights, OthersAreNotOfAProcess) {
  Inspection at;
  at.pid = getpid();
  for (const Sight sight :
       {Sight::none, Sight::secret_returned, Sight::canary_killed, Sight::file_changed,
        Sight::hostname_changed, Sight::killed_by, Sight::cgroup_event, Sight::task_survived}) {
    EXPECT_FALSE(look_at_process({sight, "", 0}, at)) << sight_name(sight);
  }
}

TEST(StatusField, WholeNamesOnly) {
  EXPECT_EQ(status_field(0, "Pid"), std::to_string(getpid()));
  EXPECT_EQ(status_field(getpid(), "Tgid"), std::to_string(getpid()));
  EXPECT_EQ(status_field(0, "Pi"), "");
  EXPECT_EQ(status_field(0, "NoSuchField"), "");
  EXPECT_THAT(status_field(0, "Uid"), HasSubstr(std::to_string(getuid())));
}

}  // namespace
}  // namespace ringfence

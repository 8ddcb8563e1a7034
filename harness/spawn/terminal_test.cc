// A target's terminal, seen from outside: by /proc, by its other end, and by what is said over it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>

#include "harness/base/sys.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Policy with_terminal() {
  Policy policy = strict_policy();
  policy.cwd = "/";
  policy.terminal = true;
  policy.console_size = ConsoleSize{33, 111};
  return policy;
}

struct Started {
  std::optional<Child> child;
  std::string error;
  [[nodiscard]] std::string proc(const std::string& file) const {
    return "/proc/" + std::to_string(child->pid()) + "/" + file;
  }
  // What comes up to `end`, within ten seconds.
  [[nodiscard]] std::string read_until(const std::string& end) const {
    std::string text;
    while (text.find(end) == std::string::npos) {
      pollfd ready{child->terminal(), POLLIN, 0};
      char buffer[512];
      if (poll(&ready, 1, 10'000) != 1) break;
      const ssize_t n = ::read(child->terminal(), buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  void type(const std::string& text) const {
    EXPECT_EQ(::write(child->terminal(), text.data(), text.size()), ssize_t(text.size()));
  }
  // The device of the controlling terminal, and the foreground group, proc(5).
  [[nodiscard]] std::vector<std::string> stat() const {
    const std::string text = read_file(proc("stat")).value_or("");
    std::vector<std::string> fields;
    const std::string rest = text.substr(text.rfind(')') + 1);
    for (const auto word : split(rest, ' ')) fields.emplace_back(word);
    return fields;
  }
};

Started start(const Policy& policy, const std::string& script, bool attended = true,
              std::vector<std::pair<int, int>> fds = {}) {
  CompileOptions options;
  options.attended = attended;
  auto plan = compile(policy, options);
  EXPECT_TRUE(plan) << plan.error().describe();
  Started started;
  if (!plan) return started;
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", script};
  request.env = {"PATH=/usr/bin:/bin"};
  request.fds = std::move(fds);
  auto child = spawn(request);
  if (child) {
    started.child = std::move(*child);
  } else {
    started.error = child.error().describe();
  }
  return started;
}

constexpr const char* kScript = "echo ready; read x; echo got $x; stty size < /dev/tty; read y";
constexpr int kStateToTty = 4;  // of the fields behind the name: state is the first

void check(const Started& started, const std::string& where, bool console) {
  ASSERT_EQ(started.error, "");
  ASSERT_GE(started.child->terminal(), 0);
  EXPECT_THAT(started.read_until("ready"), HasSubstr("ready"));
  // A Unix98 terminal (major 136 to 143), and it is ours to say who reads it.
  const auto fields = started.stat();
  const int tty = std::stoi(fields.at(kStateToTty));
  EXPECT_EQ(tty >> 8 & 0xf8, 136) << tty;
  EXPECT_EQ(fields.at(kStateToTty + 1), std::to_string(started.child->pid()));
  for (const char* fd : {"0", "1", "2"}) {
    EXPECT_THAT(read_link(started.proc(std::string("fd/") + fd)).value_or("?"), StartsWith(where));
  }
  EXPECT_EQ(list_directory(started.proc("fd")).value_or(std::vector<std::string>{}).size(), 3U);
  winsize size{};
  ASSERT_EQ(ioctl(started.child->terminal(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_row, 33);
  EXPECT_EQ(size.ws_col, 111);
  const std::string mounts = read_file(started.proc("mountinfo")).value_or("");
  if (console) {
    EXPECT_THAT(mounts, HasSubstr(" /dev/console "));
  } else {
    EXPECT_THAT(mounts, Not(HasSubstr(" /dev/console ")));
  }
  size.ws_row = 44;
  ASSERT_EQ(ioctl(started.child->terminal(), TIOCSWINSZ, &size), 0);
  started.type("word\n");
  const std::string said = started.read_until("44 111");
  EXPECT_THAT(said, HasSubstr("word\r\ngot word\r\n"));  // the echo, and the answer
  EXPECT_THAT(said, HasSubstr("44 111"));
}

TEST(Terminal, OfItsOwnDevpts) {
  const Started started = start(with_terminal(), kScript);
  ASSERT_EQ(started.error, "");
  check(started, "/dev/pts/0", true);
  struct stat st {};
  ASSERT_EQ(::stat(started.proc("root/dev/console").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000U);
  struct stat pts {};
  ASSERT_EQ(::stat(started.proc("root/dev/pts/0").c_str(), &pts), 0);
  EXPECT_EQ(st.st_rdev, pts.st_rdev);
  EXPECT_EQ(st.st_ino, pts.st_ino);
}

TEST(Terminal, OfItsOwnDevptsByMount2) {
  std::vector<sys::Fault> faults;
  for (const long nr : {SYS_fsopen, SYS_fsmount, SYS_open_tree, SYS_move_mount, SYS_openat2}) {
    faults.push_back({nr, sys::kEvery, ENOSYS});
  }
  ASSERT_TRUE(sys::arm_faults(faults.data(), faults.size()));
  const Started started = start(with_terminal(), kScript);
  sys::disarm_faults();
  check(started, "/dev/pts/0", true);
}

TEST(Terminal, OfTheSpawnersWithoutADevpts) {
  Policy policy = with_terminal();
  std::erase_if(policy.mounts, [](const Mount& m) { return m.type == "devpts"; });
  check(start(policy, kScript), "/dev/pts/", false);
  Policy nothing = open_policy();
  nothing.terminal = true;
  nothing.console_size = ConsoleSize{33, 111};
  const Started started = start(nothing, "exec 3>&- 4>&-; " + std::string(kScript));
  ASSERT_EQ(started.error, "");
  EXPECT_THAT(started.read_until("ready"), HasSubstr("ready"));
  started.type("word\n");
  EXPECT_THAT(started.read_until("33 111"), HasSubstr("got word\r\n33 111"));
}

TEST(Terminal, GivenDescriptorsStay) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  const Started started =
      start(with_terminal(), "echo by-pipe >&3; echo by-terminal; read x", true,
            {{1, out.get()}, {3, out.get()}, {4, out.get()}, {5, out.get()}, {6, out.get()}});
  out.reset();
  ASSERT_EQ(started.error, "");
  EXPECT_THAT(started.read_until("terminal"), HasSubstr("by-terminal"));
  char buffer[64] = {};
  EXPECT_GT(::read(in.get(), buffer, sizeof buffer - 1), 0);
  EXPECT_STREQ(static_cast<char*>(buffer), "by-pipe\n");
}

TEST(Terminal, EndOfInput) {
  const Started started = start(with_terminal(), "echo ready; read x");
  ASSERT_EQ(started.error, "");
  EXPECT_THAT(started.read_until("ready"), HasSubstr("ready"));
  started.type("\x04");  // the end of the input
  auto end = const_cast<Child&>(*started.child).wait(std::chrono::seconds(10));
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->describe(), "exit 1");
  char byte = 0;
  while (::read(started.child->terminal(), &byte, 1) == 1) {
  }
  EXPECT_EQ(errno, EIO);  // the last one has closed it
}

TEST(Terminal, ACaseHasNone) {
  const Started started = start(with_terminal(), "exec 0<&- 1>&- 2>&-; sleep 20", false);
  ASSERT_EQ(started.error, "");
  EXPECT_EQ(started.child->terminal(), -1);
  EXPECT_EQ(started.stat().at(kStateToTty), "0");
}

TEST(Terminal, FailuresAreNamedAndLeaveNothing) {
  const size_t before = open_descriptors();
  struct Case {
    long nr;
    const char* words;
  };
  for (const auto& [nr, words] :
       {Case{SYS_sendmsg, "process.terminal: sendmsg"}, Case{SYS_recvmsg, "recvmsg"},
        Case{SYS_socketpair, "socketpair"}}) {
    ASSERT_TRUE(sys::arm_fault({nr, 0, ENOBUFS}));
    const Started started = start(with_terminal(), "read x");
    sys::disarm_faults();
    EXPECT_THAT(started.error, HasSubstr(words));
    EXPECT_THAT(started.error, HasSubstr("ENOBUFS"));
  }
  // A file where the terminals should be: no kernel takes it for one.
  Policy policy = with_terminal();
  policy.mounts.push_back(test_mount("/dev/pts", "tmpfs", "tmpfs", {}));
  EXPECT_THAT(start(policy, "read x").error, HasSubstr("process.terminal: openat2"));
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_TRUE(childless());
}

}  // namespace
}  // namespace ringfence

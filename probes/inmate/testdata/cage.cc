#include "probes/inmate/testdata/cage.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "probes/inmate/abi.h"

namespace ringfence::testing {
namespace {

int image_fd(std::span<const unsigned char> image) {
  const int fd = memfd_create("inmate", MFD_CLOEXEC);
  must(fd >= 0 && write(fd, image.data(), image.size()) == static_cast<ssize_t>(image.size()),
       "memfd");
  return fd;
}

// The descriptors {number, descriptor}, all others closed at exec, and the image executed.
[[noreturn]] void enter(const std::vector<std::pair<int, int>>& given, const std::string& name,
                        const std::vector<std::string>& args,
                        const std::function<void()>& restrict = {}) {
  std::vector<std::pair<int, int>> fds = given;
  for (auto& [number, fd] : fds) fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
  must(syscall(SYS_close_range, 3, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) == 0, "close_range");
  for (auto& [number, fd] : fds) must(dup2(fd, number) == number, "dup2");
  std::vector<char*> argv{const_cast<char*>(name.c_str())};
  for (const auto& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  if (restrict) restrict();
  syscall(SYS_execveat, RF_EXE_FD, "", argv.data(), environment, AT_EMPTY_PATH);
  _exit(98);
}

void furnish() {
  must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private");
  must(mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
  must(mount("cage", "/mnt", "tmpfs", 0, "size=16m,mode=755") == 0, "tmpfs");
  must(chdir("/mnt") == 0, "chdir");
  write_text(kSecretFile, kSecret);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq r{};
  std::strcpy(r.ifr_name, "lo");
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  must(ioctl(fd, SIOCSIFFLAGS, &r) == 0, "lo");
  close(fd);
}

int start_canary(int* hold) {
  int pair[2];
  must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  const int secret = open(kSecretFile, O_RDWR | O_CLOEXEC);
  const int exe = image_fd(inmate_image());
  const int pid = fork();
  must(pid >= 0, "fork");
  if (pid == 0) enter({{3, pair[1]}, {4, exe}, {5, secret}}, "rf-canary", {"hold"});
  close(pair[1]);
  close(secret);
  close(exe);
  // It waits from its W on: only then is it the program that the tests expect.
  char message[RF_MESSAGE_MAX];
  do {
    must(read(pair[0], message, sizeof message) > 0, "canary");
  } while (message[0] != 'W');
  *hold = pair[0];
  return pid;
}

struct Report {
  int status;
  int canary_died;
  char after[512];
};

[[noreturn]] void live_in_cage(Cage& cage, int answer, int report_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  furnish();
  int hold = -1;
  const int canary = start_canary(&hold);
  must(canary == 2, "the canary is pid 2");
  const int given = cage.prepare ? cage.prepare(cage) : -1;
  const int exe = image_fd(cage.image);
  const int inmate = fork();
  must(inmate >= 0, "fork");
  if (inmate == 0) {
    std::vector<std::pair<int, int>> fds{{RF_ANSWER_FD, answer}, {RF_EXE_FD, exe}};
    if (given >= 0) fds.emplace_back(RF_GIVEN_FD, given);
    enter(fds, "inmate", cage.args, cage.restrict);
  }
  close(answer);
  Report report{};
  must(waitpid(inmate, &report.status, 0) == inmate, "waitpid");
  const std::string after = cage.after ? cage.after() : "";
  std::snprintf(report.after, sizeof report.after, "%s", after.c_str());
  // Released, the canary exits with 0, unless a signal that came before ends it first. (It may be
  // gone already: then this write fails.)
  send(hold, "g", 1, MSG_NOSIGNAL);
  siginfo_t died{};
  must(waitid(P_PID, canary, &died, WEXITED) == 0, "waitid");
  report.canary_died = died.si_code == CLD_EXITED ? 0 : died.si_status;
  must(write(report_fd, &report, sizeof report) == sizeof report, "report");
  _exit(0);
}

[[noreturn]] void keep(Cage& cage, int answer, int report_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(30);
  must(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) == 0,
       "unshare");
  const int init = fork();
  must(init >= 0, "fork");
  if (init == 0) live_in_cage(cage, answer, report_fd);
  close(answer);
  int status = 0;
  waitpid(init, &status, 0);
  _exit(status == 0 ? 0 : 97);
}

// One message and its sender's pid; an empty one at the end.
std::string receive(int fd, int* pid) {
  char text[RF_MESSAGE_MAX + 1];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  iovec piece{text, sizeof text};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n = 0;
  do {
    n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  const cmsghdr* c = CMSG_FIRSTHDR(&header);
  if (n > 0 && c != nullptr && c->cmsg_type == SCM_CREDENTIALS) {
    ucred who{};
    std::memcpy(&who, CMSG_DATA(c), sizeof who);
    *pid = who.pid;
  }
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : std::string();
}

void install(const std::vector<sock_filter>& code) {
  const sock_fprog program{static_cast<unsigned short>(code.size()),
                           const_cast<sock_filter*>(code.data())};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

constexpr uint32_t kNr = offsetof(seccomp_data, nr);
constexpr uint32_t kArch = offsetof(seccomp_data, arch);
constexpr uint32_t kArg0 = offsetof(seccomp_data, args);

sock_filter load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter unless_equal_skip(uint32_t value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}
sock_filter answer(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

}  // namespace

void must(bool done, const char* what) {
  if (done) return;
  std::fprintf(stderr, "cage: %s: %s\n", what, std::strerror(errno));
  _exit(97);
}

Outcome run(Cage cage) {
  Outcome outcome;
  int pair[2];
  int report_pipe[2];
  must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  must(pipe2(report_pipe, O_CLOEXEC) == 0, "pipe");
  const int on = 1;
  must(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0, "SO_PASSCRED");
  const int keeper = fork();
  must(keeper >= 0, "fork");
  if (keeper == 0) {
    close(pair[0]);
    close(report_pipe[0]);
    keep(cage, pair[1], report_pipe[1]);
  }
  close(pair[1]);
  close(report_pipe[1]);
  for (;;) {
    int pid = 0;
    std::string message = receive(pair[0], &pid);
    if (message.empty()) break;
    outcome.messages.push_back(message);
    if (message != "W") continue;
    if (cage.inspect) cage.inspect(pid);
    if (cage.release_by_close) break;
    if (send(pair[0], "g", 1, MSG_NOSIGNAL) != 1) break;
  }
  close(pair[0]);
  Report report{};
  if (read(report_pipe[0], &report, sizeof report) == sizeof report) {
    outcome.status = report.status;
    outcome.canary_died = report.canary_died;
    outcome.after = report.after;
  }
  close(report_pipe[0]);
  int status = 0;
  waitpid(keeper, &status, 0);
  return outcome;
}

std::string Outcome::claim() const {
  std::string last;
  for (const auto& m : messages) {
    if (m.rfind("R ", 0) == 0) last = m.substr(2);
  }
  return last;
}

std::string Outcome::secret() const {
  std::string all;
  for (const auto& m : messages) {
    if (m.rfind("S ", 0) == 0) all += m.substr(2);
  }
  return all;
}

bool Outcome::says(const std::string& text) const {
  for (const auto& m : messages) {
    if (m.rfind("T ", 0) == 0 && m.find(text) != std::string::npos) return true;
  }
  return false;
}

bool Outcome::called(long nr, int err) const {
  for (const auto& m : messages) {
    std::istringstream fields(m);
    std::string letter;
    long got = 0;
    long ret = 0;
    if (!(fields >> letter >> got >> ret) || letter != "C" || got != nr) continue;
    if (err == 0 ? ret >= 0 : ret == -err) return true;
  }
  return false;
}

std::string Outcome::transcript() const {
  std::string all;
  for (const auto& m : messages) all += m + "\n";
  return all + "status " + std::to_string(status) + ", after " + after;
}

void drop_capability(int capability) {
  must(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, "PR_CAPBSET_DROP");
}

void become_nobody() {
  must(syscall(SYS_setgroups, 0, nullptr) == 0, "setgroups");
  must(syscall(SYS_setresgid, 1000, 1000, 1000) == 0, "setresgid");
  must(syscall(SYS_setresuid, 1000, 1000, 1000) == 0, "setresuid");
}

void deny_syscall(long nr, int err) {
  install({load(kNr), unless_equal_skip(static_cast<uint32_t>(nr), 1),
           answer(SECCOMP_RET_ERRNO | static_cast<uint32_t>(err)), answer(SECCOMP_RET_ALLOW)});
}

void kill_syscall(long nr) {
  install({load(kNr), unless_equal_skip(static_cast<uint32_t>(nr), 1),
           answer(SECCOMP_RET_KILL_PROCESS), answer(SECCOMP_RET_ALLOW)});
}

void kill_foreign_architectures() {
  install({load(kArch), unless_equal_skip(AUDIT_ARCH_X86_64, 1), answer(SECCOMP_RET_ALLOW),
           answer(SECCOMP_RET_KILL_PROCESS)});
}

void allow_only_answer_and_exit(int exe_fd) {
  std::vector<sock_filter> code{load(kNr), unless_equal_skip(SYS_exit_group, 1),
                                answer(SECCOMP_RET_ALLOW)};
  for (const auto& [nr, fd] :
       {std::pair{SYS_write, RF_ANSWER_FD}, std::pair{SYS_read, RF_ANSWER_FD},
        std::pair{SYS_execveat, exe_fd}}) {
    code.push_back(unless_equal_skip(static_cast<uint32_t>(nr), 4));
    code.push_back(load(kArg0));
    code.push_back(unless_equal_skip(static_cast<uint32_t>(fd), 1));
    code.push_back(answer(SECCOMP_RET_ALLOW));
    code.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  }
  code.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  install(code);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  must(static_cast<bool>(file.flush()), path.c_str());
}

std::string status_field(int pid, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field + ":\t", 0) == 0) return line.substr(field.size() + 2);
  }
  return "";
}

std::string hostname() {
  char name[65] = {};
  gethostname(name, sizeof name);
  return name;
}

}  // namespace ringfence::testing

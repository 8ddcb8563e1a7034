#include "bench/worker.h"

#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include <climits>

#include "harness/base/sys.h"

namespace ringfence::bench {
namespace {

constexpr long kNobody = 0x7ffffff0;  // beyond the largest pid there can be

struct Order {
  Call call;
  uint64_t calls;
  uint64_t bursts;
};

int64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// On a page that is there: one that nobody has read yet is a fault for whoever reads it first.
std::array<char, 16> name = {"ringfence"};

// Not by the seam: its own cost would be in the figure.
void make(Call call, uint64_t times) {
  switch (call) {
    case Call::getppid:
      for (uint64_t i = 0; i < times; ++i) syscall(SYS_getppid);
      return;
    case Call::openat:
      for (uint64_t i = 0; i < times; ++i) {
        syscall(SYS_openat, AT_FDCWD, "/ringfence-no-such-file", O_RDONLY | O_CLOEXEC, 0);
      }
      return;
    case Call::sethostname:
      for (uint64_t i = 0; i < times; ++i) syscall(SYS_sethostname, name.data(), -1);
      return;
    case Call::kill:
      for (uint64_t i = 0; i < times; ++i) syscall(SYS_kill, kNobody, 0);
      return;
  }
}

// So that sethostname's check fails. Of this process alone.
bool give_up_sys_admin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  data[0].effective &= ~(1U << CAP_SYS_ADMIN);
  return syscall(SYS_capset, &header, data.data()) == 0;
}

}  // namespace

const char* call_name(Call call) {
  switch (call) {
    case Call::getppid:
      return "getppid";
    case Call::openat:
      return "openat";
    case Call::sethostname:
      return "sethostname";
    case Call::kill:
      return "kill";
  }
  return "?";
}

Status pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  const int64_t r = sys::call(SYS_sched_setaffinity, 0, sizeof set, sys::arg(&set));
  if (r < 0) return system_error("sched_setaffinity", std::to_string(cpu), static_cast<int>(-r));
  return {};
}

void serve_worker(int socket, int cpu) {
  if ((cpu >= 0 && !pin_to_cpu(cpu)) || !give_up_sys_admin()) _exit(1);
  Order order{};
  while (read(socket, &order, sizeof order) == static_cast<ssize_t>(sizeof order)) {
    Worker::Took took{INT64_MAX, 0};
    for (uint64_t i = 0; i < order.bursts; ++i) {
      const int64_t begin = now();
      make(order.call, order.calls);
      const int64_t burst = now() - begin;
      took.fastest = std::min(took.fastest, burst);
      took.all += burst;
    }
    if (write(socket, &took, sizeof took) != static_cast<ssize_t>(sizeof took)) break;
  }
  _exit(0);
}

Worker::Worker(Worker&& other) noexcept
    : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)) {}

Worker::~Worker() {
  if (pid_ < 0) return;
  socket_.reset();  // it reads the end of it, and ends; a tracer goes with it
  sys::call(SYS_wait4, static_cast<uint64_t>(pid_), 0, __WALL, 0);
}

Result<Worker> Worker::start(const WorkerOptions& options) {
  std::array<int, 2> ends{};
  const int64_t made =
      sys::call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sys::arg(ends.data()));
  if (made < 0) return system_error("socketpair", {}, static_cast<int>(-made));
  UniqueFd theirs(ends[1]);
  Worker worker;
  worker.socket_ = UniqueFd(ends[0]);

  // All that the child needs, before there is one: it only makes syscalls.
  std::vector<std::string> words = options.under;
  std::array<char, PATH_MAX> self{};
  if (sys::call(SYS_readlinkat, static_cast<uint64_t>(AT_FDCWD), sys::arg("/proc/self/exe"),
                sys::arg(self.data()), self.size() - 1) < 0) {
    return system_error("readlink", "/proc/self/exe", ENOENT);
  }
  words.insert(words.end(), {self.data(), "--worker", std::to_string(theirs.get()),
                             std::to_string(options.cpu)});
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  clone_args args{};
  args.exit_signal = SIGCHLD;
  if (options.group >= 0) {
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.group);
  }
  const int64_t pid = sys::call(SYS_clone3, sys::arg(&args), sizeof args);
  if (pid < 0) return system_error("clone3", "worker", static_cast<int>(-pid));
  if (pid == 0) {
    sys::call(SYS_fcntl, static_cast<uint64_t>(theirs.get()), F_SETFD, 0);
    if (options.cpu >= 0) (void)pin_to_cpu(options.cpu);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  worker.pid_ = static_cast<int>(pid);
  theirs.reset();
  // One call shows that it is there.
  if (auto answer = worker.time(Call::getppid, 1, 1); !answer) {
    return unsupported_error("start worker", words[0], ENOEXEC, "it ended before it answered");
  }
  return worker;
}

Status Worker::begin(Call call, uint64_t calls, uint64_t bursts) {
  const Order order{call, calls, bursts};
  return sys::write_full(socket_.get(), &order, sizeof order);
}

Result<std::optional<Worker::Took>> Worker::answer(int flags) {
  Took took;
  const int64_t n = sys::call(SYS_recvfrom, static_cast<uint64_t>(socket_.get()), sys::arg(&took),
                              sizeof took, static_cast<uint64_t>(flags), 0, 0);
  if (n == -EAGAIN) return std::nullopt;
  if (n != static_cast<int64_t>(sizeof took)) return system_error("worker", "ended", EPIPE);
  return took;
}

Result<std::optional<Worker::Took>> Worker::poll() { return answer(MSG_DONTWAIT); }

Result<Worker::Took> Worker::time(Call call, uint64_t calls, uint64_t bursts) {
  if (auto ok = begin(call, calls, bursts); !ok) return tl::unexpected(ok.error());
  auto took = answer(0);
  if (!took) return tl::unexpected(took.error());
  return **took;
}

}  // namespace ringfence::bench

#include "harness/kernels/agent.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/kernels/channel.h"
#include "harness/kernels/guest_modules.h"
#include "harness/kernels/job.h"
#include "harness/vmm/kvm/vcpu.h"
#include "harness/vmm/scenario.h"

namespace ringfence {
namespace {

constexpr auto kBeat = std::chrono::milliseconds(250);
constexpr int kBeatPriority = 80;  // of SCHED_FIFO
constexpr size_t kPiece = 4096;    // of output in a frame, so that beats are not held up

struct FileSystem {
  const char* type;
  const char* at;
  unsigned long flags;
  const char* data;
  bool needed;
};
constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr std::array<FileSystem, 11> kFileSystems = {{
    {"proc", "/proc", kPlain, nullptr, true},
    {"sysfs", "/sys", kPlain, nullptr, true},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=755", true},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", true},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", true},
    {"cgroup2", "/sys/fs/cgroup", kPlain, nullptr, true},
    {"mqueue", "/dev/mqueue", kPlain, nullptr, false},
    {"bpf", "/sys/fs/bpf", kPlain, "mode=700", false},
    {"tracefs", "/sys/kernel/tracing", kPlain, nullptr, false},
    {"securityfs", "/sys/kernel/security", kPlain, nullptr, false},
}};

// The last words of an agent that cannot go on; the kernel panics when it ends.
[[noreturn]] void give_up(const std::string& why) {
  const std::string line = "ringfence agent: " + why + "\n";
  (void)sys::write_full(STDERR_FILENO, line.data(), line.size());
  std::_Exit(1);
}

void make_directories(const std::string& path) {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    (void)::mkdir(path.substr(0, at).c_str(), 0755);
  }
  (void)::mkdir(path.c_str(), 0755);
}

// The root of an initramfs cannot be pivoted away from: a bind mount of it can (pivot_root(2),
// Documentation/filesystems/ramfs-rootfs-initramfs.rst).
void make_root_pivotable() {
  make_directories("/root.d");
  if (::mount("/", "/root.d", nullptr, MS_BIND, nullptr) != 0 || ::chdir("/root.d") != 0 ||
      ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0 ||
      ::chdir("/") != 0) {
    give_up("root: " + errno_name(errno));
  }
}

std::vector<std::string> mount_file_systems() {
  std::vector<std::string> complaints;
  for (const auto& fs : kFileSystems) {
    // Where the kernel has the place already, this changes nothing.
    make_directories(fs.at);
    if (::mount(fs.type, fs.at, fs.type, fs.flags, fs.data) == 0) continue;
    if (fs.needed) give_up(fmt::format("mount {} at {}: {}", fs.type, fs.at, errno_name(errno)));
    complaints.push_back(fmt::format("mount {}: {}", fs.type, errno_name(errno)));
  }
  for (const auto& [to, name] :
       {std::pair("/proc/self/fd", "/dev/fd"), std::pair("/proc/self/fd/0", "/dev/stdin"),
        std::pair("/proc/self/fd/1", "/dev/stdout"), std::pair("/proc/self/fd/2", "/dev/stderr")}) {
    (void)::symlink(to, name);
  }
  return complaints;
}

void hand_down_controllers(std::vector<std::string>& complaints) {
  auto list = read_file("/sys/fs/cgroup/cgroup.controllers");
  if (!list) return complaints.push_back(list.error().describe());
  for (const auto name : split(*list, ' ')) {
    const std::string word = "+" + std::string(trim(name));
    if (auto ok = write_file("/sys/fs/cgroup/cgroup.subtree_control", word); !ok) {
      complaints.push_back(word + ": " + ok.error().describe());
    }
  }
}

void loopback_up(std::vector<std::string>& complaints) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  (void)std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!fd || ::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) {
    complaints.push_back("loopback: " + errno_name(errno));
  }
}

// --- Modules ------------------------------------------------------------------------------------

Status load_module(const GuestModule& module) {
  auto fd = sys::open(module.path.c_str(), O_RDONLY);
  if (!fd) return tl::unexpected(fd.error());
  const int64_t r = sys::call(SYS_finit_module, static_cast<uint64_t>(fd->get()), sys::arg(""), 0);
  if (r < 0 && r != -EEXIST) {
    return system_error("finit_module", module.name, static_cast<int>(-r));
  }
  return {};
}

Status load_by_name(const std::string& name) {
  auto text = read_file(kModuleList);
  if (!text) return tl::unexpected(text.error());
  auto all = parse_guest_modules(*text);
  if (!all) return tl::unexpected(all.error());
  const auto wanted = modules_for(*all, name);
  if (wanted.empty()) return system_error("modprobe", name, ENOENT);
  for (const auto* module : wanted) {
    if (auto ok = load_module(*module); !ok) return ok;
  }
  return {};
}

// Nothing asks the kernel for KVM: /dev/kvm is there when it is loaded.
void load_kvm(std::vector<std::string>& complaints) {
  auto info = read_file("/proc/cpuinfo");
  if (!info) return;
  for (const auto& [flag, module] :
       {std::pair(" svm", "kvm_amd"), std::pair(" vmx", "kvm_intel")}) {
    if (info->find(flag) == std::string::npos) continue;
    if (::access("/dev/kvm", F_OK) == 0) return;
    if (auto ok = load_by_name(module); !ok) complaints.push_back(ok.error().describe());
  }
}

// --- Beats --------------------------------------------------------------------------------------

class Beats {
 public:
  explicit Beats(int cpus) : counters_(static_cast<size_t>(cpus)) {
    for (int cpu = 0; cpu < cpus; ++cpu) {
      std::thread([this, cpu] { count_up(cpu); }).detach();
    }
  }
  [[nodiscard]] std::string text() const {
    std::map<int, uint64_t> beats;
    for (size_t cpu = 0; cpu < counters_.size(); ++cpu)
      beats[static_cast<int>(cpu)] = counters_[cpu];
    return beat_text(beats);
  }

 private:
  void count_up(int cpu) {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<size_t>(cpu), &here);
    sched_param priority{};
    priority.sched_priority = kBeatPriority;
    (void)::sched_setaffinity(0, sizeof here, &here);
    (void)::sched_setscheduler(0, SCHED_FIFO, &priority);
    for (;;) {
      ++counters_[static_cast<size_t>(cpu)];
      std::this_thread::sleep_for(kBeat);
    }
  }
  std::deque<std::atomic<uint64_t>> counters_;  // of the agent's whole life
};

// --- The job ------------------------------------------------------------------------------------

class Line {
 public:
  Line() {
    fd_ = UniqueFd(::open(kChannelDevice, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!fd_) give_up(fmt::format("{}: {}", kChannelDevice, errno_name(errno)));
    termios raw{};
    if (::tcgetattr(fd_.get(), &raw) != 0) give_up(fmt::format("{}: no terminal", kChannelDevice));
    ::cfmakeraw(&raw);
    raw.c_cflag |= CLOCAL | CREAD;
    ::cfsetspeed(&raw, B115200);
    if (::tcsetattr(fd_.get(), TCSANOW, &raw) != 0) give_up("tcsetattr: " + errno_name(errno));
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void send(FrameKind kind, std::string_view body) {
    const std::string bytes = writer_.encode(kind, body);
    (void)sys::write_full(fd_.get(), bytes.data(), bytes.size());
  }
  void drain() const { (void)::tcdrain(fd_.get()); }
  // Waits for bytes; the frame that is whole then.
  std::optional<Frame> receive() {
    if (auto frame = reader_.next()) return frame;
    std::array<char, 4096> bytes{};
    const ssize_t n = ::read(fd_.get(), bytes.data(), bytes.size());
    if (n > 0) reader_.feed({bytes.data(), static_cast<size_t>(n)});
    return reader_.next();
  }

 private:
  UniqueFd fd_;
  FrameWriter writer_;
  FrameReader reader_;
};

struct Pipe {
  FrameKind kind{};
  UniqueFd read, write;
};

Pipe make_pipe(FrameKind kind) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) give_up("pipe2: " + errno_name(errno));
  (void)::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {kind, UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Starts the command; its pid, or -errno.
int start(const Job& job, std::array<Pipe, 3>& pipes) {
  std::vector<std::string> environment = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
      "TMPDIR=/tmp"};
  for (const auto& [name, value] : job.environment) {
    environment.push_back(fmt::format("{}={}", name, value));
  }
  std::vector<char*> argv, env;
  for (const auto& word : job.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (const auto& word : environment) env.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  for (size_t i = 0; i < pipes.size(); ++i) {
    posix_spawn_file_actions_adddup2(&files, pipes.at(i).write.get(), static_cast<int>(i) + 1);
  }
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  pid_t pid = 0;
  const int failed =
      ::posix_spawnp(&pid, job.argv.at(0).c_str(), &files, &attributes, argv.data(), env.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  for (auto& pipe : pipes) pipe.write.reset();
  return failed != 0 ? -failed : pid;
}

// Hands on what is in the pipe; false at its end.
bool pass_on(Line& line, const Pipe& pipe) {
  std::array<char, kPiece> bytes{};
  const ssize_t n = ::read(pipe.read.get(), bytes.data(), bytes.size());
  if (n > 0) line.send(pipe.kind, {bytes.data(), static_cast<size_t>(n)});
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool all_passed_on(Line& line, const Pipe& pipe) {
  std::array<char, kPiece> bytes{};
  for (;;) {
    const ssize_t n = ::read(pipe.read.get(), bytes.data(), bytes.size());
    if (n <= 0) return true;
    line.send(pipe.kind, {bytes.data(), static_cast<size_t>(n)});
  }
}

std::optional<Done> reap(pid_t command) {
  std::optional<Done> done;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != command) continue;
    done.emplace();
    if (WIFEXITED(status)) done->exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) done->signal = WTERMSIG(status);
  }
  return done;
}

Done run(const Job& job, Line& line, const Beats& beats, int signals, int timer) {
  for (const auto& name : job.modules) {
    if (auto ok = load_by_name(name); !ok) return {{}, {}, ok.error().describe()};
  }
  for (const auto& [name, value] : job.sysctls) {
    std::string path = "/proc/sys/" + name;
    std::replace(path.begin() + 10, path.end(), '.', '/');
    if (auto ok = write_file(path, value); !ok) return {{}, {}, ok.error().describe()};
  }
  if (job.argv.empty()) return {{}, {}, "the job has no command"};
  std::array<Pipe, 3> pipes = {make_pipe(FrameKind::out), make_pipe(FrameKind::err),
                               make_pipe(FrameKind::result)};
  const int pid = start(job, pipes);
  if (pid < 0) return {{}, {}, fmt::format("{}: {}", job.argv[0], errno_name(-pid))};
  std::array<pollfd, 5> waits{};
  for (size_t i = 0; i < pipes.size(); ++i) waits.at(i) = {pipes.at(i).read.get(), POLLIN, 0};
  waits[3] = {signals, POLLIN, 0};
  waits[4] = {timer, POLLIN, 0};
  for (;;) {
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[4].revents != 0) {
      uint64_t count = 0;
      (void)!::read(timer, &count, sizeof count);
      line.send(FrameKind::beat, beats.text());
    }
    for (size_t i = 0; i < pipes.size(); ++i) {
      // A descriptor below 0 is passed over by poll(2).
      if (waits.at(i).revents != 0 && !pass_on(line, pipes.at(i))) waits.at(i).fd = -1;
    }
    if (waits[3].revents != 0) {
      signalfd_siginfo info{};
      (void)!::read(signals, &info, sizeof info);
      if (auto done = reap(pid)) {
        // What others still hold open is not waited for.
        for (const auto& pipe : pipes) (void)all_passed_on(line, pipe);
        return *done;
      }
    }
  }
}

// A vCPU without a local APIC, for as long as the machine is up. KVM's kernel patches its own code
// when the first of them comes and when the last one goes (the static key kvm_has_noapic_vcpu), and
// QEMU's TCG, a thread for each CPU, can execute a breakpoint that has been taken out again: the
// machine dies of an int3 in svm_vcpu_load. With this one there is nothing to patch while cases
// run.
class QuietKvm {
 public:
  QuietKvm() {
    if (vmm::emulator() != "tcg") return;
    const auto kvm = vmm::Kvm::open();
    if (!kvm) return;
    auto vm = kvm->create_vm();
    if (!vm) return;
    auto vcpu = vm->create_vcpu(0);
    if (!vcpu) return;
    vm_ = std::move(*vm);
    vcpu_ = std::move(*vcpu);
  }

 private:
  std::optional<vmm::Vm> vm_;
  std::optional<vmm::Vcpu> vcpu_;
};

int64_t up_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

}  // namespace

bool is_agent(const char* argv0) {
  return ::getpid() == 1 && argv0 != nullptr && std::string_view(argv0).ends_with("init") &&
         ::access(kModuleList, F_OK) == 0;
}

bool is_modprobe(const char* argv0) {
  return argv0 != nullptr && std::string_view(argv0) == "/sbin/modprobe";
}

int modprobe_main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') continue;
    if (!load_by_name(argv[i])) failed = 1;
  }
  return failed;
}

void agent_main() {
  make_root_pivotable();
  Hello hello;
  hello.complaints = mount_file_systems();
  hand_down_controllers(hello.complaints);
  loopback_up(hello.complaints);
  load_kvm(hello.complaints);
  const QuietKvm quiet;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  const UniqueFd signals(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  const UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const timespec often{0, std::chrono::nanoseconds(kBeat).count()};
  const itimerspec times{often, often};
  if (!signals || !timer || ::timerfd_settime(timer.get(), 0, &times, nullptr) != 0) {
    give_up("signalfd, timerfd: " + errno_name(errno));
  }
  utsname name{};
  ::uname(&name);
  hello.release = name.release;
  hello.cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  hello.up_ms = up_ms();
  Line line;
  const Beats beats(hello.cpus);
  line.send(FrameKind::hello, to_json(hello));
  std::optional<Frame> frame;
  while (!frame || frame->kind != FrameKind::job) frame = line.receive();
  auto job = parse_job(frame->body);
  const Done done = job ? run(*job, line, beats, signals.get(), timer.get())
                        : Done{{}, {}, job.error().describe()};
  line.send(FrameKind::done, to_json(done));
  line.drain();
  ::reboot(RB_POWER_OFF);
  give_up("reboot: " + errno_name(errno));
}

}  // namespace ringfence

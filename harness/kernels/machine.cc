#include "harness/kernels/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/kernels/accelerator.h"
#include "harness/kernels/channel.h"
#include "harness/kernels/program.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kConsoleKept = size_t{1} << 16;
constexpr milliseconds kTick(200);
// A machine that gets no processor time cannot beat: silence is a hang only after this much, too.
constexpr milliseconds kBusyBeforeHang(2000);
constexpr int kQuietFactor = 4;
// From the kernel's last word to the end of QEMU, which a panic brings about (panic=-1,
// -no-reboot).
constexpr milliseconds kFarewell(3000);
constexpr int kConsoleFd = 3, kChannelFd = 4;

struct Socket {
  UniqueFd ours, theirs;
};

Result<Socket> make_socket() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return system_error("socketpair");
  }
  Socket pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK) != 0) return system_error("fcntl");
  return pair;
}

// How TCG runs the CPUs: each in a thread of its own, or all in turn.
enum class Threads : uint8_t { each, one };

std::vector<std::string> command_of(const MachineOptions& options, Threads threads) {
  // panic=-1 and -no-reboot: the end of the kernel is the end of the machine. An oops is one, too.
  const std::string line =
      "console=ttyS0 loglevel=4 panic=-1 oops=panic no_timer_check tsc=reliable " +
      options.command_line;
  const std::string tcg = threads == Threads::each ? "tcg,thread=multi" : "tcg,thread=single";
  return {options.vmm.program,
          "-nodefaults",
          "-no-user-config",
          "-no-reboot",
          "-display",
          "none",
          "-machine",
          "q35",
          "-accel",
          options.vmm.vmm == Vmm::qemu_kvm ? "kvm" : tcg,
          "-cpu",
          options.vmm.vmm == Vmm::qemu_kvm ? "host" : "max",
          "-smp",
          std::to_string(options.cpus),
          "-m",
          fmt::format("{}M", options.memory_mib),
          "-kernel",
          options.image,
          "-initrd",
          options.initramfs,
          "-append",
          line,
          "-chardev",
          fmt::format("socket,id=console,fd={}", kConsoleFd),
          "-serial",
          "chardev:console",
          "-chardev",
          fmt::format("socket,id=channel,fd={}", kChannelFd),
          "-serial",
          "chardev:channel"};
}

// Reads what is there; false at the end.
bool take(int fd, const std::function<void(std::string_view)>& give) {
  std::array<char, 16384> bytes{};
  for (;;) {
    const int64_t n =
        sys::call(SYS_read, static_cast<uint64_t>(fd), sys::arg(bytes.data()), bytes.size());
    if (n > 0) {
      give({bytes.data(), static_cast<size_t>(n)});
      continue;
    }
    if (n == -EINTR) continue;
    return n == -EAGAIN;
  }
}

// User and system time of a process, proc_pid_stat(5) fields 14 and 15.
milliseconds cpu_time(int pid) {
  auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return {};
  const std::string_view after =
      std::string_view(*text).substr(std::min(text->rfind(')') + 1, text->size()));
  const auto words = split(after, ' ');
  if (words.size() < 13) return {};
  int64_t ticks = 0;
  for (const size_t i : {size_t{11}, size_t{12}})
    ticks += std::strtoll(std::string(words[i]).c_str(), nullptr, 10);
  return milliseconds(ticks * 1000 / ::sysconf(_SC_CLK_TCK));
}

// When each CPU was last seen to run.
class Pulse {
 public:
  Pulse(int pid, milliseconds limit) : pid_(pid), limit_(limit) {}

  void heard() {
    heard_ = Clock::now();
    busy_then_ = cpu_time(pid_);
  }
  void beat(const std::map<int, uint64_t>& counts) {
    const auto now = Clock::now();
    for (const auto& [cpu, count] : counts) {
      auto& last = cpus_[cpu];
      if (last.count != count || last.at == Clock::time_point()) last = {count, now};
    }
  }
  // Why it counts as hung, or nothing.
  [[nodiscard]] std::string hung() const {
    const auto now = Clock::now();
    const auto silent = now - heard_;
    if (silent > limit_ &&
        (cpu_time(pid_) - busy_then_ > kBusyBeforeHang || silent > kQuietFactor * limit_)) {
      return fmt::format("no sign of life for {:.1f} s", seconds(silent));
    }
    // While others are heard: the one that is not.
    for (const auto& [cpu, last] : cpus_) {
      if (silent < limit_ / 2 && now - last.at > limit_) {
        return fmt::format("CPU {} has run nothing for {:.1f} s", cpu, seconds(now - last.at));
      }
    }
    return {};
  }

 private:
  static double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }
  struct Last {
    uint64_t count = 0;
    Clock::time_point at;
  };
  int pid_;
  milliseconds limit_;
  Clock::time_point heard_ = Clock::now();
  milliseconds busy_then_{0};
  std::map<int, Last> cpus_;
};

class Running {
 public:
  Running(const MachineOptions& options, const Job& job, const MachineSinks& sinks, Threads threads)
      : options_(options), job_(job), sinks_(sinks), threads_(threads) {}

  // The kernel did not panic and did not end: it came no further.
  [[nodiscard]] bool stood_still() const { return stood_still_; }

  MachineEnd run() {
    auto child = start();
    if (!child) {
      end_.failure = "vmm_failed";
      end_.detail = child.error().describe();
      return std::move(end_);
    }
    began_ = Clock::now();
    Pulse pulse(child->pid(), options_.hang_after);
    pulse.heard();
    std::optional<Clock::time_point> leaving;
    while (!over_) {
      std::array<pollfd, 4> waits = {{{console_ended_ ? -1 : console_.ours.get(), POLLIN, 0},
                                      {channel_ended_ ? -1 : channel_.ours.get(), POLLIN, 0},
                                      {complaints_.ours.get(), POLLIN, 0},
                                      {child->pidfd(), POLLIN, 0}}};
      if (!to_send_.empty()) waits[1].events |= POLLOUT;
      const int n = ::poll(waits.data(), waits.size(), static_cast<int>(kTick.count()));
      if (n < 0 && errno != EINTR) break;
      if (waits[0].revents != 0) read_console();
      if (waits[1].revents != 0 && read_channel(pulse)) pulse.heard();
      if ((waits[1].revents & POLLOUT) != 0) send_rest();
      if (waits[2].revents != 0) read_complaints();
      if (sinks_.waiting) sinks_.waiting();
      if (waits[3].revents != 0) {
        // All that it said before its end.
        read_console();
        (void)read_channel(pulse);
        read_complaints();
        break;
      }
      if (options_.interrupted != nullptr && *options_.interrupted) {
        fail("interrupted", "a signal came");
      } else if (!greeted_) {
        watch_boot(child->pid());
      } else if (!said_done_) {
        const auto limit = options_.progress_timeout;
        if (const std::string why = pulse.hung(); !why.empty()) {
          fail("kernel_hang", why);
        } else if (limit.count() > 0 && Clock::now() - progress_ > limit) {
          fail("kernel_hang", fmt::format("the machine runs, but nothing has come of it for {} s",
                                          limit.count() / 1000));
        }
      }
      // Done, or a panic: the machine goes by itself, and if not, it is ended.
      if ((said_done_ || tells_of_panic(said_)) && !leaving) leaving = Clock::now();
      if (leaving && Clock::now() - *leaving > kFarewell) break;
    }
    (void)child->kill(SIGKILL);
    (void)child->wait();
    conclude();
    return std::move(end_);
  }

 private:
  Result<Child> start() {
    for (Socket* socket : {&console_, &channel_, &complaints_}) {
      auto made = make_socket();
      if (!made) return tl::unexpected(made.error());
      *socket = std::move(*made);
    }
    auto nothing = sys::open("/dev/null", O_RDWR);
    if (!nothing) return tl::unexpected(nothing.error());
    ProgramRequest request{command_of(options_, threads_), {}, {}, {}};
    request.fds = {{0, nothing->get()},
                   {1, complaints_.theirs.get()},
                   {2, complaints_.theirs.get()},
                   {kConsoleFd, console_.theirs.get()},
                   {kChannelFd, channel_.theirs.get()}};
    auto child = start_program(request);
    for (Socket* socket : {&console_, &channel_, &complaints_}) socket->theirs.reset();
    return child;
  }

  void watch_boot(int pid) {
    if (tells_of_panic(said_)) return;
    std::string why;
    if (Clock::now() - began_ > options_.boot_timeout) {
      why = fmt::format("no word from the agent within {} s", options_.boot_timeout.count() / 1000);
    } else if (const auto lockup = lockup_of(said_); lockup &&
                                                     lockup->stuck >= options_.stuck_after &&
                                                     cpu_time(pid) >= options_.stuck_after / 2) {
      why = fmt::format("CPU {} stood still for {} s while the machine came up", lockup->cpu,
                        lockup->stuck.count());
    }
    if (why.empty()) return;
    stood_still_ = true;
    fail("boot_failed", why);
  }

  void read_console() {
    const bool more = take(console_.ours.get(), [&](std::string_view bytes) {
      if (sinks_.console) sinks_.console(bytes);
      said_ += bytes;
      if (said_.size() > 2 * kConsoleKept) said_.erase(0, said_.size() - kConsoleKept);
    });
    console_ended_ = !more;
  }

  void read_complaints() {
    (void)take(complaints_.ours.get(), [&](std::string_view bytes) {
      if (complaint_.size() < kConsoleKept) complaint_ += bytes;
    });
  }

  bool read_channel(Pulse& pulse) {
    const bool more =
        take(channel_.ours.get(), [&](std::string_view bytes) { reader_.feed(bytes); });
    channel_ended_ = !more;
    bool any = false;
    while (auto frame = reader_.next()) {
      any = true;
      handle(*frame, pulse);
    }
    if (reader_.lost() > 0) {
      fail("channel_lost", fmt::format("{} frames did not arrive whole", reader_.lost()));
    }
    return any;
  }

  void handle(const Frame& frame, Pulse& pulse) {
    const auto give = [&](const std::function<void(std::string_view)>& sink) {
      if (sink) sink(frame.body);
    };
    switch (frame.kind) {
      case FrameKind::hello:
        return greet(frame.body);
      case FrameKind::beat:
        if (auto counts = parse_beat(frame.body)) pulse.beat(*counts);
        return;
      case FrameKind::out:
        return give(sinks_.out);
      case FrameKind::err:
        return give(sinks_.err);
      case FrameKind::result:
        progress_ = Clock::now();
        return give(sinks_.result);
      case FrameKind::done: {
        auto done = parse_done(frame.body);
        if (!done) return fail("channel_lost", done.error().describe());
        end_.done = std::move(*done);
        said_done_ = true;
        return;
      }
      case FrameKind::job:
        return;
    }
  }

  void greet(const std::string& body) {
    auto hello = parse_hello(body);
    if (!hello) return fail("channel_lost", hello.error().describe());
    greeted_ = true;
    progress_ = Clock::now();
    end_.booted_after = std::chrono::duration_cast<milliseconds>(Clock::now() - began_);
    if (sinks_.hello) sinks_.hello(*hello);
    to_send_ = writer_.encode(FrameKind::job, to_json(job_));
    send_rest();
  }

  void send_rest() {
    while (!to_send_.empty()) {
      // A QEMU that is gone must not end the harness by SIGPIPE.
      const int64_t n = sys::call(SYS_sendto, static_cast<uint64_t>(channel_.ours.get()),
                                  sys::arg(to_send_.data()), to_send_.size(), MSG_NOSIGNAL, 0, 0);
      if (n == -EINTR) continue;
      if (n <= 0) return;
      to_send_.erase(0, static_cast<size_t>(n));
    }
  }

  void fail(const std::string& failure, const std::string& detail) {
    if (over_) return;
    over_ = true;
    end_.failure = failure;
    end_.detail = detail;
  }

  // What the end was, where nobody has said so.
  void conclude() {
    if (tells_of_panic(said_) && !said_done_) {
      over_ = false;
      fail(greeted_ ? "kernel_panic" : "boot_failed", "the kernel panicked");
    } else if (!over_ && !said_done_) {
      const auto lines = split(complaint_, '\n');
      const std::string why = lines.empty() ? "" : ": " + std::string(lines.back());
      if (said_.empty() && !greeted_ && !complaint_.empty()) {
        fail("vmm_failed", "QEMU ended" + why);
      } else if (!greeted_) {
        fail("boot_failed", "the machine ended before the agent said a word" + why);
      } else {
        fail("channel_lost", "the machine ended before the job did" + why);
      }
    }
    if (!end_.failure.empty()) end_.last_words = last_words(said_);
  }

  const MachineOptions& options_;
  const Job& job_;
  const MachineSinks& sinks_;
  Threads threads_;
  Socket console_, channel_, complaints_;
  FrameReader reader_;
  FrameWriter writer_;
  std::string said_;       // on the kernel's console
  std::string complaint_;  // QEMU's own
  std::string to_send_;
  Clock::time_point began_, progress_;
  bool console_ended_ = false, channel_ended_ = false;
  bool greeted_ = false, said_done_ = false, over_ = false;
  bool stood_still_ = false;
  MachineEnd end_;
};

}  // namespace

std::optional<Vmm> vmm_by_name(std::string_view name) {
  if (name == "auto") return Vmm::automatic;
  if (name == "qemu-kvm") return Vmm::qemu_kvm;
  if (name == "qemu-tcg") return Vmm::qemu_tcg;
  return std::nullopt;
}

Result<VmmChoice> choose_vmm(Vmm wanted) {
  const std::string program = "qemu-system-x86_64";
  auto version = output_of({program, "--version"});
  if (!version) {
    return unsupported_error(
        "boot a machine", program, ENOENT,
        "install QEMU (Debian: qemu-system-x86): " + version.error().describe());
  }
  if (wanted == Vmm::qemu_tcg) return VmmChoice{wanted, program, "qemu-tcg: asked for"};
  std::string why;
  if (::access("/dev/kvm", R_OK | W_OK) != 0) {
    why = "/dev/kvm: " + errno_name(errno);
  } else if (auto ok = try_accelerator({program, "kvm"}); !ok) {
    why = ok.error().hint.empty() ? ok.error().describe() : ok.error().hint;
  } else {
    return VmmChoice{Vmm::qemu_kvm, program, "qemu-kvm: it carries a kernel here"};
  }
  if (wanted == Vmm::qemu_kvm) return unsupported_error("boot a machine", "qemu-kvm", 0, why);
  return VmmChoice{Vmm::qemu_tcg, program, "qemu-tcg: qemu-kvm carries no kernel here: " + why};
}

MachineEnd run_machine(const MachineOptions& options, const Job& job, const MachineSinks& sinks) {
  Running first(options, job, sinks, Threads::each);
  MachineEnd end = first.run();
  if (!first.stood_still() || options.vmm.vmm == Vmm::qemu_kvm || options.cpus == 1) return end;
  const std::string seen = "with a thread of QEMU for each CPU: " + end.detail;
  if (sinks.note) sinks.note(seen + "; booted again with one thread for all");
  end = Running(options, job, sinks, Threads::one).run();
  if (end.failure == "boot_failed") end.detail += "; before it, " + seen;
  return end;
}

std::optional<Lockup> lockup_of(std::string_view console) {
  constexpr std::string_view kMark = "soft lockup - CPU#", kStuck = " stuck for ";
  std::optional<Lockup> longest;
  for (size_t at = console.find(kMark); at != std::string_view::npos;
       at = console.find(kMark, at + 1)) {
    const std::string_view rest = console.substr(at + kMark.size());
    const size_t stuck = rest.substr(0, rest.find('\n')).find(kStuck);
    if (stuck == std::string_view::npos) continue;
    const std::string_view after = rest.substr(stuck + kStuck.size());
    const auto cpu = parse_int(rest.substr(0, stuck));
    const auto seconds = parse_int(after.substr(0, after.find('s')));
    if (!cpu || !seconds || (longest && longest->stuck.count() >= *seconds)) continue;
    longest = {static_cast<int>(*cpu), std::chrono::seconds(*seconds)};
  }
  return longest;
}

bool tells_of_panic(std::string_view console) {
  return console.find("Kernel panic - not syncing") != std::string_view::npos;
}

std::string last_words(std::string_view console, size_t limit) {
  size_t from = std::string_view::npos;
  for (const std::string_view mark :
       {"BUG: ", "Oops: ", "general protection fault", "Kernel panic", "watchdog: BUG",
        "rcu: INFO: rcu_", "Initramfs unpacking failed"}) {
    from = std::min(from, console.find(mark));
  }
  if (from == std::string_view::npos) {
    from = console.size() > limit ? console.size() - limit : 0;
    const size_t line = console.find('\n', from);
    if (from > 0 && line != std::string_view::npos) from = line + 1;
  } else {
    const size_t line = console.rfind('\n', from);
    from = line == std::string_view::npos ? 0 : line + 1;
  }
  std::string words(console.substr(from, limit));
  std::erase(words, '\r');
  return words;
}

}  // namespace ringfence

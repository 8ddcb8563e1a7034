// ringfence trace
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include <CLI/CLI.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/witness/cpu_clock.h"
#include "harness/witness/probe.h"
#include "harness/witness/trace.h"
#include "reports/trace_text.h"

namespace ringfence::cli {
namespace {

constexpr int kNotFound = 127;  // as shells say it
constexpr int kNotExecutable = 126;
constexpr int kSignalBase = 128;

struct Arguments {
  std::vector<std::string> command;
  int pid = 0;
  std::string container, output;
  std::vector<std::string> probe_paths;
  bool json = false, all = false;
};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Signals that end the trace arrive on a descriptor, to be waited for together with events. Their
// mask is the command's again before it starts.
class Signals {
 public:
  static Result<Signals> block() {
    Signals signals;
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, number);
    sigset_t blocked = set;
    // A reader of the output that went away is an error of write(2), and not the end.
    sigaddset(&blocked, SIGPIPE);
    if (sigprocmask(SIG_BLOCK, &blocked, &signals.before_) != 0) return system_error("sigprocmask");
    signals.fd_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals.fd_) return system_error("signalfd");
    return signals;
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const sigset_t& before() const { return before_; }
  // The next one, `number` 0 when there is none.
  struct Arrived {
    int number = 0;
    bool from_terminal = false;  // then the whole foreground group has it, the command included
  };
  [[nodiscard]] Arrived next() const {
    signalfd_siginfo info{};
    if (sys::call(SYS_read, static_cast<uint64_t>(fd_.get()), sys::arg(&info), sizeof info) !=
        static_cast<int64_t>(sizeof info)) {
      return {};
    }
    return {static_cast<int>(info.ssi_signo), info.ssi_code == SI_KERNEL};
  }

 private:
  Signals() = default;
  UniqueFd fd_;
  sigset_t before_{};
};

// Where the trace goes: with a command, standard output is the command's.
class Output {
 public:
  static Result<Output> open(const Arguments& args) {
    Output output;
    output.fd_ = args.command.empty() ? STDOUT_FILENO : STDERR_FILENO;
    if (!args.output.empty()) {
      auto file = sys::open(args.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
      if (!file) {
        return usage_error("--output", args.output,
                           errno_name(file.error().err) + ", give a path that can be written");
      }
      output.file_ = std::move(*file);
      output.fd_ = output.file_.get();
    }
    return output;
  }
  [[nodiscard]] int fd() const { return fd_; }
  // The first failure is kept; what comes after it is not written.
  void write(std::string_view text) {
    if (status_) status_ = sys::write_full(fd_, text.data(), text.size());
  }
  // A reader that went away is no failure of ours.
  [[nodiscard]] Status status() const {
    if (!status_ && status_.error().err == EPIPE) return {};
    return status_;
  }

 private:
  Output() = default;
  int fd_ = STDERR_FILENO;
  UniqueFd file_;
  Status status_;
};

struct Started {
  int pid = -1;
  UniqueFd pidfd;
  int exec_error = 0;  // the command could not be executed
};

// The command with this process's descriptors, environment and signal mask. The child tells of a
// failed execve on a pipe that a successful one closes.
Result<Started> start(const std::vector<std::string>& command, const sigset_t& mask) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  int ends[2] = {-1, -1};
  const int64_t piped = sys::call(SYS_pipe2, sys::arg(ends), O_CLOEXEC);
  if (piped < 0) return system_error("pipe2", {}, static_cast<int>(-piped));
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  int pidfd = -1;
  clone_args clone{};
  clone.flags = CLONE_PIDFD;
  clone.pidfd = sys::arg(&pidfd);
  clone.exit_signal = SIGCHLD;
  const int64_t pid = sys::call(SYS_clone3, sys::arg(&clone), sizeof clone);
  if (pid < 0) return system_error("clone3", command[0], static_cast<int>(-pid));
  if (pid == 0) {
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    execvp(argv[0], argv.data());
    const int err = errno;
    (void)sys::write_full(write_end.get(), &err, sizeof err);
    _exit(err == ENOENT ? kNotFound : kNotExecutable);
  }
  Started started;
  started.pid = static_cast<int>(pid);
  started.pidfd = UniqueFd(pidfd);
  write_end.reset();
  auto got = sys::read_full(read_end.get(), &started.exec_error, sizeof started.exec_error);
  if (!got) return tl::unexpected(got.error());
  return started;
}

int exit_code_of(int pidfd) {
  siginfo_t info{};
  int64_t r = 0;
  do {
    r = sys::call(SYS_waitid, P_PIDFD, static_cast<uint64_t>(pidfd), sys::arg(&info), WEXITED, 0);
  } while (r == -EINTR);
  if (r < 0) return kExitFailed;
  return info.si_code == CLD_EXITED ? info.si_status : kSignalBase + info.si_status;
}

// What is attached beside the witness: users' probes, and the clock of time on CPU. Before the
// tracer, so that what this process does for it is not traced.
struct Beside {
  std::optional<Probes> probes;
  std::optional<CpuClock> clock;
  std::string no_clock;
  // With a command this process is watched, too, until the command starts.
  static Result<Beside> attach(const Witness& witness, const std::vector<ProbeFile>& files,
                               bool with_command) {
    Beside beside;
    int self = 0;
    if (with_command) {
      auto found = own_tgid(witness);
      if (!found) return tl::unexpected(found.error());
      self = *found;
    }
    if (!files.empty()) {
      auto probes = Probes::attach(witness, files, self);
      if (!probes) return tl::unexpected(probes.error());
      beside.probes = std::move(*probes);
    }
    auto clock = CpuClock::open(witness, self);
    if (clock) {
      beside.clock = std::move(*clock);
    } else {
      beside.no_clock = clock.error().describe();
    }
    return beside;
  }
};

// One trace, from its first event to its summary.
class Trace {
 public:
  Trace(const Arguments& args, const Witness& witness, Tracer tracer, Beside beside, Output& output,
        int64_t began_ns)
      : args_(args),
        witness_(witness),
        beside_(std::move(beside)),
        tracer_(std::move(tracer)),
        output_(output),
        style_(style_for(output.fd(), Detail::normal)),
        began_ns_(began_ns) {
    if (!beside_.clock) return;
    // With a command: what this process starts from now on.
    if (auto ok = beside_.clock->begin(tracer_.id(), 0); !ok) {
      no_clock(ok.error());
      return;
    }
    if (tracer_.processes().empty()) follow_on_cpu(0);
    for (const int process : tracer_.processes()) {
      const auto tasks = list_directory(fmt::format("/proc/{}/task", process));
      if (!tasks) continue;  // it ended
      for (const auto& task : *tasks) follow_on_cpu(parse_int(task).value_or(process));
    }
  }

  void begin(const std::string& scope) {
    if (args_.json) {
      output_.write(trace_json_begin(scope, RINGFENCE_VERSION));
    } else if (args_.command.empty()) {
      output_.write(fmt::format("ringfence trace: {}; Ctrl-C ends it\n", scope));
    }
  }

  Status drain() {
    auto told = tracer_.drain([&](const Denial& denial) { tell(denial); },
                              [&](const ProbeLine& line) { tell(line); });
    if (!told) return tl::unexpected(told.error());
    return {};
  }

  // Until the process of `pidfd` ends (-1: there is none), or a signal comes. `child` is told of
  // signals that it would not get by itself. Returns the signal that ended the trace, or 0.
  Result<int> follow(int pidfd, bool child, const Signals& signals) {
    bool told = false;
    std::array<pollfd, 3> fds = {
        {{tracer_.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}, {pidfd, POLLIN, 0}}};
    for (;;) {
      const int64_t r =
          sys::call(SYS_poll, sys::arg(fds.data()), fds.size(), static_cast<uint64_t>(-1));
      if (r == -EINTR) continue;
      if (r < 0) return system_error("poll", {}, static_cast<int>(-r));
      if (fds[0].revents != 0) {
        if (auto ok = drain(); !ok) return tl::unexpected(ok.error());
      }
      if (fds[1].revents != 0) {
        const auto arrived = signals.next();
        if (arrived.number != 0) {
          // The command may have an end of its own; the second time it is the trace that ends.
          if (!child || told) return arrived.number;
          told = true;
          if (!arrived.from_terminal) {
            (void)sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(pidfd),
                            static_cast<uint64_t>(arrived.number), 0, 0);
          }
        }
      }
      if (fds[2].revents != 0) return 0;
    }
  }

  // What is still in the ring, and the summary.
  Status end() {
    if (auto ok = drain(); !ok) return ok;
    auto loss = tracer_.loss();
    if (!loss) return tl::unexpected(loss.error());
    TraceEnd end;
    end.refusals = &refusals_;
    end.failures = args_.all ? &failures_ : nullptr;
    end.loss = std::move(*loss);
    end.duration_ns = now_ns() - began_ns_;
    end.caps_watched = witness_.offers("cap");
    if (beside_.probes) {
      auto counts = beside_.probes->take_counts(tracer_.id());
      if (!counts) return tl::unexpected(counts.error());
      end.counts = std::move(*counts);
    }
    end.no_cpu = beside_.no_clock;
    if (beside_.clock && end.no_cpu.empty()) {
      auto time = beside_.clock->time(tracer_.id());
      if (!time) return tl::unexpected(time.error());
      end.cpu = *time;
    }
    if (args_.json) {
      output_.write(trace_json(end));
    } else {
      output_.write((columns_ ? "\n" : "") + trace_summary(end, style_));
    }
    return output_.status();
  }

 private:
  void tell(const Denial& denial) {
    if (!denial.refused && !args_.all) return;
    const bool first = (denial.refused ? refusals_ : failures_).add(denial);
    if (args_.json) {
      output_.write(trace_json(denial, began_ns_));
      return;
    }
    if (!first) return;
    if (!columns_) output_.write(trace_columns(style_));
    columns_ = true;
    output_.write(trace_line(denial, began_ns_, style_));
  }

  void tell(const ProbeLine& line) {
    const std::string probe = beside_.probes ? beside_.probes->name(line.probe) : std::string();
    if (args_.json) return output_.write(trace_json(line, probe, began_ns_));
    if (!columns_) output_.write(trace_columns(style_));
    columns_ = true;
    output_.write(trace_line(line, probe, began_ns_, style_));
  }

  void no_clock(const Error& error) {
    if (beside_.no_clock.empty()) beside_.no_clock = error.describe();
  }
  void follow_on_cpu(int tid) {
    auto event = beside_.clock->follow(tid);
    if (event) return on_cpu_.push_back(std::move(*event));
    if (event.error().err != ESRCH) no_clock(event.error());  // ESRCH: it ended
  }

  const Arguments& args_;
  const Witness& witness_;
  Beside beside_;
  std::vector<UniqueFd> on_cpu_;
  Tracer tracer_;
  Output& output_;
  Style style_;
  int64_t began_ns_;
  DenialLog refusals_, failures_;
  bool columns_ = false;
};

int no_witness(const Error& error) {
  fmt::print(
      stderr,
      "ringfence: trace needs eBPF, and cannot have it here: {}\n"
      "  It takes root, or CAP_BPF and CAP_PERFMON, and a kernel with BTF that lets programs "
      "attach to sys_enter and sys_exit; 'ringfence doctor' says what this machine offers.\n",
      error.describe());
  return kExitFailed;
}

int trace_children(const Arguments& args, const Witness& witness,
                   const std::vector<ProbeFile>& probes, Output& output) {
  auto signals = Signals::block();
  if (!signals) return complain(signals.error());
  auto beside = Beside::attach(witness, probes, true);
  if (!beside) return complain(beside.error());
  auto tracer = Tracer::children(witness);
  if (!tracer) return complain(tracer.error());
  Trace trace(args, witness, std::move(*tracer), std::move(*beside), output, now_ns());
  trace.begin(fmt::format("{}", fmt::join(args.command, " ")));
  auto started = start(args.command, signals->before());
  if (!started) return complain(started.error());
  if (started->exec_error != 0) {
    (void)exit_code_of(started->pidfd.get());
    return complain(
               Error{Error::Kind::system, "execute", started->exec_error, args.command[0], {}}),
           started->exec_error == ENOENT ? kNotFound : kNotExecutable;
  }
  auto stopped = trace.follow(started->pidfd.get(), true, *signals);
  if (!stopped) return complain(stopped.error());
  const int code = *stopped == 0 ? exit_code_of(started->pidfd.get()) : kSignalBase + *stopped;
  if (auto ok = trace.end(); !ok) return complain(ok.error());
  if (*stopped != 0) {
    fmt::print(stderr, "ringfence: the trace ended; process {} ({}) still runs\n", started->pid,
               args.command[0]);
  }
  return code;
}

// A process that is there already, or a container, by its init.
int trace_present(const Arguments& args, const Witness& witness,
                  const std::vector<ProbeFile>& probes, Output& output) {
  auto signals = Signals::block();
  if (!signals) return complain(signals.error());
  Container container;
  std::string scope;
  if (!args.container.empty()) {
    auto found = find_container(args.container);
    if (!found) return complain(found.error());
    container = std::move(*found);
    scope =
        fmt::format("container {} by {}, process {}", container.id, container.found, container.pid);
  } else {
    container.pid = args.pid;
    scope = fmt::format("process {} and its descendants", args.pid);
  }
  // Held before it is watched, so that its number cannot become another's without our knowing.
  const int64_t pidfd = sys::call(SYS_pidfd_open, static_cast<uint64_t>(container.pid), 0);
  if (pidfd < 0) {
    return complain(
        Error{pidfd == -ESRCH || pidfd == -EINVAL ? Error::Kind::usage : Error::Kind::system,
              args.container.empty() ? "--pid" : "--container", static_cast<int>(-pidfd),
              std::to_string(container.pid), "no such process, or a thread of one"});
  }
  const UniqueFd process(static_cast<int>(pidfd));
  auto beside = Beside::attach(witness, probes, false);
  if (!beside) return complain(beside.error());
  const int64_t began = now_ns();
  auto tracer = args.container.empty() ? Tracer::process(witness, args.pid)
                                       : Tracer::container(witness, container);
  if (!tracer) return complain(tracer.error());
  Trace trace(args, witness, std::move(*tracer), std::move(*beside), output, began);
  trace.begin(scope);
  auto stopped = trace.follow(process.get(), false, *signals);
  if (!stopped) return complain(stopped.error());
  if (auto ok = trace.end(); !ok) return complain(ok.error());
  return 0;
}

int trace_command(const Arguments& args) {
  const int ways =
      (args.command.empty() ? 0 : 1) + (args.pid != 0 ? 1 : 0) + (args.container.empty() ? 0 : 1);
  if (ways != 1) {
    return complain(Error{
        Error::Kind::usage, "trace", 0, {}, "give one of: -- CMD, --pid PID, --container ID"});
  }
  if (!args.container.empty()) {
    // Before the programs are loaded, which takes a moment.
    if (auto found = find_container(args.container); !found) return complain(found.error());
  }
  std::vector<ProbeFile> probes;
  for (const auto& path : args.probe_paths) {
    auto probe = read_probe(path);
    if (!probe) return complain(probe.error());
    probes.push_back(std::move(*probe));
  }
  auto witness = Witness::open();
  if (!witness) return no_witness(witness.error());
  auto output = Output::open(args);
  if (!output) return complain(output.error());
  return args.command.empty() ? trace_present(args, *witness, probes, *output)
                              : trace_children(args, *witness, probes, *output);
}

}  // namespace

void add_trace(CLI::App& app, Action& action) {
  auto args = std::make_shared<Arguments>();
  CLI::App* trace =
      app.add_subcommand("trace", "Denied operations and the layer that decided, live");
  auto* pid = trace->add_option("--pid", args->pid, "This process and its descendants")
                  ->type_name("PID")
                  ->check(CLI::Range(1, 1 << 22));
  trace
      ->add_option("--container", args->container,
                   "A running container of runc, crun, docker or podman, by id")
      ->type_name("ID")
      ->excludes(pid);
  trace->add_option("--output,-o", args->output, "Write there, and not to standard error or output")
      ->type_name("FILE");
  trace
      ->add_option("--probe", args->probe_paths,
                   "Load this BPF object of yours beside the witness; repeatable")
      ->type_name("FILE.bpf.o")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  trace->add_flag("--all", args->all, "With failures that are no refusal (ENOENT, EAGAIN, ...)");
  trace->add_flag("--json", args->json, "As JSON lines: every denial, and a summary");
  // That it goes with neither is checked later: the parser would complain of the "--".
  trace->add_option("command", args->command, "The program and its arguments, after --")
      ->type_name("CMD...");
  const CLI::Validator not_empty(
      [](const std::string& value) {
        return value.empty() ? std::string("a value is missing") : std::string();
      },
      "");
  for (const char* name : {"--container", "--output", "--probe"})
    trace->get_option(name)->check(not_empty);
  trace->footer(
      "With a command the trace goes to standard error, otherwise to standard output.\n"
      "What a daemon starts for the command (docker run) is no child of it: use --container.\n"
      "Exit codes: the command's own, 128 and the signal that killed it, 127 when it is not found\n"
      "and 126 when it cannot be executed; 0 after --pid and --container; 2 without eBPF; 64 "
      "usage.");
  trace->callback([args, &action] { action = [args] { return trace_command(*args); }; });
}

}  // namespace ringfence::cli

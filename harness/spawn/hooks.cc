#include "harness/spawn/hooks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <system_error>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/prepare.h"
#include "harness/spawn/spawn.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;

constexpr int kAwayFromGiven = 64;    // given numbers are below 16
constexpr size_t kRemembered = 4096;  // of what a hook complains of
constexpr size_t kLongestLine = 300;
constexpr auto kSlice = std::chrono::milliseconds(20);  // between two looks at what nobody tells

void wake(const void* word) { sys::call(SYS_futex, sys::arg(word), FUTEX_WAKE, 1); }

Deadline deadline_of(const Hook& hook) {
  if (!hook.timeout) return {};
  return Clock::now() + std::chrono::seconds(*hook.timeout);
}
bool passed(const Deadline& deadline) { return deadline && Clock::now() >= *deadline; }

std::string last_line(std::string_view said) {
  said = trim(said);
  if (const size_t end = said.rfind('\n'); end != std::string_view::npos)
    said.remove_prefix(end + 1);
  std::string line(said.substr(0, kLongestLine));
  for (char& c : line) {
    if (c < ' ' && c >= 0) c = ' ';
  }
  return line;
}

HookRunner::Failure failure_of(const HookPlan::Run& run, const std::string& how,
                               const std::string& said, int err = 0, const char* call = "") {
  HookRunner::Failure failure;
  failure.step = run.step;
  failure.error.what = fmt::format("hook {}{}", run.pointer(), call);
  failure.error.object = run.hook.path;
  failure.error.err = err;
  failure.error.hint = how;
  if (const std::string line = last_line(said); !line.empty()) {
    failure.error.hint += (how.empty() ? "" : ": ") + line;
  }
  return failure;
}

std::string too_long(const Hook& hook) {
  return fmt::format("ended, not done after {} s", hook.timeout.value_or(0));
}

HookRunner::Failure failure_of(const HookPlan::Run& run, const Error& error) {
  HookRunner::Failure failure = failure_of(run, "", "", error.err);
  failure.error.hint = error.what;
  return failure;
}

// To a number above those that the child may be given.
Result<UniqueFd> away(int64_t fd, const char* what) {
  if (fd < 0) return system_error(what, "hook", static_cast<int>(-fd));
  UniqueFd made(static_cast<int>(fd));
  if (made.get() >= kAwayFromGiven) return made;
  const auto number = static_cast<uint64_t>(made.get());
  int64_t moved = sys::call(SYS_fcntl, number, F_DUPFD_CLOEXEC, kAwayFromGiven);
  // A low RLIMIT_NOFILE.
  if (moved == -EINVAL) moved = sys::call(SYS_fcntl, number, F_DUPFD_CLOEXEC, 16);
  if (moved < 0) return system_error("fcntl(F_DUPFD_CLOEXEC)", "hook", static_cast<int>(-moved));
  return UniqueFd(static_cast<int>(moved));
}

int64_t empty_state() {
  return sys::call(SYS_memfd_create, sys::arg("ringfence-state"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

// Read from its beginning, since nothing moves its offset here; and nobody changes it any more.
Status fill(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const int64_t r = sys::call(SYS_pwrite64, static_cast<uint64_t>(fd),
                                sys::arg(text.data() + done), text.size() - done, done);
    if (r <= 0) return system_error("pwrite", "state of a hook", static_cast<int>(-r));
    done += static_cast<size_t>(r);
  }
  const int64_t r = sys::call(SYS_fcntl, static_cast<uint64_t>(fd), F_ADD_SEALS,
                              F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  if (r < 0) return system_error("fcntl(F_ADD_SEALS)", "state of a hook", static_cast<int>(-r));
  return {};
}

Status make_pipe(UniqueFd& in, UniqueFd& out) {
  std::array<int, 2> pair{};
  const int64_t r = sys::call(SYS_pipe2, sys::arg(pair.data()), O_CLOEXEC);
  if (r < 0) return system_error("pipe2", "hook", static_cast<int>(-r));
  in = UniqueFd(pair[0]);
  out = UniqueFd(pair[1]);
  return {};
}

// What is there; the end of it is kept. False once nothing will come any more.
bool drain(int fd, std::string& said) {
  // Not for ever: somebody may write as fast as we read.
  for (int round = 0; round < 64; ++round) {
    pollfd event{fd, POLLIN, 0};
    if (sys::call(SYS_poll, sys::arg(&event), 1, 0) <= 0) return true;
    std::array<char, kRemembered> buffer{};
    const int64_t n =
        sys::call(SYS_read, static_cast<uint64_t>(fd), sys::arg(buffer.data()), buffer.size());
    if (n == -EINTR) continue;
    if (n <= 0) return false;
    said.append(buffer.data(), static_cast<size_t>(n));
    if (said.size() > kRemembered) said.erase(0, said.size() - kRemembered);
  }
  return true;
}

// The hook's session is its process group, too; the pid is nobody else's until it was reaped.
void end_group(int pid) {
  if (pid > 1) sys::call(SYS_kill, static_cast<uint64_t>(-int64_t{pid}), SIGKILL);
}

std::vector<std::string> args_of(const Hook& hook) {
  return hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
}

// 0 for what is no number.
int pid_of(std::string_view text) { return parse_int(trim(text)).value_or(0); }

// The target's number in its own pid namespace, which is where the hook that is told it runs.
int pid_inside(int pid) {
  auto text = read_file(fmt::format("/proc/{}/status", pid));
  if (!text) return pid;
  for (const auto line : split(*text, '\n')) {
    if (!line.starts_with("NSpid:")) continue;
    const auto numbers = split(line, '\t');
    return numbers.empty() ? pid : pid_of(numbers.back());
  }
  return pid;
}

}  // namespace

Result<std::unique_ptr<HookRunner>> HookRunner::make(const HookPlan& plan, Warn warn) {
  std::unique_ptr<HookRunner> runner(new HookRunner);
  runner->plan_ = plan;
  runner->warn_ = std::move(warn);
  auto null = sys::open("/dev/null", O_RDWR);
  if (!null) return tl::unexpected(null.error());
  auto moved = away(null->release(), "open");
  if (!moved) return tl::unexpected(moved.error());
  runner->null_ = std::move(*moved);
  for (const HookPlan::Run& run : runner->plan_.runs) {
    if (!run.by_child()) continue;
    if (auto ready = runner->prepare_inside(run); !ready) return tl::unexpected(ready.error());
  }
  return runner;
}

Status HookRunner::prepare_inside(const HookPlan::Run& run) {
  auto inside = std::make_unique<Inside>();
  inside->run = &run;
  inside->args = args_of(run.hook);
  inside->argv = pointers(inside->args);
  inside->envp = pointers(run.hook.env);
  auto state = away(empty_state(), "memfd_create");
  if (!state) return tl::unexpected(state.error());
  inside->state = std::move(*state);
  UniqueFd out;
  if (auto made = make_pipe(inside->stderr_in, out); !made) return made;
  auto moved = away(out.release(), "pipe2");
  if (!moved) return tl::unexpected(moved.error());
  inside->stderr_out = std::move(*moved);
  ChildHook hook{};
  hook.path = run.hook.path.c_str();
  hook.argv = inside->argv.data();
  hook.envp = inside->envp.data();
  hook.state_fd = inside->state.get();
  hook.null_fd = null_.get();
  hook.stderr_fd = inside->stderr_out.get();
  hook.exe_fd = -1;
  hook.early = run.kind == HookKind::create_container;
  if (hook.early) {
    if (auto found = find_program(run, *inside, hook); !found) return found;
  }
  child_hooks_.push_back(hook);
  inside_.push_back(std::move(inside));
  return {};
}

// While the path is the spawner's for certain.
Status HookRunner::find_program(const HookPlan::Run& run, Inside& inside, ChildHook& hook) {
  auto exe = sys::open(run.hook.path.c_str(), O_PATH);
  if (!exe) {
    // A hook that runs before may make it; then the child finds it by its path, or says that not.
    if (exe.error().err == ENOENT) return {};
    return tl::unexpected(failure_of(run, "", "", exe.error().err).error);
  }
  struct stat st {};
  const int64_t r =
      sys::call(SYS_newfstatat, exe->get(), sys::arg(""), sys::arg(&st), AT_EMPTY_PATH);
  if (r < 0) return system_error("fstatat", run.hook.path, static_cast<int>(-r));
  auto high = away(exe->release(), "open");
  if (!high) return tl::unexpected(high.error());
  inside.exe = std::move(*high);
  hook.exe_fd = inside.exe.get();
  hook.device = st.st_dev;
  hook.inode = st.st_ino;
  return {};
}

Status HookRunner::start(ChildReport* report, const int* pid) {
  report_ = report;
  pid_pointer_ = pid;
  const auto& runs = plan_.runs;
  if (std::none_of(runs.begin(), runs.end(), [](const auto& r) { return r.before_start(); })) {
    return {};
  }
  const int64_t stop = sys::call(SYS_eventfd2, 0, 02000000 /* EFD_CLOEXEC */);
  if (stop < 0) return system_error("eventfd", "hooks", static_cast<int>(-stop));
  stop_ = UniqueFd(static_cast<int>(stop));
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return system_error("start the thread that runs hooks", {}, error.code().value());
  }
  return {};
}

void HookRunner::finish() {
  if (!thread_.joinable()) return;
  over_.store(true, std::memory_order_release);
  wake(&report_->hooks_waiting);
  const uint64_t one = 1;
  sys::call(SYS_write, stop_.get(), sys::arg(&one), sizeof one);
  thread_.join();
  for (auto& inside : inside_) drain(inside->stderr_in.get(), inside->said);
  signal_mask_.reset();
}

void HookRunner::run() {
  // Signals are for the threads that were there before; hooks start as this one did.
  const uint64_t all = ~0ULL;
  uint64_t before = 0;
  if (sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), 8) >= 0) {
    signal_mask_ = before;
  }
  while (__atomic_load_n(&report_->hooks_waiting, __ATOMIC_ACQUIRE) != kWaiting) {
    if (over_.load(std::memory_order_acquire)) return;
    timespec brief{0, std::chrono::nanoseconds(kSlice).count()};
    sys::call(SYS_futex, sys::arg(&report_->hooks_waiting), FUTEX_WAIT, 0, sys::arg(&brief));
  }
  // Who goes on in the child's place (kCallReborn) is another process.
  const int reborn = __atomic_load_n(&report_->reborn, __ATOMIC_ACQUIRE);
  pid_ = reborn > 0 ? reborn : *pid_pointer_;
  run_before_start();
  __atomic_store_n(&report_->hooks_go, uint32_t{failure_ ? kNoGo : kGo}, __ATOMIC_RELEASE);
  wake(&report_->hooks_go);
  if (!failure_ && !inside_.empty()) watch_child();
}

void HookRunner::run_before_start() {
  const std::string text = state("creating", pid_);
  for (const HookPlan::Run& run : plan_.runs) {
    if (run.by_child() || !run.before_start()) continue;
    failure_ = run_outside(run, text);
    if (failure_) return;
  }
  if (auto told = tell_inside(); !told) failure_ = failure_of(*inside_.front()->run, told.error());
}

Status HookRunner::tell_inside() {
  if (inside_.empty()) return {};
  const int pid = pid_inside(pid_);
  for (const auto& inside : inside_) {
    const bool creating = inside->run->kind == HookKind::create_container;
    auto filled = fill(inside->state.get(), state(creating ? "creating" : "created", pid));
    if (!filled) return filled;
  }
  return {};
}

// Until the program has started or the child is gone.
void HookRunner::watch_child() {
  uint32_t seen = 0;
  Deadline deadline;
  while (!over_.load(std::memory_order_acquire)) {
    const uint32_t running = __atomic_load_n(&report_->hook, __ATOMIC_ACQUIRE);
    if (running != seen) {
      seen = running;
      deadline = running > 0 ? deadline_of(inside_.at(running - 1)->run->hook) : Deadline();
    }
    Inside* inside = running > 0 ? inside_.at(running - 1).get() : nullptr;
    std::array<pollfd, 2> events = {
        {{stop_.get(), POLLIN, 0}, {inside != nullptr ? inside->stderr_in.get() : -1, POLLIN, 0}}};
    const int64_t ready =
        sys::call(SYS_poll, sys::arg(events.data()), events.size(), kSlice.count());
    if (inside != nullptr && (events[1].revents & POLLIN) != 0) {
      drain(inside->stderr_in.get(), inside->said);
    }
    const bool blind = ready < 0 && ready != -EINTR;
    const bool late = passed(deadline) && __atomic_load_n(&report_->hook, __ATOMIC_ACQUIRE) == seen;
    if (!blind && !late) continue;
    // Nobody would end a hook that takes too long.
    if (blind && inside == nullptr) inside = inside_.front().get();
    failure_ = blind ? failure_of(*inside->run, "", "", static_cast<int>(-ready), ": poll")
                     : failure_of(*inside->run, too_long(inside->run->hook), inside->said);
    end_target();
    return;
  }
}

// With the process groups of what it has started, which not every target takes along.
void HookRunner::end_target() {
  const int64_t opened = sys::call(SYS_pidfd_open, static_cast<uint64_t>(pid_), 0);
  const UniqueFd pidfd(static_cast<int>(opened));
  const auto tell = [&](int signal) {
    const int64_t r = sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(pidfd.get()),
                                static_cast<uint64_t>(signal), 0, 0);
    // Nobody reaps it before this thread has ended.
    if (r < 0) sys::call(SYS_kill, static_cast<uint64_t>(pid_), static_cast<uint64_t>(signal));
  };
  tell(SIGSTOP);  // or it reaps the hook, and the number is another's
  if (auto children = read_file(fmt::format("/proc/{0}/task/{0}/children", pid_))) {
    for (const auto word : split(*children, ' ')) {
      end_group(pid_of(word));
    }
  }
  tell(SIGKILL);
}

std::optional<HookRunner::Failure> HookRunner::run_outside(const HookPlan::Run& run,
                                                           const std::string& state) {
  Policy policy;
  policy.name = run.hook.path;
  policy.cwd = plan_.bundle;
  policy.set_user = false;
  auto plan = compile(policy);
  if (!plan) return failure_of(run, plan.error());
  auto told = away(empty_state(), "memfd_create");
  if (!told) return failure_of(run, told.error());
  if (auto filled = fill(told->get(), state); !filled) return failure_of(run, filled.error());
  UniqueFd in;
  UniqueFd out;
  if (auto made = make_pipe(in, out); !made) return failure_of(run, made.error());

  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = run.hook.path;
  request.args = args_of(run.hook);
  request.env = run.hook.env;
  request.fds = {{0, told->get()}, {1, null_.get()}, {2, out.get()}};
  request.signal_mask = signal_mask_;
  SpawnFailure why;
  auto child = spawn(request, &why);
  out.reset();
  if (!child) {
    const std::string call = why.nr >= 0 ? ": " + call_name(why.nr) : "";
    Failure failure = failure_of(run, "", "", child.error().err, call.c_str());
    failure.nr = why.nr;
    return failure;
  }
  const Deadline deadline = deadline_of(run.hook);
  std::string said;
  int complaints = in.get();
  for (;;) {
    std::array<pollfd, 3> events = {
        {{child->pidfd(), POLLIN, 0}, {complaints, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    const int64_t ready =
        sys::call(SYS_poll, sys::arg(events.data()), events.size(), kSlice.count());
    const bool blind = ready < 0 && ready != -EINTR;
    if (ready > 0 && events[1].revents != 0 && !drain(complaints, said)) complaints = -1;
    if (ready > 0 && events[0].revents != 0) break;
    const bool gone = over_.load(std::memory_order_acquire) && run.before_start();
    if (!blind && !gone && !passed(deadline)) continue;
    end_group(child->pid());
    if (blind) return failure_of(run, "", "", static_cast<int>(-ready), ": poll");
    return failure_of(run, gone ? "ended: the target is gone" : too_long(run.hook), said);
  }
  if (complaints >= 0) drain(complaints, said);
  auto end = child->wait();
  if (!end) return failure_of(run, end.error());
  if ((*end)->signaled || (*end)->code != 0) return failure_of(run, (*end)->describe(), said);
  return {};
}

std::optional<HookRunner::Failure> HookRunner::failure(const ChildReport& report) const {
  if (failure_) return failure_;
  if (report.failed == 0) return {};
  for (const auto& inside : inside_) {
    const HookPlan::Run& run = *inside->run;
    if (run.step != report.step) continue;
    if (report.hook_status == 0) {
      Failure failure =
          failure_of(run, "", "", report.err, fmt::format(": {}", call_name(report.nr)).c_str());
      failure.nr = report.nr;
      return failure;
    }
    ExitStatus end;
    end.signaled = WIFSIGNALED(report.hook_status);
    end.code = end.signaled ? WTERMSIG(report.hook_status) : WEXITSTATUS(report.hook_status);
    end.core = end.signaled && WCOREDUMP(report.hook_status);
    return failure_of(run, end.describe(), inside->said);
  }
  return {};
}

void HookRunner::run_after(HookKind kind, const char* status) {
  const std::string text = state(status, pid_);
  for (const HookPlan::Run& run : plan_.runs) {
    if (run.kind != kind) continue;
    const auto failed = run_outside(run, text);
    if (failed && warn_) warn_(failed->error);
  }
}

void HookRunner::existed(int pid) {
  pid_ = pid;
  existed_ = true;
}

void HookRunner::started() { run_after(HookKind::poststart, "running"); }

void HookRunner::stopped() {
  if (!std::exchange(existed_, false)) return;
  run_after(HookKind::poststop, "stopped");
}

std::string HookRunner::state(const char* status, int pid) const {
  nlohmann::json json = {{"ociVersion", plan_.oci_version},
                         {"id", fmt::format("ringfence-{}", pid_)},
                         {"status", status},
                         {"bundle", plan_.bundle}};
  // Afterwards that number is nobody's, or somebody else's.
  if (std::string_view(status) != "stopped") json["pid"] = pid;
  if (!plan_.annotations.empty()) json["annotations"] = plan_.annotations;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ringfence

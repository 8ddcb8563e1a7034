#include "bench/start_floor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "harness/base/file.h"
#include "harness/base/raw_syscall.h"
#include "harness/base/sys.h"
#include "harness/spawn/child.h"

extern "C" const unsigned char ringfence_true_begin[];
extern "C" const unsigned char ringfence_true_end[];

namespace ringfence::bench {
namespace {

constexpr size_t kStack = size_t{64} << 10;
constexpr const char* kArgs[] = {"true", nullptr};
constexpr const char* kEnv[] = {nullptr};

// Starts `function` in a child and waits for its end, which must be exit 0.
Status start_and_wait(uint64_t flags, std::vector<char>& stack, void (*function)(void*),
                      void* self) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD | CLONE_VFORK;
  args.pidfd = sys::arg(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = sys::arg(stack.data());
  args.stack_size = stack.size();
  const long pid = clone_and_run(&args, sizeof args, function, self);
  if (pid < 0) return system_error("clone3", "floor", static_cast<int>(-pid));
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  const int64_t waited =
      sys::call(SYS_waitid, P_PIDFD, static_cast<uint64_t>(pidfd), sys::arg(&info), WEXITED);
  if (waited < 0) return system_error("waitid", "floor", static_cast<int>(-waited));
  if (info.si_code != CLD_EXITED || info.si_status != 0) {
    return system_error("floor", fmt::format("ended with {}", info.si_status), ENOEXEC);
  }
  return {};
}

RINGFENCE_CHILD void execute_program(void* fd) {
  const auto program = static_cast<uint64_t>(*static_cast<const int*>(fd));
  static const char kEmpty[1] = {0};
  sys::raw_syscall(SYS_execveat, program, sys::arg(&kEmpty[0]), sys::arg(kArgs), sys::arg(kEnv),
                   AT_EMPTY_PATH);
  for (;;) sys::raw_syscall(SYS_exit_group, 127);
}

}  // namespace

Result<UniqueFd> make_true() {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("true"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "true", static_cast<int>(-fd));
  UniqueFd writable(static_cast<int>(fd));
  const auto size = static_cast<size_t>(ringfence_true_end - ringfence_true_begin);
  if (auto ok = sys::write_full(writable.get(), ringfence_true_begin, size); !ok) {
    return tl::unexpected(ok.error());
  }
  // A file that is open for writing is not executed (ETXTBSY).
  return sys::open(fmt::format("/proc/self/fd/{}", writable.get()).c_str(), O_RDONLY);
}

NamespacesAlone::NamespacesAlone(int program, uint64_t flags, bool shared)
    : program_(program), flags_(flags | (shared ? uint64_t{CLONE_VM} : 0)), stack_(kStack) {}

Status NamespacesAlone::run() { return start_and_wait(flags_, stack_, execute_program, &program_); }

// --- A plan's calls
// -------------------------------------------------------------------------------
namespace {

struct BareCall {
  long nr;
  uint64_t args[6];
  bool from_slot[6];
  int16_t tolerate[3];
  int out, when, unless;
  int64_t missing, done;
  uint32_t step;
};

}  // namespace

struct BarePlan::Start {
  std::vector<BareCall> list;
  std::vector<uint64_t> times;  // after each call; 0: it was not made
  sock_fprog filter{};
  int64_t slots[kSlots] = {};
  int64_t initial[kSlots] = {};
  // For the child, which calls no function of a container.
  const BareCall* calls = nullptr;
  size_t count = 0;
  uint64_t* stamps = nullptr;  // null: no look at the clock
  uint64_t entered = 0, left = 0;
  int parent = -1;  // a pidfd of the parent
  // Where it failed.
  uint32_t failed_step = 0;
  int32_t failed_errno = 0;

  RINGFENCE_CHILD static int64_t set_caps(uint64_t part, uint64_t mask) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (const int64_t r = sys::raw_syscall(SYS_capget, sys::arg(&header), sys::arg(&data[0]));
        r < 0)
      return r;
    for (int i = 0; i < 2; ++i) {
      const auto word = static_cast<uint32_t>(mask >> (32 * i));
      if (part == kCapsetInheritable) data[i].inheritable = word;
      if (part == kCapsetPermitted) data[i].permitted &= word;
      if (part != kCapsetInheritable) data[i].effective = word & data[i].permitted;
    }
    return sys::raw_syscall(SYS_capset, sys::arg(&header), sys::arg(&data[0]));
  }

  RINGFENCE_CHILD int64_t make(const BareCall& call) const {
    uint64_t a[6];
    for (int i = 0; i < 6; ++i) {
      a[i] = call.from_slot[i] ? static_cast<uint64_t>(slots[call.args[i]]) : call.args[i];
    }
    if (call.nr >= 0) return sys::raw_syscall(call.nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (call.nr == kCallGiveFds) return 0;  // none is given
    if (call.nr == kCallCapset) return set_caps(a[0], a[1]);
    if (call.nr == kCallParentDeath) {
      const int64_t r = sys::raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
      if (r < 0 || a[0] == 0) return r;
      pollfd waits{parent, POLLIN, 0};
      return sys::raw_syscall(SYS_poll, sys::arg(&waits), 1, 0);
    }
    return -ENOSYS;
  }

  RINGFENCE_CHILD static void execute(void* self) {
    auto* start = static_cast<Start*>(self);
    start->entered = __rdtsc();
    for (size_t i = 0; i < start->count;) {
      const BareCall& call = start->calls[i];
      const size_t here = i++;
      if (call.when >= 0 && start->slots[call.when] < 0) continue;
      if (call.unless >= 0 && start->slots[call.unless] >= 0) continue;
      const int64_t r = start->make(call);
      if (start->stamps != nullptr) start->stamps[here] = __rdtsc();
      if (call.out >= 0) start->slots[call.out] = r;
      if (call.nr == SYS_close && call.from_slot[0]) start->slots[call.args[0]] = -1;
      if (call.missing >= 0 && (r == -ENOSYS || r == -EINVAL)) {
        i = static_cast<size_t>(call.missing);
      } else if (r >= 0 && call.done >= 0) {
        i = static_cast<size_t>(call.done);
      } else if (r < 0 && r != -call.tolerate[0] && r != -call.tolerate[1] &&
                 r != -call.tolerate[2]) {
        start->failed_step = call.step;
        start->failed_errno = static_cast<int32_t>(-r);
        for (;;) sys::raw_syscall(SYS_exit_group, 126);
      }
    }
    start->left = __rdtsc();
    int program = static_cast<int>(start->slots[kSlotExe]);
    execute_program(&program);
  }
};

BarePlan::BarePlan() : start_(std::make_unique<Start>()), stack_(kStack) {}
BarePlan::~BarePlan() = default;

Result<std::shared_ptr<BarePlan>> BarePlan::make(const Plan& plan, int program) {
  if (plan.needs_helper() || plan.maps_in_child || plan.init || plan.by_pidfd || plan.apart ||
      !plan.settings().empty() || !plan.namespace_paths.empty() || !plan.mapped_trees.empty()) {
    return unsupported_error("list a plan's calls", plan.policy_name, 0,
                             "it is more than calls of the child");
  }
  std::shared_ptr<BarePlan> bare(new BarePlan());
  bare->flags_ = plan.clone_flags | CLONE_VM;
  Start& start = *bare->start_;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    bare->keys_.push_back(step.key);
    if (step.where != Where::child) continue;
    const auto base = static_cast<int64_t>(start.list.size());
    for (const Op& op : step.ops) {
      BareCall call{};
      call.nr = op.nr;
      for (size_t a = 0; a < op.args.size(); ++a) {
        const Arg& arg = op.args.at(a);
        call.from_slot[a] = arg.kind == Arg::Kind::slot;
        call.args[a] =
            arg.kind == Arg::Kind::bytes ? sys::arg(plan.bytes.at(arg.value).c_str()) : arg.value;
      }
      std::copy(op.tolerate.begin(), op.tolerate.end(), std::begin(call.tolerate));
      call.out = op.out;
      call.when = op.when;
      call.unless = op.unless;
      call.missing = op.missing < 0 ? -1 : base + op.missing;
      call.done = op.done < 0 ? -1 : base + op.done;
      call.step = static_cast<uint32_t>(i);
      start.list.push_back(call);
    }
  }
  start.times.resize(start.list.size());
  start.calls = start.list.data();
  start.count = start.list.size();
  start.filter.len = static_cast<uint16_t>(plan.seccomp_program.size());
  start.filter.filter =
      reinterpret_cast<sock_filter*>(const_cast<uint64_t*>(plan.seccomp_program.data()));
  std::fill(std::begin(start.initial), std::end(start.initial), -1);
  start.initial[kSlotExe] = program;
  start.initial[kSlotFilter] = reinterpret_cast<int64_t>(&start.filter);
  const int64_t self = sys::call(SYS_pidfd_open, static_cast<uint64_t>(sys::call(SYS_getpid)), 0);
  if (self < 0) return system_error("pidfd_open", "own process", static_cast<int>(-self));
  bare->self_ = UniqueFd(static_cast<int>(self));
  start.parent = bare->self_.get();
  return bare;
}

Status BarePlan::run() {
  start_->stamps = nullptr;
  return clone_and_wait();
}

Status BarePlan::clone_and_wait() {
  std::copy(std::begin(start_->initial), std::end(start_->initial), std::begin(start_->slots));
  start_->failed_errno = 0;
  auto ran = start_and_wait(flags_, stack_, Start::execute, start_.get());
  // A child that shares our memory and changes its ids makes us undumpable, prctl(2).
  sys::call(SYS_prctl, PR_SET_DUMPABLE, 1);
  if (!ran && start_->failed_errno != 0) {
    return system_error("floor", keys_.at(start_->failed_step), start_->failed_errno);
  }
  return ran;
}

Result<std::vector<BarePlan::Cost>> BarePlan::run_by_steps() {
  static const double counts = counts_per_ns();
  Start& start = *start_;
  std::fill(start.times.begin(), start.times.end(), 0);
  start.stamps = start.times.data();
  const uint64_t began = __rdtsc();
  if (auto ran = clone_and_wait(); !ran) return tl::unexpected(ran.error());
  const uint64_t ended = __rdtsc();
  const auto between = [](uint64_t from, uint64_t to) {
    return static_cast<double>(to - from) / counts;
  };
  std::vector<Cost> costs = {{"clone3", between(began, start.entered)}};
  uint64_t before = start.entered;
  uint32_t step = 0;
  for (size_t i = 0; i < start.list.size(); ++i) {
    if (start.times[i] == 0) continue;
    if (costs.size() == 1 || start.list[i].step != step) {
      step = start.list[i].step;
      costs.push_back({keys_.at(step), 0});
    }
    costs.back().ns += between(before, start.times[i]);
    before = start.times[i];
  }
  costs.push_back({"exec, end and wait", between(start.left, ended)});
  return costs;
}

double counts_per_ns() {
  using Clock = std::chrono::steady_clock;
  const auto from = Clock::now();
  const uint64_t began = __rdtsc();
  while (Clock::now() - from < std::chrono::milliseconds(5)) {
  }
  const uint64_t ended = __rdtsc();
  const auto took = std::chrono::duration<double, std::nano>(Clock::now() - from).count();
  return static_cast<double>(ended - began) / took;
}

}  // namespace ringfence::bench

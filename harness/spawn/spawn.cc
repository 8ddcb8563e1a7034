#include "harness/spawn/spawn.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "harness/base/sys.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/child.h"
#include "harness/spawn/hooks.h"
#include "harness/spawn/id_map_writer.h"
#include "harness/spawn/prepare.h"
#include "harness/spawn/reap.h"
#include "harness/spawn/supervisor.h"
#include "harness/spawn/while_cloning.h"

namespace ringfence {
namespace {

struct Cloned {
  long pid = -1;
  int pidfd = -1;
  std::optional<IdMapWriter::Failure> map_failure;
  std::unique_ptr<Supervisor> supervisor;
  std::optional<Error> no_listener;
  std::optional<HookRunner::Failure> hook_failure;
};

// The child gets the v2 group's cgroup.procs next to those of v1, for the step that joins.
Status join_by_itself(const CgroupLeaf& leaf, Prepared& p) {
  auto procs = leaf.unified_procs();
  if (!procs) return tl::unexpected(procs.error());
  for (int slot = kSlotCgroup0; slot <= kSlotCgroupLast; ++slot) {
    if (p.start.slots[slot] >= 0) continue;
    p.start.slots[slot] = procs->get();
    p.unified_procs = std::move(*procs);
    return {};
  }
  return system_error("join cgroup", "cgroup.procs", E2BIG, "too many hierarchies");
}

Result<Cloned> clone_child(const SpawnRequest& request, Prepared& p) {
  const Plan& plan = *request.plan;
  Cloned cloned;
  int parent_tid = 0;
  clone_args args{};
  // VFORK also without VM: the kernel then tells by itself when the program has started or the
  // child is gone, and no pipe can be held open by somebody else's child.
  args.flags = plan.clone_flags | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_VFORK |
               (plan.apart ? 0 : CLONE_VM);
  args.pidfd = sys::arg(&cloned.pidfd);
  args.parent_tid = sys::arg(&parent_tid);
  args.exit_signal = SIGCHLD;
  args.stack = sys::arg(p.stack.data());
  args.stack_size = kChildStack;
  // Without the step that joins, nobody is where the limits are; a group that limits nothing is for
  // the witness's eyes, and no part of the policy.
  const CgroupLeaf* const group = request.cgroup;
  const bool unified = group != nullptr && group->unified_fd() >= 0 &&
                       (plan.find("cgroup.join") != nullptr || !group->limits_by_unified());
  const bool into = unified && group->takes_clones();
  if (into) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(group->unified_fd());
  } else if (unified) {
    if (auto joined = join_by_itself(*group, p); !joined) return tl::unexpected(joined.error());
  }
  if (request.netns_fd >= 0) args.flags &= ~uint64_t{CLONE_NEWNET};
  p.start.wait_for_maps = plan.needs_helper() && !plan.maps_in_child;

  // Before what is borrowed for the clone, which hooks are not to have.
  if (p.hooks) {
    if (auto started = p.hooks->start(p.start.report, &parent_tid); !started) {
      return tl::unexpected(started.error());
    }
  }
  BorrowedCpus cpus;
  if (auto taken = cpus.take(plan); !taken) return tl::unexpected(taken.error());
  const KeptDumpable dumpable;
  BlockedSignals signals;
  if (auto blocked = signals.block(); !blocked) return tl::unexpected(blocked.error());
  p.start.signal_mask = request.signal_mask.value_or(signals.before());
  IdMapWriter writer(plan, p.start.report, &parent_tid, request.port_program);
  if (plan.needs_helper() || plan.maps_in_child) {
    if (auto started = writer.start(); !started) return tl::unexpected(started.error());
  }
  if (plan.listener) {
    auto started = Supervisor::start(plan, p.start.report, &parent_tid);
    if (!started) return tl::unexpected(started.error());
    cloned.supervisor = std::move(*started);
  }
  cloned.pid = clone_and_run(&args, sizeof args, run_child, &p.start);
  // CLONE_INTO_CGROUP is Linux 5.7: before, the child joins by itself. No child was made, so the
  // helper is still waiting for one.
  if (into && (cloned.pid == -EINVAL || cloned.pid == -E2BIG)) {
    auto joined = join_by_itself(*group, p);
    if (!joined) {
      writer.finish();
      return tl::unexpected(joined.error());  // the supervisor's end waits for nobody
    }
    args.flags &= ~static_cast<uint64_t>(CLONE_INTO_CGROUP);
    cloned.pid = clone_and_run(&args, CLONE_ARGS_SIZE_VER1, run_child, &p.start);
  }
  writer.finish();
  if (p.hooks) {
    p.hooks->finish();
    cloned.hook_failure = p.hooks->failure(*p.start.report);
  }
  cloned.map_failure = writer.failure();
  if (cloned.supervisor) cloned.no_listener = cloned.supervisor->begun();
  if (request.counted_ports != nullptr) *request.counted_ports = writer.counted_ports();
  if (cloned.pid < 0) {
    const int err = static_cast<int>(-cloned.pid);
    return system_error("clone3", plan.policy_name, err,
                        err == EPERM ? "namespaces need CAP_SYS_ADMIN or a user namespace"
                        : err == ENOSYS
                            ? "Linux 5.3 or newer is needed, and no filter that denies it"
                        : err == ENOSPC ? "a limit in /proc/sys/user is reached"
                                        : "");
  }
  return cloned;
}

std::string hint_for(const Plan& plan, const std::string& key, int err) {
  const bool user = (plan.clone_flags & CLONE_NEWUSER) != 0;
  if (err == EPERM && user && key.starts_with("mount:")) {
    return "in a user namespace proc needs a pid namespace, sysfs a network namespace of its own";
  }
  if (key.starts_with("landlock:") && (err == ENOSYS || err == EOPNOTSUPP || err == EINVAL)) {
    return "Linux 5.13 or newer with landlock in the lsm= list; some rights are younger";
  }
  if (key.starts_with("landlock:") && err == EPERM) {
    return "set noNewPrivileges, or keep CAP_SYS_ADMIN";
  }
  if (err == EPERM && key.starts_with("rlimit.")) {
    return "raising a hard limit takes CAP_SYS_RESOURCE in the initial user namespace";
  }
  return {};
}

// The error for what the child reported, or for its death without a report.
Error failed_child(const SpawnRequest& request, const Cloned& cloned, const ChildReport& report,
                   const std::string& end, SpawnFailure* failure) {
  const Plan& plan = *request.plan;
  SpawnFailure what;
  Error error;
  if (cloned.map_failure) {
    const auto it = std::find_if(plan.steps.begin(), plan.steps.end(), [&](const Step& step) {
      return step.key == cloned.map_failure->key;
    });
    what.step = static_cast<size_t>(it - plan.steps.begin());
    what.key = cloned.map_failure->key;
    const bool network =
        it != plan.steps.end() && it->network.effect != Step::Network::Effect::none;
    what.layer = it != plan.steps.end() ? it->layer : Layer::kUser;
    what.nr = network ? SYS_sendto : SYS_write;
    what.err = cloned.map_failure->error.err;
    error = cloned.map_failure->error;
    error.what = fmt::format("step {}: {}", what.key, error.what);
  } else if (cloned.no_listener) {
    const Step* step = plan.find("seccomp");
    what = {static_cast<size_t>(step - plan.steps.data()), step->key, step->layer, SYS_pidfd_getfd,
            cloned.no_listener->err};
    error = *cloned.no_listener;
  } else if (cloned.hook_failure) {
    const HookRunner::Failure& hook = *cloned.hook_failure;
    what = {hook.step, plan.steps.at(hook.step).key, {}, hook.nr, hook.error.err};
    error = hook.error;
  } else if (report.failed != 0) {
    what.step = report.step;
    what.nr = report.nr;
    what.err = report.err;
    const bool exec = report.step >= plan.steps.size();
    what.key = exec ? "exec" : plan.steps[report.step].key;
    if (!exec) what.layer = plan.steps[report.step].layer;
    error.err = report.err;
    error.what = fmt::format("step {}: {}", what.key, call_name(report.nr));
    error.object = !exec                 ? plan.steps[report.step].text
                   : request.exe_fd >= 0 ? fmt::format("descriptor {}", request.exe_fd)
                                         : request.exe_path;
    error.hint = hint_for(plan, what.key, report.err);
  } else {
    what.step = plan.steps.size();
    what.key = "exec";
    error.what = "spawn";
    error.object = report.reached_exec != 0 ? "the child ended within exec"
                                            : "the child ended before its program started";
    error.hint = end;
  }
  if (failure != nullptr) *failure = std::move(what);
  return error;
}

}  // namespace

std::string ExitStatus::describe() const {
  if (!signaled) return fmt::format("exit {}", code);
  const char* name = sigabbrev_np(code);
  return fmt::format("killed by {}{}",
                     name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", code),
                     core ? " (core dumped)" : "");
}

Result<Child> spawn(const SpawnRequest& request, SpawnFailure* failure) {
  if (auto checked = check_request(request); !checked) return tl::unexpected(checked.error());
  Prepared prepared;
  if (auto ready = prepare_spawn(request, prepared); !ready) return tl::unexpected(ready.error());
  auto cloned = clone_child(request, prepared);
  if (!cloned) {
    if (failure != nullptr) *failure = {0, "clone", {}, SYS_clone3, cloned.error().err};
    return tl::unexpected(cloned.error());
  }
  const ChildReport& report = *prepared.start.report;
  Child child;
  child.pid_ = static_cast<int>(cloned->pid);
  child.pidfd_ = UniqueFd(cloned->pidfd);
  child.hooks_ = std::move(prepared.hooks);
  if (child.hooks_) child.hooks_->existed(report.reborn > 0 ? report.reborn : child.pid_);
  if (report.reborn > 0) {
    // The first one has ended, or would not.
    reap(child.pid_, child.pidfd_.get());
    child.pid_ = report.reborn;
    const int64_t fd = sys::call(SYS_pidfd_open, static_cast<uint64_t>(report.reborn), 0);
    child.pidfd_ = UniqueFd(static_cast<int>(fd));
    if (fd < 0) {
      child.ended_ = reap(child.pid_, -1);
      return system_error("pidfd_open", "the target", static_cast<int>(-fd));
    }
  }

  const bool failed = report.failed != 0 || report.reached_exec == 0 || cloned->map_failure ||
                      cloned->no_listener || cloned->hook_failure;
  child.supervisor_ = std::move(cloned->supervisor);
  if (!failed && !ended_unstarted(child.pid_, child.pidfd_.get())) {
    auto terminal = prepared.terminal.take();
    if (!terminal) return tl::unexpected(terminal.error());
    child.terminal_ = std::move(*terminal);
    if (child.hooks_) child.hooks_->started();
    return child;
  }
  child.ended_ = reap(child.pid_, child.pidfd_.get());
  return tl::unexpected(failed_child(request, *cloned, report,
                                     child.ended_ ? child.ended_->describe() : "", failure));
}

Child::Child() = default;

uint64_t Child::answered() const { return supervisor_ ? supervisor_->answered() : 0; }

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      terminal_(std::move(other.terminal_)),
      ended_(std::exchange(other.ended_, std::nullopt)),
      supervisor_(std::move(other.supervisor_)),
      hooks_(std::move(other.hooks_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    finish();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    terminal_ = std::move(other.terminal_);
    ended_ = std::exchange(other.ended_, std::nullopt);
    supervisor_ = std::move(other.supervisor_);
    hooks_ = std::move(other.hooks_);
  }
  return *this;
}

Child::~Child() { finish(); }

void Child::finish() {
  if (pid_ > 0 && !ended_) ended_ = reap(pid_, pidfd_.get());
  if (hooks_) hooks_->stopped();
}

Result<std::optional<ExitStatus>> Child::wait(std::optional<std::chrono::milliseconds> timeout) {
  if (ended_) return ended_;
  auto ended = wait_for_end(pidfd_.get(), timeout);
  if (ended && *ended) {
    ended_ = *ended;
    if (hooks_) hooks_->stopped();
  }
  return ended;
}

Status Child::kill(int signal) {
  if (ended_) return {};
  const int64_t r = sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(pidfd_.get()),
                              static_cast<uint64_t>(signal), 0, 0);
  if (r < 0 && r != -ESRCH) {
    return system_error("pidfd_send_signal", std::to_string(pid_), static_cast<int>(-r));
  }
  return {};
}

}  // namespace ringfence

#include "harness/spawn/spawn.h"

#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <memory>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/confine/scheduling.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/child.h"
#include "harness/spawn/id_map_writer.h"
#include "harness/spawn/mapped_tree.h"
#include "harness/spawn/reap.h"
#include "harness/spawn/supervisor.h"
#include "harness/spawn/terminal.h"
#include "probes/inmate/init_image.h"

namespace ringfence {
namespace {

constexpr size_t kStackSize = size_t{128} << 10;
constexpr size_t kGuard = 4096;
constexpr int kInitExe = 15;  // where an init finds its program

// Anonymous memory that lives as long as one spawn.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    if (address_ == nullptr) return;
    // One more try: only an armed fault makes it fail, and the memory must not stay.
    if (sys::call(SYS_munmap, sys::arg(address_), size_) < 0) {
      sys::call(SYS_munmap, sys::arg(address_), size_);
    }
  }
  Status map(size_t size, int kind) {
    const int64_t r = sys::call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS,
                                static_cast<uint64_t>(-1), 0);
    if (r < 0) return system_error("mmap", "memory of the child", static_cast<int>(-r));
    address_ = address_of_result<char>(r);
    size_ = size;
#ifdef __SANITIZE_THREAD__
    // The sanitizer does not see the seam: it must be told that memory at an address that another
    // thread had before is new.
    ::mmap(address_, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#endif
    return {};
  }
  [[nodiscard]] char* data() const { return address_; }

 private:
  char* address_ = nullptr;
  size_t size_ = 0;
};

// All that the child reads, made before the clone.
struct Prepared {
  std::vector<FlatOp> ops;
  std::vector<FlatOp> fallbacks;
  std::vector<const char*> argv, envp, paths;
  std::vector<std::string> path_texts;
  std::vector<UniqueFd> namespaces, trees;
  UniqueFd init;
  std::vector<std::string> init_args;
  UniqueFd self;
  UniqueFd unified_procs;
  TerminalEnds terminal;
  Memory stack;
  Memory shared;
  ChildStart start{};
};

FlatOp flatten(const Plan& plan, const Op& op, uint32_t step) {
  FlatOp flat{};
  flat.nr = op.nr;
  for (size_t i = 0; i < op.args.size(); ++i) {
    const Arg& arg = op.args.at(i);
    flat.kinds[i] = arg.kind == Arg::Kind::slot ? Arg::Kind::slot : Arg::Kind::constant;
    flat.args[i] =
        arg.kind == Arg::Kind::bytes ? sys::arg(plan.bytes.at(arg.value).c_str()) : arg.value;
  }
  for (size_t i = 0; i < op.tolerate.size(); ++i) flat.tolerate[i] = op.tolerate.at(i);
  flat.out = op.out;
  flat.when = op.when;
  flat.unless = op.unless;
  flat.missing = flat.done = -1;
  flat.step = step;
  return flat;
}

void flatten(const Plan& plan, Prepared& p) {
  size_t count = 0;
  size_t fallbacks = 0;
  for (const Step& step : plan.steps) {
    if (step.where != Where::child) continue;
    count += step.ops.size();
    fallbacks += step.fallback.size();
  }
  p.ops.reserve(count);
  p.fallbacks.reserve(fallbacks);  // pointers into it are taken below
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if (step.where != Where::child) continue;
    const size_t first = p.fallbacks.size();
    for (const Op& op : step.fallback) {
      p.fallbacks.push_back(flatten(plan, op, static_cast<uint32_t>(i)));
    }
    const auto base = static_cast<int64_t>(p.ops.size());
    for (const Op& op : step.ops) {
      p.ops.push_back(flatten(plan, op, static_cast<uint32_t>(i)));
      if (op.missing >= 0) p.ops.back().missing = base + op.missing;
      if (op.done >= 0) p.ops.back().done = base + op.done;
      if (op.fallback >= 0) {
        p.ops.back().fallback = &p.fallbacks[first + static_cast<size_t>(op.fallback)];
      }
    }
  }
}

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> list;
  list.reserve(texts.size() + 1);
  for (const auto& text : texts) list.push_back(text.c_str());
  list.push_back(nullptr);
  return list;
}

// Where to look for the program, execvp(3).
std::vector<std::string> candidates(const SpawnRequest& request) {
  const std::string& name = request.exe_path;
  if (name.empty() || name.find('/') != std::string::npos) return {name};
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const auto& entry : request.env) {
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  }
  std::vector<std::string> list;
  for (const auto directory : split(path, ':')) list.push_back(std::string(directory) + "/" + name);
  return list;
}

Status check(const SpawnRequest& request) {
  if (request.plan == nullptr) return usage_error("spawn", "plan", "none was given");
  if (request.exe_fd < 0 && request.exe_path.empty()) {
    return usage_error("spawn", "program", "neither a descriptor nor a path was given");
  }
  if (request.fds.size() + (request.plan->init ? 1 : 0) > std::size(ChildStart{}.given)) {
    return usage_error("spawn", "descriptors", "at most 16");
  }
  const bool taken = std::any_of(request.fds.begin(), request.fds.end(),
                                 [](const auto& fd) { return fd.first == kInitExe; });
  if (request.plan->init && request.exe_fd >= 0 && taken) {
    return usage_error("spawn", fmt::format("descriptor {}", kInitExe), "the init has this number");
  }
  for (const auto& [inside, here] : request.fds) {
    if (inside < 0 || inside >= 16 || here < 0) {
      return usage_error("spawn", fmt::format("descriptor {} as {}", here, inside),
                         "numbers inside are 0 to 15");
    }
  }
  if (request.netns_fd >= 0 && ((request.plan->clone_flags & CLONE_NEWNET) == 0 ||
                                (request.plan->clone_flags & CLONE_NEWUSER) != 0)) {
    return usage_error("spawn", "network namespace",
                       "only for a plan that makes one, and no user namespace");
  }
  if (request.plan->prepared != (request.mntns_fd >= 0)) {
    return usage_error("spawn", "mount namespace", "goes with the plan of a SandboxPool");
  }
  if (request.plan->by_pidfd && request.join_pidfd < 0) {
    return usage_error("spawn", "join_pidfd", "the plan joins namespaces by a pidfd");
  }
  const auto limits = [](const Step& step) { return !step.settings.empty(); };
  if (request.cgroup == nullptr &&
      (!request.plan->controllers.empty() ||
       std::any_of(request.plan->steps.begin(), request.plan->steps.end(), limits))) {
    return usage_error("spawn", "cgroup", "the plan has limits, so it needs a group");
  }
  return {};
}

// The init is what is executed, and gets the program as arguments.
Status prepare_init(const SpawnRequest& request, Prepared& p) {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("ringfence-init"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "init", static_cast<int>(-fd));
  p.init = UniqueFd(static_cast<int>(fd));
  const auto image = init_image();
  if (auto ok = sys::write_full(p.init.get(), image.data(), image.size()); !ok) return ok;
  const bool by_path = request.exe_fd < 0;
  p.init_args = {"ringfence-init", by_path ? "-" : std::to_string(kInitExe),
                 std::to_string(by_path ? p.path_texts.size() : 0)};
  if (by_path) p.init_args.insert(p.init_args.end(), p.path_texts.begin(), p.path_texts.end());
  p.init_args.insert(p.init_args.end(), request.args.begin(), request.args.end());
  p.argv = pointers(p.init_args);
  return {};
}

Status prepare(const SpawnRequest& request, Prepared& p) {
  const Plan& plan = *request.plan;
  flatten(plan, p);
  p.argv = pointers(request.args);
  p.envp = pointers(request.env);
  p.path_texts = candidates(request);
  if (plan.init) {
    if (auto made = prepare_init(request, p); !made) return made;
  }
  p.paths = pointers(p.path_texts);
  if (auto mapped = p.stack.map(kGuard + kStackSize, MAP_PRIVATE | MAP_STACK); !mapped) {
    return mapped;
  }
  if (const int64_t r = sys::call(SYS_mprotect, sys::arg(p.stack.data()), kGuard, PROT_NONE);
      r < 0) {
    return system_error("mprotect", "guard page of the child's stack", static_cast<int>(-r));
  }
  if (auto mapped = p.shared.map(4096, MAP_SHARED); !mapped) return mapped;

  ChildStart& s = p.start;
  s.ops = p.ops.data();
  s.count = static_cast<uint32_t>(p.ops.size());
  s.exec_step = static_cast<uint32_t>(plan.steps.size());
  s.report = new (p.shared.data()) ChildReport{};
  s.argv = p.argv.data();
  s.envp = p.envp.data();
  s.paths = p.paths.data();
  s.parent_pidfd = -1;
  s.netns_fd = request.netns_fd;
  if (const Step* step = plan.find("ns.net")) {
    s.netns_step = static_cast<uint32_t>(step - plan.steps.data());
  }
  std::fill(std::begin(s.slots), std::end(s.slots), -1);
  s.slots[kSlotExe] = plan.init ? p.init.get() : request.exe_fd;
  for (const auto& [inside, here] : request.fds) s.given[s.given_count++] = {inside, here};
  if (plan.init && request.exe_fd >= 0) s.given[s.given_count++] = {kInitExe, request.exe_fd};
  s.filter.len = static_cast<uint16_t>(plan.seccomp_program.size());
  s.filter.filter =
      reinterpret_cast<sock_filter*>(const_cast<uint64_t*>(plan.seccomp_program.data()));
  if (request.cgroup != nullptr) {
    int slot = kSlotCgroup0;
    for (const int fd : request.cgroup->v1_procs()) {
      if (slot <= kSlotCgroupLast) s.slots[slot++] = fd;
    }
  }
  int slot = kSlotNamespace0;
  for (const auto& path : plan.namespace_paths) {
    auto fd = sys::open(path.c_str(), O_RDONLY);
    if (!fd) return tl::unexpected(fd.error());
    s.slots[slot++] = fd->get();
    p.namespaces.push_back(std::move(*fd));
  }
  s.slots[kSlotPidfd] = request.join_pidfd;
  s.slots[kSlotMntns] = request.mntns_fd;
  s.slots[kSlotCgroupns] = request.cgroupns_fd;
  slot = kSlotMapped0;
  for (const MappedTree& tree : plan.mapped_trees) {
    auto fd = make_mapped_tree(tree);
    if (!fd) return tl::unexpected(fd.error());
    s.slots[slot++] = fd->get();
    p.trees.push_back(std::move(*fd));
  }
  auto terminal = TerminalEnds::make(plan.terminal);
  if (!terminal) return tl::unexpected(terminal.error());
  p.terminal = std::move(*terminal);
  s.slots[kSlotTerminal] = p.terminal.slave();
  s.slots[kSlotTerminalTo] = p.terminal.sender();
  if (request.die_with_parent) {
    const int64_t pid = sys::call(SYS_getpid);
    const int64_t fd = pid < 0 ? pid : sys::call(SYS_pidfd_open, static_cast<uint64_t>(pid), 0);
    if (fd < 0) return system_error("pidfd_open", "own process", static_cast<int>(-fd));
    p.self = UniqueFd(static_cast<int>(fd));
    s.parent_pidfd = p.self.get();
  }
  return {};
}

// Blocks every signal while it lives: a handler must not run in the child on the parent's memory.
class BlockedSignals {
 public:
  Status block() {
    const uint64_t all = ~0ULL;
    const int64_t r =
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before_), 8);
    if (r < 0) return system_error("rt_sigprocmask", {}, static_cast<int>(-r));
    blocked_ = true;
    return {};
  }
  ~BlockedSignals() {
    if (!blocked_) return;
    if (sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, 8) < 0) {
      sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, 8);
    }
  }
  [[nodiscard]] uint64_t before() const { return before_; }

 private:
  uint64_t before_ = 0;
  bool blocked_ = false;
};

// A child that shares our memory and changes its ids makes us undumpable, prctl(2): what we were
// before is put back.
class KeptDumpable {
 public:
  KeptDumpable() : before_(sys::call(SYS_prctl, PR_GET_DUMPABLE)) {}
  KeptDumpable(const KeptDumpable&) = delete;
  KeptDumpable& operator=(const KeptDumpable&) = delete;
  ~KeptDumpable() {
    if (before_ == 1 && sys::call(SYS_prctl, PR_GET_DUMPABLE) != 1) {
      sys::call(SYS_prctl, PR_SET_DUMPABLE, 1);
    }
  }

 private:
  int64_t before_;
};

// The CPUs that this thread has while it clones, which the child starts with; then its own again.
class BorrowedCpus {
 public:
  BorrowedCpus() = default;
  BorrowedCpus(const BorrowedCpus&) = delete;
  BorrowedCpus& operator=(const BorrowedCpus&) = delete;
  Status take(const Plan& plan) {
    const Step* step = plan.find(kInitialCpus);
    if (step == nullptr) return {};
    const int64_t size =
        sys::call(SYS_sched_getaffinity, 0, sizeof before_, sys::arg(before_.data()));
    if (size < 0) return system_error("sched_getaffinity", {}, static_cast<int>(-size));
    const Op& op = step->ops.front();
    const std::string& mask = plan.bytes.at(op.args.at(2).value);
    const int64_t r = sys::call(op.nr, 0, op.args.at(1).value, sys::arg(mask.data()));
    if (r < 0) {
      return system_error(fmt::format("step {}: {}", step->key, call_name(op.nr)), step->text,
                          static_cast<int>(-r));
    }
    size_ = static_cast<uint64_t>(size);
    return {};
  }
  ~BorrowedCpus() {
    if (size_ > 0) sys::call(SYS_sched_setaffinity, 0, size_, sys::arg(before_.data()));
  }

 private:
  std::array<uint64_t, (kMostCpu + 1) / 64> before_{};
  uint64_t size_ = 0;
};

struct Cloned {
  long pid = -1;
  int pidfd = -1;
  std::optional<IdMapWriter::Failure> map_failure;
  std::unique_ptr<Supervisor> supervisor;
  std::optional<Error> no_listener;
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
  args.stack_size = kGuard + kStackSize;
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

  BorrowedCpus cpus;
  if (auto taken = cpus.take(plan); !taken) return tl::unexpected(taken.error());
  const KeptDumpable dumpable;
  BlockedSignals signals;
  if (auto blocked = signals.block(); !blocked) return tl::unexpected(blocked.error());
  p.start.signal_mask = signals.before();
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
  if (auto checked = check(request); !checked) return tl::unexpected(checked.error());
  Prepared prepared;
  if (auto ready = prepare(request, prepared); !ready) return tl::unexpected(ready.error());
  auto cloned = clone_child(request, prepared);
  if (!cloned) {
    if (failure != nullptr) *failure = {0, "clone", {}, SYS_clone3, cloned.error().err};
    return tl::unexpected(cloned.error());
  }
  const ChildReport& report = *prepared.start.report;
  Child child;
  child.pid_ = static_cast<int>(cloned->pid);
  child.pidfd_ = UniqueFd(cloned->pidfd);
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

  const bool failed =
      report.failed != 0 || report.reached_exec == 0 || cloned->map_failure || cloned->no_listener;
  child.supervisor_ = std::move(cloned->supervisor);
  if (!failed && !ended_unstarted(child.pid_, child.pidfd_.get())) {
    auto terminal = prepared.terminal.take();
    if (!terminal) return tl::unexpected(terminal.error());
    child.terminal_ = std::move(*terminal);
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
      supervisor_(std::move(other.supervisor_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    if (pid_ > 0 && !ended_) reap(pid_, pidfd_.get());
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    terminal_ = std::move(other.terminal_);
    ended_ = std::exchange(other.ended_, std::nullopt);
    supervisor_ = std::move(other.supervisor_);
  }
  return *this;
}

Child::~Child() {
  if (pid_ > 0 && !ended_) reap(pid_, pidfd_.get());
}

Result<std::optional<ExitStatus>> Child::wait(std::optional<std::chrono::milliseconds> timeout) {
  if (ended_) return ended_;
  auto ended = wait_for_end(pidfd_.get(), timeout);
  if (ended && *ended) ended_ = *ended;
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

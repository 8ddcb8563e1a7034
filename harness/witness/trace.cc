#include "harness/witness/trace.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/witness/operation.h"
#include "harness/witness/story.h"
#include "probes/bpf/abi.h"
#include "probes/bpf/probe_abi.h"

namespace ringfence {
namespace {

constexpr size_t kRingBytes = size_t{4} << 20;
// PROC_PID_INIT_INO, include/linux/proc_ns.h.
constexpr uint64_t kInitialPidns = 0xEFFFFFFC;
// si_code of SIGSYS, include/uapi/asm-generic/siginfo.h.
constexpr int64_t kFromSeccomp = 1;
constexpr int64_t kFromUserDispatch = 2;

Witness::WatchOptions watch_options() {
  return {.ring_bytes = kRingBytes, .story = false, .wakes = true};
}

Result<uint64_t> inode(const std::string& path) {
  struct stat st {};
  const int64_t r = sys::call(SYS_newfstatat, static_cast<uint64_t>(AT_FDCWD),
                              sys::arg(path.c_str()), sys::arg(&st), 0);
  if (r < 0) return system_error("stat", path, static_cast<int>(-r));
  return st.st_ino;
}

Result<bool> in_initial_pidns() {
  auto own = inode("/proc/self/ns/pid");
  if (!own) return tl::unexpected(own.error());
  return *own == kInitialPidns;
}

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

// /proc of another pid namespace does not tell: a call that nobody else makes is looked for in the
// story of this one.
Result<int> own_tgid(const Witness& witness) {
  auto initial = in_initial_pidns();
  if (!initial) return tl::unexpected(initial.error());
  if (*initial) return static_cast<int>(sys::call(SYS_getpid));
  auto own = inode("/proc/self/ns/pid");
  if (!own) return tl::unexpected(own.error());
  auto options = watch_options();
  options.story = true;
  auto watch = witness.watch_pidns(static_cast<uint32_t>(*own), options);
  if (!watch) return tl::unexpected(watch.error());
  uint64_t secret = 0;
  (void)sys::call(SYS_getrandom, sys::arg(&secret), sizeof secret, 0);
  (void)sys::call(SYS_getpid, secret, ~secret);
  int found = 0;
  auto told = watch->story([&](const rf_event& event, size_t size) {
    const StoryLine line = tell(event, size);
    if (line.is_call && line.call.nr == SYS_getpid && line.call.args[0] == secret &&
        line.call.args[1] == ~secret) {
      found = line.tgid;
    }
  });
  if (!told) return tl::unexpected(told.error());
  if (found == 0) return system_error("trace", "find this process's own number", ESRCH);
  return found;
}

namespace {

// What sys_exit shows and no program sees: a call that will be restarted (ERESTARTSYS and its kind,
// include/linux/errno.h), and the register that a signal's end puts back.
bool no_result(const CallRecord& call) {
  constexpr int64_t kRestartFirst = -516;
  constexpr int64_t kRestartLast = -512;
  return !call.no_enter && ((call.ret >= kRestartFirst && call.ret <= kRestartLast) ||
                            (!call.compat && call.nr == SYS_rt_sigreturn));
}

bool refusal(const CallRecord& call, const Attribution& decided) {
  if (call.no_enter) return true;
  // A file that cannot be waited for (a regular one), epoll_ctl(2): nobody's decision.
  if (call.nr == SYS_epoll_ctl && !call.compat && call.ret == -EPERM) return false;
  if (call.ret == -EPERM || call.ret == -EACCES || call.ret == -EROFS) return true;
  // A limit says no with an error of its own.
  return decided.layer.name().starts_with("rlimit.") || decided.layer.name().starts_with("cgroup.");
}

std::string result_of(const CallRecord& call) {
  if (call.ret < 0) return errno_name(static_cast<int>(-call.ret));
  return std::to_string(call.ret);
}

template <size_t N>
std::string text_of(const char (&bytes)[N]) {
  return {bytes, strnlen(bytes, N)};
}

std::vector<int> threads_of(int pid) {
  std::vector<int> tids;
  const auto entries = list_directory(fmt::format("/proc/{}/task", pid));
  if (!entries) return tids;  // it ended
  for (const auto& entry : *entries) tids.push_back(number(entry));
  return tids;
}

// All tasks of a pid namespace, by its processes in /proc.
size_t tasks_in(uint64_t pidns) {
  size_t count = 0;
  const auto entries = list_directory("/proc");
  if (!entries) return 0;
  for (const auto& entry : *entries) {
    const int pid = number(entry);
    if (pid <= 0) continue;
    const auto own = inode(fmt::format("/proc/{}/ns/pid", pid));
    if (own && *own == pidns) count += threads_of(pid).size();
  }
  return count;
}

// The v2 group of a process as an id, when its name has the container's.
std::optional<uint64_t> own_group(const Container& container) {
  const auto text = read_file(fmt::format("/proc/{}/cgroup", container.pid));
  if (!text) return std::nullopt;
  for (const auto line : split(*text, '\n')) {
    if (!line.starts_with("0::") || line.find(container.id) == std::string_view::npos) continue;
    const auto layout = CgroupLayout::probe();
    if (layout.unified.empty()) return std::nullopt;
    const auto id = inode(layout.unified + std::string(line.substr(3)));
    if (id) return *id;
  }
  return std::nullopt;
}

}  // namespace

// --- Events -------------------------------------------------------------------------------------

std::optional<Denial> DenialReader::read(const rf_event& event, size_t size,
                                         const Surroundings& around) {
  Denial denial;
  denial.at_ns = static_cast<int64_t>(event.at);
  denial.tgid = static_cast<int>(event.tgid);
  denial.tid = static_cast<int>(event.tid);
  denial.uid = event.uid;
  denial.comm = text_of(event.comm);
  if (event.kind == RF_EV_EXIT) by_signal_.erase(denial.tid);
  if (event.kind == RF_EV_SIGNAL && size >= sizeof(rf_event_number)) {
    const auto& signal = reinterpret_cast<const rf_event_number&>(event);
    const int64_t code = signal.more[0];
    constexpr int64_t kNoCall = -1;  // anybody's, with whatever code
    if (signal.number != SIGSYS || (code != kFromSeccomp && code != kFromUserDispatch) ||
        signal.more[2] == kNoCall) {
      return std::nullopt;
    }
    // -2 - nr: of the 32-bit table.
    CallRecord call;
    call.compat = signal.more[2] < -1;
    call.nr = static_cast<uint32_t>(call.compat ? -2 - signal.more[2] : signal.more[2]);
    call.no_enter = true;
    call.args_known = false;
    by_signal_[denial.tid] = call;
    denial.call = call_name(call.nr, call.compat);
    denial.operation = operation_text(call, {});
    denial.result = "SIGSYS";
    denial.decided = code == kFromSeccomp
                         ? Attribution{Layer::kSeccomp, "the filter sent SIGSYS"}
                         : Attribution{Layer::kUnattributed, "syscall user dispatch took it"};
    return denial;
  }
  if (event.kind != RF_EV_CALL) return std::nullopt;
  const StoryLine line = tell(event, size);
  if (!line.is_call || !line.denied) return std::nullopt;
  CallRecord call = line.call;
  if (no_result(call)) return std::nullopt;
  if (const auto known = by_signal_.find(denial.tid); known != by_signal_.end()) {
    const bool same = call.no_enter && known->second.nr == call.nr;
    by_signal_.erase(known);
    if (same) return std::nullopt;  // told of with its signal
  }
  call.noise = noise_(call.nr, call.compat);
  denial.path = line.path;
  denial.call = call_name(call.nr, call.compat);
  denial.operation = operation_text(call, line.path);
  denial.result = result_of(call);
  denial.decided = attribute_call(call, around);
  denial.refused = refusal(call, denial.decided);
  return denial;
}

bool DenialLog::add(const Denial& denial) {
  ++count_;
  ++layers_[denial.decided.layer][denial.call];
  const auto key_of = [&](const std::string& operation) {
    return denial.comm + '\0' + operation + '\0' + denial.result + '\0' +
           denial.decided.layer.str();
  };
  std::string key = key_of(denial.operation);
  auto found = index_.find(key);
  if (found == index_.end() && groups_.size() >= kGroupsMax) {
    key = '\0' + denial.call + '\0' + denial.result + '\0' + denial.decided.layer.str();
    found = index_.find(key);
  }
  if (found != index_.end()) {
    ++groups_[found->second].count;
    return false;
  }
  index_.emplace(std::move(key), groups_.size());
  groups_.push_back({denial, 1});
  return true;
}

std::vector<DenialLog::Total> DenialLog::totals() const {
  std::vector<Total> totals;
  for (const auto& [layer, calls] : layers_) {
    Total total{layer, 0, {calls.begin(), calls.end()}};
    for (const auto& [call, count] : calls) total.count += count;
    std::stable_sort(total.calls.begin(), total.calls.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    totals.push_back(std::move(total));
  }
  std::stable_sort(totals.begin(), totals.end(), [](const Total& a, const Total& b) {
    const bool known_a = a.layer != Layer::kUnattributed;
    const bool known_b = b.layer != Layer::kUnattributed;
    return known_a != known_b ? known_a : a.count > b.count;
  });
  return totals;
}

// --- Scope --------------------------------------------------------------------------------------

Status walk_tree(int pid, std::set<int>& seen, const std::function<Status(int)>& take) {
  if (!seen.insert(pid).second) return {};
  if (auto ok = take(pid); !ok) return ok;
  for (const int tid : threads_of(pid)) {
    const auto text = read_file(fmt::format("/proc/{}/task/{}/children", pid, tid));
    if (!text) continue;  // the thread ended: its children are another's now
    for (const auto child : split(*text, ' ')) {
      if (number(child) <= 0) continue;
      if (auto ok = walk_tree(number(child), seen, take); !ok) return ok;
    }
  }
  return {};
}

Tracer::Tracer(const Witness& witness, Watch watch)
    : witness_(&witness),
      watch_(std::move(watch)),
      reader_([&witness](uint32_t nr, bool compat) { return witness.noise(nr, compat); }) {
  if (const auto misses = witness.misses()) misses_before_ = *misses;
  if (const auto misses = witness.security_misses()) security_misses_before_ = *misses;
}

Result<Tracer> Tracer::children(const Witness& witness) {
  auto self = own_tgid(witness);
  if (!self) return tl::unexpected(self.error());
  auto watch = witness.watch_process(*self, watch_options());
  if (!watch) return tl::unexpected(watch.error());
  // The call that put this process into the scope began outside of it: counted from here.
  if (auto ok = watch->look_for({}); !ok) return tl::unexpected(ok.error());
  Tracer tracer(witness, std::move(*watch));
  tracer.own_tgid_ = *self;
  return tracer;
}

// A walk can miss children of a thread that ends during it; a walk that finds nobody new missed
// none, since every process that it knows was followed by the fork hook before.
Status Tracer::take_in_tree(int pid) {
  std::set<int> known;
  for (size_t before = ~size_t{0}; before != known.size();) {
    before = known.size();
    const std::set<int> roots = known.empty() ? std::set<int>{pid} : known;
    std::set<int> seen;
    for (const int root : roots) {
      auto ok = walk_tree(root, seen, [&](int process) -> Status {
        if (!known.insert(process).second) return {};
        present_ += threads_of(process).size();
        return witness_->also_process(watch_, process);
      });
      if (!ok) return ok;
    }
  }
  processes_ = std::move(known);
  return {};
}

Result<Tracer> Tracer::process(const Witness& witness, int pid) {
  auto initial = in_initial_pidns();
  if (!initial) return tl::unexpected(initial.error());
  if (!*initial) {
    return unsupported_error("trace", fmt::format("--pid {}", pid), 0,
                             "a process is found by its number in the initial pid namespace, and "
                             "this is another; trace there, or use --container");
  }
  auto watch = witness.watch_process(pid, watch_options());
  if (!watch) return tl::unexpected(watch.error());
  Tracer tracer(witness, std::move(*watch));
  if (auto ok = tracer.take_in_tree(pid); !ok) return tl::unexpected(ok.error());
  return tracer;
}

Result<Tracer> Tracer::container(const Witness& witness, const Container& container) {
  auto pidns = inode(fmt::format("/proc/{}/ns/pid", container.pid));
  if (!pidns) return tl::unexpected(pidns.error());
  auto own = inode("/proc/self/ns/pid");
  if (!own) return tl::unexpected(own.error());
  if (*pidns == *own || *pidns == kInitialPidns) {
    // It shares the host's: its processes, and its group where that is its own.
    auto tracer = process(witness, container.pid);
    if (!tracer) return tracer;
    if (const auto group = own_group(container)) {
      if (auto ok = witness.also_group(tracer->watch_, *group); !ok) {
        return tl::unexpected(ok.error());
      }
    }
    return tracer;
  }
  auto watch = witness.watch_pidns(static_cast<uint32_t>(*pidns), watch_options());
  if (!watch) return tl::unexpected(watch.error());
  Tracer tracer(witness, std::move(*watch));
  // Namespaces inside it are others; their processes are descendants.
  if (*own == kInitialPidns) {
    if (auto ok = tracer.take_in_tree(container.pid); !ok) return tl::unexpected(ok.error());
  }
  tracer.present_ = std::max(tracer.present_, tasks_in(*pidns));
  return tracer;
}

Result<size_t> Tracer::drain(const std::function<void(const Denial&)>& tell,
                             const std::function<void(const ProbeLine&)>& tell_probe) {
  Surroundings around;
  around.caps_witnessed = witness_->offers("cap");
  // A call that the enter program missed looks as if it had been refused at the gate.
  const auto misses = witness_->misses();
  if (!misses) return tl::unexpected(misses.error());
  around.enter_misses = *misses - misses_before_;
  const auto security = witness_->security_misses();
  if (!security) return tl::unexpected(security.error());
  around.security_misses = *security - security_misses_before_;
  size_t count = 0;
  auto read = watch_.story([&](const rf_event& event, size_t size) {
    if (static_cast<int>(event.tgid) == own_tgid_) return;
    if (event.kind == RF_EV_PROBE) {
      const StoryLine line = ringfence::tell(event, size);
      if (tell_probe && line.probe >= 0) {
        tell_probe({line.at_ns, line.tgid, line.tid, text_of(event.comm),
                    static_cast<uint32_t>(line.probe), line.text});
      }
      return;
    }
    if (const auto denial = reader_.read(event, size, around)) {
      ++count;
      tell(*denial);
    }
  });
  if (!read) return tl::unexpected(read.error());
  return count;
}

Result<TraceLoss> Tracer::loss() const {
  auto facts = watch_.facts();
  if (!facts) return tl::unexpected(facts.error());
  TraceLoss loss;
  const auto lose = [&](uint64_t events, const char* what) {
    if (events == 0) return;
    loss.events += events;
    if (!loss.what.empty()) loss.what += ", ";
    loss.what += fmt::format("{} {}", events, what);
  };
  lose(facts->story_lost, "without room in the ring");
  lose(facts->misses, "left out by the kernel");
  const uint64_t others = facts->lost - facts->misses;
  lose(others > present_ ? others - present_ : 0, "without their beginning");
  return loss;
}

}  // namespace ringfence

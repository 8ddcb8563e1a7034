#include "harness/runner/runner.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <ctime>
#include <deque>
#include <filesystem>
#include <random>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/confine/cgroup.h"
#include "harness/policy/read.h"
#include "harness/runner/decoy.h"
#include "harness/runner/extras.h"
#include "harness/runner/guest_case.h"
#include "harness/runner/inmate_file.h"
#include "harness/runner/run_case.h"
#include "harness/runner/wire.h"
#include "harness/spawn/reap.h"
#include "harness/vmm/scenario.h"
#include "harness/witness/ladder_text.h"
#include "probes/inmate/image.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;

std::string utc_now() {
  std::array<char, 32> text{};
  timespec now{};
  (void)sys::call(SYS_clock_gettime, CLOCK_REALTIME, sys::arg(&now));
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

uint64_t random_seed() {
  uint64_t seed = 0;
  // Half of it, so that a seed survives every reader of JSON numbers.
  if (sys::call(SYS_getrandom, sys::arg(&seed), sizeof seed, 0) != sizeof seed) {
    seed = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  }
  return seed & 0xffffffff;
}

HeaderRecord make_header(const Facts& facts, const RunOptions& options, const RunContext& context) {
  HeaderRecord header;
  header.run_id = context.run_id;
  header.started = utc_now();
  header.version = RINGFENCE_VERSION;
  utsname names{};
  if (sys::call(SYS_uname, sys::arg(&names)) == 0) {
    header.kernel = names.release;
    header.machine = names.machine;
  }
  header.cgroup_mode = CgroupLayout::probe().mode;
  header.root = context.privileged;
  header.mode = context.mode == Mode::case_mode ? "case" : "policy";
  header.seed = context.seed;
  const auto detail = [&](const char* name) {
    const Fact* fact = facts.find(name);
    return fact == nullptr ? std::string() : fact->detail;
  };
  header.cpu = detail("cpu");
  header.hypervisor = detail("hypervisor");
  const std::string lsms = detail("lsms");  // split() only looks into it
  for (auto lsm : split(lsms, ',')) header.lsms.emplace_back(trim(lsm));
  if (options.policy) {
    header.policy = options.policy->name;
    for (const auto& u : options.policy->unenforced) header.unenforced.push_back(u.pointer);
    header.notes = context.policy_plan->notes;
  }
  header.facts = facts.summary();
  return header;
}

constexpr int kNoWorker = 1;  // exit code of a worker that could not give its record

// While it lives, processes whose parent ends become ours, so that a decoy host whose worker was
// killed can be waited for. prctl(2), PR_SET_CHILD_SUBREAPER.
class Subreaper {
 public:
  Subreaper() {
    (void)sys::call(SYS_prctl, PR_GET_CHILD_SUBREAPER, sys::arg(&before_));
    (void)sys::call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
  }
  ~Subreaper() { (void)sys::call(SYS_prctl, PR_SET_CHILD_SUBREAPER, before_ != 0 ? 1 : 0); }
  Subreaper(const Subreaper&) = delete;
  Subreaper& operator=(const Subreaper&) = delete;

 private:
  int before_ = 0;
};

// One word of shared memory for every job: the kernel writes the pid of a worker's decoy host there
// before the decoy host runs, the worker clears it after the wait.
class DecoyPids {
 public:
  DecoyPids() = default;
  DecoyPids(const DecoyPids&) = delete;
  DecoyPids& operator=(const DecoyPids&) = delete;
  ~DecoyPids() {
    // One more try: only an armed fault makes it fail, and the memory must not stay.
    for (int i = 0; i < 2 && words_ != nullptr; ++i) {
      if (sys::call(SYS_munmap, sys::arg(words_), size_) == 0) return;
    }
  }
  Status map(size_t jobs) {
    size_ = jobs * sizeof(int);
    const int64_t r = sys::call(SYS_mmap, 0, size_, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, static_cast<uint64_t>(-1), 0);
    if (r < 0) return system_error("mmap", "memory for the workers", static_cast<int>(-r));
    words_ = address_of_result<int>(r);
    for (size_t i = 0; i < jobs; ++i) free_.push_back(words_ + i);
    return {};
  }
  int* take() {  // no more than there are jobs
    int* word = free_.back();
    free_.pop_back();
    *word = 0;
    return word;
  }
  void give_back(int* word) { free_.push_back(word); }
  [[nodiscard]] int slot_of(const int* word) const { return static_cast<int>(word - words_); }

 private:
  int* words_ = nullptr;
  size_t size_ = 0;
  std::vector<int*> free_;
};

class Run {
 public:
  Run(const Facts& facts, const RunOptions& options, Observer& observer)
      : facts_(facts), options_(options), observer_(observer) {}

  Result<RunResult> run(const Registry& registry) {
    const auto began = Clock::now();
    auto chosen = registry.select(options_.globs, options_.full);
    if (!chosen) return tl::unexpected(chosen.error());
    context_.seed = options_.seed.value_or(random_seed());
    arrange(*chosen);
    if (options_.elsewhere) return options_.elsewhere(*chosen, context_.seed, observer_);
    if (auto ok = prepare(); !ok) return tl::unexpected(ok.error());
    const Subreaper subreaper;
    if (auto ok = decoys_.map(static_cast<size_t>(options_.jobs)); !ok) {
      return tl::unexpected(ok.error());
    }

    // Once for the run, and before the header, which says what it sees with.
    const bool some = std::any_of(chosen->begin(), chosen->end(),
                                  [this](const Case* c) { return !why_skip(*c); });
    if (some) open_witness(chosen->size());
    if (auto ok = open_extras(*chosen); !ok) return tl::unexpected(ok.error());
    result_.header = make_header(facts_, options_, context_);
    if (some) describe_witness();
    observer_.header(result_.header, chosen->size());
    if (options_.policy) grant();
    if (auto ok = sort_out(*chosen); !ok) return tl::unexpected(ok.error());
    drain();
    // Its groups go before the summary says that the run is over.
    group_programs_ = {};
    context_.cgroups.reset();
    context_.witness = nullptr;
    extras_ = {};
    witness_.reset();
    result_.summary.run_id = context_.run_id;
    result_.summary.duration_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began).count();
    return std::move(result_);
  }

 private:
  struct Worker {
    const Case* c = nullptr;
    pid_t pid = -1;
    UniqueFd pidfd;
    UniqueFd pipe;
    std::string bytes;
    Clock::time_point deadline;
    int* decoy = nullptr;  // in shared memory: the pid of its decoy host, 0 for none
  };

  Status prepare() {
    const auto image =
        options_.inmate.empty() ? inmate_image() : std::span<const unsigned char>(options_.inmate);
    auto fd = seal_inmate(image);
    if (!fd) return tl::unexpected(fd.error());
    image_ = std::move(*fd);
    context_.run_id = fmt::format("{}-{}-{:08x}", utc_now(), sys::call(SYS_getpid), random_seed());
    context_.inmate_fd = image_.get();
    context_.rootfs = options_.rootfs;
    context_.timeout = options_.timeout;
    context_.drop = options_.drop;
    context_.privileged = facts_.satisfied("root");
    if (!options_.policy) return {};
    context_.mode = Mode::policy_mode;
    context_.policy = &*options_.policy;
    find_binds();
    CompileOptions compile_options;
    compile_options.rootfs = options_.rootfs;
    compile_options.rootfs_at = kDecoyRootfs;
    compile_options.drop = options_.drop;
    auto plan = compile_for_decoy(*options_.policy, compile_options);
    if (!plan) return tl::unexpected(plan.error());
    policy_plan_ = std::move(*plan);
    context_.rootfs = policy_plan_.rootfs;  // also the policy's own, where it is there
    context_.policy_plan = &policy_plan_;
    auto none = profile("none");
    if (!none) return tl::unexpected(none.error());
    CompileOptions none_options;
    none_options.staging = kDecoyStaging;
    auto none_plan = compile(*none, none_options);
    if (!none_plan) return tl::unexpected(none_plan.error());
    none_plan_ = std::move(*none_plan);
    context_.none_plan = &none_plan_;
    return {};
  }

  // What the policy binds from the host has to be in the decoy host. Its /proc, /sys and /dev stand
  // in for the host's own, and so does its root: the host's would cover all of it.
  void find_binds() {
    for (const Mount& mount : options_.policy->mounts) {
      if (mount.type == "cgroup" && !options_.policy->has(Ns::cgroup)) {
        context_.binds.emplace_back("/sys/fs/cgroup");  // what such a mount is a bind of
      }
      if ((mount.flags & MS_BIND) == 0 || (mount.flags & MS_REMOUNT) != 0) continue;
      const std::string path = std::filesystem::path(mount.source).lexically_normal();
      const bool own = path == "/" || path == "/proc" || path == "/sys" ||
                       path.starts_with("/proc/") || path.starts_with("/sys/") ||
                       path.starts_with("/dev/") || path == "/dev";
      if (own) continue;
      struct stat st {};
      if (sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&st), 0) < 0) {
        missing_bind_ = path;
      } else {
        context_.binds.push_back(path);
      }
    }
  }

  // Shard and shuffle; the same seed gives the same order.
  void arrange(std::vector<const Case*>& chosen) const {
    if (options_.policy) Registry::keep_for_a_policy(chosen);
    std::vector<const Case*> mine;
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto count = static_cast<size_t>(options_.shard_count);
      if (i % count == static_cast<size_t>(options_.shard_index - 1)) mine.push_back(chosen[i]);
    }
    chosen = std::move(mine);
    if (options_.shuffle) {
      std::mt19937_64 random(context_.seed);
      for (size_t i = chosen.size(); i > 1; --i) std::swap(chosen[i - 1], chosen[random() % i]);
    }
  }

  // What the policy grants on purpose is said, not judged.
  void grant() {
    const auto& bounding = options_.policy->capabilities.bounding;
    const CapSet caps = bounding ? *bounding : CapSet::all();
    for (const auto& name : caps.names()) {
      GrantedRecord record{context_.run_id, Layer::cap(name).str(),
                           options_.policy->has(Ns::user)
                               ? name + " inside its own user namespace"
                               : name + " of the initial user namespace"};
      observer_.granted(record);
      result_.granted.push_back(std::move(record));
    }
  }

  std::optional<std::string> why_skip(const Case& c) const {
    if (!c.guest && !context_.privileged && !facts_.satisfied("userns")) {
      return facts_.why_not("userns");
    }
    for (const auto& need : c.needs) {
      if (!facts_.satisfied(need)) return facts_.why_not(need);
    }
    if (!missing_bind_.empty()) return "host-lacks:path:" + missing_bind_;
    if (options_.policy) {
      for (const auto& u : options_.policy->unenforced) {
        if (!u.layer.empty() && u.layer == c.expected) return "unenforced:" + u.pointer;
      }
    }
    if (needs_cgroup(c, context_)) {
      const Policy& p = options_.policy ? *options_.policy : c.policy;
      for (const auto& need : cgroup_needs(p.resources)) {
        if (!facts_.satisfied(need)) return facts_.why_not(need);
      }
    }
    return std::nullopt;
  }

  // Skips what cannot run here, queues the rest, and makes the run's group when one is needed.
  Status sort_out(const std::vector<const Case*>& chosen) {
    bool groups = false;
    for (const Case* c : chosen) {
      if (auto reason = why_skip(*c)) {
        finish(untried(*c, context_.mode, Verdict::skipped, *reason, ""));
        continue;
      }
      groups = groups || needs_cgroup(*c, context_);
      queue_.push_back(c);
    }
    if (!groups && context_.witness == nullptr) return {};
    auto root = CgroupRoot::create(CgroupLayout::probe(), group_controllers(queue_, context_));
    if (!root) return tl::unexpected(root.error());
    context_.cgroups = std::move(*root);
    return watch_groups();
  }

  // The programs of a group, on the one above all trials: once for the run.
  Status watch_groups() {
    const CgroupLayout& layout = context_.cgroups->layout();
    if (context_.witness == nullptr || layout.unified.empty()) return {};
    const std::string directory = layout.unified_parent + "/" + context_.cgroups->name();
    auto fd = sys::open(directory.c_str(), O_RDONLY | O_DIRECTORY);
    if (!fd) return tl::unexpected(fd.error());
    auto attached = context_.witness->attach_to_group(fd->get());
    if (!attached) return tl::unexpected(attached.error());
    group_programs_ = std::move(*attached);
    for (const auto& [hook, reason] : group_programs_.absent()) {
      if (!context_.witness->offers(hook)) continue;  // said of the ladder already
      result_.summary.notes.push_back(
          fmt::format("the eBPF witness has no hook {}: {}", hook, reason));
    }
    return {};
  }

  // How each hook is seen, or why there is no witness: in the header, and for people in the end.
  void describe_witness() {
    auto& facts = result_.header.facts;
    if (context_.witness == nullptr) {
      facts["witness"] = "absent: " + context_.no_witness;
      result_.summary.notes.push_back(fmt::format(
          "no eBPF witness ({}): verdicts rest on weaker evidence", context_.no_witness));
      return;
    }
    facts["witness"] = "ebpf";
    for (const ProbeFile& probe : options_.probes) facts["probe." + probe.name] = probe.path;
    for (const auto& [hook, how] : hooks_of(context_.witness->ladder())) {
      facts["witness." + hook] = how;
      // Without the answers of security hooks a denial by one is unattributed, and no evidence
      // weaker.
      if (!how.starts_with("absent: ") || hook == "lsm") continue;
      result_.summary.notes.push_back(
          fmt::format("the eBPF witness has no hook {}: {}", hook, how));
    }
  }

  // Attaching takes longer than a case.
  void open_witness(size_t most_at_once) {
    const auto none = [this](std::string why) { context_.no_witness = std::move(why); };
    if (!options_.kernel_witness) return none("not_asked_for");
    if (!context_.privileged) return none(facts_.why_not("root"));
    if (CgroupLayout::probe().unified.empty()) return none("needs:cgroup2");
    context_.watch = options_.watch;
    if (options_.opened_witness != nullptr) {
      context_.witness = options_.opened_witness;
      return;
    }
    WitnessOptions witness_options = options_.witness;
    witness_options.rings = std::min(static_cast<size_t>(options_.jobs), most_at_once);
    auto witness = Witness::open(witness_options);
    if (!witness) return none("needs:bpf: " + witness.error().describe());
    witness_ = std::move(*witness);
    context_.witness = &*witness_;
  }

  // What a case or the user asks for beside the witness. A probe that cannot be had ends the run.
  Status open_extras(const std::vector<const Case*>& chosen) {
    if (context_.witness == nullptr) return {};
    auto extras = RunExtras::open(*context_.witness, options_, chosen, image_.get());
    if (!extras) return tl::unexpected(extras.error());
    extras_ = std::move(*extras);
    context_.full_timeline = options_.full_timeline;
    if (extras_.probes) context_.probes = &*extras_.probes;
    if (extras_.bracket) context_.bracket = &*extras_.bracket;
    if (extras_.clock) context_.clock = &*extras_.clock;
    if (extras_.kvm_exits) context_.kvm_exits = &*extras_.kvm_exits;
    for (auto& note : extras_.notes) result_.summary.notes.push_back(std::move(note));
    return {};
  }

  void finish(CaseRecord record) {
    record.run_id = context_.run_id;
    observer_.finished(record);
    result_.cases.push_back(std::move(record));
  }

  [[nodiscard]] bool interrupted() const {
    return options_.interrupted != nullptr && options_.interrupted->load();
  }

  void drain() {
    while (!queue_.empty() || !workers_.empty()) {
      if (interrupted()) {
        stop_all();
        return;
      }
      while (!queue_.empty() && workers_.size() < static_cast<size_t>(options_.jobs)) {
        const Case* c = queue_.front();
        queue_.pop_front();
        start(*c);
      }
      wait_for_some();
    }
  }

  void start(const Case& c) {
    observer_.started(c, workers_.size() + 1);
    const auto cannot = [&](const char* what, int64_t result) {
      finish(untried(c, context_.mode, Verdict::broken, "worker_failed",
                     fmt::format("{}: {}", what, errno_name(static_cast<int>(-result)))));
    };
    std::array<int, 2> pipe{};
    int64_t result = sys::call(SYS_pipe2, sys::arg(pipe.data()), O_CLOEXEC);
    if (result < 0) return cannot("pipe", result);
    Worker worker;
    worker.c = &c;
    worker.pipe = UniqueFd(pipe[0]);
    const UniqueFd write_end(pipe[1]);
    const auto trial =
        c.guest ? guest_trial_time(options_.timeout, vmm::emulator()) : options_.timeout;
    worker.deadline = Clock::now() + 3 * trial + std::chrono::seconds(20);
    worker.decoy = decoys_.take();
    const int64_t parent = sys::call(SYS_getpid);
    int pidfd = -1;
    clone_args args{};
    args.flags = CLONE_PIDFD;
    args.pidfd = sys::arg(&pidfd);
    args.exit_signal = SIGCHLD;
    result = sys::call(SYS_clone3, sys::arg(&args), sizeof args);
    if (result == 0) {
      workers_.clear();  // the pipes and pidfds of the others are the runner's alone
      work(c, write_end.get(), parent, worker.decoy);
    }
    if (result < 0) {
      decoys_.give_back(worker.decoy);
      return cannot("clone3", result);
    }
    worker.pid = static_cast<pid_t>(result);
    worker.pidfd = UniqueFd(pidfd);
    workers_.push_back(std::move(worker));
  }

  // noexcept: what is thrown here ends the worker, and never unwinds its copy of the runner's
  // stack, whose destructors would clean up what the runner still uses.
  [[noreturn]] void work(const Case& c, int result_fd, int64_t parent, int* decoy) const noexcept {
    // A worker that would outlive its runner must not begin.
    if (sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(kNoWorker);
    if (sys::call(SYS_getppid) != parent) _exit(kNoWorker);
    // Ctrl-C goes to the runner, which ends its workers in order.
    signal(SIGINT, SIG_IGN);
    RunContext context = context_;
    context.decoy_pid = decoy;
    context.watch.slot = decoys_.slot_of(decoy);
    const std::string bytes = wire::pack(run_case(c, context));
    const auto written = sys::write_full(result_fd, bytes.data(), bytes.size());
    _exit(written ? 0 : kNoWorker);
  }

  void wait_for_some() {
    std::vector<pollfd> polls;
    auto deadline = Clock::time_point::max();
    for (const Worker& w : workers_) {
      polls.push_back({w.pipe.get(), POLLIN, 0});
      deadline = std::min(deadline, w.deadline);
    }
    if (polls.empty()) return;
    constexpr int64_t kTick = 100;  // so that a person sees the time go on
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    (void)sys::call(SYS_poll, sys::arg(polls.data()), polls.size(),
                    static_cast<uint64_t>(std::clamp<int64_t>(left, 0, kTick)));
    observer_.waiting();
    std::vector<Worker> still;
    for (size_t i = 0; i < workers_.size(); ++i) {
      Worker& w = workers_[i];
      if (polls[i].revents != 0 && !read_some(w)) {
        reap(w, false);
      } else if (Clock::now() >= w.deadline) {
        reap(w, true);
      } else {
        still.push_back(std::move(w));
      }
    }
    workers_ = std::move(still);
  }

  // False at the end of what the worker says.
  static bool read_some(Worker& w) {
    constexpr size_t kMax = size_t{4} << 20;
    std::array<char, 65536> buffer;
    const int64_t n = sys::call(SYS_read, w.pipe.get(), sys::arg(buffer.data()), buffer.size());
    if (n == -EINTR || n == -EAGAIN) return true;
    if (n <= 0 || w.bytes.size() > kMax) return false;
    w.bytes.append(buffer.data(), static_cast<size_t>(n));
    return true;
  }

  // The worker and all that it started are gone when this returns. At the end of its pipe it has
  // nothing more to do, so the kill changes nothing then.
  std::optional<ExitStatus> end(Worker& w) {
    const auto status = ringfence::reap(w.pid, w.pidfd.get());
    // The decoy host of a worker that was killed has become our child.
    if (const int decoy = std::atomic_ref<int>(*w.decoy).load(); decoy > 0) end_orphan(decoy);
    decoys_.give_back(w.decoy);
    return status;
  }

  static void end_orphan(int pid) {
    siginfo_t info{};
    // Only what is our child can have no other's pid.
    int64_t r = -EINTR;
    while (r == -EINTR) {
      r = sys::call(SYS_waitid, P_PID, pid, sys::arg(&info), WEXITED | WNOHANG | WNOWAIT | __WALL,
                    0);
    }
    if (r < 0) return;
    (void)ringfence::reap(pid, -1);
  }

  void reap(Worker& w, bool late) {
    const auto status = end(w);
    auto record = wire::unpack<CaseRecord>(w.bytes);
    if (record) return finish(std::move(*record));
    finish(untried(*w.c, context_.mode, Verdict::broken, late ? "timeout" : "worker_failed",
                   late ? "the case did not end in time"
                        : "its worker gave no record: " +
                              (status ? status->describe() : "it could not be waited for")));
  }

  void stop_all() {
    result_.summary.interrupted = true;
    for (const Worker& w : workers_) (void)sys::call(SYS_kill, w.pid, SIGKILL);
    for (Worker& w : workers_) {
      (void)end(w);
      finish(untried(*w.c, context_.mode, Verdict::broken, "interrupted", "ended by the user"));
    }
    workers_.clear();
    for (const Case* c : queue_) {
      finish(untried(*c, context_.mode, Verdict::skipped, "interrupted", "never started"));
    }
    queue_.clear();
  }

  const Facts& facts_;
  const RunOptions& options_;
  Observer& observer_;
  RunContext context_;
  RunResult result_;
  UniqueFd image_;
  DecoyPids decoys_;
  std::string missing_bind_;
  std::optional<Witness> witness_;
  GroupPrograms group_programs_;
  RunExtras extras_;
  Plan policy_plan_;
  Plan none_plan_;
  std::deque<const Case*> queue_;
  std::vector<Worker> workers_;
};

}  // namespace

Result<RunResult> run(const Registry& registry, const Facts& facts, const RunOptions& options,
                      Observer& observer) {
  if (!options.policy) return Run(facts, options, observer).run(registry);
  RunOptions here = options;
  here.policy = as_enforced_here(*options.policy, facts);
  return Run(facts, here, observer).run(registry);
}

Result<size_t> janitor() { return sweep_cgroups(CgroupLayout::probe()); }

}  // namespace ringfence

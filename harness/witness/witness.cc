#include "harness/witness/witness.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "harness/base/sys.h"
#include "probes/bpf/abi.h"
#include "witness.skel.h"

namespace ringfence {
namespace {

constexpr size_t kLogBytes = size_t{256} << 10;
// Everything rests on these two.
constexpr std::array<std::string_view, 2> kNeeded = {"enter", "exit"};

int quiet(libbpf_print_level /*level*/, const char* /*format*/, va_list /*args*/) { return 0; }

// libbpf's messages are on a global switch; what they say is in our own errors.
class QuietLibbpf {
 public:
  QuietLibbpf() : before_(libbpf_set_print(quiet)) {}
  ~QuietLibbpf() { libbpf_set_print(before_); }
  QuietLibbpf(const QuietLibbpf&) = delete;
  QuietLibbpf& operator=(const QuietLibbpf&) = delete;

 private:
  libbpf_print_fn_t before_;
};

struct Skeleton {
  struct Destroy {
    void operator()(witness_bpf* s) const { witness_bpf__destroy(s); }
  };
  std::unique_ptr<witness_bpf, Destroy> it{};
  // Of each program, what the verifier said.
  std::vector<std::vector<char>> logs{};
};

// Whether the kernel's mark_victim tracepoint gives a task (Linux 6.9) rather than a pid.
bool victim_is_task() {
  std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel) return false;
  const int id = btf__find_by_name_kind(kernel.get(), "btf_trace_mark_victim", BTF_KIND_TYPEDEF);
  if (id < 0) return false;
  const btf_type* pointer = btf__type_by_id(kernel.get(), btf__type_by_id(kernel.get(), id)->type);
  const btf_type* proto = btf__type_by_id(kernel.get(), pointer->type);
  if (!btf_is_func_proto(proto) || btf_vlen(proto) < 2) return false;
  return btf_is_ptr(btf__type_by_id(kernel.get(), btf_params(proto)[1].type));
}

struct Name {
  std::string hook, rung;
};
Name split_name(std::string_view program) {
  const size_t at = program.find("__");
  return {std::string(program.substr(0, at)), std::string(program.substr(at + 2))};
}

std::string refusal(int err, const std::string& log) {
  switch (err) {
    case EPERM:
      return "EPERM: the kernel does not let this process load it (privilege, lockdown, or a "
             "policy "
             "of the host)";
    case ESRCH:
    case ENOENT:
      return errno_name(err) + ": this kernel has no such hook";
    case EACCES:
    case EINVAL:
      return errno_name(err) + (log.empty() ? ": refused without a word of the verifier"
                                            : ": see the verifier's log");
    default:
      return errno_name(err);
  }
}

// Opens the object with only `programs` chosen to load. The log of each goes to its own buffer.
Result<Skeleton> open_with(const std::function<bool(std::string_view)>& chosen, bool logs,
                           bool task_victim) {
  Skeleton skeleton;
  skeleton.it.reset(witness_bpf__open());
  if (!skeleton.it) return system_error("open eBPF object", "witness");
  skeleton.it->rodata->victim_is_task = task_victim;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton.it->obj) {
    const bool on = chosen(bpf_program__name(program));
    bpf_program__set_autoload(program, on);
    if (on && logs) {
      auto& log = skeleton.logs.emplace_back(kLogBytes);
      bpf_program__set_log_buf(program, log.data(), log.size());
    }
  }
  return skeleton;
}

std::vector<Rung> all_rungs() {
  std::vector<Rung> rungs;
  const QuietLibbpf hush;
  const std::unique_ptr<witness_bpf, Skeleton::Destroy> skeleton(witness_bpf__open());
  if (!skeleton) return rungs;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    const Name name = split_name(bpf_program__name(program));
    rungs.push_back({.hook = name.hook, .name = name.rung});
  }
  return rungs;
}

// Loads this one program, and says in the rung what came of it.
void try_rung(Rung& rung, bool task_victim) {
  const QuietLibbpf hush;
  rung.tried = true;
  const std::string name = rung.hook + "__" + rung.name;
  auto skeleton =
      open_with([&](std::string_view program) { return program == name; }, true, task_victim);
  if (!skeleton) {
    rung.err = skeleton.error().err;
    rung.reason = skeleton.error().describe();
    return;
  }
  const int result = witness_bpf__load(skeleton->it.get());
  if (result == 0) {
    rung.loads = true;
    return;
  }
  rung.err = -result;
  if (!skeleton->logs.empty()) rung.log = skeleton->logs[0].data();
  rung.reason = refusal(rung.err, rung.log);
}

// --- bpf(2) on maps -----------------------------------------------------------------------------

Status update(int map, const void* key, const void* value, const char* what) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  attr.value = sys::arg(value);
  attr.flags = BPF_ANY;
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_UPDATE_ELEM, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_UPDATE_ELEM", what, static_cast<int>(-r));
  return {};
}

Status lookup(int map, const void* key, void* value, const char* what) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  attr.value = sys::arg(value);
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_LOOKUP_ELEM, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_LOOKUP_ELEM", what, static_cast<int>(-r));
  return {};
}

void remove(int map, const void* key) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  (void)sys::call(SYS_bpf, BPF_MAP_DELETE_ELEM, sys::arg(&attr), sizeof attr);
}

Result<UniqueFd> make_ring(size_t bytes) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_RINGBUF;
  attr.max_entries = static_cast<uint32_t>(bytes);
  constexpr std::string_view kName = "rf_story";
  std::memcpy(attr.map_name, kName.data(), kName.size());
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_CREATE, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_CREATE", "ring buffer", static_cast<int>(-r));
  return UniqueFd(static_cast<int>(r));
}

Result<uint64_t> misses_of(int program_fd) {
  bpf_prog_info info{};
  bpf_attr attr{};
  attr.info.bpf_fd = static_cast<uint32_t>(program_fd);
  attr.info.info_len = sizeof info;
  attr.info.info = sys::arg(&info);
  const int64_t r = sys::call(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_OBJ_GET_INFO_BY_FD", "program", static_cast<int>(-r));
  return info.recursion_misses;
}

constexpr uint64_t kProcessTrial = 1ULL << 63;
constexpr uint64_t kPidnsTrial = 1ULL << 62;

CallRecord convert(const rf_call& c) {
  CallRecord r;
  r.at_ns = static_cast<int64_t>(c.at);
  r.nr = c.nr;
  r.compat = (c.flags & RF_COMPAT) != 0;
  r.ret = c.ret;
  std::copy(std::begin(c.args), std::end(c.args), r.args.begin());
  r.no_enter = (c.flags & RF_NO_ENTER) != 0;
  r.traced = (c.flags & RF_TRACED) != 0;
  r.dispatched = (c.flags & RF_DISPATCHED) != 0;
  r.args_known = (c.flags & RF_NO_ARGS) == 0;
  r.seccomp = c.seccomp;
  r.caps_failed = c.caps_failed;
  r.cap_last = c.cap_last;
  r.cap_last_denied = c.cap_last != RF_NO_CAP && c.cap_last_ret != 0;
  r.cap_elsewhere = c.cap_last != RF_NO_CAP && c.cap_userns != c.cred_userns;
  r.cap_effective = c.cap_effective;
  return r;
}

}  // namespace

CallRecord record_of(const rf_call& call) { return convert(call); }

// --- Witness ------------------------------------------------------------------------------------

struct Witness::State {
  Skeleton skeleton;
  std::vector<Rung> ladder;
  std::vector<int> counted;  // enter and exit, for misses()
  std::vector<UniqueFd> rings;
};

Witness::Witness(std::unique_ptr<State> state) : state_(std::move(state)) {}
Witness::Witness(Witness&&) noexcept = default;
Witness& Witness::operator=(Witness&&) noexcept = default;
Witness::~Witness() = default;

std::vector<Rung> Witness::survey() {
  auto rungs = all_rungs();
  const bool task_victim = victim_is_task();
  std::vector<std::string> taken;
  for (Rung& rung : rungs) {
    try_rung(rung, task_victim);
    if (!rung.loads || std::find(taken.begin(), taken.end(), rung.hook) != taken.end()) continue;
    rung.taken = true;
    taken.push_back(rung.hook);
  }
  return rungs;
}

Result<Witness> Witness::open(const WitnessOptions& options) {
  const QuietLibbpf hush;
  auto rungs = all_rungs();
  if (rungs.empty()) return system_error("open eBPF object", "witness");
  const bool task_victim = victim_is_task();
  const auto avoided = [&](const Rung& rung) {
    return std::find(options.avoid.begin(), options.avoid.end(), rung.name) != options.avoid.end();
  };
  const auto choose_first = [&] {
    std::string hook;
    bool found = false;
    for (Rung& rung : rungs) {
      if (rung.hook != hook) {
        hook = rung.hook;
        found = false;
      }
      const bool out = avoided(rung) || (rung.tried && !rung.loads);
      rung.taken = !out && !found;
      found = found || rung.taken;
    }
  };
  const auto taken = [&](std::string_view program) {
    return std::any_of(rungs.begin(), rungs.end(), [&](const Rung& rung) {
      return rung.taken && rung.hook + "__" + rung.name == program;
    });
  };
  choose_first();
  // All first choices at once; only when that fails, one by one.
  auto skeleton = open_with(taken, false, task_victim);
  if (!skeleton) return tl::unexpected(skeleton.error());
  int result = witness_bpf__load(skeleton->it.get());
  if (result != 0) {
    for (bool again = true; again;) {
      again = false;
      for (Rung& rung : rungs) {
        if (!rung.taken || rung.tried) continue;
        try_rung(rung, task_victim);
        again = again || !rung.loads;
      }
      choose_first();
    }
    for (const auto hook : kNeeded) {
      const auto has = std::find_if(rungs.begin(), rungs.end(), [&](const Rung& rung) {
        return rung.hook == hook && rung.taken;
      });
      if (has != rungs.end()) continue;
      const auto first = std::find_if(rungs.begin(), rungs.end(),
                                      [&](const Rung& rung) { return rung.hook == hook; });
      return unsupported_error("load eBPF witness", first->hook + "__" + first->name, first->err,
                               first->reason);
    }
    skeleton = open_with(taken, false, task_victim);
    if (!skeleton) return tl::unexpected(skeleton.error());
    result = witness_bpf__load(skeleton->it.get());
    if (result != 0) return unsupported_error("load eBPF witness", {}, -result);
  }
  auto state = std::make_unique<State>();
  for (Rung& rung : rungs) {
    if (!rung.taken) continue;
    rung.loads = rung.tried = true;
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->it->obj) {
    const char* name = bpf_program__name(program);
    if (!taken(name)) continue;
    bpf_link* link = bpf_program__attach(program);
    auto rung = std::find_if(rungs.begin(), rungs.end(),
                             [&](const Rung& r) { return r.hook + "__" + r.name == name; });
    if (link == nullptr) {
      rung->err = errno;
      rung->taken = false;
      rung->reason = "attach: " + errno_name(rung->err);
      if (std::find(kNeeded.begin(), kNeeded.end(), rung->hook) != kNeeded.end()) {
        return unsupported_error("attach eBPF witness", name, rung->err);
      }
      continue;
    }
    // The skeleton has a slot for the link of each of its programs; it ends them all.
    for (int i = 0; i < skeleton->it->skeleton->prog_cnt; ++i) {
      const bpf_prog_skeleton& slot = skeleton->it->skeleton->progs[i];
      if (*slot.prog == program) *slot.link = link;
    }
    if (rung->hook == "enter" || rung->hook == "exit") {
      state->counted.push_back(bpf_program__fd(program));
    }
  }
  for (uint64_t slot = 0; slot < options.rings; ++slot) {
    auto ring = make_ring(kSlotBytes);
    if (!ring) return tl::unexpected(ring.error());
    const int fd = ring->get();
    if (auto ok = update(bpf_map__fd(skeleton->it->maps.rings), &slot, &fd, "rings"); !ok) {
      return tl::unexpected(ok.error());
    }
    state->rings.push_back(std::move(*ring));
  }
  state->skeleton = std::move(*skeleton);
  state->ladder = std::move(rungs);
  return Witness(std::move(state));
}

const std::vector<Rung>& Witness::ladder() const { return state_->ladder; }

bool Witness::offers(std::string_view hook) const {
  return std::any_of(state_->ladder.begin(), state_->ladder.end(),
                     [&](const Rung& rung) { return rung.hook == hook && rung.taken; });
}

Result<uint64_t> Witness::misses() const {
  uint64_t sum = 0;
  for (const int fd : state_->counted) {
    auto misses = misses_of(fd);
    if (!misses) return misses;
    sum += *misses;
  }
  return sum;
}

Result<Watch> Witness::watch(uint64_t cgroup_id) const { return watch(cgroup_id, WatchOptions()); }

struct Watch::Ring {
  ~Ring() {
    if (buffer != nullptr) ring_buffer__free(buffer);
  }
  UniqueFd map;
  ring_buffer* buffer = nullptr;
  const std::function<void(const rf_event&, size_t)>* tell = nullptr;
  uint64_t trial = 0;  // a shared ring may still hold what another left
  static int sample(void* context, void* data, size_t size) {
    const auto* self = static_cast<Ring*>(context);
    if (size < sizeof(rf_event)) return 0;
    const auto& event = *static_cast<const rf_event*>(data);
    if (event.trial == self->trial) (*self->tell)(event, size);
    return 0;
  }
};

Result<Watch> Witness::watch(uint64_t cgroup_id, const WatchOptions& options) const {
  return watch_scope(bpf_map__fd(state_->skeleton.it->maps.scopes), cgroup_id, false, cgroup_id,
                     options);
}

Result<Watch> Witness::watch_process(int tgid, const WatchOptions& options) const {
  state_->skeleton.it->bss->scope_by_tgid = true;
  return watch_scope(bpf_map__fd(state_->skeleton.it->maps.by_tgid), static_cast<uint32_t>(tgid),
                     true, kProcessTrial | static_cast<uint32_t>(tgid), options);
}

Result<Watch> Witness::watch_pidns(uint32_t inode, const WatchOptions& options) const {
  state_->skeleton.it->bss->scope_by_pidns = true;
  return watch_scope(bpf_map__fd(state_->skeleton.it->maps.by_pidns), inode, true,
                     kPidnsTrial | inode, options);
}

Status Witness::also_process(const Watch& watch, int tgid) const {
  state_->skeleton.it->bss->scope_by_tgid = true;
  const auto key = static_cast<uint32_t>(tgid);
  return update(bpf_map__fd(state_->skeleton.it->maps.by_tgid), &key, &watch.id_, "scope");
}

Status Witness::also_group(const Watch& watch, uint64_t cgroup_id) const {
  return update(bpf_map__fd(state_->skeleton.it->maps.scopes), &cgroup_id, &watch.id_, "scope");
}

uint64_t Witness::noise(uint32_t nr, bool compat) const {
  const uint32_t key = nr | (compat ? 1U << 31 : 0);
  uint64_t known = 0;
  // No entry: no such call has succeeded so far.
  if (!lookup(bpf_map__fd(state_->skeleton.it->maps.noise), &key, &known, "noise")) return 0;
  return known;
}

Result<Watch> Witness::watch_scope(int scope_map, uint64_t key, bool short_key, uint64_t trial,
                                   const WatchOptions& options) const {
  const auto& maps = state_->skeleton.it->maps;
  auto before = misses();
  if (!before) return tl::unexpected(before.error());
  Watch watch;
  watch.witness_ = this;
  watch.owner_pid_ = static_cast<int>(sys::call(SYS_getpid));
  watch.misses_before_ = *before;
  watch.trials_fd_ = bpf_map__fd(maps.trials);
  watch.rings_fd_ = bpf_map__fd(maps.rings);
  watch.noise_fd_ = bpf_map__fd(maps.noise);
  watch.scope_fd_ = scope_map;
  watch.scope_key_ = key;
  watch.short_key_ = short_key;
  watch.denials_only_ = !options.story;
  watch.ring_ = std::make_unique<Watch::Ring>();
  watch.own_ring_ = options.slot < 0 || static_cast<size_t>(options.slot) >= state_->rings.size();
  int ring_fd = -1;
  if (watch.own_ring_) {
    auto ring = make_ring(options.ring_bytes);
    if (!ring) return tl::unexpected(ring.error());
    watch.ring_->map = std::move(*ring);
    watch.ring_key_ = trial;
    ring_fd = watch.ring_->map.get();
  } else {
    watch.ring_key_ = static_cast<uint64_t>(options.slot);
    ring_fd = state_->rings[static_cast<size_t>(options.slot)].get();
  }
  watch.ring_->trial = trial;
  watch.ring_->buffer = ring_buffer__new(ring_fd, Watch::Ring::sample, watch.ring_.get(), nullptr);
  if (watch.ring_->buffer == nullptr) return system_error("map ring buffer");
  // From here on the destructor takes it all back.
  watch.id_ = trial;
  if (auto ok = watch.look_for({}); !ok) return tl::unexpected(ok.error());
  if (watch.own_ring_) {
    if (auto ok = update(watch.rings_fd_, &watch.ring_key_, &ring_fd, "rings"); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  // Last: what is in scope has a trial and a ring.
  const auto short_form = static_cast<uint32_t>(key);
  const void* scope_key = short_key ? static_cast<const void*>(&short_form) : &key;
  if (auto ok = update(scope_map, scope_key, &watch.id_, "scope"); !ok) {
    return tl::unexpected(ok.error());
  }
  return watch;
}

// --- Watch --------------------------------------------------------------------------------------

Watch::Watch(Watch&& other) noexcept = default;
Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    this->~Watch();
    new (this) Watch(std::move(other));
  }
  return *this;
}

Watch::~Watch() {
  // Moved from, or a forked process's copy.
  if (!ring_ || id_ == 0 || sys::call(SYS_getpid) != owner_pid_) return;
  const auto short_form = static_cast<uint32_t>(scope_key_);
  remove(scope_fd_, short_key_ ? static_cast<const void*>(&short_form) : &scope_key_);
  if (own_ring_) remove(rings_fd_, &ring_key_);
  remove(trials_fd_, &id_);
}

Status Watch::look_for(std::span<const rf_want> wants) const {
  if (wants.size() > RF_WANTS) {
    return system_error("watch", std::to_string(wants.size()) + " calls", E2BIG);
  }
  rf_trial trial{};
  trial.wants = static_cast<uint32_t>(wants.size());
  trial.denials_only = denials_only_ ? 1 : 0;
  trial.ring = ring_key_;
  std::copy(wants.begin(), wants.end(), std::begin(trial.want));
  return update(trials_fd_, &id_, &trial, "trial");
}

Result<KernelFacts> Watch::facts() const {
  rf_trial trial{};
  if (auto ok = lookup(trials_fd_, &id_, &trial, "trial"); !ok) return tl::unexpected(ok.error());
  auto misses = witness_->misses();
  if (!misses) return tl::unexpected(misses.error());
  KernelFacts facts;
  facts.present = true;
  facts.story_lost = trial.ring_lost;
  facts.caps_watched = witness_->offers("cap");
  facts.enter_misses = *misses - misses_before_;
  facts.all_calls = trial.calls;
  facts.tasks = trial.tasks;
  facts.oom_kills = trial.oom_kills;
  facts.sigsys = trial.sigsys;
  facts.sigsys_nr = trial.sigsys_nr;
  facts.sigsys_compat = trial.sigsys_compat != 0;
  const auto lose = [&](uint64_t count, std::string_view what) {
    if (count == 0) return;
    facts.lost += count;
    if (!facts.lost_what.empty()) facts.lost_what += ", ";
    facts.lost_what += fmt::format("{} {}", count, what);
  };
  lose(facts.enter_misses, "runs of a program left out by the kernel");
  lose(trial.orphans, "ends of syscalls without a beginning");
  lose(trial.moved, "tasks that left the watched group");
  lose(trial.unreadable, "calls with arguments that could not be read");
  for (uint32_t i = 0; i < std::min<uint32_t>(trial.wants, RF_WANTS); ++i) {
    const rf_seen& seen = trial.seen[i];
    CallSeen call;
    call.count = seen.count;
    call.allowed = seen.allowed;
    call.denied = seen.denied;
    call.last = convert(seen.last);
    call.last_denied = convert(seen.last_denied);
    if (call.denied > 0) {
      const uint32_t key = call.last_denied.nr | (call.last_denied.compat ? 1U << 31 : 0);
      uint64_t noise = 0;
      if (lookup(noise_fd_, &key, &noise, "noise")) call.last_denied.noise = noise;
    }
    facts.calls.push_back(call);
  }
  return facts;
}

Result<size_t> Watch::story(const std::function<void(const rf_event&, size_t)>& tell) {
  ring_->tell = &tell;
  const int n = ring_buffer__consume(ring_->buffer);
  ring_->tell = nullptr;
  if (n < 0) return system_error("read ring buffer", {}, -n);
  return static_cast<size_t>(n);
}

int Watch::story_fd() const { return ring_buffer__epoll_fd(ring_->buffer); }

}  // namespace ringfence

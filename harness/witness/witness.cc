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
#include "harness/witness/bpf_map.h"
#include "harness/witness/kernel_btf.h"
#include "harness/witness/security_hooks.h"
#include "harness/witness/story.h"
#include "probes/bpf/abi.h"
#include "probes/bpf/probe_abi.h"
#include "witness.skel.h"

namespace ringfence {
namespace {

// Everything rests on these.
constexpr std::array<std::string_view, 3> kNeeded = {"enter", "exit", "story"};

// What only tells the story: a run of theirs that was left out is a line of it. Any other program
// keeps facts, or whom they belong to.
bool tells_only(std::string_view hook) {
  return hook == "freeze" || hook == "thaw" || hook == "vsyscall" || hook == "state";
}

constexpr size_t kPatternBytes = size_t{1} << 16;

// What cap__kretprobe is of use with; no hook of its own.
void take(std::vector<Rung>& rungs, const std::vector<std::string>& avoid) {
  take_first(rungs, avoid);
  const bool wanted = std::any_of(rungs.begin(), rungs.end(), [](const Rung& rung) {
    return rung.taken && rung.program() == "cap__kretprobe";
  });
  for (Rung& rung : rungs) {
    if (rung.hook == "capargs") rung.taken = rung.taken && wanted;
  }
}

struct Destroy {
  UniqueFd pattern{};  // of the inner maps; until it is loaded
  void operator()(witness_bpf* s) const { witness_bpf__destroy(s); }
};
using Skeleton = std::unique_ptr<witness_bpf, Destroy>;

// Whether the kernel's mark_victim tracepoint gives a task (Linux 6.9) rather than a pid.
bool victim_is_task() {
  const auto held = kernel_btf();
  const btf* const kernel = held.get();
  if (kernel == nullptr) return false;
  const int id = btf__find_by_name_kind(kernel, "btf_trace_mark_victim", BTF_KIND_TYPEDEF);
  if (id < 0) return false;
  const btf_type* pointer = btf__type_by_id(kernel, btf__type_by_id(kernel, id)->type);
  const btf_type* proto = btf__type_by_id(kernel, pointer->type);
  if (!btf_is_func_proto(proto) || btf_vlen(proto) < 2) return false;
  return btf_is_ptr(btf__type_by_id(kernel, btf_params(proto)[1].type));
}

Skeleton open_skeleton(bool task_victim, StoryTransport transport) {
  Skeleton skeleton(witness_bpf__open());
  if (!skeleton) return skeleton;
  const bool perf = transport == StoryTransport::perf;
  skeleton->rodata->victim_is_task = task_victim;
  skeleton->rodata->story_by_perf = perf;
  if (perf) {
    // Before Linux 5.10 a map of maps takes only what is as large as its pattern.
    auto pattern = make_story_map(transport, kPatternBytes);
    if (!pattern) return nullptr;
    bpf_map__set_inner_map_fd(skeleton->maps.perf_rings, pattern->get());
    skeleton.get_deleter().pattern = std::move(*pattern);
  }
  bpf_map__set_autocreate(perf ? skeleton->maps.rings : skeleton->maps.perf_rings, false);
  return skeleton;
}

OpenObject opener(StoryTransport transport) {
  return [task_victim = victim_is_task(), transport]() -> std::shared_ptr<bpf_object> {
    const std::shared_ptr<witness_bpf> skeleton(open_skeleton(task_victim, transport));
    if (!skeleton) return nullptr;
    return {skeleton, skeleton->obj};
  };
}

constexpr uint64_t kProcessTrial = 1ULL << 63;
constexpr uint64_t kPidnsTrial = 1ULL << 62;

}  // namespace

CallRecord record_of(const rf_call& c) {
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
  r.file_size = (c.flags & RF_FILE_SIZE) != 0;
  r.device_asked = (c.flags & RF_DEVICE) != 0;
  r.sent = (c.flags & RF_SENT) != 0;
  r.left = (c.flags & RF_LEFT) != 0;
  r.seccomp = c.seccomp;
  r.caps_failed = c.caps_failed;
  r.cap_last = c.cap_last;
  r.cap_last_denied = c.cap_last != RF_NO_CAP && c.cap_last_ret != 0;
  r.cap_elsewhere = c.cap_last != RF_NO_CAP && c.cap_userns != c.cred_userns;
  r.cap_effective = c.cap_effective;
  r.lsm_hook = security_hook_name(c.lsm_hook);
  r.lsm_by = static_cast<LsmBy>(c.lsm_by);
  r.lsm_ret = c.lsm_ret;
  return r;
}

// --- Witness ------------------------------------------------------------------------------------

struct Witness::State {
  Skeleton skeleton;
  std::vector<Rung> ladder;
  struct Program {
    std::string hook;
    int fd;
  };
  std::vector<Program> attached;
  StoryTransport transport = StoryTransport::ringbuf;
  std::vector<UniqueFd> rings;
  size_t slot_bytes = 0;
  std::optional<SecurityHooks> security;
  [[nodiscard]] int rings_map() const {
    return bpf_map__fd(transport == StoryTransport::perf ? skeleton->maps.perf_rings
                                                         : skeleton->maps.rings);
  }
  mutable std::weak_ptr<void> net, device;  // of the last attach_to_group()
};

Witness::Witness(std::unique_ptr<State> state) : state_(std::move(state)) {}
Witness::Witness(Witness&&) noexcept = default;
Witness& Witness::operator=(Witness&&) noexcept = default;
Witness::~Witness() = default;

std::vector<Rung> Witness::survey() {
  auto story = story_rungs();
  take_first(story, {});
  auto rungs = survey_object(opener(story_transport(story)));
  if (!rungs) return {};
  take(*rungs, {});
  rungs->insert(rungs->end(), story.begin(), story.end());
  const auto security = SecurityHooks::survey();
  rungs->insert(rungs->end(), security.begin(), security.end());
  return std::move(*rungs);
}

Result<Witness> Witness::open(const WitnessOptions& options) {
  const QuietLibbpf hush;
  const auto held = kernel_btf();  // for all that look into it below
  auto story = story_rungs();
  take_first(story, options.avoid);
  const StoryTransport transport = story_transport(story);
  const OpenObject open_copy = opener(transport);
  auto found = rungs_of(open_copy);
  if (!found) return tl::unexpected(found.error());
  auto rungs = std::move(*found);
  rungs.insert(rungs.end(), story.begin(), story.end());
  const auto rung_taken = [&](std::string_view program) -> Rung* {
    const auto at = std::find_if(rungs.begin(), rungs.end(), [&](const Rung& rung) {
      return rung.taken && rung.program() == program;
    });
    return at != rungs.end() ? &*at : nullptr;
  };
  refuse_absent(rungs);
  take(rungs, options.avoid);
  const bool task_victim = victim_is_task();
  Skeleton skeleton;
  const auto load = [&] {
    skeleton = open_skeleton(task_victim, transport);
    if (!skeleton) return -errno;
    if (options.tasks > 0) bpf_map__set_max_entries(skeleton->maps.tasks, options.tasks);
    choose_programs(skeleton->obj, [&](std::string_view p) { return rung_taken(p) != nullptr; });
    return witness_bpf__load(skeleton.get());
  };
  // Why a hook that everything rests on is missing: what its first rung met.
  const auto missing = [&]() -> Status {
    for (const auto hook : kNeeded) {
      const auto of_hook = [&](const Rung& rung) { return rung.hook == hook; };
      if (std::any_of(rungs.begin(), rungs.end(),
                      [&](const Rung& rung) { return of_hook(rung) && rung.taken; })) {
        continue;
      }
      const auto first = std::find_if(rungs.begin(), rungs.end(), of_hook);
      return unsupported_error("load eBPF witness", first->program(), first->err,
                               first->tried ? first->reason : "no program is left to try");
    }
    return {};
  };
  auto state = std::make_unique<State>();
  // A program may load and still find nothing to be attached to: then the one below it.
  for (bool settled = false; !settled;) {
    if (auto ok = missing(); !ok) return tl::unexpected(ok.error());
    // All first choices at once; only when that fails, one by one.
    if (load() != 0) {
      for (bool again = true; again;) {
        again = false;
        for (Rung& rung : rungs) {
          if (!rung.taken || rung.tried) continue;
          try_rung(rung, open_copy);
          again = again || !rung.loads;
        }
        take(rungs, options.avoid);
      }
      if (auto ok = missing(); !ok) return tl::unexpected(ok.error());
      if (const int result = load(); result != 0) {
        return unsupported_error("load eBPF witness", {}, -result);
      }
    }
    for (Rung& rung : rungs) {
      if (rung.taken) rung.loads = rung.tried = true;
    }
    state->attached.clear();
    settled = true;
    // The skeleton has a slot for the link of each of its programs; it ends them all.
    const bpf_object_skeleton& slots = *skeleton->skeleton;
    for (int i = 0; i < slots.prog_cnt; ++i) {
      bpf_program* program = *slots.progs[i].prog;
      Rung* rung = rung_taken(bpf_program__name(program));
      if (rung == nullptr || is_group_program(program)) continue;
      bpf_link* link = bpf_program__attach(program);
      if (link == nullptr) {
        rung->err = errno;
        rung->loads = rung->taken = settled = false;
        rung->reason = "attach: " + errno_name(rung->err);
        continue;
      }
      *slots.progs[i].link = link;
      state->attached.push_back({rung->hook, bpf_program__fd(program)});
    }
    if (!settled) take(rungs, options.avoid);
  }
  state->transport = transport;
  state->slot_bytes = options.slot_bytes;
  state->skeleton = std::move(skeleton);
  for (uint64_t slot = 0; slot < options.rings; ++slot) {
    auto ring = make_story_map(transport, options.slot_bytes);
    if (!ring) return tl::unexpected(ring.error());
    const int fd = ring->get();
    if (auto ok = update_map(state->rings_map(), &slot, &fd, "rings"); !ok) {
      return tl::unexpected(ok.error());
    }
    state->rings.push_back(std::move(*ring));
  }
  state->security = SecurityHooks::attach(bpf_map__fd(state->skeleton->maps.tasks), options.avoid);
  const auto& security = state->security->ladder();
  rungs.insert(rungs.end(), security.begin(), security.end());
  state->ladder = std::move(rungs);
  return Witness(std::move(state));
}

const std::vector<Rung>& Witness::ladder() const { return state_->ladder; }

bool Witness::offers(std::string_view hook) const {
  return std::any_of(state_->ladder.begin(), state_->ladder.end(),
                     [&](const Rung& rung) { return rung.hook == hook && rung.taken; });
}

Result<GroupPrograms> Witness::attach_to_group(int group_fd) const {
  GroupPrograms attached;
  bool net = true;
  bool device = true;
  for (const Rung& rung : state_->ladder) {
    bpf_program* program =
        bpf_object__find_program_by_name(state_->skeleton->obj, rung.program().c_str());
    if (program == nullptr || !is_group_program(program)) continue;
    auto link = rung.taken ? link_to_group(program, group_fd)
                           : Result<UniqueFd>(system_error("load", rung.program(), rung.err));
    if (link) {
      attached.links_.push_back(std::move(*link));
      continue;
    }
    (rung.hook == "device" ? device : net) = false;
    attached.absent_[rung.hook] = rung.reason.empty() ? link.error().describe() : rung.reason;
  }
  // Those of a group before it say nothing of this one.
  state_->net = attached.net_ = net ? std::make_shared<int>(0) : nullptr;
  state_->device = attached.device_ = device ? std::make_shared<int>(0) : nullptr;
  return attached;
}

Result<std::vector<uint64_t>> Witness::all_misses() const {
  std::vector<uint64_t> all;
  for (const auto& program : state_->attached) {
    auto misses = misses_of_program(program.fd);
    if (!misses) return tl::unexpected(misses.error());
    all.push_back(*misses);
  }
  return all;
}

Result<uint64_t> Witness::misses_of(std::string_view hook) const {
  for (const auto& program : state_->attached) {
    if (program.hook == hook) return misses_of_program(program.fd);
  }
  return 0;
}

Result<uint64_t> Witness::misses() const {
  const auto enter = misses_of("enter");
  if (!enter) return enter;
  const auto exit = misses_of("exit");
  if (!exit) return exit;
  return *enter + *exit;
}

Result<uint64_t> Witness::security_misses() const { return state_->security->misses(); }

int Witness::map_fd(const char* name) const {
  return bpf_object__find_map_fd_by_name(state_->skeleton->obj, name);
}

Result<Watch> Witness::watch(uint64_t cgroup_id) const { return watch(cgroup_id, WatchOptions()); }

Result<Watch> Witness::watch(uint64_t cgroup_id, const WatchOptions& options) const {
  hint(cgroup_id);
  return watch_scope(bpf_map__fd(state_->skeleton->maps.scopes), cgroup_id, false, cgroup_id,
                     options);
}

Result<Watch> Witness::watch_process(int tgid, const WatchOptions& options) const {
  state_->skeleton->bss->scope_by_tgid = true;
  return watch_scope(bpf_map__fd(state_->skeleton->maps.by_tgid), static_cast<uint32_t>(tgid), true,
                     kProcessTrial | static_cast<uint32_t>(tgid), options);
}

Result<Watch> Witness::watch_pidns(uint32_t inode, const WatchOptions& options) const {
  state_->skeleton->bss->scope_by_pidns = true;
  return watch_scope(bpf_map__fd(state_->skeleton->maps.by_pidns), inode, true, kPidnsTrial | inode,
                     options);
}

Status Witness::also_process(const Watch& watch, int tgid) const {
  state_->skeleton->bss->scope_by_tgid = true;
  const auto key = static_cast<uint32_t>(tgid);
  return update_map(bpf_map__fd(state_->skeleton->maps.by_tgid), &key, &watch.id_, "scope");
}

// Before the group gets into `scopes`: without it nobody looks there.
void Witness::hint(uint64_t cgroup_id) const {
  state_->skeleton->bss->scope_hint[cgroup_id % std::size(state_->skeleton->bss->scope_hint)] = 1;
}

Status Witness::also_group(const Watch& watch, uint64_t cgroup_id) const {
  hint(cgroup_id);
  return update_map(bpf_map__fd(state_->skeleton->maps.scopes), &cgroup_id, &watch.id_, "scope");
}

uint64_t Witness::noise(uint32_t nr, bool compat) const {
  const uint32_t key = nr | (compat ? 1U << 31 : 0);
  uint64_t known = 0;
  // No entry: no such call has succeeded so far.
  if (!find_in_map(bpf_map__fd(state_->skeleton->maps.noise), &key, &known, "noise")) return 0;
  return known;
}

Result<Watch> Witness::watch_scope(int scope_map, uint64_t key, bool short_key, uint64_t trial,
                                   const WatchOptions& options) const {
  const auto& maps = state_->skeleton->maps;
  auto before = all_misses();
  if (!before) return tl::unexpected(before.error());
  Watch watch;
  watch.witness_ = this;
  watch.owner_pid_ = static_cast<int>(sys::call(SYS_getpid));
  watch.misses_before_ = std::move(*before);
  const auto security = security_misses();
  if (!security) return tl::unexpected(security.error());
  watch.security_misses_before_ = *security;
  watch.trials_fd_ = bpf_map__fd(maps.trials);
  watch.rings_fd_ = state_->rings_map();
  watch.noise_fd_ = bpf_map__fd(maps.noise);
  watch.stories_fd_ = bpf_map__fd(maps.stories);
  watch.scope_fd_ = scope_map;
  watch.scope_key_ = key;
  watch.short_key_ = short_key;
  watch.denials_only_ = !options.story;
  watch.reads_ = options.reads;
  watch.wakes_ = options.wakes;
  watch.own_ring_ = options.slot < 0 || static_cast<size_t>(options.slot) >= state_->rings.size();
  int ring_fd = -1;
  if (watch.own_ring_) {
    auto ring = make_story_map(state_->transport, options.ring_bytes);
    if (!ring) return tl::unexpected(ring.error());
    watch.ring_map_ = std::move(*ring);
    watch.ring_key_ = trial;
    ring_fd = watch.ring_map_.get();
  } else {
    watch.ring_key_ = static_cast<uint64_t>(options.slot);
    ring_fd = state_->rings[static_cast<size_t>(options.slot)].get();
  }
  auto story =
      open_story(state_->transport, ring_fd,
                 watch.own_ring_ ? options.ring_bytes : state_->slot_bytes, trial, options.wakes);
  if (!story) return tl::unexpected(story.error());
  watch.ring_ = std::move(*story);
  // From here on the destructor takes it all back.
  watch.id_ = trial;
  if (auto ok = watch.look_for({}); !ok) return tl::unexpected(ok.error());
  if (watch.own_ring_) {
    if (auto ok = update_map(watch.rings_fd_, &watch.ring_key_, &ring_fd, "rings"); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  const rf_story shared_story{watch.ring_key_, 0, options.wakes ? 1U : 0U};
  if (auto ok = update_map(watch.stories_fd_, &watch.id_, &shared_story, "stories"); !ok) {
    return tl::unexpected(ok.error());
  }
  // Last: what is in scope has a trial and a ring.
  const auto short_form = static_cast<uint32_t>(key);
  const void* scope_key = short_key ? static_cast<const void*>(&short_form) : &key;
  if (auto ok = update_map(scope_map, scope_key, &watch.id_, "scope"); !ok) {
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
  remove_from_map(scope_fd_, short_key_ ? static_cast<const void*>(&short_form) : &scope_key_);
  remove_below();
  if (own_ring_) remove_from_map(rings_fd_, &ring_key_);
  remove_from_map(stories_fd_, &id_);
  remove_from_map(trials_fd_, &id_);
}

// Groups that the target made, and processes that it forked and that are still there.
void Watch::remove_below() const {
  uint64_t key = 0;  // for the map of processes its first half
  std::vector<uint64_t> ours;
  for (bool more = next_in_map(scope_fd_, nullptr, &key); more;
       more = next_in_map(scope_fd_, &key, &key)) {
    uint64_t trial = 0;
    if (find_in_map(scope_fd_, &key, &trial, "scope") && trial == id_) ours.push_back(key);
  }
  for (const uint64_t& each : ours) remove_from_map(scope_fd_, &each);
}

Status Watch::look_for(std::span<const rf_want> wants) const {
  if (wants.size() > RF_WANTS) {
    return system_error("watch", std::to_string(wants.size()) + " calls", E2BIG);
  }
  rf_trial trial{};
  trial.wants = static_cast<uint32_t>(wants.size());
  trial.denials_only = denials_only_ ? 1 : 0;
  trial.ring = ring_key_;
  trial.wakes = wakes_ ? 1 : 0;
  std::copy(wants.begin(), wants.end(), std::begin(trial.want));
  return update_map(trials_fd_, &id_, &trial, "trial");
}

Result<KernelFacts> Watch::facts() const {
  rf_trial trial{};
  if (auto ok = find_in_map(trials_fd_, &id_, &trial, "trial"); !ok)
    return tl::unexpected(ok.error());
  auto misses = witness_->all_misses();
  if (!misses) return tl::unexpected(misses.error());
  KernelFacts facts;
  facts.present = true;
  const auto security = witness_->security_misses();
  if (!security) return tl::unexpected(security.error());
  facts.security_misses = *security - security_misses_before_;
  rf_story story{};
  if (auto ok = find_in_map(stories_fd_, &id_, &story, "stories"); !ok) {
    return tl::unexpected(ok.error());
  }
  facts.story_lost = trial.ring_lost + story.lost;
  facts.caps_watched = witness_->offers("cap");
  facts.signals_watched = witness_->offers("signal");
  const bool of_group = (id_ & (kProcessTrial | kPidnsTrial)) == 0;
  facts.net.watched = of_group && !witness_->state_->net.expired();
  facts.net.packets_out = trial.net.packets_out;
  facts.net.bytes_out = trial.net.bytes_out;
  facts.net.packets_in = trial.net.packets_in;
  facts.net.bytes_in = trial.net.bytes_in;
  facts.net.left = trial.net.left;
  facts.net.sockets = trial.net.sockets;
  facts.net.connects = trial.net.connects;
  facts.devices_watched = of_group && !witness_->state_->device.expired();
  facts.devices_asked = trial.devices;
  facts.all_calls = trial.calls;
  facts.tasks = trial.tasks;
  facts.oom_kills = trial.oom_kills;
  facts.sigsys = trial.sigsys;
  facts.sigsys_nr = trial.sigsys_nr;
  facts.sigsys_compat = trial.sigsys_compat != 0;
  add_losses(trial, *misses, facts);
  for (uint32_t i = 0; i < std::min<uint32_t>(trial.wants, RF_WANTS); ++i) {
    const rf_seen& seen = trial.seen[i];
    CallSeen call;
    call.count = seen.count;
    call.allowed = seen.allowed;
    call.denied = seen.denied;
    call.last = record_of(seen.last);
    call.last_denied = record_of(seen.last_denied);
    call.denied_path = shown(seen.denied_path);
    if (call.denied > 0) {
      const uint32_t key = call.last_denied.nr | (call.last_denied.compat ? 1U << 31 : 0);
      uint64_t noise = 0;
      // No entry: no such call has succeeded so far.
      if (auto ok = find_in_map(noise_fd_, &key, &noise, "noise");
          !ok && ok.error().err != ENOENT) {
        return tl::unexpected(ok.error());
      }
      call.last_denied.noise = noise;
    }
    facts.calls.push_back(call);
  }
  return facts;
}

void Watch::add_losses(const rf_trial& trial, const std::vector<uint64_t>& misses,
                       KernelFacts& facts) const {
  const auto lose = [&](uint64_t count, std::string_view what) {
    if (count == 0) return;
    facts.lost += count;
    if (!facts.lost_what.empty()) facts.lost_what += ", ";
    facts.lost_what += fmt::format("{} {}", count, what);
  };
  const auto& attached = witness_->state_->attached;
  for (size_t i = 0; i < attached.size(); ++i) {
    const std::string& hook = attached[i].hook;
    const uint64_t missed = misses[i] - misses_before_[i];
    if (tells_only(hook)) {
      facts.story_lost += missed;
      continue;
    }
    facts.misses += missed;
    if (hook == "enter" || hook == "exit") facts.enter_misses += missed;
    lose(missed, fmt::format("runs of the {} program left out by the kernel", hook));
  }
  lose(trial.orphans, "ends of syscalls without a beginning");
  lose(trial.no_room, "tasks or groups that a map had no room for");
  // Before this trial or in it: what is harmless is asked for in each of them.
  lose(witness_->state_->skeleton->bss->noise_lost,
       "harmless capability checks that a map had no room for");
  lose(trial.moved, "tasks that left the watched group");
  lose(trial.joined, "tasks that came from another trial's");
  lose(trial.unreadable, "calls with arguments that could not be read");
}

Result<TaskStates> Watch::tasks() const {
  const bpf_link* link = witness_->state_->skeleton->links.tasks__iter;
  if (link == nullptr) return unsupported_error("list tasks", "iter/task");
  return read_tasks(bpf_link__fd(link), id_);
}

Result<size_t> Watch::story(const StoryRing::Tell& tell) {
  if (!reads_) return 0;
  return ring_->read(tell);
}

int Watch::story_fd() const { return ring_->fd(); }

}  // namespace ringfence

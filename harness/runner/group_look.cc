#include "harness/runner/group_look.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <utility>

#include "harness/base/sys.h"
#include "harness/spawn/cgroup_state.h"

namespace ringfence {
namespace {

constexpr uint64_t kThousand = 1000;

Seen unseen(const Goal& goal, const Error& error) {
  return {goal, false, error.describe(), "cgroup"};
}

Seen event(const Goal& goal, const CgroupLeaf& leaf) {
  const size_t dot = goal.arg.find('.');
  const auto count = leaf.event(goal.arg.substr(0, dot), goal.arg.substr(dot + 1));
  if (!count) return unseen(goal, count.error());
  return {goal, *count >= static_cast<uint64_t>(goal.value),
          fmt::format("{} events: {}", goal.arg, *count), "cgroup"};
}

Seen charged(const Goal& goal, const CgroupLeaf& leaf) {
  const auto memory = memory_state(leaf);
  if (!memory) return unseen(goal, memory.error());
  if (!memory->peak) return {goal, false, "this kernel counts no peak", "cgroup"};
  return {goal, *memory->peak > static_cast<uint64_t>(goal.value),
          fmt::format("at its peak {} KiB were charged to the group", *memory->peak / 1024),
          "cgroup"};
}

Seen cpu(const Goal& goal, const CgroupLeaf& leaf, const TrialOutcome& trial) {
  const auto state = cpu_state(leaf);
  if (!state) return unseen(goal, state.error());
  const auto lived_us = static_cast<uint64_t>(trial.lived_ns / 1000);
  if (!state->usage_us || lived_us == 0) {
    return {goal, false, "the time that the group used is unknown", "cgroup"};
  }
  const uint64_t share = *state->usage_us * kThousand / lived_us;
  return {goal, share > static_cast<uint64_t>(goal.value),
          fmt::format("it used {} thousandths of one CPU over {} ms, throttled {} times", share,
                      lived_us / kThousand, state->nr_throttled.value_or(0)),
          "cgroup"};
}

Seen rivalry(const Goal& goal, const CgroupLeaf& leaf, std::optional<uint64_t> rival_us) {
  const auto state = cpu_state(leaf);
  if (!state) return unseen(goal, state.error());
  if (!state->usage_us || rival_us.value_or(0) == 0) {
    return {goal, false, "the rival had no time on its CPU", "cgroup"};
  }
  const uint64_t share = *state->usage_us * kThousand / *rival_us;
  return {goal, share > static_cast<uint64_t>(goal.value),
          fmt::format("it used {} thousandths of the rival's {} ms", share, *rival_us / kThousand),
          "cgroup"};
}

}  // namespace

Result<Rival> Rival::start(const std::shared_ptr<CgroupRoot>& root, const std::string& name) {
  auto group = CgroupLeaf::create(root, {{"cpu"}}, name);
  if (!group) return tl::unexpected(group.error());
  const int64_t pid = sys::call(SYS_fork);
  if (pid < 0) return system_error("fork", "rival", static_cast<int>(-pid));
  if (pid == 0) {
    // CPU 0, as the target; the parent waits for nothing of it.
    uint64_t mask = 1;
    if (sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(1);
    if (sys::call(SYS_sched_setaffinity, 0, sizeof mask, sys::arg(&mask)) < 0) _exit(1);
    std::atomic<uint64_t> spins{0};
    for (;;) spins.fetch_add(1, std::memory_order_relaxed);
  }
  Rival rival(std::move(*group), static_cast<int>(pid));
  if (auto added = rival.group_.add(rival.pid_); !added) return tl::unexpected(added.error());
  return rival;
}

Rival::Rival(Rival&& other) noexcept
    : group_(std::move(other.group_)), pid_(std::exchange(other.pid_, -1)) {}

Rival::~Rival() {
  if (pid_ <= 0) return;
  sys::call(SYS_kill, static_cast<uint64_t>(pid_), SIGKILL);
  int64_t r = -EINTR;
  while (r == -EINTR) r = sys::call(SYS_wait4, static_cast<uint64_t>(pid_), 0, 0, 0);
}

uint64_t Rival::used_us() const {
  const auto state = cpu_state(group_);
  return state ? state->usage_us.value_or(0) : 0;
}

bool is_of_group(Sight sight) {
  return sight == Sight::cgroup_event || sight == Sight::charged_over || sight == Sight::cpu_over ||
         sight == Sight::rival_over;
}

Seen look_at_group(const Goal& goal, const std::optional<CgroupLeaf>& leaf,
                   const TrialOutcome& trial, std::optional<uint64_t> rival_us) {
  if (!leaf) return {goal, false, "the target had no group", "cgroup"};
  switch (goal.sight) {
    case Sight::charged_over:
      return charged(goal, *leaf);
    case Sight::cpu_over:
      return cpu(goal, *leaf, trial);
    case Sight::rival_over:
      return rivalry(goal, *leaf, rival_us);
    default:
      return event(goal, *leaf);
  }
}

}  // namespace ringfence

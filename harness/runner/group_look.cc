#include "harness/runner/group_look.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <utility>

#include "harness/base/sys.h"
#include "harness/spawn/cgroup_state.h"

namespace ringfence {
namespace {

constexpr uint64_t kThousand = 1000;
// Of a shorter time the start itself is most, and says nothing of a limit.
constexpr uint64_t kLeastUs = 1'000'000;

Result<Seen> event(const Goal& goal, const CgroupLeaf& leaf) {
  const size_t dot = goal.arg.find('.');
  const auto count = leaf.event(goal.arg.substr(0, dot), goal.arg.substr(dot + 1));
  if (!count) return tl::unexpected(count.error());
  return Seen{goal, *count >= static_cast<uint64_t>(goal.value),
              fmt::format("{} events: {}", goal.arg, *count), "cgroup"};
}

Result<Seen> charged(const Goal& goal, const CgroupLeaf& leaf) {
  const auto memory = memory_state(leaf);
  if (!memory) return tl::unexpected(memory.error());
  if (!memory->peak) return unsupported_error("read the group's peak of memory", leaf.name());
  return Seen{goal, *memory->peak > static_cast<uint64_t>(goal.value),
              fmt::format("at its peak {} KiB were charged to the group", *memory->peak / 1024),
              "cgroup"};
}

Result<Seen> cpu(const Goal& goal, const CgroupLeaf& leaf, const TrialOutcome& trial) {
  const auto state = cpu_state(leaf);
  if (!state) return tl::unexpected(state.error());
  const auto lived_us = static_cast<uint64_t>(trial.lived_ns / 1000);
  if (!state->usage_us) {
    return unsupported_error("read the time that the group used", leaf.name());
  }
  const uint64_t share = *state->usage_us * kThousand / std::max(lived_us, kLeastUs);
  return Seen{goal, share > static_cast<uint64_t>(goal.value),
              fmt::format("it used {} thousandths of one CPU over {} ms, throttled {} times", share,
                          lived_us / kThousand, state->nr_throttled.value_or(0)),
              "cgroup"};
}

Result<Seen> rivalry(const Goal& goal, const CgroupLeaf& leaf, std::optional<uint64_t> rival_us) {
  const auto state = cpu_state(leaf);
  if (!state) return tl::unexpected(state.error());
  if (!state->usage_us || !rival_us) {
    return unsupported_error("compare the time used with the rival's", leaf.name());
  }
  const uint64_t share = *state->usage_us * kThousand / std::max(*rival_us, kLeastUs / 2);
  return Seen{
      goal, share > static_cast<uint64_t>(goal.value),
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
    if (sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(1);
    std::atomic<uint64_t> spins{0};
    for (;;) spins.fetch_add(1, std::memory_order_relaxed);
  }
  Rival rival(std::move(*group), static_cast<int>(pid));
  if (auto added = rival.group_.add(rival.pid_); !added) return tl::unexpected(added.error());
  // CPU 0, as the target; afterwards, since before Linux 6.2 a cpuset that is entered undoes it.
  const uint64_t mask = 1;
  if (const int64_t r = sys::call(SYS_sched_setaffinity, pid, sizeof mask, sys::arg(&mask));
      r < 0) {
    return system_error("sched_setaffinity", "rival", static_cast<int>(-r));
  }
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

std::optional<uint64_t> Rival::used_us() const {
  const auto state = cpu_state(group_);
  return state ? state->usage_us : std::nullopt;
}

bool is_of_group(Sight sight) {
  return sight == Sight::cgroup_event || sight == Sight::charged_over || sight == Sight::cpu_over ||
         sight == Sight::rival_over;
}

Result<Seen> look_at_group(const Goal& goal, const std::optional<CgroupLeaf>& leaf,
                           const TrialOutcome& trial, std::optional<uint64_t> rival_us) {
  if (!leaf) return unsupported_error("look at the target's group", "it had none");
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

#include "harness/runner/end_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/runner/sight.h"

namespace ringfence {
namespace {

// A hostile target may have tasks in any number of them.
constexpr size_t kStatesMax = 256;

bool alike(const TaskState& a, const TaskState& b) {
  return a.ns == b.ns && a.user_level == b.user_level && a.cap_effective == b.cap_effective &&
         a.cap_permitted == b.cap_permitted;
}

ProcView view_of(int pid) {
  ProcView view;
  for (const Ns ns : kAllNs) {
    view.ns[static_cast<size_t>(ns)] =
        read_link(fmt::format("/proc/{}/ns/{}", pid, ns_name(ns))).value_or("");
  }
  view.cap_effective = status_field(pid, "CapEff");
  view.cap_bounding = status_field(pid, "CapBnd");
  view.no_new_privs = status_field(pid, "NoNewPrivs");
  view.seccomp = status_field(pid, "Seccomp");
  return view;
}

}  // namespace

void look_at_tasks(const KernelWatch& watch, int pid, TrialOutcome& outcome) {
  if (!watch.lists_tasks()) return;
  auto now = watch.tasks();
  KernelFacts& kernel = outcome.kernel;
  if (!now) {
    if (now.error().kind != Error::Kind::unsupported) ++kernel.states_lost;
    return;
  }
  kernel.hosts.push_back(now->reader);
  const auto inspected = std::find_if(
      now->tasks.begin(), now->tasks.end(),
      [&](const TaskState& task) { return pid > 0 && task.here == static_cast<uint32_t>(pid); });
  if (inspected != now->tasks.end()) {
    if (auto differ = disagreement(*inspected, view_of(pid)); differ && kernel.disagree.empty()) {
      kernel.disagree = fmt::format("process {}: {}", pid, *differ);
    }
  }
  keep_states(std::move(now->tasks), kernel);
}

void keep_states(std::vector<TaskState> tasks, KernelFacts& kernel) {
  for (TaskState& task : tasks) {
    const bool known = std::any_of(kernel.states.begin(), kernel.states.end(),
                                   [&](const TaskState& state) { return alike(state, task); });
    if (known) continue;
    if (kernel.states.size() >= kStatesMax) {
      ++kernel.states_lost;
      return;
    }
    kernel.states.push_back(std::move(task));
  }
}

}  // namespace ringfence

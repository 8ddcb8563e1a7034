#include "harness/confine/cgroup.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>

namespace ringfence {
namespace {

bool add_limit(Assembler& plan, const Layer& layer, const std::string& controller, int64_t limit) {
  const std::string value = limit < 0 ? "max" : std::to_string(limit);
  Step step =
      Assembler::confining(layer, layer.str(), fmt::format("{}.max = {}", controller, value));
  step.where = Where::parent;
  step.confines = limit >= 0;
  step.settings = {{controller, controller + ".max", value}};
  return plan.add(std::move(step));
}

}  // namespace

std::vector<std::string> add_cgroup_limits(Assembler& plan, const Policy& policy) {
  std::vector<std::string> controllers;
  if (const auto limit = policy.resources.memory_limit) {
    if (add_limit(plan, Layer::kCgroupMemory, "memory", *limit)) controllers.emplace_back("memory");
  }
  if (const auto limit = policy.resources.pids_limit) {
    // As runc reads it: zero sets no limit, like a negative number.
    const int64_t value = *limit == 0 ? -1 : *limit;
    if (add_limit(plan, Layer::kCgroupPids, "pids", value)) controllers.emplace_back("pids");
  }
  return controllers;
}

void add_cgroup_join(Assembler& plan) {
  Step step = Assembler::setup({}, "cgroup.join", "join the cgroups that were given");
  // A limit binds nobody who is outside of its group.
  step.confines = std::any_of(plan.steps().begin(), plan.steps().end(),
                              [](const Step& s) { return s.where == Where::parent && s.confines; });
  for (int slot = kSlotCgroup0; slot <= kSlotCgroupLast; ++slot) {
    step.ops.push_back(when(make_op(SYS_write, slot_arg(slot), plan.text("0"), 1), slot));
  }
  plan.add(std::move(step));
}

}  // namespace ringfence

#include "harness/confine/scheduling.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "harness/base/facts.h"

namespace ringfence {
namespace {

// linux/sched/types.h, whose sched_param is at odds with the C library's.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};
static_assert(sizeof(SchedAttr) == 56);  // SCHED_ATTR_SIZE_VER1; an older kernel takes zeros beyond

// linux/ioprio.h
constexpr int kIoprioWhoProcess = 1;
constexpr uint32_t kIoprioClassShift = 13;

constexpr uint32_t kBitsPerWord = 64;

// A list of numbers as the bits of a mask.
template <size_t Bits>
std::array<uint64_t, Bits / kBitsPerWord> mask_of(const std::string& list) {
  std::array<uint64_t, Bits / kBitsPerWord> mask{};
  for (const uint32_t n : numbers_of_list(list, Bits - 1)) {
    mask.at(n / kBitsPerWord) |= uint64_t{1} << (n % kBitsPerWord);
  }
  return mask;
}

std::string scheduler_text(const Scheduler& s) {
  std::string text(word_of(scheduler_policies(), s.policy));
  if (s.nice != 0) text += fmt::format(", nice {}", s.nice);
  if (s.priority != 0) text += fmt::format(", priority {}", s.priority);
  if (s.runtime != 0) text += fmt::format(", {} ns in each {}", s.runtime, s.deadline);
  return text;
}

Op set_affinity(Assembler& plan, const std::string& cpus) {
  const auto mask = mask_of<kMostCpu + 1>(cpus);
  return make_op(SYS_sched_setaffinity, 0, sizeof mask, plan.object(mask));
}

bool enters_container(const Policy& policy) {
  const auto& list = policy.namespaces;
  return !list.empty() && std::all_of(list.begin(), list.end(),
                                      [](const Namespace& ns) { return !ns.path.empty(); });
}

void add_label(Assembler& plan, const Layer& layer, const std::string& text, const char* own_file) {
  static constexpr const char* kShared = "/proc/self/attr/exec";
  Step step = Assembler::confining(layer, layer.str(), fmt::format("exec as {}", text));
  const Op open = make_op(SYS_openat, AT_FDCWD, plan.text(own_file == nullptr ? kShared : own_file),
                          O_WRONLY | O_CLOEXEC);
  step.ops.push_back(into(own_file == nullptr ? open : tolerating(open, ENOENT), kSlotFile));
  if (own_file != nullptr) {
    step.ops.push_back(unless(
        into(make_op(SYS_openat, AT_FDCWD, plan.text(kShared), O_WRONLY | O_CLOEXEC), kSlotFile),
        kSlotFile));
  }
  step.ops.push_back(make_op(SYS_write, slot_arg(kSlotFile), plan.text(text), text.size()));
  step.ops.push_back(make_op(SYS_close, slot_arg(kSlotFile)));
  plan.add(std::move(step));
}

}  // namespace

void add_scheduling(Assembler& plan, const Policy& policy) {
  if (policy.memory_policy) {
    const MemoryPolicy& m = *policy.memory_policy;
    Step step = Assembler::setup({}, "process.memory_policy",
                                 fmt::format("{}{}{}", word_of(memory_policy_modes(), m.mode),
                                             m.nodes.empty() ? "" : " of nodes ", m.nodes));
    const auto mask = mask_of<kMostNode + 1>(m.nodes);
    // The kernel counts one bit less than it is told.
    step.ops.push_back(m.nodes.empty() ? make_op(SYS_set_mempolicy, m.mode | m.flags, 0, 0)
                                       : make_op(SYS_set_mempolicy, m.mode | m.flags,
                                                 plan.object(mask), sizeof mask * 8 + 1));
    plan.add(std::move(step));
  }
  if (policy.personality) {
    Step step = Assembler::setup({}, "process.personality",
                                 std::string(word_of(personality_domains(), *policy.personality)));
    step.ops.push_back(make_op(SYS_personality, *policy.personality));
    plan.add(std::move(step));
  }
  if (policy.io_priority) {
    const IoPriority& p = *policy.io_priority;
    Step step = Assembler::setup({}, "process.io_priority",
                                 fmt::format("{} {}", word_of(io_classes(), p.io_class), p.level));
    step.ops.push_back(
        make_op(SYS_ioprio_set, kIoprioWhoProcess, 0, p.io_class << kIoprioClassShift | p.level));
    plan.add(std::move(step));
  }
  if (policy.scheduler) {
    const Scheduler& s = *policy.scheduler;
    const SchedAttr attr{sizeof(SchedAttr), s.policy,   s.flags,  s.nice, s.priority,
                         s.runtime,         s.deadline, s.period, 0,      0};
    Step step = Assembler::setup({}, "process.scheduler", scheduler_text(s));
    step.ops.push_back(make_op(SYS_sched_setattr, 0, plan.object(attr), 0));
    plan.add(std::move(step));
  }
}

void add_initial_cpus(Assembler& plan, const Policy& policy) {
  const ExecCpuAffinity& affinity = policy.exec_cpu_affinity;
  if (affinity == ExecCpuAffinity{}) return;
  if (!enters_container(policy)) {
    plan.note(
        "process.execCPUAffinity is for a process that enters a running container: this one makes "
        "namespaces, or joins none");
    return;
  }
  if (affinity.initial.empty()) return;
  Step step = Assembler::setup({}, kInitialCpus, "spawn on CPUs " + affinity.initial);
  step.where = Where::parent;
  step.ops.push_back(set_affinity(plan, affinity.initial));
  plan.add(std::move(step));
}

void add_final_cpus(Assembler& plan, const Policy& policy) {
  const std::string& cpus = policy.exec_cpu_affinity.final_;
  if (cpus.empty() || !enters_container(policy)) return;
  Step step = Assembler::setup({}, "process.cpus:final", "run on CPUs " + cpus);
  step.ops.push_back(set_affinity(plan, cpus));
  plan.add(std::move(step));
}

void add_exec_labels(Assembler& plan, const Policy& policy) {
  const auto has = [](const char* module) { return Facts::probe().satisfied(module); };
  if (!policy.apparmor_profile.empty() && has("lsm:apparmor")) {
    add_label(plan, Layer::kAppArmor, "exec " + policy.apparmor_profile,
              "/proc/self/attr/apparmor/exec");
  }
  if (!policy.selinux_label.empty() && has("lsm:selinux")) {
    add_label(plan, Layer::kSelinux, policy.selinux_label, nullptr);
  }
}

}  // namespace ringfence

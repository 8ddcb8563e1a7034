#include "harness/spawn/hook_steps.h"

#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "harness/confine/assembler.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/child_hooks.h"

namespace ringfence {
namespace {

std::string_view moment_of(HookKind kind) {
  switch (kind) {
    case HookKind::prestart:
    case HookKind::create_runtime:
      return "outside";
    case HookKind::create_container:
      return "in the target's namespaces";
    case HookKind::start_container:
      return "inside, as the program";
    case HookKind::poststart:
      return "outside, once the program runs";
    case HookKind::poststop:
      return "outside, once the target is gone";
  }
  return {};
}

Step step_of(const HookPlan::Run& run) {
  Step step = Assembler::setup({}, fmt::format("hook.{}:{}", hook_name(run.kind), run.index),
                               fmt::format("run {} {}", run.hook.path, moment_of(run.kind)));
  if (!run.by_child()) step.where = run.before_start() ? Where::helper : Where::after;
  return step;
}

// Calls that the child makes for a hook once its filter is loaded. One that waits for an answer
// gets one.
Status check_filter(const Plan& plan) {
  const std::vector<Op> calls = {make_op(SYS_clone, kHookClone, 0, 0, 0, 0),
                                 make_op(SYS_wait4),
                                 make_op(SYS_setpgid, 0, 0),
                                 make_op(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL),
                                 make_op(SYS_getppid),
                                 make_op(SYS_dup3),
                                 make_op(SYS_execve)};
  for (const Op& call : calls) {
    if (plan.seccomp_program.empty() || passes(plan.seccomp_program, call)) continue;
    SeccompInput input;
    input.nr = static_cast<uint32_t>(call.nr);
    const uint32_t action = bpf_evaluate(plan.seccomp_program, input) & SECCOMP_RET_ACTION_FULL;
    if (action == SECCOMP_RET_USER_NOTIF) continue;
    return usage_error("compile policy", "/hooks/startContainer",
                       fmt::format("the filter denies {}, by which such a hook is started; allow "
                                   "the call",
                                   call_name(call.nr)));
  }
  return {};
}

// runtime-spec runtime.md "State": an absolute path.
std::string bundle_of(const Policy& policy) {
  const size_t slash = policy.name.rfind('/');
  const std::string given = slash == std::string::npos ? "." : policy.name.substr(0, slash + 1);
  std::error_code error;
  const auto path = std::filesystem::canonical(given, error);
  return error ? given : path.string();
}

}  // namespace

std::string HookPlan::Run::pointer() const {
  return fmt::format("/hooks/{}/{}", hook_name(kind), index);
}

bool HookPlan::Run::by_child() const {
  return kind == HookKind::create_container || kind == HookKind::start_container;
}

bool HookPlan::Run::before_start() const {
  return kind != HookKind::poststart && kind != HookKind::poststop;
}

Status add_hooks(Plan& plan, const Policy& policy, const std::function<bool(const Step&)>& drop,
                 size_t mounted) {
  HookPlan hooks;
  hooks.oci_version = policy.oci_version;
  hooks.bundle = bundle_of(policy);
  hooks.annotations = policy.annotations;
  std::vector<Step> early;
  std::vector<Step> late;
  uint64_t number = 0;  // among those that the child runs
  Step wait = Assembler::setup({}, "hooks.wait", "wait for the hooks that run outside");
  wait.ops.push_back(make_op(kCallWaitHooks));
  bool waits = false;
  for (const HookKind kind : kAllHooks) {
    // Also those that the child runs itself: what they are told is written meanwhile.
    const bool begins = kind == HookKind::create_container;
    if (begins) early.push_back(wait);
    for (size_t i = 0; i < policy.hooks.of(kind).size(); ++i) {
      HookPlan::Run run{kind, i, 0, policy.hooks.of(kind)[i]};
      Step step = step_of(run);
      if (drop && drop(step)) continue;
      waits = waits || run.before_start();
      if (run.by_child()) step.ops.push_back(make_op(kCallHook, number++));
      const bool first = kind <= HookKind::create_container;
      run.step = first ? early.size() : late.size();
      (first ? early : late).push_back(std::move(step));
      hooks.runs.push_back(std::move(run));
    }
  }
  if (!waits) early.clear();
  const bool starts = std::any_of(hooks.runs.begin(), hooks.runs.end(), [](const auto& run) {
    return run.kind == HookKind::start_container;
  });
  if (starts) {
    if (auto passes = check_filter(plan); !passes) return passes;
  }
  const Step* root = plan.find("mount.root");
  const auto at = root != nullptr ? root - plan.steps.data() : static_cast<ptrdiff_t>(mounted);
  const size_t end = plan.steps.size() + early.size();
  for (auto& run : hooks.runs) {
    run.step += run.kind <= HookKind::create_container ? static_cast<size_t>(at) : end;
  }
  plan.steps.insert(plan.steps.begin() + at, early.begin(), early.end());
  plan.steps.insert(plan.steps.end(), late.begin(), late.end());
  plan.hooks = std::move(hooks);
  return {};
}

}  // namespace ringfence

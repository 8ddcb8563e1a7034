#include "harness/spawn/plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/confine/cgroup.h"
#include "harness/confine/landlock.h"
#include "harness/confine/mounts.h"
#include "harness/confine/namespaces.h"
#include "harness/confine/network.h"
#include "harness/confine/process.h"
#include "harness/confine/scheduling.h"
#include "harness/confine/seccomp.h"
#include "harness/confine/terminal.h"
#include "harness/spawn/hook_steps.h"

namespace ringfence {
namespace {

// Whether the policy leaves CAP_SYS_ADMIN in force up to the exec, so that a filter can be loaded
// last even without no_new_privs.
bool keeps_sys_admin(const Policy& policy) {
  const Capabilities& caps = policy.capabilities;
  if (policy.set_user && policy.user.uid != 0 && !caps.effective) return false;
  return (!caps.effective || caps.effective->has("SYS_ADMIN")) &&
         (!caps.permitted || caps.permitted->has("SYS_ADMIN"));
}

Step parent_death(const char* key, bool check) {
  Step step = Assembler::setup({}, key, "end with the parent");
  step.ops.push_back(make_op(kCallParentDeath, check ? 1 : 0));
  return step;
}

struct Filter {
  std::vector<uint64_t> program;
  uint64_t flags = 0;
  std::optional<Listener> listener;
};

// Ids, capabilities, no_new_privs and the filter, in runc's order: the filter last where that is
// allowed, else before the capabilities that loading it takes are gone.
Status add_privileges(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces,
                      Filter& filter) {
  Step nnp = Assembler::confining(Layer::kNoNewPrivs, "no_new_privs", "set no_new_privs");
  nnp.ops.push_back(make_op(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CredentialPlan how;
  how.namespaces = &namespaces;
  how.no_new_privs = policy.no_new_privileges && plan.keeps(nnp);

  const bool last = how.no_new_privs || keeps_sys_admin(policy);
  bool loaded = false;
  if (!last) add_landlock(plan, policy);
  if (!last && policy.seccomp) {
    loaded = add_seccomp(plan, filter.program, filter.flags);
    if (!loaded) filter = {};
  }
  const size_t first = plan.size();
  add_credentials(plan, policy, how);
  // A change of ids has cleared it, prctl(2).
  Step death = parent_death("process.parent_death", true);
  if (loaded) {
    const Op poll = make_op(SYS_poll, 0, 1, 0);
    if (!passes(filter.program, poll)) death = parent_death("process.parent_death", false);
  }
  plan.add(std::move(death));
  if (loaded) {
    for (size_t i = first; i < plan.size(); ++i) {
      for (const Op& op : plan.steps()[i].ops) {
        if (passes(filter.program, op)) continue;
        return usage_error(
            "compile policy", "/linux/seccomp",
            fmt::format("the filter denies what the step {} makes after it was loaded; set "
                        "noNewPrivileges, or allow the call",
                        plan.steps()[i].key));
      }
    }
  }
  if (how.no_new_privs) plan.append(std::move(nnp));
  if (last) add_landlock(plan, policy);
  if (last && policy.seccomp && !add_seccomp(plan, filter.program, filter.flags)) filter = {};
  return {};
}

// A pool makes a new root in a mount namespace that belongs to the spawner's user namespace, by
// steps that all are there.
std::string why_not_ahead(const NamespacePlan& namespaces, const MountPlan& mounts, bool hooks) {
  if (namespaces.has(Ns::user)) return "the target has a user namespace of its own";
  if (namespaces.by_unshare || namespaces.by_pidfd || !namespaces.paths.empty()) {
    return "namespaces are joined or unshared";
  }
  if ((namespaces.clone_flags & CLONE_NEWNS) == 0) return "no mount namespace is made";
  if (hooks) return "hooks run before the root is entered";
  if (!mounts.fresh || !mounts.enters_root) return "the root is no fresh one";
  if (!mounts.bound_late.empty()) {
    return mounts.bound_late + " takes what the spawner has at a path, late";
  }
  return {};
}

}  // namespace

const Step* Plan::find(std::string_view key) const {
  const auto it =
      std::find_if(steps.begin(), steps.end(), [&](const Step& step) { return step.key == key; });
  return it == steps.end() ? nullptr : &*it;
}

bool Plan::needs_helper() const {
  return !uid_map.empty() || !gid_map.empty() || deny_setgroups ||
         std::any_of(steps.begin(), steps.end(), [](const Step& step) {
           return step.network.effect != Step::Network::Effect::none;
         });
}

int Plan::ports() const {
  return static_cast<int>(std::count_if(steps.begin(), steps.end(), [this](const Step& step) {
    return step.network.effect == Step::Network::Effect::link &&
           network.interfaces.at(step.network.interface).kind == InterfaceKind::veth;
  }));
}

std::vector<Step::Setting> Plan::settings() const {
  std::vector<Step::Setting> all;
  for (const Step& step : steps) all.insert(all.end(), step.settings.begin(), step.settings.end());
  return all;
}

Result<Plan> compile(const Policy& policy, const CompileOptions& options) {
  Assembler assembler(options.drop);
  Plan plan;
  plan.policy_name = policy.name;
  plan.cwd = policy.cwd;

  Filter filter;
  if (policy.seccomp) {
    auto program = compile_seccomp(*policy.seccomp);
    if (!program) return tl::unexpected(program.error());
    auto flags = seccomp_flags(*policy.seccomp);
    if (!flags) return tl::unexpected(flags.error());
    auto listener = make_listener(policy);
    if (!listener) return tl::unexpected(listener.error());
    filter = {std::move(*program), *flags, std::move(*listener)};
    if (filter.listener && !filter.listener->path.empty() &&
        !passes(filter.program, make_op(SYS_close))) {
      return usage_error("compile policy", "/linux/seccomp/listenerPath",
                         "the filter must allow close: else the target's start would wait for a "
                         "listener that is gone");
    }
  }

  auto controllers = add_cgroup_limits(assembler, policy);
  if (!controllers) return tl::unexpected(controllers.error());
  plan.controllers = std::move(*controllers);
  if (!policy.cgroups_path.empty()) {
    Step path = Assembler::setup(
        {}, "cgroup.path", fmt::format("a group at {} below the run's own", policy.cgroups_path));
    path.where = Where::parent;
    if (assembler.add(std::move(path))) plan.cgroups_path = policy.cgroups_path;
  }
  auto namespaces = add_clone_namespaces(assembler, policy, options.entry == Entry::unshare);
  if (!namespaces) return tl::unexpected(namespaces.error());
  // In the spawner's own namespace, or one that is joined, nothing is changed.
  if (namespaces->makes_net) add_network(assembler, policy.network);
  if (namespaces->makes_net && options.attended) {
    plan.net_devices.assign(policy.net_devices.begin(), policy.net_devices.end());
    add_net_devices(assembler, plan.net_devices);
  }
  add_initial_cpus(assembler, policy);
  assembler.add(parent_death("process.parent_death:begin", true));
  if (auto added = add_child_namespaces(assembler, policy, *namespaces); !added) {
    return tl::unexpected(added.error());
  }
  const bool terminal = options.attended && policy.terminal;
  auto mounts = add_mounts(assembler, policy, *namespaces, options.staging, options.rootfs,
                           options.rootfs_at, options.program, options.disposable_mounts, terminal);
  if (!mounts) return tl::unexpected(mounts.error());
  const size_t mounted = assembler.size();
  if (terminal && !mounts->own_terminal) add_spawners_terminal(assembler, policy);
  add_descriptors(assembler, policy);  // before a limit of open files hides some of them
  if (terminal) add_terminal_descriptors(assembler);
  add_rlimits(assembler, policy);
  add_session(assembler, policy, terminal);
  if (terminal) add_controlling_terminal(assembler);
  add_working_directory_change(assembler, policy, !policy.root || mounts->enters_root);
  add_scheduling(assembler, policy);  // late, so that the steps before are as fast as ever
  if (auto added = add_privileges(assembler, policy, *namespaces, filter); !added) {
    return tl::unexpected(added.error());
  }

  if (policy.init) {
    assembler.add(Assembler::setup({}, "process.init", "an init of ours is the first process"));
    const Op exec = make_op(SYS_execveat, 0, 0, 0, 0, AT_EMPTY_PATH);
    if (!filter.program.empty() && !passes(filter.program, exec)) {
      return usage_error("compile policy", "/annotations/ringfence.init",
                         "the filter denies execveat, by which the init is started");
    }
  }
  plan.steps = assembler.take_steps();
  plan.bytes = assembler.take_bytes();
  plan.notes = assembler.take_notes();
  plan.clone_flags = namespaces->clone_flags;
  plan.apart = namespaces->apart;
  plan.uid_map = namespaces->uid_map;
  plan.gid_map = namespaces->gid_map;
  plan.deny_setgroups = namespaces->deny_setgroups;
  plan.maps_in_child =
      namespaces->by_unshare && (namespaces->has(Ns::user) || namespaces->makes_net);
  plan.by_pidfd = namespaces->by_pidfd;
  plan.init = policy.init;
  const bool hooks = options.attended && options.hooks && !policy.hooks.empty();
  plan.not_ahead = why_not_ahead(*namespaces, *mounts, hooks);
  plan.mapped_trees = std::move(mounts->mapped);
  plan.namespace_paths = namespaces->paths;
  plan.network = policy.network;
  if (terminal) {
    plan.terminal = mounts->own_terminal ? Plan::Terminal::own : Plan::Terminal::spawners;
  }
  plan.rootfs = mounts->rootfs;
  plan.program = options.program.empty() ? "" : mounts->has_root ? kProgramInside : options.program;
  plan.seccomp_program = std::move(filter.program);
  plan.listener = std::move(filter.listener);
  if (hooks) {
    if (auto added = add_hooks(plan, policy, options.drop, mounted); !added) {
      return tl::unexpected(added.error());
    }
  }
  return plan;
}

}  // namespace ringfence

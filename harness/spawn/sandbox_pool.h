#pragma once
// Pools of prepared sandboxes: the network namespace, the group and the root tree of a plan, made
// before its targets are there, off the path that starts them, and given out once each.
//
// A plan is split. The steps with Step::ahead (confine/mounts.cc says which) are carried out in a
// process of their own, which ends when its namespaces are taken from it: the new root, all that
// shows nothing of a target's pid and ipc namespaces, and the change to it. What is left, /proc
// above all, the target does after it has entered them. Each step is made once, in one of the two,
// with its key and layer; what a target sees is what it would see without a pool.
//
// What is bound from the host, and the cgroup hierarchies, are those of the time of fill(). A
// prepared sandbox belongs to the user namespace of whoever filled the pool, so there is none for a
// target with a user namespace of its own. Kernel: mount_setattr(2), Linux 5.12: the stand-ins need
// a /proc, which a prepared root has not.
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/confine/netns_pool.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"
#include "harness/spawn/spawn.h"

namespace ringfence {

// For one target. It has to stay until spawn() has returned, the group for as long as the target.
struct PreparedSandbox {
  UniqueFd mnt;
  UniqueFd net;     // none where the plan makes no network namespace
  UniqueFd cgroup;  // none where the plan makes no cgroup namespace
  std::optional<CgroupLeaf> group;
  // Puts it in the place of what SpawnRequest would make; the request's plan is to be the pool's.
  void give(SpawnRequest& request) const;
};

class SandboxPool {
 public:
  // For targets of `plan`, which may not have the limits of a group made without `groups`.
  // `unsupported` where the plan cannot be split: Plan::not_ahead says why.
  static Result<std::unique_ptr<SandboxPool>> make(const Plan& plan,
                                                   std::shared_ptr<CgroupRoot> groups = {});
  // Of the steps of the plan, those that are left for a target.
  [[nodiscard]] const Plan& plan() const { return rest_; }
  // Those that fill() carries out, for who wants to see them (print_plan).
  [[nodiscard]] const Plan& prepared() const { return first_; }

  // Makes sandboxes until `count` are ready. What was made before a failure stays.
  Status fill(size_t count);
  // One that nobody was in; made now when none is ready.
  Result<PreparedSandbox> take();
  [[nodiscard]] size_t ready() const;

 private:
  SandboxPool() = default;
  Result<PreparedSandbox> prepare();

  Plan first_, rest_;
  std::vector<Step::Setting> settings_;
  std::string cgroups_path_;
  std::shared_ptr<CgroupRoot> groups_;
  UniqueFd holder_;  // the program that stays in them until they are taken
  NetnsPool networks_;
  mutable std::mutex mutex_;
  std::vector<PreparedSandbox> ready_;
};

}  // namespace ringfence

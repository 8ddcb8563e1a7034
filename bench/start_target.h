#pragma once
// A program that ends at once, started by the spawner under a policy, in the ways that a start
// bench compares.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/policy/policy.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"
#include "harness/spawn/sandbox_pool.h"
#include "harness/spawn/spawn.h"

namespace ringfence::bench {

class StartTarget {
 public:
  struct Program {
    int fd = -1;
    std::string path{};  // inside, instead
    std::vector<std::string> args{"true"};
    std::vector<std::pair<int, int>> fds{};
  };
  static Result<std::shared_ptr<StartTarget>> make(const Policy& policy, Program program,
                                                   std::shared_ptr<CgroupRoot> groups);

  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] bool limits() const { return !settings_.empty(); }

  // Starts and waits: without a group of its own, in one that stood before (prepare_group), or in
  // one that is made and removed with it.
  Status start() { return start_in(nullptr); }
  Status start_in_standing_group() { return start_in(standing_ ? &*standing_ : nullptr); }
  Status start_in_own_group();
  // The group alone: made, limits written, removed.
  Status group();
  // From a pool: group, network namespace and root tree (prepare_sandbox, before each).
  Status start_from_pool();

  Status prepare_group();
  Status prepare_sandbox();

 private:
  Result<CgroupLeaf> make_leaf();
  Status start_in(const CgroupLeaf* leaf, const PreparedSandbox* sandbox = nullptr);

  Plan plan_;
  std::vector<Step::Setting> settings_;
  std::shared_ptr<CgroupRoot> groups_;
  std::optional<CgroupLeaf> standing_;
  std::unique_ptr<SandboxPool> pool_;
  std::optional<PreparedSandbox> last_;  // goes while the next one is made, out of the figures
  Program program_;
  size_t leaves_ = 0;
};

}  // namespace ringfence::bench

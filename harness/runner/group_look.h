#pragma once
// What a target's group shows after its end, and the rival that some cases let it compete with.
#include <optional>

#include "harness/judge/trial.h"
#include "harness/spawn/cgroup_leaf.h"

namespace ringfence {

// A task that uses CPU 0 for as long as it lives, in a group beside the target's with the default
// weight. It dies with the harness.
class Rival {
 public:
  static Result<Rival> start(const std::shared_ptr<CgroupRoot>& root, const std::string& name);
  Rival(Rival&& other) noexcept;
  Rival& operator=(Rival&&) = delete;
  ~Rival();
  // Microseconds of CPU so far; none where they cannot be read.
  [[nodiscard]] std::optional<uint64_t> used_us() const;

 private:
  Rival(CgroupLeaf group, int pid) : group_(std::move(group)), pid_(pid) {}
  CgroupLeaf group_;
  int pid_ = -1;
};

// Whether this sight is of a group's counters after the end.
bool is_of_group(Sight sight);
// The answer for such a goal, the proofs of kind cgroup_event included; an error is no answer, and
// never an absence. `rival_us`: what the rival used meanwhile.
Result<Seen> look_at_group(const Goal& goal, const std::optional<CgroupLeaf>& leaf,
                           const TrialOutcome& trial, std::optional<uint64_t> rival_us);

}  // namespace ringfence

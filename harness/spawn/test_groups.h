#pragma once
// Groups for the tests of this directory: in the hierarchies as they are here, and in v1 or v2
// alone where the host has both, so that each way is taken wherever it can be.
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/test_run.h"

namespace ringfence {

inline CgroupLayout only_v1(CgroupLayout layout) {
  layout.unified.clear();
  layout.unified_parent.clear();
  layout.unified_controllers.clear();
  layout.mode = layout.v1.empty() ? "none" : "v1";
  return layout;
}
inline CgroupLayout only_v2(CgroupLayout layout) {
  layout.v1.clear();
  layout.mode = layout.unified.empty() ? "none" : "unified";
  return layout;
}

// A leaf with what the policy sets, in this layout; an error says why not.
inline Result<CgroupLeaf> group_for(const CgroupLayout& layout, const Policy& policy,
                                    const std::vector<std::string>& also = {}) {
  auto plan = compile(policy);
  if (!plan) return tl::unexpected(plan.error());
  auto settings = plan->settings();
  for (const auto& controller : also) settings.push_back({controller});
  auto root = CgroupRoot::create(layout);
  if (!root) return tl::unexpected(root.error());
  return CgroupLeaf::create(*root, settings, "leaf");
}

// A shell that goes on until it is killed.
inline Result<Child> start(const Plan& plan, const std::string& script, const CgroupLeaf* group) {
  SpawnRequest request;
  request.plan = &plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", script};
  request.env = {"PATH=/usr/bin:/bin"};
  request.cgroup = group;
  return spawn(request);
}

}  // namespace ringfence

#pragma once
// The steps of a plan's hooks. Internal to spawn/.
#include <functional>

#include "harness/base/result.h"
#include "harness/spawn/plan.h"

namespace ringfence {

// Into a plan that is complete but for them. Those that run before the root changes come before the
// step that changes it or, without one, before the step `mounted`.
Status add_hooks(Plan& plan, const Policy& policy, const std::function<bool(const Step&)>& drop,
                 size_t mounted);

}  // namespace ringfence

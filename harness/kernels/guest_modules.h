#pragma once
// The list of modules in an initramfs, written when it is made and read by the agent inside.
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/kernels/modules.h"

namespace ringfence {

struct GuestModule {
  std::string name;
  std::string path;  // in the guest
  std::vector<std::string> depends;
  std::vector<std::string> aliases;
};

std::string guest_modules_json(const std::vector<GuestModule>& modules);
Result<std::vector<GuestModule>> parse_guest_modules(const std::string& text);
// Those to load for a name or an alias, dependencies first; empty when there is none.
std::vector<const GuestModule*> modules_for(const std::vector<GuestModule>& all,
                                            const std::string& name);

}  // namespace ringfence

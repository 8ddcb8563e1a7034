#pragma once
// What several commands need: a policy by name or file, with its root found.
#include <string>

#include "harness/base/result.h"
#include "harness/policy/policy.h"

namespace ringfence::cli {

struct Loaded {
  Policy policy;
  std::string rootfs;  // directory to use as root; empty: a fresh tmpfs
};

// Warnings go to standard error. `rootfs` (--rootfs) must be a directory when given; the file's own
// root.path counts relative to the file, and is let go with a note when it does not exist.
Result<Loaded> load(const std::string& name_or_file, const std::string& rootfs);

}  // namespace ringfence::cli

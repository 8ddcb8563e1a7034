#pragma once
// What the options of an overlay mount name. Source: overlayfs.rst, "Multiple lower layers".
#include <string>
#include <vector>

#include "harness/policy/policy.h"

namespace ringfence {

inline constexpr size_t kOverlayLowersMax = 500;  // OVL_MAX_STACK

struct OverlayOptions {
  std::vector<std::string> lower;  // topmost first; escapes undone
  std::string upper, work;         // empty: read-only
  bool userxattr = false;
  std::vector<std::string> others;  // "index=off", "metacopy=on", ...
  friend bool operator==(const OverlayOptions&, const OverlayOptions&) = default;
};

// From the options of `mount` that are for the file system: lowerdir=A:B, lowerdir+=A (each one
// more), upperdir=, workdir=, userxattr. In lowerdir a backslash escapes ':' and itself.
OverlayOptions read_overlay_options(const Mount& mount);

// The same as the one string that mount(2) takes: ':' and ',' in paths are escaped.
std::string overlay_data(const OverlayOptions& options);

}  // namespace ringfence

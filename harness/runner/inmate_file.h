#pragma once
// The inmate's image as a sealed file in memory: executable by descriptor, in any root.
// Sources: memfd_create(2), F_ADD_SEALS in fcntl(2).
#include <span>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence {

Result<UniqueFd> seal_inmate(std::span<const unsigned char> image);

}  // namespace ringfence

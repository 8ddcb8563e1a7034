#pragma once
// bpf(2) on maps, through the syscall seam, so that tests can make it fail.
#include "harness/base/result.h"

namespace ringfence {

// BPF_MAP_LOOKUP_ELEM into `value`, which has the size of the map's values; ENOENT: there is none.
Status find_in_map(int map, const void* key, void* value, const char* what);

}  // namespace ringfence

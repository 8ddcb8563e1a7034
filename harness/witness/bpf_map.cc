#include "harness/witness/bpf_map.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include "harness/base/sys.h"

namespace ringfence {

Status find_in_map(int map, const void* key, void* value, const char* what) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  attr.value = sys::arg(value);
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_LOOKUP_ELEM, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_LOOKUP_ELEM", what, static_cast<int>(-r));
  return {};
}

}  // namespace ringfence

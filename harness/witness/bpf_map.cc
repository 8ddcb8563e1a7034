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

Status update_map(int map, const void* key, const void* value, const char* what) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  attr.value = sys::arg(value);
  attr.flags = BPF_ANY;
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_UPDATE_ELEM, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_UPDATE_ELEM", what, static_cast<int>(-r));
  return {};
}

void remove_from_map(int map, const void* key) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(key);
  (void)sys::call(SYS_bpf, BPF_MAP_DELETE_ELEM, sys::arg(&attr), sizeof attr);
}

bool next_in_map(int map, const void* after, void* key) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = sys::arg(after);
  attr.next_key = sys::arg(key);
  return sys::call(SYS_bpf, BPF_MAP_GET_NEXT_KEY, sys::arg(&attr), sizeof attr) == 0;
}

Result<uint64_t> misses_of_program(int program_fd) {
  bpf_prog_info info{};
  bpf_attr attr{};
  attr.info.bpf_fd = static_cast<uint32_t>(program_fd);
  attr.info.info_len = sizeof info;
  attr.info.info = sys::arg(&info);
  const int64_t r = sys::call(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_OBJ_GET_INFO_BY_FD", "program", static_cast<int>(-r));
  return info.recursion_misses;
}

}  // namespace ringfence

#pragma once
// bpf(2) on maps and programs, through the syscall seam, so that tests can make it fail.
#include <cstdint>

#include "harness/base/result.h"

namespace ringfence {

// BPF_MAP_LOOKUP_ELEM into `value`, which has the size of the map's values; ENOENT: there is none.
Status find_in_map(int map, const void* key, void* value, const char* what);
// BPF_MAP_UPDATE_ELEM, with BPF_ANY.
Status update_map(int map, const void* key, const void* value, const char* what);
// BPF_MAP_DELETE_ELEM; what is not there is no error.
void remove_from_map(int map, const void* key);
// BPF_MAP_GET_NEXT_KEY; null: the first. False at the end.
bool next_in_map(int map, const void* after, void* key);
// Runs of a program that the kernel left out (recursion_misses, Linux 5.12).
Result<uint64_t> misses_of_program(int program_fd);

}  // namespace ringfence

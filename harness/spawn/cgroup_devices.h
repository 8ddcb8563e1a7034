#pragma once
// The device controller of v2: a BPF program on the group. It lives as long as the group, and asks
// beside those that others have attached, above and here. Internal to spawn/.
// Source: bpf(2), BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI (Linux 4.15).
#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

Status attach_device_program(const std::string& directory, const std::vector<uint64_t>& program);

}  // namespace ringfence

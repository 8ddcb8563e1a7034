#pragma once
// The device controller's rules, for v1 as writes and for v2 as a BPF program (there are no files).
// Sources: runtime-spec config-linux.md "Allowed Device list"; kernel
// Documentation/admin-guide/cgroup-v1/devices.rst; bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE
// (Linux 4.15).
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/policy/resources.h"

namespace ringfence {

// A whole list as one default and what is excepted from it, which is how the v1 controller thinks.
struct DeviceList {
  struct Exception {
    char type = 'c';  // c, b
    std::optional<int64_t> major{};
    std::optional<int64_t> minor{};
    uint8_t access = 0;  // of DeviceAccess
  };
  bool allow = false;  // what no exception matches
  std::vector<Exception> exceptions;
};
enum DeviceAccess : uint8_t { kDeviceMknod = 1, kDeviceRead = 2, kDeviceWrite = 4 };

// The rules in order, from a default of denying all, and then, as runc does, the devices that every
// container gets: making any node, null, zero, full, random, urandom, tty, console, ptmx and
// pts. A rule that would take one device out of a wildcard is refused: v1 cannot do it, so that a
// policy would mean different things on different hosts.
Result<DeviceList> resolve_devices(const std::vector<DeviceRule>& rules);

// Files of a v1 group and what to write, in order.
std::vector<std::pair<std::string, std::string>> device_writes(const DeviceList& list);
// The program, as struct bpf_insn; R0 is 1 for "allowed".
std::vector<uint64_t> device_program(const DeviceList& list);

}  // namespace ringfence

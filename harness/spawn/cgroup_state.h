#pragma once
// What a group is at: its `current`, `stat`, `events` and `pressure` files as typed values, by the
// same names on v1 and v2. Reading changes nothing, and each value is of its own moment.
//
// Memory is in bytes, time in microseconds. What this kernel or hierarchy does not count is unset.
// Sources: kernel Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{cpuacct,memory,
// blkio-controller}.rst, accounting/psi.rst.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/spawn/cgroup_leaf.h"

namespace ringfence {

struct CpuState {  // cpu.stat; v1: cpu.stat and, for the time used, cpuacct or the v2 group's
  std::optional<uint64_t> usage_us;
  std::optional<uint64_t> user_us, system_us;
  std::optional<uint64_t> nr_periods, nr_throttled, throttled_us;
};

struct MemoryState {
  uint64_t current = 0;
  std::optional<uint64_t> peak;  // Linux 5.19
  std::optional<uint64_t> max;   // unset: no limit
  std::optional<uint64_t> swap_current;
  // memory.events; v1 has `max` (failcnt) and `oom_kill`.
  std::optional<uint64_t> low, high, max_events, oom, oom_kill, oom_group_kill;
  std::map<std::string, uint64_t> stat;
};

struct PidsState {
  uint64_t current = 0;
  std::optional<uint64_t> peak;  // Linux 6.1
  std::optional<uint64_t> max;   // unset: no limit
  uint64_t refused = 0;          // pids.events "max"
};

struct IoState {
  uint64_t rbytes = 0, wbytes = 0, rios = 0, wios = 0;
};

struct CoreState {  // cgroup.events and cgroup.stat
  bool populated = false;
  bool frozen = false;
  uint64_t descendants = 0;
  uint64_t dying_descendants = 0;
};

struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;  // per cent of the time
  uint64_t total_us = 0;
};
struct Pressure {
  PressureLine some;
  std::optional<PressureLine> full;
};

Result<CpuState> cpu_state(const CgroupLeaf& leaf);
Result<MemoryState> memory_state(const CgroupLeaf& leaf);
Result<PidsState> pids_state(const CgroupLeaf& leaf);
// By device, "8:0". Empty before the first transfer.
Result<std::map<std::string, IoState>> io_state(const CgroupLeaf& leaf);
// Bytes of huge pages of a size ("2MB").
Result<uint64_t> hugetlb_current(const CgroupLeaf& leaf, const std::string& page_size);
Result<CoreState> core_state(const CgroupLeaf& leaf);
// "cpu", "memory" or "io"; of v2 groups, where the kernel has PSI.
Result<Pressure> pressure(const CgroupLeaf& leaf, const std::string& resource);

// ---- The forms of the files, for these and for tests
// --------------------------------------------- "key value" lines; lines of another form are left
// out.
std::map<std::string, uint64_t> parse_flat_keyed(std::string_view text);
// "8:0 rbytes=1 wbytes=2 ..." lines.
std::map<std::string, IoState> parse_io_stat(std::string_view text);
Result<Pressure> parse_pressure(const std::string& text);
// A number, or "max" (and what v1 has for it, a number of pages that no machine has).
std::optional<uint64_t> parse_limit(std::string_view text);

}  // namespace ringfence

#pragma once
// Resources: linux.resources of a config.json, as a plain value. What is unset limits nothing.
//
// Numbers are kept as the file has them (cgroup v1 words and ranges, which the runtime-spec is
// written in); confine/cgroup.h translates them. Source: runtime-spec config-linux.md "Control
// groups"; kernel Documentation/admin-guide/cgroup-v2.rst.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

struct DeviceRule {  // of the device controller; the last one that matches decides
  bool allow = false;
  char type = 'a';                 // c, b, a (all)
  std::optional<int64_t> major{};  // unset: any
  std::optional<int64_t> minor{};
  std::string access = "rwm";  // read, write, mknod
  friend bool operator==(const DeviceRule&, const DeviceRule&) = default;
};

struct DeviceRate {  // bytes or operations a second on one block device
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;
  friend bool operator==(const DeviceRate&, const DeviceRate&) = default;
};

struct DeviceWeight {
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t weight = 0;       // 10 to 1000; 0: none
  uint32_t leaf_weight = 0;  // the same
  friend bool operator==(const DeviceWeight&, const DeviceWeight&) = default;
};

struct HugePageLimit {
  std::string page_size;  // "2MB", as the files are named
  uint64_t limit = 0;     // bytes
  friend bool operator==(const HugePageLimit&, const HugePageLimit&) = default;
};

struct NetPriority {  // of what leaves by an interface of the initial network namespace
  std::string name;
  uint32_t priority = 0;
  friend bool operator==(const NetPriority&, const NetPriority&) = default;
};

struct RdmaLimit {  // of one RDMA device; unset: no limit of that kind
  std::optional<uint32_t> hca_handles{};
  std::optional<uint32_t> hca_objects{};
  friend bool operator==(const RdmaLimit&, const RdmaLimit&) = default;
};

struct Resources {
  std::optional<int64_t> pids_limit;  // pids.max; -1: max

  // Bytes; -1: max.
  std::optional<int64_t> memory_limit;        // memory.max
  std::optional<int64_t> memory_reservation;  // memory.low
  std::optional<int64_t> memory_swap;         // memory and swap together, as v1 counts
  // Of v1 alone, which are left out where a group has no such file:
  std::optional<int64_t> memory_kernel_tcp;      // memory.kmem.tcp.limit_in_bytes
  std::optional<uint32_t> memory_swappiness;     // 0 to 100
  std::optional<bool> memory_oom_kill_disabled;  // true: who runs out of memory waits

  std::optional<uint64_t> cpu_shares;  // 2 to 262144
  std::optional<int64_t> cpu_quota;    // us in each period; -1: max
  std::optional<uint64_t> cpu_period;  // us
  std::optional<uint64_t> cpu_burst;   // us
  std::optional<int64_t> cpu_idle;     // 1: SCHED_IDLE for the group
  // Of v1 alone, with CONFIG_RT_GROUP_SCHED: what SCHED_FIFO and SCHED_RR may use, us in each
  // period.
  std::optional<uint64_t> cpu_rt_runtime;
  std::optional<uint64_t> cpu_rt_period;
  std::string cpuset_cpus;  // "0-3,5"
  std::string cpuset_mems;

  std::optional<uint32_t> io_weight;       // 10 to 1000
  std::optional<uint32_t> io_leaf_weight;  // of v1 alone, before Linux 5.0
  std::vector<DeviceWeight> io_device_weights;
  std::vector<DeviceRate> io_read_bps, io_write_bps, io_read_iops, io_write_iops;

  std::vector<HugePageLimit> hugepage_limits;
  // Of v1 alone: a tag for tc(8) and nftables, and priorities.
  std::optional<uint32_t> net_class_id;
  std::vector<NetPriority> net_priorities;
  std::map<std::string, RdmaLimit> rdma;       // by device
  std::vector<DeviceRule> devices;             // empty: no device controller
  std::map<std::string, std::string> unified;  // v2 file -> value
  friend bool operator==(const Resources&, const Resources&) = default;
};

// Whether `text` is a list of numbers and ranges as cpuset(7) has it ("0-2,16"); `most` is the
// greatest number that is allowed.
bool well_formed_list(std::string_view text, uint32_t most);
// The numbers of a well-formed list; nothing for another text.
std::vector<uint32_t> numbers_of_list(std::string_view text, uint32_t most);
// CONFIG_NR_CPUS and MAX_NUMNODES of the largest kernels.
inline constexpr uint32_t kMostCpu = 8191;
inline constexpr uint32_t kMostNode = 1023;

// The controller of a v2 file: "memory" of "memory.swap.max"; empty for those of the core
// ("cgroup.freeze").
std::string controller_of_file(std::string_view file);

// What is wrong with a key and value of `unified`: empty when nothing. The file names are those of
// cgroup-v2.rst; `hint` says what is allowed.
std::string fault_of_unified(const std::string& file, const std::string& value, std::string* hint);

}  // namespace ringfence

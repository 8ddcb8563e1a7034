// runtime-spec config-linux.md "Control groups". Out of range is refused here, by pointer; what the
// kernel would refuse later only depends on the machine.
#include <net/if.h>

#include <algorithm>

#include "harness/policy/oci_sections.h"

namespace ringfence {
namespace {

using Kind = FieldType::Kind;

// include/linux/sched: MIN_SHARES and MAX_SHARES; cpu.cfs_period_us, sched-bwc.rst.
constexpr uint64_t kLeastShares = 2;
constexpr uint64_t kMostShares = 262144;
constexpr int64_t kLeastQuota = 1000;
constexpr uint64_t kLeastPeriod = 1000;
constexpr uint64_t kMostPeriod = 1000000;
constexpr uint64_t kMostSwappiness = 100;  // as runc has it; some kernels take 200
// sched-rt-group.rst: the period of a new group, and the greatest that sched_rt_period_us can have.
constexpr uint64_t kRealtimePeriod = 1000000;
constexpr uint64_t kMostRealtime = INT32_MAX;
constexpr uint32_t kLeastWeight = 10;
constexpr uint32_t kMostWeight = 1000;
constexpr int64_t kMostMinor = (int64_t{1} << 20) - 1;  // of MKDEV()
constexpr int64_t kMostMajor = (int64_t{1} << 12) - 1;

// runc takes 0 for "not set"; -1 is "max".
std::optional<int64_t> limit(const JsonNode& node) {
  const int64_t value = node.signed_integer(-1, INT64_MAX);
  if (!node.present() || value == 0) return std::nullopt;
  return value;
}

std::optional<uint64_t> nonzero(const JsonNode& node, uint64_t least, uint64_t most) {
  const uint64_t value = node.unsigned_integer(UINT64_MAX);
  if (!node.present() || value == 0) return std::nullopt;
  if (value < least || value > most) {
    node.fail("out of range: " + std::to_string(value),
              std::to_string(least) + " to " + std::to_string(most) + ", or 0 for none");
  }
  return value;
}

// Wildcards are -1, null, or left out.
std::optional<int64_t> device_number(const JsonNode& node, int64_t most) {
  const int64_t value = node.signed_integer(-1, most, -1);
  return value < 0 ? std::nullopt : std::optional(value);
}

void read_devices(const JsonNode& devices, Policy& policy) {
  for (const auto& item : devices.items()) {
    check_fields(item, {{"allow", Kind::boolean},
                        {"type", Kind::string},
                        {"major", Kind::i64},
                        {"minor", Kind::i64},
                        {"access", Kind::string}});
    DeviceRule rule;
    rule.allow = item.require("allow").boolean();
    const std::string type = item.get("type").word({"", "a", "b", "c"});
    rule.type = type.empty() ? 'a' : type[0];
    rule.major = device_number(item.get("major"), kMostMajor);
    rule.minor = device_number(item.get("minor"), kMostMinor);
    const JsonNode access = item.get("access");
    if (access.string().find_first_not_of("rwm") != std::string::npos) {
      access.fail("unknown access \"" + access.string() + "\"", "letters of rwm");
    }
    rule.access = access.string();
    if (rule.access.empty()) rule.access = "rwm";
    policy.resources.devices.push_back(std::move(rule));
  }
}

std::vector<DeviceRate> read_rates(const JsonNode& list) {
  std::vector<DeviceRate> rates;
  for (const auto& item : list.items()) {
    check_fields(item, {{"major", Kind::i64}, {"minor", Kind::i64}, {"rate", Kind::u64}});
    rates.push_back({item.require("major").signed_integer(0, kMostMajor),
                     item.require("minor").signed_integer(0, kMostMinor),
                     item.require("rate").unsigned_integer(UINT64_MAX)});
  }
  return rates;
}

void read_block_io(const JsonNode& node, Policy& policy) {
  check_fields(node, {{"weight", Kind::u32},
                      {"leafWeight", Kind::u32},
                      {"weightDevice", Kind::any},
                      {"throttleReadBpsDevice", Kind::any},
                      {"throttleWriteBpsDevice", Kind::any},
                      {"throttleReadIOPSDevice", Kind::any},
                      {"throttleWriteIOPSDevice", Kind::any}});
  Resources& r = policy.resources;
  if (const auto weight = nonzero(node.get("weight"), kLeastWeight, kMostWeight)) {
    r.io_weight = static_cast<uint32_t>(*weight);
  }
  if (const auto weight = nonzero(node.get("leafWeight"), kLeastWeight, kMostWeight)) {
    r.io_leaf_weight = static_cast<uint32_t>(*weight);
  }
  for (const auto& item : node.get("weightDevice").items()) {
    check_fields(item, {{"major", Kind::i64},
                        {"minor", Kind::i64},
                        {"weight", Kind::u32},
                        {"leafWeight", Kind::u32}});
    const int64_t major = item.require("major").signed_integer(0, kMostMajor);
    const int64_t minor = item.require("minor").signed_integer(0, kMostMinor);
    const auto weight = nonzero(item.get("weight"), kLeastWeight, kMostWeight);
    const auto leaf = nonzero(item.get("leafWeight"), kLeastWeight, kMostWeight);
    if (weight || leaf) {
      r.io_device_weights.push_back({major, minor, static_cast<uint32_t>(weight.value_or(0)),
                                     static_cast<uint32_t>(leaf.value_or(0))});
    }
  }
  r.io_read_bps = read_rates(node.get("throttleReadBpsDevice"));
  r.io_write_bps = read_rates(node.get("throttleWriteBpsDevice"));
  r.io_read_iops = read_rates(node.get("throttleReadIOPSDevice"));
  r.io_write_iops = read_rates(node.get("throttleWriteIOPSDevice"));
}

void read_memory(const JsonNode& memory, Policy& policy) {
  check_fields(memory, {{"limit", Kind::i64},
                        {"reservation", Kind::i64},
                        {"swap", Kind::i64},
                        {"kernel", Kind::i64},
                        {"kernelTCP", Kind::i64},
                        {"swappiness", Kind::u64},
                        {"disableOOMKiller", Kind::boolean},
                        {"useHierarchy", Kind::boolean},
                        {"checkBeforeUpdate", Kind::boolean}});
  Resources& r = policy.resources;
  r.memory_limit = limit(memory.get("limit"));
  r.memory_reservation = limit(memory.get("reservation"));
  const JsonNode swap = memory.get("swap");
  r.memory_swap = limit(swap);
  if (r.memory_swap && *r.memory_swap > 0 && !r.memory_limit) {
    swap.fail("a limit of memory and swap without one of memory", "limit beside it");
  } else if (r.memory_swap && *r.memory_swap > 0 && *r.memory_limit > *r.memory_swap) {
    swap.fail("less than the limit of memory, which it includes",
              "at least " + std::to_string(*r.memory_limit));
  }
  // Of no effect since Linux 5.16; runc says so and ignores it.
  const JsonNode kernel = memory.get("kernel");
  if (kernel && kernel.signed_integer(-1, INT64_MAX) > 0) {
    kernel.warn("limits of kernel memory are ignored: the kernel has none any more");
    note_unenforced(policy, kernel, r.memory_limit ? Layer{} : Layer::kCgroupMemory);
  }
  r.memory_kernel_tcp = limit(memory.get("kernelTCP"));
  const JsonNode swappiness = memory.get("swappiness");
  const uint64_t percent = swappiness.unsigned_integer(UINT64_MAX, UINT64_MAX);
  if (percent <= kMostSwappiness) {
    r.memory_swappiness = static_cast<uint32_t>(percent);
  } else if (percent != UINT64_MAX) {  // runc's word for "not set"
    swappiness.fail("out of range: " + std::to_string(percent), "0 to 100");
  }
  const JsonNode disabled = memory.get("disableOOMKiller");
  if (disabled) r.memory_oom_kill_disabled = disabled.boolean();
}

std::string read_list(const JsonNode& node, uint32_t most) {
  std::string text = node.string();
  if (!text.empty() && !well_formed_list(text, most)) {
    node.fail("malformed list \"" + text + "\"", "numbers and ranges such as 0-2,16");
  }
  return text;
}

void read_cpu(const JsonNode& cpu, Policy& policy) {
  check_fields(cpu, {{"shares", Kind::u64},
                     {"quota", Kind::i64},
                     {"burst", Kind::u64},
                     {"period", Kind::u64},
                     {"realtimeRuntime", Kind::i64},
                     {"realtimePeriod", Kind::u64},
                     {"cpus", Kind::string},
                     {"mems", Kind::string},
                     {"idle", Kind::i64}});
  Resources& r = policy.resources;
  // As the kernel does: what is out of range becomes the nearest in it.
  if (const auto shares = nonzero(cpu.get("shares"), 1, UINT64_MAX)) {
    r.cpu_shares = std::clamp(*shares, kLeastShares, kMostShares);
  }
  const JsonNode quota = cpu.get("quota");
  r.cpu_quota = limit(quota);
  if (r.cpu_quota && *r.cpu_quota > 0 && *r.cpu_quota < kLeastQuota) {
    quota.fail("out of range: " + std::to_string(*r.cpu_quota), "at least 1000 us, or -1");
  }
  r.cpu_period = nonzero(cpu.get("period"), kLeastPeriod, kMostPeriod);
  const JsonNode burst = cpu.get("burst");
  if (burst) r.cpu_burst = burst.unsigned_integer(UINT64_MAX);
  if (r.cpu_burst.value_or(0) > 0 && (!r.cpu_quota || *r.cpu_quota < 0)) {
    burst.fail("a burst without a quota", "quota beside it");
  } else if (r.cpu_burst.value_or(0) > 0 && *r.cpu_burst > static_cast<uint64_t>(*r.cpu_quota)) {
    burst.fail("more than the quota", "at most " + std::to_string(*r.cpu_quota));
  }
  const JsonNode idle = cpu.get("idle");
  if (idle) r.cpu_idle = idle.signed_integer(0, 1);
  r.cpuset_cpus = read_list(cpu.get("cpus"), kMostCpu);
  r.cpuset_mems = read_list(cpu.get("mems"), kMostNode);
  const JsonNode runtime = cpu.get("realtimeRuntime");
  r.cpu_rt_period = nonzero(cpu.get("realtimePeriod"), 1, kMostRealtime);
  if (const int64_t us = runtime.signed_integer(0, INT64_MAX); us > 0) {
    const uint64_t most = r.cpu_rt_period.value_or(kRealtimePeriod);
    if (static_cast<uint64_t>(us) > most) {
      runtime.fail("more than the period", "at most " + std::to_string(most));
    }
    r.cpu_rt_runtime = static_cast<uint64_t>(us);
  }
}

void read_hugepages(const JsonNode& list, Policy& policy) {
  for (const auto& item : list.items()) {
    check_fields(item, {{"pageSize", Kind::string}, {"limit", Kind::u64}});
    const JsonNode size = item.require("pageSize");
    const std::string text = size.string();
    const size_t unit = text.find_first_not_of("0123456789");
    const std::string_view rest = unit == std::string::npos || unit == 0
                                      ? std::string_view()
                                      : std::string_view(text).substr(unit);
    if (rest != "KB" && rest != "MB" && rest != "GB") {
      size.fail("malformed page size \"" + text + "\"", "a number with KB, MB or GB, such as 2MB");
    }
    policy.resources.hugepage_limits.push_back(
        {text, item.require("limit").unsigned_integer(UINT64_MAX)});
  }
}

// What a file of lines "NAME VALUE" can have for a name.
bool is_word(const std::string& text) {
  return !text.empty() && std::none_of(text.begin(), text.end(),
                                       [](unsigned char c) { return c <= ' ' || c == '/'; });
}

void read_network(const JsonNode& network, Resources& r) {
  check_fields(network, {{"classID", Kind::u32}, {"priorities", Kind::any}});
  if (const uint32_t id = network.get("classID").u32(); id != 0) r.net_class_id = id;
  for (const auto& item : network.get("priorities").items()) {
    check_fields(item, {{"name", Kind::string}, {"priority", Kind::u32}});
    const JsonNode name = item.require("name");
    const std::string text = name.string();
    if (!is_word(text) || text.size() >= IFNAMSIZ) {
      name.fail("not the name of an interface: \"" + text + "\"", "at most 15 bytes, no space");
    }
    r.net_priorities.push_back({text, item.require("priority").u32()});
  }
}

void read_rdma(const JsonNode& rdma, Resources& r) {
  for (const auto& [device, limits] : rdma.members()) {
    check_fields(limits, {{"hcaHandles", Kind::u32}, {"hcaObjects", Kind::u32}});
    if (!is_word(device)) {
      limits.fail("not the name of a device: \"" + device + "\"", "such as mlx5_0");
    }
    const auto limit = [](const JsonNode& node) {
      return node ? std::optional(node.u32(INT32_MAX)) : std::nullopt;
    };
    r.rdma[device] = {limit(limits.get("hcaHandles")), limit(limits.get("hcaObjects"))};
  }
}

}  // namespace

void read_resources(const JsonNode& resources, Policy& policy) {
  resources.object({"devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network",
                    "rdma", "unified"});
  read_devices(resources.get("devices"), policy);
  read_memory(resources.get("memory"), policy);
  read_cpu(resources.get("cpu"), policy);

  const JsonNode pids = resources.get("pids");
  pids.object({"limit"});
  policy.resources.pids_limit = limit(pids.get("limit"));

  read_block_io(resources.get("blockIO"), policy);
  read_hugepages(resources.get("hugepageLimits"), policy);

  read_network(resources.get("network"), policy.resources);
  read_rdma(resources.get("rdma"), policy.resources);

  for (const auto& [file, value] : resources.get("unified").members()) {
    const std::string text = value.string();
    std::string hint;
    const std::string fault = fault_of_unified(file, text, &hint);
    if (!fault.empty()) value.fail(fault, hint);
    policy.resources.unified[file] = text;
  }
}

}  // namespace ringfence

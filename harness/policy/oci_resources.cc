// runtime-spec config-linux.md "Control groups": what pids.max and memory.max need is read, the
// rest is checked and recorded as unenforced.
#include <algorithm>

#include "harness/policy/oci_sections.h"

namespace ringfence {
namespace {

using Kind = FieldType::Kind;

// runc takes 0 for "not set"; -1 is "max".
std::optional<int64_t> limit(const JsonNode& node) {
  const int64_t value = node.signed_integer(-1, INT64_MAX);
  if (!node.present() || value == 0) return std::nullopt;
  return value;
}

void check_devices(const JsonNode& devices) {
  for (const auto& item : devices.items()) {
    check_fields(item, {{"allow", Kind::boolean},
                        {"type", Kind::string},
                        {"major", Kind::i64},
                        {"minor", Kind::i64},
                        {"access", Kind::string}});
    (void)item.require("allow").boolean();
    (void)item.get("type").word({"", "a", "b", "c"});
    const JsonNode access = item.get("access");
    if (access.string().find_first_not_of("rwm") != std::string::npos) {
      access.fail("unknown access \"" + access.string() + "\"", "letters of rwm");
    }
  }
}

void check_device_rates(const JsonNode& list, std::initializer_list<FieldType> fields) {
  for (const auto& item : list.items()) check_fields(item, fields);
}

void check_block_io(const JsonNode& node) {
  check_fields(node, {{"weight", Kind::u32},
                      {"leafWeight", Kind::u32},
                      {"weightDevice", Kind::any},
                      {"throttleReadBpsDevice", Kind::any},
                      {"throttleWriteBpsDevice", Kind::any},
                      {"throttleReadIOPSDevice", Kind::any},
                      {"throttleWriteIOPSDevice", Kind::any}});
  check_device_rates(node.get("weightDevice"), {{"major", Kind::i64},
                                                {"minor", Kind::i64},
                                                {"weight", Kind::u32},
                                                {"leafWeight", Kind::u32}});
  for (const auto* name : {"throttleReadBpsDevice", "throttleWriteBpsDevice",
                           "throttleReadIOPSDevice", "throttleWriteIOPSDevice"}) {
    check_device_rates(node.get(name),
                       {{"major", Kind::i64}, {"minor", Kind::i64}, {"rate", Kind::u64}});
  }
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
  policy.resources.memory_limit = limit(memory.get("limit"));
  // Only where nothing else limits memory does the layer hang on the fields that are not enforced.
  const bool limited = policy.resources.memory_limit.has_value();
  for (const auto* name : {"swap", "kernel", "kernelTCP"}) {
    const JsonNode field = memory.get(name);
    if (field && field.signed_integer(INT64_MIN, INT64_MAX) > 0) {
      note_unenforced(policy, field, limited ? Layer{} : Layer::kCgroupMemory);
    }
  }
  for (const auto* name : {"reservation", "swappiness", "disableOOMKiller"}) {
    note_unenforced(policy, memory.get(name), Layer{});
  }
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
  note_unenforced(policy, cpu, Layer{"cgroup.cpu"});
  for (const auto* name : {"cpus", "mems"}) {
    note_unenforced(policy, cpu.get(name), Layer{"cgroup.cpuset"});
  }
}

// cgroup v2 files by name: the controller is the part before the dot.
Layer unified_layer(const std::string& file) {
  const std::string controller = file.substr(0, file.find('.'));
  return Layer::parse("cgroup." + controller).value_or(Layer{});
}

}  // namespace

void read_resources(const JsonNode& resources, Policy& policy) {
  resources.object({"devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network",
                    "rdma", "unified"});
  const JsonNode devices = resources.get("devices");
  check_devices(devices);
  note_unenforced(policy, devices, Layer{"cgroup.devices"});
  read_memory(resources.get("memory"), policy);
  read_cpu(resources.get("cpu"), policy);

  const JsonNode pids = resources.get("pids");
  pids.object({"limit"});
  policy.resources.pids_limit = limit(pids.get("limit"));

  const JsonNode block_io = resources.get("blockIO");
  check_block_io(block_io);
  note_unenforced(policy, block_io, Layer{"cgroup.io"});

  const JsonNode huge = resources.get("hugepageLimits");
  for (const auto& item : huge.items()) {
    check_fields(item, {{"pageSize", Kind::string}, {"limit", Kind::u64}});
  }
  note_unenforced(policy, huge, Layer{"cgroup.hugetlb"});

  const JsonNode network = resources.get("network");
  check_fields(network, {{"classID", Kind::u32}, {"priorities", Kind::any}});
  for (const auto& item : network.get("priorities").items()) {
    check_fields(item, {{"name", Kind::string}, {"priority", Kind::u32}});
  }
  note_unenforced(policy, network, Layer{});

  const JsonNode rdma = resources.get("rdma");
  for (const auto& [device, limits] : rdma.members()) {
    check_fields(limits, {{"hcaHandles", Kind::u32}, {"hcaObjects", Kind::u32}});
  }
  note_unenforced(policy, rdma, Layer{});

  for (const auto& [file, value] : resources.get("unified").members()) {
    (void)value.string();
    if (file.find('/') != std::string::npos || file.find('.') == std::string::npos) {
      value.fail("not a cgroup file \"" + file + "\"", "CONTROLLER.NAME, without a path");
    }
    note_unenforced(policy, value, unified_layer(file));
  }
}

}  // namespace ringfence

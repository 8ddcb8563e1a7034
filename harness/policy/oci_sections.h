#pragma once
// The parts of the OCI reader; each reads its section of config.json into a Policy. Faults go to
// the node's context.
#include "harness/policy/json_reader.h"
#include "harness/policy/policy.h"

namespace ringfence {

// Names and types of fields that are checked and not kept.
struct FieldType {
  std::string_view name;
  enum class Kind : uint8_t { string, boolean, u32, u64, i32, i64, strings, map, any } kind;
};
void check_fields(const JsonNode& node, std::initializer_list<FieldType> fields);

// Records `node` as unenforced when it is there and not an empty value ("", [], {}).
void note_unenforced(Policy& policy, const JsonNode& node, const Layer& layer);

std::optional<Scheduler> read_scheduler(const JsonNode& node);
std::optional<IoPriority> read_io_priority(const JsonNode& node);
ExecCpuAffinity read_exec_cpu_affinity(const JsonNode& node);
std::optional<uint32_t> read_personality(const JsonNode& node);
std::optional<MemoryPolicy> read_memory_policy(const JsonNode& node);

std::vector<IdMap> read_id_maps(const JsonNode& node);

// A label of a security module; unenforced where the kernel has none.
std::string read_label(const JsonNode& node, const Layer& layer, Policy& policy);

// After read_linux(): what a mount may be depends on the namespaces.
void read_mounts(const JsonNode& mounts, Policy& policy);

void read_process(const JsonNode& process, Policy& policy);
void read_linux(const JsonNode& linux_section, Policy& policy);
// Recorded as unenforced as well.
void read_hooks(const JsonNode& hooks, Policy& policy);
void read_resources(const JsonNode& resources, Policy& policy);

}  // namespace ringfence

// runtime-spec config.md "scheduler", "ioPriority", "execCPUAffinity"; config-linux.md
// "personality", "memoryPolicy". What the kernel would refuse on any machine is refused here.
#include <algorithm>

#include "harness/policy/oci_sections.h"

namespace ringfence {
namespace {

using Kind = FieldType::Kind;
using Words = std::vector<SpecWord>;

// sched(7), linux/sched.h.
constexpr uint64_t kSchedOther = 0;
constexpr uint64_t kSchedFifo = 1;
constexpr uint64_t kSchedRr = 2;
constexpr uint64_t kSchedBatch = 3;
constexpr uint64_t kSchedIso = 4;
constexpr uint64_t kSchedDeadline = 6;
constexpr int32_t kLeastNice = -20;
constexpr int32_t kMostNice = 19;
constexpr int32_t kMostRealTime = 99;
// kernel/sched/deadline.c: __checkparam_dl().
constexpr uint64_t kLeastRuntime = 1024;
// linux/ioprio.h
constexpr uint64_t kIoClassIdle = 3;
constexpr int32_t kMostIoLevel = 7;
// linux/mempolicy.h
constexpr uint64_t kMpolDefault = 0;
constexpr uint64_t kMpolPreferred = 1;
constexpr uint64_t kMpolLocal = 4;
constexpr uint32_t kMpolStaticNodes = 1U << 15U;
constexpr uint32_t kMpolRelativeNodes = 1U << 14U;

std::vector<std::string> names_of(const Words& words) {
  std::vector<std::string> names;
  names.reserve(words.size());
  for (const SpecWord& w : words) names.emplace_back(w.name);
  return names;
}

uint64_t read_word(const JsonNode& node, const std::string& what, const Words& words) {
  const std::string name = node.string();
  const auto value = value_of(words, name);
  if (!value && node) fail_unknown(node, what, name, names_of(words));
  return value.value_or(0);
}

uint64_t read_flags(const JsonNode& node, const std::string& what, const Words& words) {
  uint64_t flags = 0;
  for (const auto& item : node.items()) flags |= read_word(item, what, words);
  return flags;
}

void read_deadline(const JsonNode& node, Scheduler& s) {
  const JsonNode runtime = node.get("runtime");
  const JsonNode deadline = node.get("deadline");
  const JsonNode period = node.get("period");
  s.runtime = runtime.unsigned_integer(INT64_MAX);
  s.deadline = deadline.unsigned_integer(INT64_MAX);
  s.period = period.unsigned_integer(INT64_MAX);
  if (s.policy != kSchedDeadline) {
    for (const auto& [field, value] :
         {std::pair(&runtime, s.runtime), {&deadline, s.deadline}, {&period, s.period}}) {
      if (value != 0) field->fail("a field of SCHED_DEADLINE alone", "policy SCHED_DEADLINE");
    }
    return;
  }
  // sched_setattr(2): runtime <= deadline <= period, and a period of 0 is the deadline.
  if (!runtime) {
    node.fail("SCHED_DEADLINE without a runtime", "runtime of at least 1024 ns");
  } else if (s.runtime < kLeastRuntime) {
    runtime.fail("out of range: " + std::to_string(s.runtime), "at least 1024 ns");
  } else if (s.deadline < s.runtime) {
    (deadline ? deadline : node)
        .fail("a deadline before the runtime is over", "at least " + std::to_string(s.runtime));
  } else if (s.period != 0 && s.period < s.deadline) {
    period.fail("a period shorter than the deadline", "at least " + std::to_string(s.deadline));
  }
}

}  // namespace

std::optional<Scheduler> read_scheduler(const JsonNode& node) {
  if (!node) return std::nullopt;
  check_fields(node, {{"policy", Kind::string},
                      {"nice", Kind::i32},
                      {"priority", Kind::i32},
                      {"flags", Kind::strings},
                      {"runtime", Kind::u64},
                      {"deadline", Kind::u64},
                      {"period", Kind::u64}});
  Scheduler s;
  const JsonNode policy = node.require("policy");
  s.policy = static_cast<uint32_t>(read_word(policy, "scheduler policy", scheduler_policies()));
  if (s.policy == kSchedIso) policy.fail("SCHED_ISO: no Linux has it", "another policy");
  const JsonNode nice = node.get("nice");
  s.nice = static_cast<int32_t>(nice.signed_integer(INT32_MIN, INT32_MAX));
  // The others have none: runc passes over it.
  if (s.policy != kSchedOther && s.policy != kSchedBatch) {
    s.nice = 0;
  } else if (s.nice < kLeastNice || s.nice > kMostNice) {
    nice.fail("out of range: " + std::to_string(s.nice), "-20 to 19");
  }
  const JsonNode priority = node.get("priority");
  const bool real_time = s.policy == kSchedFifo || s.policy == kSchedRr;
  const int64_t rank = priority.signed_integer(INT32_MIN, INT32_MAX);
  if (real_time && (rank < 1 || rank > kMostRealTime)) {
    (priority ? priority : node).fail("out of range: " + std::to_string(rank), "priority 1 to 99");
  } else if (!real_time && rank != 0) {
    priority.fail("a priority is of SCHED_FIFO and SCHED_RR alone", "0, or none");
  }
  s.priority = static_cast<uint32_t>(rank);
  s.flags = read_flags(node.get("flags"), "scheduler flag", scheduler_flags());
  read_deadline(node, s);
  return s;
}

std::optional<IoPriority> read_io_priority(const JsonNode& node) {
  if (!node) return std::nullopt;
  check_fields(node, {{"class", Kind::string}, {"priority", Kind::i32}});
  IoPriority p;
  p.io_class = static_cast<uint32_t>(read_word(node.require("class"), "I/O class", io_classes()));
  const JsonNode level = node.get("priority");
  const int64_t value = level.signed_integer(INT32_MIN, INT32_MAX);
  if (value < 0 || value > kMostIoLevel) {
    level.fail("out of range: " + std::to_string(value), "0 to 7");
  }
  // ioprio_set(2): the class has no levels.
  p.level = p.io_class == kIoClassIdle ? 0 : static_cast<uint32_t>(value);
  return p;
}

ExecCpuAffinity read_exec_cpu_affinity(const JsonNode& node) {
  check_fields(node, {{"initial", Kind::string}, {"final", Kind::string}});
  const auto list = [&](const char* name) {
    const JsonNode field = node.get(name);
    std::string text = field.string();
    if (!text.empty() && !well_formed_list(text, kMostCpu)) {
      field.fail("malformed list \"" + text + "\"", "numbers and ranges such as 0-2,16");
    }
    return text;
  };
  return {list("initial"), list("final")};
}

std::optional<uint32_t> read_personality(const JsonNode& node) {
  if (!node) return std::nullopt;
  check_fields(node, {{"domain", Kind::string}, {"flags", Kind::strings}});
  const JsonNode flags = node.get("flags");
  // The runtime-spec defines none as yet.
  if (!flags.items().empty()) flags.fail("unknown personality flag", "an empty list");
  return static_cast<uint32_t>(
      read_word(node.require("domain"), "personality", personality_domains()));
}

std::optional<MemoryPolicy> read_memory_policy(const JsonNode& node) {
  if (!node) return std::nullopt;
  check_fields(node, {{"mode", Kind::string}, {"nodes", Kind::string}, {"flags", Kind::strings}});
  MemoryPolicy m;
  m.mode = static_cast<uint32_t>(
      read_word(node.require("mode"), "memory policy", memory_policy_modes()));
  const JsonNode flags = node.get("flags");
  m.flags = static_cast<uint32_t>(read_flags(flags, "memory policy flag", memory_policy_flags()));
  const JsonNode nodes = node.get("nodes");
  m.nodes = nodes.string();
  const bool none = m.mode == kMpolDefault || m.mode == kMpolLocal;
  if (!m.nodes.empty() && !well_formed_list(m.nodes, kMostNode)) {
    nodes.fail("malformed list \"" + m.nodes + "\"", "numbers and ranges such as 0-2,16");
  } else if (none && !m.nodes.empty()) {
    nodes.fail("nodes for a mode that takes none", "nodes left out");
  } else if (!none && m.nodes.empty() && m.mode != kMpolPreferred) {
    (nodes ? nodes : node).fail("a memory policy without nodes", "at least one node");
  } else if ((m.flags & kMpolStaticNodes) != 0 && (m.flags & kMpolRelativeNodes) != 0) {
    flags.fail("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES", "one of the two");
  } else if (m.mode == kMpolDefault && m.flags != 0) {
    flags.fail("flags for MPOL_DEFAULT", "no flags");
  }
  return m;
}

// linux/sched.h, sched_setattr(2)
const std::vector<SpecWord>& scheduler_policies() {
  static const Words words = {
      {"SCHED_OTHER", kSchedOther},      {"SCHED_FIFO", kSchedFifo}, {"SCHED_RR", kSchedRr},
      {"SCHED_BATCH", kSchedBatch},      {"SCHED_ISO", kSchedIso},   {"SCHED_IDLE", 5},
      {"SCHED_DEADLINE", kSchedDeadline}};
  return words;
}
const std::vector<SpecWord>& scheduler_flags() {
  static const Words words = {
      {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
      {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
      {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
      {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
  };
  return words;
}
const std::vector<SpecWord>& io_classes() {
  static const Words words = {
      {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", kIoClassIdle}};
  return words;
}
// linux/personality.h
const std::vector<SpecWord>& personality_domains() {
  static const Words words = {{"LINUX", 0}, {"LINUX32", 8}};
  return words;
}
// set_mempolicy(2); MPOL_PREFERRED_MANY is of Linux 5.15, MPOL_WEIGHTED_INTERLEAVE of 6.9.
const std::vector<SpecWord>& memory_policy_modes() {
  static const Words words = {
      {"MPOL_DEFAULT", kMpolDefault},
      {"MPOL_PREFERRED", kMpolPreferred},
      {"MPOL_BIND", 2},
      {"MPOL_INTERLEAVE", 3},
      {"MPOL_LOCAL", kMpolLocal},
      {"MPOL_PREFERRED_MANY", 5},
      {"MPOL_WEIGHTED_INTERLEAVE", 6},
  };
  return words;
}
const std::vector<SpecWord>& memory_policy_flags() {
  static const Words words = {{"MPOL_F_NUMA_BALANCING", 1U << 13U},
                              {"MPOL_F_RELATIVE_NODES", kMpolRelativeNodes},
                              {"MPOL_F_STATIC_NODES", kMpolStaticNodes}};
  return words;
}

std::string_view word_of(const Words& words, uint64_t value) {
  const auto it =
      std::find_if(words.begin(), words.end(), [&](const SpecWord& w) { return w.value == value; });
  return it == words.end() ? std::string_view() : it->name;
}
std::optional<uint64_t> value_of(const Words& words, std::string_view name) {
  const auto it =
      std::find_if(words.begin(), words.end(), [&](const SpecWord& w) { return w.name == name; });
  return it == words.end() ? std::nullopt : std::optional(it->value);
}
std::vector<std::string> words_of(const Words& words, uint64_t bits) {
  std::vector<std::string> names;
  for (const SpecWord& w : words) {
    if ((bits & w.value) != 0) names.emplace_back(w.name);
  }
  return names;
}

}  // namespace ringfence

#pragma once
// How a target is scheduled, and by which rules it gets memory: the fields of a config.json that
// confine nobody and that a runtime carries out all the same.
//
// Sources: runtime-spec config.md "Linux Process" and config-linux.md "personality",
// "memoryPolicy"; sched(7), sched_setattr(2), ioprio_set(2), personality(2), set_mempolicy(2).
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

struct Scheduler {
  uint32_t policy = 0;                             // SCHED_*
  int32_t nice = 0;                                // of SCHED_OTHER and SCHED_BATCH
  uint32_t priority = 0;                           // of SCHED_FIFO and SCHED_RR, 1 to 99
  uint64_t flags = 0;                              // SCHED_FLAG_*
  uint64_t runtime = 0, deadline = 0, period = 0;  // ns, of SCHED_DEADLINE
  friend bool operator==(const Scheduler&, const Scheduler&) = default;
};

struct IoPriority {
  uint32_t io_class = 0;  // IOPRIO_CLASS_*
  uint32_t level = 0;     // 0 (first) to 7
  friend bool operator==(const IoPriority&, const IoPriority&) = default;
};

struct MemoryPolicy {
  uint32_t mode = 0;   // MPOL_*
  uint32_t flags = 0;  // MPOL_F_*
  std::string nodes;   // "0-3,5"
  friend bool operator==(const MemoryPolicy&, const MemoryPolicy&) = default;
};

// For a process that enters a running container; the first process of one has no such thing.
struct ExecCpuAffinity {
  std::string initial;  // of the spawner while it clones, before the container's cgroup
  std::string final_;   // of the process, once in the cgroup
  friend bool operator==(const ExecCpuAffinity&, const ExecCpuAffinity&) = default;
};

// The words that the runtime-spec has for a value of the kernel's.
struct SpecWord {
  std::string_view name;
  uint64_t value;
};
const std::vector<SpecWord>& scheduler_policies();
const std::vector<SpecWord>& scheduler_flags();
const std::vector<SpecWord>& io_classes();
const std::vector<SpecWord>& personality_domains();
const std::vector<SpecWord>& memory_policy_modes();
const std::vector<SpecWord>& memory_policy_flags();
std::string_view word_of(const std::vector<SpecWord>& words, uint64_t value);  // "" for none
std::optional<uint64_t> value_of(const std::vector<SpecWord>& words, std::string_view name);
// The names of the bits that are set.
std::vector<std::string> words_of(const std::vector<SpecWord>& words, uint64_t bits);

}  // namespace ringfence

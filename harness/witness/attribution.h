#pragma once
// Attribution: a pure function from a denied syscall, as the kernel saw it, to the layer that
// denied it. What the facts do not decide stays `unattributed`, with the reason; never a guess.
//
// Plain permission of files (EACCES by mode and owner) shows as the capability that would have
// overridden it, cap.DAC_OVERRIDE as a rule: the kernel asks for it last. EACCES without a
// capability asked for is something else (an LSM, noexec, nodev), which nothing else tells apart
// where the answers of security hooks are not seen (security_hooks.h).
//
// Sources: seccomp(2), capabilities(7), the order of checks in syscall_trace_enter()
// (kernel/entry/common.c), and the tests, which make every kind of denial for real.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/policy/layer.h"
#include "harness/witness/facts.h"

namespace ringfence {

// What else is known, from outside, of the trial that the call was made in.
struct Surroundings {
  // The policy's own filter, empty when it has none; nothing when the policy is not known. A call
  // that this filter lets pass was refused by another, of which the policy knows nothing.
  std::optional<std::span<const uint64_t>> filter{};
  std::vector<Layer> in_force{};  // namespaces, root and filter that stand around the task
  bool target_exists = false;     // what the call asks for is there, outside
  bool pids_event = false;        // cgroup.pids counted a refusal
  bool memory_event = false;      // cgroup.memory counted one, or the OOM killer came
  uint64_t enter_misses = 0;      // runs of the enter program that the kernel left out
  uint64_t security_misses = 0;   // ... of those that see who said no in a security hook
  bool caps_witnessed = true;     // capability checks are seen on this kernel
  bool net_witnessed = false;     // packets of its sockets are seen: none means none
};

struct Attribution {
  Layer layer = Layer::kUnattributed;
  std::string why{};  // "left without entering: a seccomp filter refused it"
  // Capabilities that the same call asked for before the one that decided, and that are missing,
  // too: where one of several would do (checkpoint_restore_ns_capable()), only the last shows.
  std::vector<Layer> also{};
};

Attribution attribute_call(const CallRecord& call, const Surroundings& around);

// A target that ended by SIGSYS.
std::optional<Attribution> attribute_sigsys(const KernelFacts& facts);

}  // namespace ringfence

#pragma once
// Seccomp: rules to classic BPF by libseccomp, in the parent.
// Sources: seccomp(2), seccomp_rule_add(3), runtime-spec config-linux.md ("Seccomp").
#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// The program, each element one sock_filter. A syscall that came in by an architecture that the
// policy does not list kills the thread, as libseccomp has it and runc leaves it. Names that nobody
// knows are passed over (the reader has warned).
Result<std::vector<uint64_t>> compile_seccomp(const Seccomp& seccomp);
// SECCOMP_FILTER_FLAG_* for Seccomp::flags.
Result<uint64_t> seccomp_flags(const Seccomp& seccomp);
// The step; the executor passes the program by kSlotFilter.
bool add_seccomp(Assembler& plan, size_t instructions, uint64_t flags);

// Whether the program lets a call of the child pass (allow or log). What is not known before the
// child runs counts as zero.
bool passes(const std::vector<uint64_t>& program, const Op& op);
// Name of a native syscall for messages: "mount", or "syscall 999".
std::string call_name(long nr);

}  // namespace ringfence

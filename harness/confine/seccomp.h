#pragma once
// Seccomp: rules to classic BPF by libseccomp, in the parent.
// Sources: seccomp(2), seccomp_rule_add(3), runtime-spec config-linux.md ("Seccomp").
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// The program, each element one sock_filter. A syscall that came in by an architecture that the
// policy does not list kills the thread, as libseccomp has it and runc leaves it. Names that nobody
// knows are passed over (the reader has warned). A program that this process has compiled before is
// not compiled again; `known`, when given, says which.
Result<std::vector<uint64_t>> compile_seccomp(const Seccomp& seccomp, bool* known = nullptr);
// SECCOMP_FILTER_FLAG_* for Seccomp::flags, and that of a listener where calls are notified.
Result<uint64_t> seccomp_flags(const Seccomp& seccomp);

// Who answers notified calls, and what. Source: seccomp_unotify(2).
struct Listener {
  struct Answer {
    uint32_t arch;  // AUDIT_ARCH_*
    int32_t nr;
    NotifyAnswer::How how;
    int64_t value;
    friend bool operator==(const Answer&, const Answer&) = default;
  };
  std::vector<Answer> answers;  // of the harness; empty where somebody else answers
  std::string path, metadata;   // Seccomp::listener_path: gets the listener
  // The rest of what is said there, runtime-spec "Container Process State".
  std::string oci_version, bundle;
  std::map<std::string, std::string> annotations;
};
// Nothing where no call is notified.
Result<std::optional<Listener>> make_listener(const Policy& policy);

// The step; the executor passes the program by kSlotFilter. With a listener the child hands it over
// before it goes on (kCallListener).
bool add_seccomp(Assembler& plan, const std::vector<uint64_t>& program, uint64_t flags);

// Whether the program lets a call of the child pass (allow or log). What is not known before the
// child runs counts as zero.
bool passes(const std::vector<uint64_t>& program, const Op& op);
// Name of a native syscall for messages: "mount", or "syscall 999".
std::string call_name(long nr);

}  // namespace ringfence

#pragma once
// What security modules (LSMs) say to watched tasks: the programs of probes/bpf/security.bpf.c, an
// object of its own beside the witness's, loaded one family at a time.
//
// A family is a rung: the same program for each hook of RF_SECURITY_HOOKS that this kernel has.
//   lsm           fexit, kretprobe  of security_X(): that a hook said no, and with what
//   lsm_landlock  fexit, kretprobe  whether it was Landlock
//   lsm_bpf       fexit, lsm        whether it was a program of type lsm; by `lsm`, a program of
//   that
//                                   type itself, only as far as the order in which they are asked
//                                   shows it
// Found by trying, see ladder.h; the latter two are of use with the first alone. Nothing rests on
// an absence here: without these a denial by a module is `unattributed`.
//
// Needs CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), the kernel's BTF; fexit and lsm Linux 5.17 and
// an architecture with BPF trampolines; lsm CONFIG_BPF_LSM and bpf among the active modules (lsm=).
// Sources: Documentation/bpf/prog_lsm.rst, security/security.c.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/witness/ladder.h"

namespace ringfence {

// RF_HOOK_* -> "file_open"; empty for RF_HOOK_NONE and what is none.
std::string_view security_hook_name(unsigned hook);

class SecurityHooks {
 public:
  // Each family as a rung: what loads here and why the rest does not. A family of kretprobes is
  // refused, too, where its first cannot be attached, for which it is for a moment.
  static std::vector<Rung> survey();
  // Loads and attaches for the tasks of this map (the witness's `tasks`). What cannot be had is no
  // error: see ladder(). `avoid`: see WitnessOptions.
  static SecurityHooks attach(int tasks_map_fd, const std::vector<std::string>& avoid);
  SecurityHooks(SecurityHooks&&) noexcept;
  SecurityHooks& operator=(SecurityHooks&&) noexcept;
  ~SecurityHooks();

  [[nodiscard]] const std::vector<Rung>& ladder() const;
  // Runs of these programs that the kernel left out since they were loaded (recursion_misses).
  [[nodiscard]] Result<uint64_t> misses() const;

 private:
  struct State;
  explicit SecurityHooks(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

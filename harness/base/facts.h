#pragma once
// Facts: what this machine can do, found out by trying, never by a version or a distribution's
// name.
//
// Cases name facts as requirements, `--require` and `--expect-skips` speak of them by the same
// words, and `ringfence doctor` shows them all. A fact is probed when it is first asked for; a
// probe that changes the state of a process (namespaces, filters, keyrings) runs in a forked child.
// Nothing stays behind: cgroup groups made for a trial are removed at once.
//
// Requirements beyond the fixed names:
//   cap:SYS_ADMIN      the capability is in the effective set of this process, capabilities(7)
//   path:/proc/kcore   the path exists
//   nonempty:/proc/acpi  the directory exists and has entries
//   writable_below:/proc/fs  the directory has a file, at most four levels down, that this process
//                      can open for writing; nothing is written
//   cgroup:memory.high a cgroup of ours can have that file; "a|b" for either of two
//   lsm:apparmor       the security module is active (lsm_list_modules(2), or securityfs)
//   config:USER_NS     the kernel was built with it (y or m), where it shows its configuration
//   kernel>=6.14       uname(2); only for cases about a fix or a limit of the kernel itself
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct Fact {
  std::string name;
  bool available = false;
  std::string detail;  // what was found: "ABI 7", "v1 at /sys/fs/cgroup/pids", "EPERM"
  std::string hint;    // what to do about it, when absent
  // The machine's word when absent: `needs:X` where the same machine can have it with another
  // set-up or more privilege, `host-lacks:X` where it cannot, `kernel<6.14`, `unknown:X`.
  std::string reason;
  std::string group;  // heading of doctor
  bool info = false;  // describes the machine; its absence is no defect
};

class Facts {
 public:
  // Of this process, now. Cheap: probes run on demand.
  static Facts probe();

  // The fact of that name or requirement; null when there is no such word. The pointer lives as
  // long as this object or a copy of it.
  [[nodiscard]] const Fact* find(std::string_view requirement) const;
  // An unknown word is not satisfied; why_not() says `unknown:WORD`.
  [[nodiscard]] bool satisfied(std::string_view requirement) const;
  // Fact::reason, or empty when satisfied.
  [[nodiscard]] std::string why_not(std::string_view requirement) const;

  // All fixed names, in doctor's order (for completion and "did you mean").
  static std::vector<std::string> names();
  // All fixed facts, in doctor's order. Runs every probe (some tens of milliseconds).
  [[nodiscard]] std::vector<const Fact*> all() const;
  // name -> "yes: DETAIL" or "no: REASON: DETAIL", for the header of a result.
  [[nodiscard]] std::map<std::string, std::string> summary() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Fails with the nearest known word for a requirement that find() does not know.
Status check_requirement(const Facts& facts, std::string_view requirement);

// What `ringfence doctor` prints: which kinds of case this machine can run, then every fact by
// group, each absent one with its reason and what to do about it.
std::string render_doctor(const Facts& facts, bool color);
// The same as JSON: {"can": [...], "facts": [...]}, two spaces of indentation, a final newline.
std::string doctor_json(const Facts& facts);

}  // namespace ringfence

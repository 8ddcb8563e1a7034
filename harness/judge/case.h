#pragma once
// Case: one claim about isolation, as a value. What is tried (attempt), under which policy, which
// layer must decide, what would show from outside that it succeeded (goal), what shows from outside
// that the layer stood in the way (proofs), and the benign twin that must still work (liveness).
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/policy/policy.h"

namespace ringfence {

// One thing the inmate does: an attempt of its registry, with parameters. Parameters may hold
// placeholders that the decoy host fills in, in braces: {canary_pid}, {secret_file}, ... (see
// runner/canary.h). The secret itself is never given to the inmate.
struct Attempt {
  std::string name{};
  std::vector<std::string> args{};
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

// What the harness itself sees, from outside the target, after an attempt. Each kind is evaluated
// by the decoy host with its own eyes: its canaries, /proc of the target, its cgroup. `arg` and
// `value` as said; paths are paths in the decoy host.
enum class Sight : uint8_t {
  none,
  // Canaries.
  secret_returned,  // the inmate sent the run's secret
  canary_killed,    // the canary process is gone; arg: which ("plain", "privileged", "other_uid")
  canary_traced,    // its TracerPid is not 0
  canary_memory_changed,
  file_changed,   // arg: path; content is no longer what was planted, or the file is gone
  file_exists,    // arg: path that did not exist before
  file_owned_by,  // arg: path, value: uid
  file_mode_has,  // arg: path, value: mode bits
  file_capable,   // arg: path; it has a security.capability attribute
  file_linked,    // the descriptor that was passed in has a name now
  hostname_changed,
  domainname_changed,
  sysv_changed,  // arg: "semaphore", or the segment: its content changed, or it is gone
  key_changed,   // the canary's key in its session keyring: its content changed, or it is gone
  abstract_connected,  // somebody connected to the canary's abstract unix socket
  loopback_connected,  // ... to its listener on 127.0.0.1
  unix_connected,      // ... to its unix socket in the file system
  mount_appeared,      // arg: path; the decoy host sees a new mount there
  port_open,           // value: something listens on this port of the decoy host's 127.0.0.1
  tty_input,           // the canary's terminal has input that nobody typed
  mtu_changed,         // of the decoy host's lo
  net_changed,     // arg: "addresses", "routes", "links", "firewall" of the decoy host's network
  peer_connected,  // arg: a neighbour on its bridge ("a", "b", "isolated"); somebody connected to
                   // it
  peer_heard,      // arg: as above; a datagram arrived at it
  task_survived,   // a process of the target is alive after its end
  // The target's process that waits to be inspected, in /proc as the decoy host sees it.
  uid_is,           // value: effective uid, in the decoy host's numbers
  gid_is,           // value: effective gid
  in_group,         // value: a supplementary gid
  cap_effective,    // arg: "SYS_ADMIN"
  exe_is,           // arg: glob on /proc/PID/exe
  cap_missing,      // arg: "SYS_ADMIN"; not in CapEff
  bounding_lacks,   // arg: "SYS_ADMIN"; not in CapBnd
  root_differs,     // /proc/PID/root is not the decoy host's own root
  cwd_is,           // arg: glob on /proc/PID/cwd
  file_inside,      // arg: path seen through /proc/PID/root
  holds_file,       // arg: glob on a /proc/PID/fd link; value: 0 any, 1 open for writing
  holds_proc_file,  // a descriptor on procfs or sysfs itself; arg: glob on its link; value as above
  holds_device,     // value: makedev(major, minor) of an open device node
  holds_socket,     // value: its domain (AF_*)
  ns_differs,       // arg: "pid", ...; its namespace is not the decoy host's
  ns_unplanned,     // arg: as above; neither the decoy host's nor the one the policy made
  shares_ns,        // arg: "uts:housed", ...; its namespace is that of this process canary
  mount_covers,     // arg: glob on a mount point; a mount of its own is there (mountinfo)
  mount_has,        // arg: glob on a mount point; value: MS_* flags, kMountIdMapped: all set on it
  seccomp_filtered,  // Seccomp: 2
  no_new_privs,      // NoNewPrivs: 1
  nice_below,        // value: nice value
  open_files_over,   // value: count of /proc/PID/fd
  locked_over,       // value: VmLck in KiB
  pid_depth_over,    // value: pid namespaces between it and the decoy host
  map_has,           // arg: "uid_map:" or "gid_map:" and a glob on its lines, blanks as one
  bound_to_cpu,      // value: this CPU is the only one that it may run on
  outside_group,     // it has left the v2 group that it was started in
  boottime_known,  // the number the inmate sent is within 10 s of the decoy host's boot time clock
  // The end, and the cgroup.
  killed_by,     // value: signal
  pid_exists,    // value: a process of the target has this pid in the decoy host
  tasks_over,    // value: tasks in the target's pid namespace or cgroup at inspection
  memory_over,   // value: bytes resident in the target at inspection or charged at peak
  cgroup_event,  // arg: "pids.max", "memory.oom_kill"; value: at least this many
  // Its group's counters after the end.
  charged_over,  // value: bytes of memory charged to the group at its peak
  cpu_over,      // value: thousandths of one CPU that it used, of the time that it lived, or of a
                 // second if that was shorter
  rival_over,    // value: thousandths of what a rival used on CPU 0 meanwhile, a task of the
                 // harness in a group beside it with the default weight; or of half a second
};
std::string_view sight_name(Sight sight);
// For mount_has: its ids are mapped ("idmapped" in mountinfo).
inline constexpr int64_t kMountIdMapped = int64_t{1} << 40;

struct Goal {
  Sight sight = Sight::none;
  std::string arg{};
  int64_t value = 0;
  friend bool operator==(const Goal&, const Goal&) = default;
};

// A syscall that the attempt is made of, as the kernel sees it: its number and those arguments that
// tell it from others of the same number. At least one of a case's calls must have been seen by
// the eBPF witness, in the control and in the confined trial; what decided is read off the last of
// them that was denied. Values may hold placeholders.
struct Call {
  struct Arg {
    int index = 0;          // 0 to 5
    std::string value{};    // a number as strtoll(3) reads it with base 0
    uint64_t mask = ~0ULL;  // bits that are compared
    friend bool operator==(const Arg&, const Arg&) = default;
  };
  long nr = -1;
  std::vector<Arg> args{};
  int path = -1;          // the argument that points to a string, -1: none is compared
  std::string path_is{};  // what it points to; the first 63 bytes are compared
  bool compat = false;    // the number is of the 32-bit table
  // It only leads to the others: that it was allowed is no success. Of any other call one that got
  // through is, whatever is denied afterwards.
  bool step = false;
  friend bool operator==(const Call&, const Call&) = default;
};

// Instead of an attempt: a guest in the mini-VMM that judges what it sees, clause by clause. The
// confined trial runs it on a machine as it should be, the control on one that is wrong in exactly
// what the clause is about; liveness is that the confined guest came to its end.
struct GuestBody {
  std::string image{};   // a guest of guests/, by name
  std::string clause{};  // which of its expectations the case is about
  std::string fault{};   // control: the device's seeded fault; or
  // ... what the host sets before the first instruction, "rbx=1" (runner/guest_case.h has the
  // words). Not the same as `confined`, where that has the same word.
  std::vector<std::string> control{};
  std::vector<std::string> confined{};  // the same for the confined trial
  std::string scenario{};               // what the host does and sees besides (vmm/scenario.h)
  // What an emulator of the processor is known to leave out: "kvm:WORD" of a KVM without VMX or
  // SVM, "tcg:WORD" of QEMU's TCG beneath KVM. A guest that does not conform there is skipped as
  // `emulator-lacks:WORD`; with "tcg!:WORD" it is not tried at all, because trying takes the
  // machine down. Empty: it has to conform everywhere.
  std::vector<std::string> emulators{};
  friend bool operator==(const GuestBody&, const GuestBody&) = default;
};

inline constexpr const char* kProvedByBracket = "bracket";

struct Case {
  std::string id{};      // primitive.technique[.variant]
  std::string title{};   // one line: what is tried
  std::string source{};  // man page, CVE, kernel documentation
  Layer expected{};      // the one layer that must decide, in case mode
  // The smallest policy that contains the expected layer. The control runs without(policy,
  // expected).
  Policy policy{};
  Attempt attempt{};
  Goal goal{};  // seen from outside: the attempt got through
  std::vector<Goal>
      proofs{};  // all must be seen, from outside, for a denial to count where the goal
                 // is a read; for a goal with a canary of its own the canary suffices
  // Where the kernel's own rule is what decides: the same operation with its precondition met, as
  // the control, under the same policy. Without it the control is the attempt without the layer.
  std::optional<Attempt> control{};
  Attempt liveness{"exit", {}};  // the benign twin
  Goal alive{};  // seen from outside when the twin worked; none: exec, answer and exit
  // Facilities, by the words of facts.h and `--require`: "root", "userns", "cgroup.pids",
  // "path:/proc/kcore", "cap:SYS_RESOURCE", ...
  std::vector<std::string> needs{};
  // The operation may well succeed, contained: on the target's own host name, on what a mask shows.
  // Then the inmate's claim of success contradicts nothing.
  bool contained = false;
  // What is judged is the state that the target is in from its start; the attempt adds nothing.
  bool state = false;
  bool outside = false;  // has a consequence outside the target: judged in policy mode
  bool quick = true;     // part of the default suite
  // The step of the plan that makes the layer, for the step-drop test; empty: layer name.
  std::string step{};
  // The calls that the attempt is made of, at most six; with none, the case says in
  // `proves_attempt` what shows that it was made. In policy mode a filter that refuses all of them,
  // whatever their arguments, explains a denial.
  std::vector<Call> calls{};
  // For an attempt that makes no syscall of its own on the host (io_uring, vsyscall, a state that
  // is only looked at): what shows instead that it was made. "state": the state itself.
  // kProvedByBracket: the kernel saw the inmate's image begin it (witness/bracket.h), for which the
  // image is bracketed.
  std::string proves_attempt{};
  bool cpu_time = false;  // the target's time on CPU is wanted: KernelFacts::cpu
  std::optional<GuestBody>
      guest{};  // given: policy, attempt, goal and what belongs to them are unused
  std::vector<Layer> gated_by{};  // in policy mode: capabilities that the kernel asks for, in order
};

}  // namespace ringfence

#pragma once
// What the eBPF witness knows of one trial, as plain values: the facts that a verdict may rest on.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/witness/task_states.h"

namespace ringfence {

// Who said no in a security hook, as far as that is known (RF_LSM_*).
enum class LsmBy : uint8_t {
  module,      // a module; which one is not known
  landlock,    // Landlock's own function did
  bpf,         // a program of type lsm
  before_bpf,  // a module and no program: the module bpf was not asked any more
  unsure,      // a module, or what is asked after the modules (fanotify, IMA)
};

// One syscall as the kernel saw it end. `ret` is its value or -errno.
struct CallRecord {
  int64_t at_ns = 0;  // CLOCK_MONOTONIC, of its end
  uint32_t nr = 0;
  bool compat = false;  // the 32-bit table
  int64_t ret = 0;
  std::array<uint64_t, 6> args{};
  // It left without having entered: refused at the gate, before any of the kernel's own checks.
  bool no_enter = false;
  bool traced = false;      // by ptrace(2), which may change number and result
  bool dispatched = false;  // PR_SET_SYSCALL_USER_DISPATCH is on
  bool args_known = true;
  bool file_size = false;  // SIGXFSZ was sent in it: beyond RLIMIT_FSIZE
  // The device controller was asked in it (of v1 and v2 alike), and no capability after that.
  bool device_asked = false;
  bool sent = false;     // a packet went out of the stack in it
  bool left = false;     // ... by another device than loopback
  uint32_t seccomp = 0;  // SECCOMP_MODE_* of the task
  // Capability checks inside it.
  uint64_t caps_failed = 0;
  int cap_last = -1;  // the last that was asked for, -1: none
  bool cap_last_denied = false;
  bool cap_elsewhere = false;  // the last check asked about another user namespace than its own
  uint64_t cap_effective = 0;
  // Capabilities whose check has failed in a call of this number that succeeded all the same.
  uint64_t noise = 0;
  // The last security hook that said no in it, with no capability asked for after that
  // ("file_open", in static storage); empty: none of those that are seen. See security_hooks.h.
  std::string_view lsm_hook{};
  LsmBy lsm_by = LsmBy::module;
  int lsm_ret = 0;

  // Answered with an error, or refused at the gate. What a signal interrupted is neither denied nor
  // allowed: the kernel makes it again, or gives EINTR where no tracepoint sees it. Nor is a
  // connection that goes on (EINPROGRESS).
  [[nodiscard]] bool denied() const;
};

// What became of one of the calls that a case names (Case::calls, in the same order).
struct CallSeen {
  uint64_t count = 0;  // with those that were neither of the two
  uint64_t allowed = 0;
  uint64_t denied = 0;
  CallRecord last;
  CallRecord last_denied;     // valid when denied > 0
  std::string denied_path{};  // the string that this one was given; empty: none is known
};

// What the brackets saw of the case's attempt (see bracket.h).
struct BracketSeen {
  uint64_t began = 0;
  uint64_t ended = 0;
  int64_t result = 0;  // of the last that ended
};

// Time on CPU by sampling (see cpu_clock.h).
struct CpuTime {
  int64_t user_ns = 0;
  int64_t kernel_ns = 0;
  int64_t period_ns = 1;  // of a sample
  // The error to expect of the sum, and of each part at most.
  [[nodiscard]] int64_t error_ns() const;
};

// What the sockets of a trial's group did (programs of the group).
struct NetSeen {
  bool watched = false;  // then nothing seen means that there was nothing
  uint64_t packets_out = 0, bytes_out = 0;
  uint64_t packets_in = 0, bytes_in = 0;
  uint64_t left = 0;  // packets that went out by another device than loopback
  uint64_t sockets = 0, connects = 0;
  [[nodiscard]] std::string describe() const;  // "3 packets out, 2 in, all by loopback"
};

// What came out of a target, at the outer ends of its veths (see port.h). Frames.
struct PortSeen {
  bool watched = false;
  std::string absent{};  // why not, where the policy makes such a port
  uint64_t arp = 0, tcp = 0, udp = 0, icmp = 0, ip4 = 0, ip6 = 0, other = 0;
  uint64_t bytes = 0;
  [[nodiscard]] uint64_t packets() const;
  [[nodiscard]] std::string describe() const;  // "1 ARP, 3 TCP (222 bytes)"
};

struct KernelFacts {
  bool present = false;  // a witness watched this trial from its first instruction
  std::string absent{};  // why not, a word: "needs:bpf"
  // Facts that could have been missed, of those that decide; an absence then proves nothing.
  uint64_t lost = 0;
  std::string lost_what{};
  uint64_t story_lost = 0;      // lines of the timeline only
  bool caps_watched = true;     // capability checks are seen on this kernel
  bool signals_watched = true;  // and so are signals
  uint64_t misses = 0;          // part of `lost`: runs of a program that the kernel left out
  uint64_t enter_misses = 0;    // ... of the programs of syscall enter and exit
  // No loss, since a denial stays one: runs left out of the programs that see security hooks.
  uint64_t security_misses = 0;
  std::vector<CallSeen> calls{};
  uint64_t all_calls = 0;
  uint64_t tasks = 0;
  uint64_t oom_kills = 0;
  uint64_t sigsys = 0;  // sent at the gate by a filter; what a process sends itself is none
  uint32_t sigsys_nr = 0;
  bool sigsys_compat = false;
  std::optional<BracketSeen> bracket{};  // where the inmate's image was bracketed
  std::optional<CpuTime> cpu{};          // of the target, where a case asks for it
  NetSeen net{};
  PortSeen port{};
  bool devices_watched = false;
  uint64_t devices_asked = 0;  // times that the device controller was
  // The tasks of the group at each inspection, and those that were left at the end, of those that
  // are alike in what is judged one (runner/end_state.h); and who looked:
  // the decoy host, and the harness outside it.
  std::vector<TaskState> states{};
  std::vector<TaskState> hosts{};
  std::string disagree{};        // with /proc, of a process that was inspected; in words
  uint64_t states_lost = 0;      // looks that failed, or had no room for all of them
  std::optional<Stray> stray{};  // of the confined trial: what is not apart as the policy has it
  // The last denied of the calls that the case names, null when none was.
  [[nodiscard]] const CallRecord* decisive() const;
  // The string that this one was given; empty when it was given none, or none is known.
  [[nodiscard]] std::string_view decisive_path() const;
  // The last of all calls that the case names was denied, and that very call never got through.
  [[nodiscard]] bool ended_in_denial() const;
  // One of the calls that the case names was made.
  [[nodiscard]] bool attempted() const;
};

// "kill", "i386 syscall 74".
std::string call_name(uint32_t nr, bool compat);
// "kill(3, SIGKILL) = ESRCH": name, its own arguments and no register more, value or error; `path`
// is the string that it was given. See syscall_text.h.
std::string describe_call(const CallRecord& call,
                          std::optional<std::string_view> path = std::nullopt);

}  // namespace ringfence

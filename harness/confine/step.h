#pragma once
// Step: one effect of a policy, as the syscalls that make it. confine/ turns parts of a Policy into
// steps; spawn/ executes them. A step is dropped whole.
//
// Arguments are constants, pointers to bytes that the plan owns, or the result slot of an earlier
// operation, so that the child between clone and exec only walks a flat list: it allocates nothing,
// takes no lock and throws nothing.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "harness/policy/layer.h"

namespace ringfence {

struct Arg {
  enum class Kind : uint8_t { constant, bytes, slot };
  Kind kind = Kind::constant;
  uint64_t value = 0;  // the constant, the index into Plan::bytes, or the slot
};

// Slots that the spawner fills before the first step; plans number their own from kSlotFree on. A
// slot holds a descriptor, an address, or -1 (or the -errno of a tolerated failure) for none.
enum Slot : uint8_t {
  kSlotExe,      // the program to execute (execveat), or -1
  kSlotFilter,   // the address of a sock_fprog over the compiled seccomp filter
  kSlotCgroup0,  // cgroup.procs of the first v1 hierarchy to join; the next ones follow
  kSlotCgroupLast = kSlotCgroup0 + 9,
  kSlotNamespace0,  // Plan::namespace_paths, opened
  kSlotNamespaceLast = kSlotNamespace0 + 7,
  kSlotPidfd,     // SpawnRequest::join_pidfd
  kSlotListener,  // of the seccomp filter, from when it was loaded
  kSlotMapped0,   // Plan::mapped_trees, made
  kSlotMappedLast = kSlotMapped0 + 7,
  kSlotMntns,       // SpawnRequest::mntns_fd
  kSlotCgroupns,    // SpawnRequest::cgroupns_fd
  kSlotTerminal,    // the target's end of its terminal: the spawner's making, or a step's
  kSlotTerminalTo,  // a socket by which the other end goes to the spawner
  kSlotFree,
  kSlots = 64
};

// What stands in Op::nr for the few things that one constant call cannot do. The executor makes
// them of several syscalls.
enum PseudoCall : long {
  kCallCloexecEach = -2,  // fcntl(F_SETFD, FD_CLOEXEC) on every descriptor number
  kCallGiveFds = -3,      // the given descriptors to their numbers, without CLOEXEC
  kCallParentDeath = -4,  // PR_SET_PDEATHSIG; argument 1: end when the parent is already gone
  kCallCapset = -5,       // arguments: which CapsetPart, mask; leaves the other sets as they are
  // mount(2) onto what a descriptor stands for, by its link in /proc: source, descriptor, type,
  // flags, data; argument 5: a descriptor as the source instead, or -1.
  kCallMountAt = -6,
  // What openat2(2) with RESOLVE_IN_ROOT does, by openat(2) and readlinkat(2): root, path, flags;
  // argument 3: links are refused.
  kCallOpenInRoot = -7,
  kCallWaitMaps = -8,  // waits for the spawner to write the id maps
  // Goes on in a new child, for a pid namespace that takes children only: clone3(2) with
  // CLONE_PARENT, so that the spawner has it for a child.
  kCallReborn = -9,
  // The listener of a seccomp filter, on its way to the spawner. Arguments: ListenerPart; the slot
  // that has it.
  kCallListener = -10,
  // Copies what is below one directory into another one, which is empty: from, to; argument 2:
  // owner, mode and times of the directory itself as well.
  kCallCopyTree = -12,
  // sendmsg(2) with SCM_RIGHTS: a socket, the descriptor to send.
  kCallSendFd = -13,
  // landlock_add_rule(2) for a path: the rule set, what is allowed, the descriptor of the path.
  kCallLandlockBeneath = -14,
  kCallWaitHooks = -15,  // waits for the spawner to run its hooks
  // Runs a hook and waits for its end, by clone(2), execve(2) and wait4(2): its number among those
  // that the child runs.
  kCallHook = -16,
};
// Before the filter is loaded; afterwards, waiting until it was taken, by futex(2) or where the
// filter does not let that pass by looking again and again.
enum ListenerPart : uint8_t { kListenerComes, kListenerWait, kListenerSpin };
enum CapsetPart : uint8_t { kCapsetInheritable, kCapsetPermitted, kCapsetEffective };

struct Op {
  long nr = -1;
  std::array<Arg, 6> args{};
  int out = -1;                       // slot for the result
  std::array<int16_t, 3> tolerate{};  // errnos that are no failure (0: none)
  // Which call stands in where this one answers ENOSYS (or EINVAL for an unknown flag): an index
  // into Step::fallback; -1 for none.
  int fallback = -1;
  // Where a sequence of calls stands in for a sequence: indices into Step::ops, always further on.
  // `missing`: go on there when this call answers ENOSYS or EINVAL. `done`: when it succeeded.
  int missing = -1;
  int done = -1;
  // Slots that guard the call: made only when `when` holds zero or more, and only when `unless`
  // does not; -1 for no guard. ("Is it a directory?" is an open that may fail.)
  int when = -1;
  int unless = -1;
};

enum class Where : uint8_t {
  parent,  // before clone, by the parent: cgroup limits
  clone,   // a flag of clone3
  helper,  // by the parent while the child waits: id maps
  child,   // in the child, in order
  after    // by the parent, once the program has started or ended
};

struct Step {
  Layer layer;
  // What identifies the effect in any plan: "mount.mask:/proc/kcore", "cap.bounding",
  // "ns.pid", "rlimit.NOFILE". The same key in another plan is the same effect.
  std::string key;
  std::string text;  // what it does, for people: "mask /proc/kcore with /dev/null"
  Where where = Where::child;
  bool confines = true;     // false: set-up, nothing is open without it
  std::string exempt;       // why no attempt can tell that it is missing, when none can
  uint64_t clone_flag = 0;  // for Where::clone
  // Can be made before the target is there, in a mount namespace that it then enters (SandboxPool).
  bool ahead = false;
  std::vector<Op> ops;
  std::vector<Op> fallback;
  // For Where::helper: what is made by netlink, of Plan::network (confine/network.h).
  struct Network {
    enum class Effect : uint8_t {
      none,
      bridge,
      link,
      mac,
      mtu,
      port,
      filter,
      address,
      neighbour,
      up,
      route,
      take  // one of Plan::net_devices: `interface` counts them
    };
    Effect effect = Effect::none;
    uint16_t interface = 0;  // index into NetworkPolicy::interfaces
    uint16_t entry = 0;      // ... and into the list of it that the effect is about
  };
  Network network;
  // For Where::parent: "<controller>" and the file's v2 name and value ("pids", "pids.max", "64").
  struct Setting {
    std::string controller{};  // empty: of every v2 group
    std::string file{};        // empty: the controller alone is wanted
    std::string value{};
    // What stands in for it in a v1 hierarchy: writes, in order. A name "a|b" is the first of the
    // two that the group has.
    struct V1 {
      std::string file;
      std::string value;
      friend bool operator==(const V1&, const V1&) = default;
    };
    std::vector<V1> v1{};
    // Loaded and attached to the v2 group (BPF_PROG_TYPE_CGROUP_DEVICE), instead of a file.
    std::vector<uint64_t> program{};
    // A kernel without the file has nothing that it could limit.
    bool if_there = false;
    // What a v2 group has in place of `file`, by another name and scale ("io.bfq.weight").
    std::vector<V1> instead{};
    // Of what v1 alone has: the field of config.json, which is left out where no group has the
    // file, and said to be.
    std::string pointer{};
    friend bool operator==(const Setting&, const Setting&) = default;
  };
  std::vector<Setting> settings;
};

}  // namespace ringfence

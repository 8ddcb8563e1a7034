#pragma once
// Witness: the eBPF programs of probes/bpf/witness.bpf.c, loaded and attached once for a run, and
// Watch: one trial seen through them.
//
// Needs CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), the kernel's BTF, and a mounted cgroup v2
// hierarchy for the scope. Which program is used for which hook is found by trying to load it,
// never by a version: see Rung. Nothing stays attached after the object is gone, also when its
// process is killed: programs, links and maps are held by descriptors alone.
//
// Sources: bpf(2), Documentation/bpf/{libbpf,ringbuf,map_hash}.rst, libbpf 1.1.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/witness/facts.h"
#include "harness/witness/group_programs.h"
#include "harness/witness/ladder.h"
#include "harness/witness/story_ring.h"

struct rf_want;
struct rf_trial;
struct rf_event;
struct rf_call;

namespace ringfence {

struct WitnessOptions {
  // Rungs that are passed over as if the kernel had refused them ("tp_btf", "ringbuf"), so that
  // tests reach those below.
  std::vector<std::string> avoid{};
  // Rings made in advance, for watches that follow one another: see WatchOptions::slot.
  size_t rings = 0;
  size_t slot_bytes = size_t{1} << 18;  // of each of them; a power of two, at least a page
  // How many tasks have a state at a time; 0: as many as the programs say. For tests of its loss.
  uint32_t tasks = 0;
};

class Watch;

class Witness {
 public:
  // Loads and attaches. `unsupported` when this kernel or this process cannot have the hooks that
  // everything rests on (enter, exit); a lesser hook may be missing, see offers().
  static Result<Witness> open(const WitnessOptions& options = {});
  // Only the ladder: what loads here and why the rest does not. Attaches nothing.
  static std::vector<Rung> survey();

  Witness(Witness&&) noexcept;
  Witness& operator=(Witness&&) noexcept;
  ~Witness();

  [[nodiscard]] const std::vector<Rung>& ladder() const;
  // Whether a hook is attached: enter, exit, cap, fork, exec, end, signal, attach, mkdir, freeze,
  // thaw, victim, vsyscall, state; `story` says which transport its events take; or, of ingress,
  // egress, socket, connect4, connect6 and device, whether attach_to_group() has a program for it;
  // tasks: the iterator of Watch::tasks(); or a hook of security_hooks.h.
  [[nodiscard]] bool offers(std::string_view hook) const;
  // Runs of the enter and exit programs that the kernel left out since they were loaded, since the
  // same program was already running on that CPU (recursion_misses, Linux 5.12).
  [[nodiscard]] Result<uint64_t> misses() const;
  // The same of the programs that see security hooks: see security_hooks.h.
  [[nodiscard]] Result<uint64_t> security_misses() const;
  // The same of one hook, 0 when it is not attached.
  [[nodiscard]] Result<uint64_t> misses_of(std::string_view hook) const;

  // Attaches the programs that belong to a group (packets, sockets, connections, devices) to this
  // one, of our own making: 0.6 ms on an idle machine. From then on, and while what is returned
  // lives, every group that is watched has to be below it: that nothing was seen counts. One hook
  // that cannot be had is no error, see GroupPrograms::absent().
  [[nodiscard]] Result<GroupPrograms> attach_to_group(int group_fd) const;
  struct WatchOptions {
    size_t ring_bytes = size_t{1} << 19;  // a power of two, at least a page; of perf buffers each
    bool story = true;                    // with syscalls that succeed, too
    // Which ring made in advance to use, by one watch at a time; -1, or one that
    // there is not: a ring of its own, which takes some milliseconds to enter and to remove.
    int slot = -1;
    bool reads = true;   // for tests: a reader that has stopped asks for facts only
    bool wakes = false;  // events make story_fd() readable; for a reader who waits there
  };
  // Watches the v2 cgroup with this id (the inode number of its directory) and those made below
  // it. The Watch may be made in a process forked from the one that holds the Witness.
  Result<Watch> watch(uint64_t cgroup_id, const WatchOptions& options) const;
  Result<Watch> watch(uint64_t cgroup_id) const;
  // The same for a process and all that it forks from now on, and for a pid namespace (by inode).
  Result<Watch> watch_process(int tgid, const WatchOptions& options) const;
  Result<Watch> watch_pidns(uint32_t inode, const WatchOptions& options) const;
  // Takes into a watch of any kind a further process and what it forks from now on, or a v2 group.
  // They stay in it until the Witness goes.
  Status also_process(const Watch& watch, int tgid) const;
  Status also_group(const Watch& watch, uint64_t cgroup_id) const;
  // Capabilities whose check has failed in a call of this number that succeeded all the same.
  [[nodiscard]] uint64_t noise(uint32_t nr, bool compat) const;
  // The descriptor of one of the programs' maps, by its name, for other objects that share it; -1.
  [[nodiscard]] int map_fd(const char* name) const;

 private:
  Result<Watch> watch_scope(int scope_map, uint64_t key, bool short_key, uint64_t trial,
                            const WatchOptions& options) const;
  // Of each hook that is attached.
  [[nodiscard]] Result<std::vector<uint64_t>> all_misses() const;
  void hint(uint64_t cgroup_id) const;
  struct State;
  explicit Witness(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  friend class Watch;
};

class Watch {
 public:
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  ~Watch();  // ends it: nothing of the trial is collected any more

  // Names the watch in the programs' maps.
  [[nodiscard]] uint64_t id() const { return id_; }
  // What to look out for; at most RF_WANTS. Before the target starts: it clears what was seen.
  // May be called in a forked process.
  [[nodiscard]] Status look_for(std::span<const rf_want> wants) const;
  // The facts so far. `wants` as many as were looked for.
  [[nodiscard]] Result<KernelFacts> facts() const;
  // Hands every event that is in the ring to `tell`, oldest first; how many.
  Result<size_t> story(const std::function<void(const rf_event&, size_t)>& tell);
  // The tasks that are in what is watched, as far as the caller's pid namespace shows them, and the
  // caller; some 30 us. May be called in a forked process. `unsupported` without the hook "tasks".
  [[nodiscard]] Result<TaskStates> tasks() const;
  // Readable when there are events, for poll(2), with WatchOptions::wakes.
  [[nodiscard]] int story_fd() const;

 private:
  friend class Witness;
  Watch() = default;
  void remove_below() const;
  void add_losses(const rf_trial& trial, const std::vector<uint64_t>& misses,
                  KernelFacts& facts) const;
  uint64_t id_ = 0;
  std::vector<uint64_t> misses_before_;
  uint64_t security_misses_before_ = 0;
  int trials_fd_ = -1, rings_fd_ = -1, noise_fd_ = -1, stories_fd_ = -1;  // the Witness's
  int scope_fd_ = -1;
  uint64_t scope_key_ = 0;
  bool short_key_ = false;
  const Witness* witness_ = nullptr;
  bool denials_only_ = false, wakes_ = false;
  uint64_t ring_key_ = 0;
  bool own_ring_ = true;
  bool reads_ = true;
  UniqueFd ring_map_;
  std::unique_ptr<StoryRing> ring_;
  int owner_pid_ = 0;
};

// A syscall of the story as a value; its noise is not known there.
CallRecord record_of(const rf_call& call);

}  // namespace ringfence

#pragma once
// Plan: a Policy compiled in the parent into a flat list of steps. Immutable, free of descriptors,
// so that one plan serves any number of spawns, in threads or in forked workers.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/mounts.h"
#include "harness/confine/network.h"
#include "harness/confine/seccomp.h"
#include "harness/confine/step.h"
#include "harness/policy/policy.h"

struct sock_filter;

namespace ringfence {

// How a target gets into its namespaces: made by clone3, or by itself, by unshare(2).
enum class Entry : uint8_t { clone, unshare };

struct CompileOptions {
  Entry entry = Entry::clone;
  // Steps for which this says true are left out (ablation; the step-drop tests).
  std::function<bool(const Step&)> drop;
  // Where the new root is put together, an existing directory in the spawner's mount namespace. It
  // is only ever covered inside the target's own mount namespace, or with `disposable_mounts`.
  std::string staging = "/tmp";
  // The spawner's mounts are nobody's (a decoy host): a policy without a mount namespace makes its
  // own there, as a runtime would. Else it makes none, and enters a root by chroot(2) alone.
  bool disposable_mounts = false;
  // An existing directory to use as root; empty: Policy::root.path if it exists, else a fresh
  // tmpfs.
  std::string rootfs;
  // Where the spawner will find that directory, when not under the same path (a decoy host).
  std::string rootfs_at;
  // Somebody runs the program for its own sake, as a runtime's caller does: it gets the policy's
  // terminal, and its network devices. A case has pipes, and the decoy's network.
  bool attended = false;
  // ... and its hooks are run as well: programs of whoever wrote the policy, with the caller's
  // rights.
  bool hooks = false;
  // A program that the new root gets at /.ringfence/program, read-only, from this path in the
  // spawner's mount namespace: for a target whose filter denies execveat. Without a root of its own
  // the target finds it where it is. Plan::program says where to execute it.
  std::string program;
};

// The hooks that are run, in order, and what they are told on their standard input besides.
struct HookPlan {
  struct Run {
    HookKind kind = HookKind::prestart;
    size_t index = 0;  // in the policy's list of its kind
    size_t step = 0;   // in Plan::steps
    Hook hook;
    [[nodiscard]] std::string pointer() const;  // "/hooks/prestart/0"
    [[nodiscard]] bool by_child() const;        // createContainer, startContainer
    [[nodiscard]] bool before_start() const;    // all but poststart and poststop
  };
  std::vector<Run> runs;
  std::string oci_version, bundle;
  std::map<std::string, std::string> annotations;
};

struct Plan {
  std::string policy_name;
  std::vector<Step> steps;
  std::vector<std::string> bytes;  // what Arg::bytes refers to; NUL-terminated strings and structs
  uint64_t clone_flags = 0;        // CLONE_NEW*
  bool apart = false;              // clone without CLONE_VM (time namespace, joined namespaces)
  std::string uid_map, gid_map;    // text of the map files; empty when there is no user namespace
  bool deny_setgroups = false;
  bool maps_in_child = false;  // a step asks for the maps, and interfaces (kCallWaitMaps)
  bool init = false;           // the program runs below an init of ours (probes/inmate/init.c)
  bool by_pidfd = false;       // namespaces are those of SpawnRequest::join_pidfd
  std::vector<MappedTree> mapped_trees;
  std::string cwd;
  std::string rootfs;  // the directory bound as root; empty: a fresh tmpfs
  // Why no SandboxPool can make the steps with Step::ahead before the target is there; empty: one
  // can. And whether they were made so, and the plan is what is left.
  std::string not_ahead;
  bool prepared = false;
  std::vector<std::string> controllers;  // cgroup controllers that a limit needs, sorted
  std::string cgroups_path;              // Policy::cgroups_path: below the target's own group
  std::string program;                   // path of CompileOptions::program inside; empty: none
  std::vector<std::string> notes;        // "root.path rootfs does not exist: a fresh tmpfs"
  std::vector<std::string> namespace_paths;
  NetworkPolicy network;  // what the steps with a network effect make
  NetDevices net_devices;
  // Whose the target's terminal is: of its own devpts, or of the spawner's.
  enum class Terminal : uint8_t { none, own, spawners };
  Terminal terminal = Terminal::none;
  // The compiled filter, classic BPF; empty when there is none. Evaluate with bpf_evaluate().
  std::vector<uint64_t> seccomp_program;
  std::optional<Listener> listener;  // where calls are notified
  std::optional<HookPlan> hooks;     // where CompileOptions asks for them

  [[nodiscard]] const Step* find(std::string_view key) const;
  // Whether something is made while the child waits: id maps, interfaces.
  [[nodiscard]] bool needs_helper() const;
  // How many veths the steps make.
  [[nodiscard]] int ports() const;
  // The limits that the steps set on the target's cgroup; empty when there are none.
  [[nodiscard]] std::vector<Step::Setting> settings() const;
};

Result<Plan> compile(const Policy& policy, const CompileOptions& options = {});

// One line a step: number, where, layer, key, what it does; with `syscalls` also the calls.
std::string print_plan(const Plan& plan, bool syscalls);

}  // namespace ringfence

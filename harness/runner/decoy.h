#pragma once
// The decoy host: a sacrificial outer sandbox that plays the host for one trial. Its own pid, mount
// (tmpfs root), net, ipc, uts and cgroup namespaces, inside the initial user namespace (for a
// caller without root: inside the worker's own user namespace), with an init that makes the
// canaries, spawns the target, watches it, and dies with everything in it.
//
// It is the worst of parents on purpose: it hands on full inheritable and ambient sets that survive
// a change of ids (SECBIT_NO_SETUID_FIXUP), a foreign supplementary group, a permissive umask and
// an open descriptor on the secret, so that a step that takes them away can be told from one that
// does not.
#include <chrono>
#include <string>
#include <vector>

#include "harness/judge/case.h"
#include "harness/judge/trial.h"
#include "harness/runner/kernel_watch.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/plan.h"

namespace ringfence {

// Where targets of a decoy host are staged, and where a given rootfs is found in it.
inline constexpr const char* kDecoyStaging = "/stage";
inline constexpr const char* kDecoyRootfs = "/rootfs";
// The inmate as a file, for plans that execute it by path.
inline constexpr const char* kDecoyInmate = "/inmate";
// The descriptor that leaks into careless targets has this number, or the next free one.
inline constexpr int kDecoyLeak = 20;
inline constexpr unsigned kDecoyGroup = 7777;

struct TrialSpec {
  const Plan* plan = nullptr;
  Attempt attempt;
  Goal goal;
  std::vector<Goal> proofs;
  std::string secret;  // what a successful read returns
  std::string nonce;   // makes the canaries' names unique
  int inmate_fd = -1;  // the image to execute
  const CgroupLeaf* cgroup = nullptr;
  std::string rootfs;  // directory of the host that targets get as root, bound at kDecoyRootfs
  std::vector<std::string> binds;  // files and directories of the host that the policy binds
  std::chrono::milliseconds timeout{10000};
  // The eBPF witness's watch on the target's group, or null; and what it has to look out for.
  const KernelWatch* watch = nullptr;
  std::vector<Call> calls;
  // The XDP program that counts what comes out of the target (witness/port.h), or -1.
  int port_program = -1;
  // In shared memory, may be null: the decoy host's pid while there is one that is not waited for,
  // for whoever has to end it when this process is killed.
  int* decoy_pid = nullptr;
};

// Runs one trial in a decoy host of its own and waits for its end. Never fails: what went wrong is
// in the outcome. The calling process must have one thread.
TrialOutcome run_trial(const TrialSpec& spec);

}  // namespace ringfence

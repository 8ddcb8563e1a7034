#pragma once
// The child between clone and exec: makes the calls of the plan's steps. Internal to spawn/.
//
// It may share the parent's memory (CLONE_VM), so it allocates nothing, takes no lock, calls no
// library function, and never returns. What it reports goes to a page of shared memory.
#include <linux/filter.h>

#include <cstdint>

#include "harness/confine/step.h"

// The sanitizers keep state per thread, which a child that shares memory must not touch: their
// shadow of its stack belongs to nobody.
#define RINGFENCE_CHILD \
  __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

namespace ringfence {

// A step of the plan whose calls the child makes, where the plan has them.
struct ChildStep {
  const Op* ops;
  const Op* fallback;
  uint32_t count;   // of ops
  uint32_t number;  // in Plan::steps
};

// In shared memory. Words that both sides wait on are futexes.
struct ChildReport {
  uint32_t waiting;  // the child asks for its id maps (1), or the clone is over (2)
  uint32_t go;       // the parent has written them (1), or could not (2)
  uint32_t failed;   // the rest is valid
  uint32_t reached_exec;
  uint32_t listener;        // one is coming (kComing), or is there (kThere)
  uint32_t listener_taken;  // by the spawner (kGo), or it could not be (kNoGo)
  int32_t listener_fd;      // its number in the child
  int32_t reborn;           // pid of the child that goes on in our place (kCallReborn), 0 for none
  uint32_t hooks_waiting;   // the child asks for the spawner's hooks (kWaiting)
  uint32_t hooks_go;        // they have run (kGo), or one said no (kNoGo)
  uint32_t hook;            // the child runs this one of its own, counted from 1; 0 for none
  int32_t hook_status;      // how that one ended, as wait4(2) says it; 0 for well
  uint32_t step;
  int32_t err;
  int64_t nr;
};
enum : uint32_t { kWaiting = 1, kOver = 2, kGo = 1, kNoGo = 2, kComing = 1, kThere = 2 };

// A hook that the child runs itself, made before the clone. Descriptors are above those given.
struct ChildHook {
  const char* path;
  const char* const* argv;
  const char* const* envp;
  int state_fd, null_fd, stderr_fd;  // its standard input, output and error
  bool early;                        // the spawner's descriptors are not yet those that stay open
  // The program, when its path is one of the spawner's, and which file that is; -1 where it is to
  // be found by its path.
  int exe_fd;
  uint64_t device, inode;
};

struct GivenFd {
  int inside;
  int here;
};

struct ChildStart {
  const ChildStep* steps;
  uint32_t count;
  const char* const* bytes;  // Plan::bytes
  uint32_t exec_step;        // what to report as step for the exec itself
  ChildReport* report;
  uint64_t signal_mask;  // the caller's
  bool wait_for_maps;    // before the first step; otherwise a step says when
  int parent_pidfd;      // -1: do not die with the parent
  int netns_fd;          // a prepared network namespace to enter first, -1: none
  uint32_t netns_step;
  GivenFd given[16];
  uint32_t given_count;
  sock_fprog filter;
  int64_t slots[kSlots];
  const char* const* argv;
  const char* const* envp;
  const ChildHook* hooks;    // by the number that kCallHook has
  int64_t own_pid;           // as we see it; from kCallWaitHooks on
  const char* const* paths;  // what to try when there is no descriptor; ends with null
};

// The name that the child has until its program starts, as /proc/PID/comm shows it.
inline constexpr char kUnstartedName[16] = "rf-not-started";

// Child side. Never returns.
void run_child(void* start);

// For the parts of the child's side: ends it with a report, or without one; and what close_range(2)
// does where it is missing. 0 or -errno.
void fail(ChildStart* start, uint32_t step, long nr, int64_t result);
void leave(int code);
int64_t cloexec_each();
// Waits for the spawner: says so in `waiting`, until `go` says what comes of it.
void await_go(uint32_t* waiting, uint32_t* go);

// clone3(2) with a function to run on the new stack in the child. -errno or the pid.
long clone_and_run(void* clone_args, uint64_t size, void (*function)(void*), void* argument);

}  // namespace ringfence

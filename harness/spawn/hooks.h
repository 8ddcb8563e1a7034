#pragma once
// Runs the hooks of a plan, and watches those that the child runs itself. Internal to spawn/.
//
// The thread that clones is asleep until the target's program has started, so those before the
// start are run by a thread of its own, while the child waits (kCallWaitHooks); a hook is a child
// of the spawner, with a session of its own, and dies with that thread. Those in the target's
// namespaces are children of the target; the thread only reads what they complain of, and ends the
// target when one takes too long.
//
// Sources: runtime-spec config.md "POSIX-platform Hooks", runtime.md "State", "Lifecycle".
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/child.h"
#include "harness/spawn/plan.h"

namespace ringfence {

class HookRunner {
 public:
  struct Failure {
    size_t step = 0;
    long nr = -1;
    Error error;
  };
  using Warn = std::function<void(const Error&)>;

  // Before clone3: all that the child needs for those that it runs.
  static Result<std::unique_ptr<HookRunner>> make(const HookPlan& plan, Warn warn);
  HookRunner(const HookRunner&) = delete;
  HookRunner& operator=(const HookRunner&) = delete;
  ~HookRunner() { finish(); }
  [[nodiscard]] const ChildHook* child_hooks() const { return child_hooks_.data(); }

  // Before clone3 as well; the thread is there only when a hook runs before the start. `pid` is
  // where clone3 puts the child's id.
  Status start(ChildReport* report, const int* pid);
  // Once clone3 has returned, whatever it said: `report` and `pid` are not looked at any more. Ends
  // the hook that is running: its target is gone.
  void finish();
  // Why the start failed, when that was by a hook: of the thread, or what the child reports.
  [[nodiscard]] std::optional<Failure> failure(const ChildReport& report) const;

  // There is a target, by this id. Then: its program has started, poststart; it is gone, poststop,
  // once. What fails is a warning, and the others run.
  void existed(int pid);
  void started();
  void stopped();

 private:
  // Of a hook that the child runs.
  struct Inside {
    const HookPlan::Run* run = nullptr;
    std::vector<const char*> argv, envp;
    std::vector<std::string> args;
    UniqueFd state, stderr_in, stderr_out, exe;
    std::string said;
  };
  HookRunner() = default;
  Status prepare_inside(const HookPlan::Run& run);
  static Status find_program(const HookPlan::Run& run, Inside& inside, ChildHook& hook);
  void run();
  void run_before_start();
  void watch_child();
  void end_target();
  Status tell_inside();
  std::optional<Failure> run_outside(const HookPlan::Run& run, const std::string& state);
  void run_after(HookKind kind, const char* status);
  [[nodiscard]] std::string state(const char* status, int pid) const;

  HookPlan plan_;
  Warn warn_;
  std::vector<std::unique_ptr<Inside>> inside_;
  std::vector<ChildHook> child_hooks_;
  UniqueFd null_, stop_;
  ChildReport* report_ = nullptr;
  const int* pid_pointer_ = nullptr;
  int pid_ = 0;
  std::optional<uint64_t> signal_mask_;  // for those that the thread starts
  bool existed_ = false;                 // ... and no poststop yet
  std::atomic<bool> over_ = false;
  std::optional<Failure> failure_;
  std::thread thread_;
};

}  // namespace ringfence

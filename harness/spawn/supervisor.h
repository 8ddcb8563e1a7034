#pragma once
// Takes the listener of a child's seccomp filter before its program starts, and answers the calls
// that are notified, or hands the listener to the socket that the policy names. Internal to spawn/.
//
// Needs SECCOMP_RET_USER_NOTIF (Linux 5.0), letting calls go on (5.5) and pidfd_getfd (5.6).
// Sources: seccomp_unotify(2), pidfd_getfd(2), runtime-spec config-linux.md "The Container Process
// State". A supervisor that cannot go on kills the target.
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/child.h"
#include "harness/spawn/plan.h"

namespace ringfence {

class Supervisor {
 public:
  // Before clone3. `plan` has a listener, and lives until begun(); `pid` is where clone3 puts the
  // child's id. The socket of the policy is connected here.
  static Result<std::unique_ptr<Supervisor>> start(const Plan& plan, ChildReport* report,
                                                   const int* pid);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  // Nobody answers any more: the target's notified calls fail with ENOSYS.
  ~Supervisor();

  // Once clone3 has returned, whatever it said: `report` and `pid` are not looked at any more. Why
  // the listener could not be had, where the child came so far; it was killed then.
  std::optional<Error> begun();

  [[nodiscard]] uint64_t answered() const { return answered_.load(std::memory_order_relaxed); }

 private:
  Supervisor() = default;
  void run();
  bool await_listener();
  Result<UniqueFd> take(int pidfd, int number);
  Status send_away(int listener, int pid);
  bool serve();
  void answer(const void* request, void* response) const;

  Listener how_;
  ChildReport* report_ = nullptr;
  const int* pid_ = nullptr;
  UniqueFd socket_, listener_, stop_;
  size_t request_size_ = 0, response_size_ = 0;
  std::atomic<bool> over_ = false;
  std::atomic<uint32_t> settled_ = 0;  // a futex: the thread needs `report` no more
  std::atomic<uint64_t> answered_ = 0;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace ringfence

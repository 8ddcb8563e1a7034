#pragma once
// Network namespaces by descriptor: enter one for a while, and come back.
// Sources: network_namespaces(7), setns(2).
#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence {

// The calling thread's network namespace.
Result<UniqueFd> own_netns();
// A new one, empty, with its loopback interface up, for which the calling thread leaves its own and
// comes back. It lives as long as somebody holds it: a descriptor, a process, a socket in it.
Result<UniqueFd> make_netns();

// While it lives, the calling thread is in another network namespace; other threads stay. Sockets
// opened meanwhile belong there for good. leave() goes back; the destructor does so, too, and ends
// the process when it cannot: to go on in the wrong namespace would reconfigure somebody else's.
class InNetns {
 public:
  static Result<InNetns> enter(int netns_fd);
  InNetns(InNetns&& other) noexcept : home_(std::move(other.home_)) {}
  InNetns& operator=(InNetns&&) = delete;
  ~InNetns();
  Status leave();

 private:
  explicit InNetns(UniqueFd home) : home_(std::move(home)) {}
  UniqueFd home_;
};

}  // namespace ringfence

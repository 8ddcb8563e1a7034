#pragma once
// Pools of prepared network namespaces. To make one takes some hundred microseconds, to enter one
// that is there about one: so they are made before they are needed, off the path that starts a
// target, and given out once each. What a target was in is never given out again.
//
// A namespace of a pool belongs to the user namespace of whoever filled it: a target with a user
// namespace of its own has no rights over it, and needs a new one.
#include <cstddef>
#include <mutex>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence {

class NetnsPool {
 public:
  // Makes namespaces until `count` are ready, in a thread of its own, so that the caller's stays
  // where it is. What was made before a failure stays.
  Status fill(size_t count);
  // One that nobody was in, with its loopback interface up and nothing else; made now when none is
  // ready.
  Result<UniqueFd> take();
  [[nodiscard]] size_t ready() const;

 private:
  mutable std::mutex mutex_;
  std::vector<UniqueFd> ready_;
};

}  // namespace ringfence

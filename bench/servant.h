#pragma once
// Servant: a thread or a forked process that does one thing each time it is asked, so that the same
// work can be compared in one process and in many, or in a process of another size.
#include <functional>
#include <thread>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence::bench {

class Servant {
 public:
  enum class Kind : uint8_t { thread, process };
  // `work` is called each time, in the servant; `prepare` once before.
  static Result<Servant> start(Kind kind, std::function<Status()> work,
                               const std::function<void()>& prepare = {});
  Servant(Servant&&) noexcept;
  Servant& operator=(Servant&&) = delete;
  // Ends it and waits for its end.
  ~Servant();

  // Both at once, or apart so that many can be at work together.
  Status ask();
  Status wait_answer();

 private:
  Servant() = default;
  UniqueFd socket_;
  std::thread thread_;
  int pid_ = -1;
};

}  // namespace ringfence::bench

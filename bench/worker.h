#pragma once
// Worker: a process on a CPU of its own that makes one syscall over and over and says what it
// cost; the thing that a witness bench watches, or does not.
//
// It is asked over a socket and times itself, so that neither its start nor the question is in
// the figure. Units: nanoseconds. Sources: clone3(2) (CLONE_INTO_CGROUP), sched_setaffinity(2).
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence::bench {

// What it does. Each is of a kind that costs a witness something else, and changes nothing.
enum class Call : uint32_t {
  getppid,      // succeeds, and does nothing: all cost is the way in and out
  openat,       // of a file that is not there: fails, and its path is read
  sethostname,  // of a length that cannot be, without the capability: a check that fails
  kill,         // of nobody: fails, without a path or a check
};
const char* call_name(Call call);

struct WorkerOptions {
  int cpu = -1;                      // to stay on; -1: any
  int group = -1;                    // a v2 group's directory to be born in; -1: ours
  std::vector<std::string> under{};  // a tracer's command line, which gets the worker's appended
};

class Worker {
 public:
  // `unsupported` when the tracer is not there. A tracer starts on the worker's CPU, which is how a
  // stop is handed over fastest.
  static Result<Worker> start(const WorkerOptions& options);
  Worker(Worker&& other) noexcept;
  Worker& operator=(Worker&&) = delete;
  ~Worker();

  struct Took {
    int64_t fastest = 0;  // of the bursts: the others were disturbed
    int64_t all = 0;
  };
  // Bursts of `calls` calls each.
  Result<Took> time(Call call, uint64_t calls, uint64_t bursts);
  // The same without waiting; `poll` gives what they took once they are over.
  Status begin(Call call, uint64_t calls, uint64_t bursts);
  Result<std::optional<Took>> poll();

 private:
  Worker() = default;
  Result<std::optional<Took>> answer(int flags);
  UniqueFd socket_;
  int pid_ = -1;
};

// The other side, in a process that was started with the arguments `--worker FD CPU`.
[[noreturn]] void serve_worker(int socket, int cpu);

Status pin_to_cpu(int cpu);

}  // namespace ringfence::bench

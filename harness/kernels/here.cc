// The job of a machine as a process of this host.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/kernels/machine.h"
#include "harness/kernels/program.h"

namespace ringfence {
namespace {

constexpr int kTickMs = 200;

struct Pipe {
  UniqueFd read, write;
  const std::function<void(std::string_view)>* sink = nullptr;
};

MachineEnd failed(const Error& error) {
  MachineEnd end;
  end.failure = "spawn_failed";
  end.detail = error.describe();
  return end;
}

}  // namespace

MachineEnd run_here(const Job& job, const MachineSinks& sinks,
                    const std::atomic<bool>* interrupted) {
  std::array<Pipe, 3> pipes;
  const std::array<const std::function<void(std::string_view)>*, 3> to = {&sinks.out, &sinks.err,
                                                                          &sinks.result};
  for (size_t i = 0; i < pipes.size(); ++i) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return failed(system_error("pipe2").value());
    pipes.at(i) = {UniqueFd(ends[0]), UniqueFd(ends[1]), to.at(i)};
  }
  auto nothing = sys::open("/dev/null", O_RDONLY);
  if (!nothing) return failed(nothing.error());
  ProgramRequest request{job.argv, job.environment, {{0, nothing->get()}}, {}};
  for (size_t i = 0; i < pipes.size(); ++i) {
    request.fds.emplace_back(static_cast<int>(i) + 1, pipes.at(i).write.get());
  }
  auto child = start_program(request);
  if (!child) return failed(child.error());
  for (auto& pipe : pipes) pipe.write.reset();
  bool told = false;
  for (size_t open = pipes.size(); open > 0;) {
    std::array<pollfd, 3> waits{};
    for (size_t i = 0; i < pipes.size(); ++i) waits.at(i) = {pipes.at(i).read.get(), POLLIN, 0};
    (void)::poll(waits.data(), waits.size(), kTickMs);
    if (sinks.waiting) sinks.waiting();
    if (interrupted != nullptr && *interrupted && !told) {
      told = true;
      (void)child->kill(SIGTERM);
    }
    for (size_t i = 0; i < pipes.size(); ++i) {
      if (waits.at(i).revents == 0) continue;
      std::array<char, 16384> bytes{};
      const int64_t n = sys::call(SYS_read, static_cast<uint64_t>(waits.at(i).fd),
                                  sys::arg(bytes.data()), bytes.size());
      if (n > 0 && *pipes.at(i).sink) (*pipes.at(i).sink)({bytes.data(), static_cast<size_t>(n)});
      if (n > 0 || n == -EINTR) continue;
      pipes.at(i).read.reset();
      --open;
    }
  }
  auto ended = child->wait();
  if (!ended) return failed(ended.error());
  MachineEnd end;
  if ((*ended)->signaled) {
    end.done.signal = (*ended)->code;
  } else {
    end.done.exit_code = (*ended)->code;
  }
  return end;
}

}  // namespace ringfence

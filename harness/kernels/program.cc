#include "harness/kernels/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/policy/policy.h"
#include "harness/spawn/plan.h"

namespace ringfence {
namespace {

struct Ends {
  UniqueFd read, write;
};

Result<Ends> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_error("pipe2");
  return Ends{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

Result<Child> start_program(const ProgramRequest& request) {
  Policy policy;  // as it is, but in its directory
  policy.name = "program";
  policy.new_session = false;
  policy.set_user = false;
  policy.cwd = request.directory;
  auto plan = compile(policy);
  if (!plan) return tl::unexpected(plan.error());
  SpawnRequest spawn_request;
  spawn_request.plan = &*plan;
  spawn_request.exe_path = request.argv.at(0);
  spawn_request.args = request.argv;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (request.environment.contains(std::string(text.substr(0, text.find('='))))) continue;
    spawn_request.env.emplace_back(text);
  }
  for (const auto& [name, value] : request.environment) {
    spawn_request.env.push_back(fmt::format("{}={}", name, value));
  }
  spawn_request.fds = request.fds;
  return spawn(spawn_request);
}

Result<std::string> output_of(const std::vector<std::string>& argv, const std::string& directory) {
  auto nothing = sys::open("/dev/null", O_RDONLY);
  if (!nothing) return tl::unexpected(nothing.error());
  auto out = make_pipe();
  if (!out) return tl::unexpected(out.error());
  auto err = make_pipe();
  if (!err) return tl::unexpected(err.error());
  ProgramRequest request{argv, {{"LC_ALL", "C"}}, {}, directory};  // its messages are read here
  request.fds = {{0, nothing->get()}, {1, out->write.get()}, {2, err->write.get()}};
  auto child = start_program(request);
  if (!child) return tl::unexpected(child.error());
  out->write.reset();
  err->write.reset();
  std::string said, complained;
  std::array<pollfd, 2> waits = {{{out->read.get(), POLLIN, 0}, {err->read.get(), POLLIN, 0}}};
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    for (auto& wait : waits) {
      if (wait.revents == 0) continue;
      std::array<char, 4096> bytes{};
      const int64_t n =
          sys::call(SYS_read, static_cast<uint64_t>(wait.fd), sys::arg(bytes.data()), bytes.size());
      if (n > 0)
        (wait.fd == out->read.get() ? said : complained)
            .append(bytes.data(), static_cast<size_t>(n));
      if (n <= 0 && n != -EINTR) wait.fd = -1;
    }
  }
  auto ended = child->wait();
  if (!ended) return tl::unexpected(ended.error());
  if ((*ended)->signaled || (*ended)->code != 0) {
    const auto lines = split(complained, '\n');
    return system_error(argv[0], (*ended)->describe(), 0,
                        lines.empty() ? "it says nothing" : std::string(lines.back()));
  }
  return said;
}

}  // namespace ringfence

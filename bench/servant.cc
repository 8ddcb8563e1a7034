#include "bench/servant.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace ringfence::bench {
namespace {

// One byte each way: asked, and how it went (an errno, 0 for well).
bool take(int socket, unsigned char& byte) {
  for (;;) {
    const ssize_t n = ::recv(socket, &byte, 1, 0);
    if (n == 1) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}
bool give(int socket, unsigned char byte) { return ::send(socket, &byte, 1, MSG_NOSIGNAL) == 1; }

void serve(int socket, const std::function<Status()>& work) {
  unsigned char byte = 0;
  while (take(socket, byte)) {
    const auto done = work();
    const int err = done ? 0 : done.error().err == 0 ? EINVAL : done.error().err;
    if (!give(socket, static_cast<unsigned char>(err))) return;
  }
}

}  // namespace

Result<Servant> Servant::start(Kind kind, std::function<Status()> work,
                               const std::function<void()>& prepare) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return system_error("socketpair");
  }
  Servant servant;
  servant.socket_ = UniqueFd(ends[0]);
  UniqueFd theirs(ends[1]);
  if (kind == Kind::thread) {
    servant.thread_ = std::thread([socket = std::move(theirs), work = std::move(work), prepare] {
      if (prepare) prepare();
      serve(socket.get(), work);
    });
    return servant;
  }
  const pid_t pid = ::fork();
  if (pid < 0) return system_error("fork");
  if (pid == 0) {
    servant.socket_.reset();
    if (prepare) prepare();
    serve(theirs.get(), work);
    ::_exit(0);
  }
  servant.pid_ = pid;
  return servant;
}

Servant::Servant(Servant&& other) noexcept
    : socket_(std::move(other.socket_)),
      thread_(std::move(other.thread_)),
      pid_(std::exchange(other.pid_, -1)) {}

Servant::~Servant() {
  if (socket_.get() >= 0) ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.reset();
  if (thread_.joinable()) thread_.join();
  while (pid_ > 0 && ::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Status Servant::ask() {
  if (!give(socket_.get(), 1)) return system_error("ask a servant");
  return {};
}

Status Servant::wait_answer() {
  unsigned char answer = 0;
  if (!take(socket_.get(), answer)) return system_error("ask a servant", "it has ended", EPIPE);
  if (answer != 0) return system_error("start", "a servant's", answer);
  return {};
}

}  // namespace ringfence::bench

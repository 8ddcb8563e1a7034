#include "harness/cli/relay.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "harness/base/sys.h"

namespace ringfence::cli {
namespace {

constexpr std::string_view kEndOfInput = "\x04";  // VEOF of a new terminal

// Raw while it lives, when it is a terminal.
class RawTerminal {
 public:
  explicit RawTerminal(int fd) : fd_(fd) {
    if (::tcgetattr(fd_, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    changed_ = ::tcsetattr(fd_, TCSADRAIN, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (changed_) ::tcsetattr(fd_, TCSADRAIN, &before_);
  }
  [[nodiscard]] bool changed() const { return changed_; }

 private:
  int fd_;
  bool changed_ = false;
  termios before_{};
};

void pass_size_on(int from, int to) {
  winsize size{};
  if (sys::call(SYS_ioctl, from, TIOCGWINSZ, sys::arg(&size)) >= 0) {
    sys::call(SYS_ioctl, to, TIOCSWINSZ, sys::arg(&size));
  }
}

// A descriptor that tells of SIGWINCH, which is blocked from now on.
Result<UniqueFd> window_changes() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return system_error("sigprocmask", {}, errno);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return system_error("signalfd", "SIGWINCH", errno);
  return UniqueFd(fd);
}

}  // namespace

std::optional<ConsoleSize> own_size() {
  winsize size{};
  if (sys::call(SYS_ioctl, STDIN_FILENO, TIOCGWINSZ, sys::arg(&size)) < 0) return std::nullopt;
  return ConsoleSize{size.ws_row, size.ws_col};
}

Status relay(Child& child, bool sized) {
  const int terminal = child.terminal();
  auto changes = window_changes();
  if (!changes) return tl::unexpected(changes.error());
  const RawTerminal raw(STDIN_FILENO);
  const bool ours = raw.changed();
  if (ours && !sized) pass_size_on(STDIN_FILENO, terminal);
  bool input = true;
  bool ended = false;
  std::array<char, 4096> buffer{};
  for (;;) {
    std::array<pollfd, 4> events = {{{terminal, POLLIN, 0},
                                     {input && !ended ? STDIN_FILENO : -1, POLLIN, 0},
                                     {changes->get(), POLLIN, 0},
                                     {ended ? -1 : child.pidfd(), POLLIN, 0}}};
    const int64_t ready = sys::call(SYS_poll, sys::arg(events.data()), events.size(),
                                    ended ? 0 : static_cast<uint64_t>(-1));
    if (ready == -EINTR) continue;
    if (ready < 0) return system_error("poll", "the terminal", static_cast<int>(-ready));
    // Somebody whom it left behind may still have the other end: all that was said is written.
    if (ended && events[0].revents == 0) return {};
    ended = ended || events[3].revents != 0;
    if (events[2].revents != 0) {
      signalfd_siginfo change{};
      sys::call(SYS_read, changes->get(), sys::arg(&change), sizeof change);
      if (ours) pass_size_on(STDIN_FILENO, terminal);
    }
    if (events[0].revents != 0) {
      const int64_t size = sys::call(SYS_read, terminal, sys::arg(buffer.data()), buffer.size());
      if (size == -EINTR) continue;
      if (size <= 0) return {};  // EIO: nobody has the other end any more
      auto written = sys::write_full(STDOUT_FILENO, buffer.data(), static_cast<size_t>(size));
      if (!written) return written;
    }
    if (events[1].revents != 0) {
      const int64_t size =
          sys::call(SYS_read, STDIN_FILENO, sys::arg(buffer.data()), buffer.size());
      if (size == -EINTR || size == -EAGAIN) continue;
      input = size > 0;
      const std::string_view text =
          input ? std::string_view(buffer.data(), static_cast<size_t>(size)) : kEndOfInput;
      // Gone meanwhile: what it said last is read in the next round.
      if (!sys::write_full(terminal, text.data(), text.size())) input = false;
    }
  }
}

}  // namespace ringfence::cli

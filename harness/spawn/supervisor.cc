#include "harness/spawn/supervisor.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/send_descriptor.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

void wake(const void* word) { sys::call(SYS_futex, sys::arg(word), FUTEX_WAKE, 1); }

// The socket that a runtime's listenerPath is.
Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return usage_error("listen to seccomp", "/linux/seccomp/listenerPath",
                       fmt::format("a path of less than {} bytes", sizeof address.sun_path));
  }
  std::copy(path.begin(), path.end(), &address.sun_path[0]);
  const int64_t fd = sys::call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket", path, static_cast<int>(-fd));
  UniqueFd socket(static_cast<int>(fd));
  const int64_t r = sys::call(SYS_connect, socket.get(), sys::arg(&address), sizeof address);
  if (r < 0) {
    return system_error("connect to /linux/seccomp/listenerPath", path, static_cast<int>(-r),
                        "the socket of a program that answers notified calls");
  }
  return socket;
}

std::string process_state(const Listener& how, int pid) {
  nlohmann::json json = {
      {"ociVersion", how.oci_version},
      {"fds", {"seccompFd"}},
      {"pid", pid},
      {"state",
       {{"ociVersion", how.oci_version},
        {"id", fmt::format("ringfence-{}", pid)},
        {"status", "creating"},
        {"pid", pid},
        {"bundle", how.bundle}}},
  };
  if (!how.metadata.empty()) json["metadata"] = how.metadata;
  if (!how.annotations.empty()) json["state"]["annotations"] = how.annotations;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::start(const Plan& plan, ChildReport* report,
                                                      const int* pid) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor);
  supervisor->how_ = *plan.listener;
  supervisor->report_ = report;
  supervisor->pid_ = pid;
  if (!plan.listener->path.empty()) {
    auto socket = connect_to(plan.listener->path);
    if (!socket) return tl::unexpected(socket.error());
    supervisor->socket_ = std::move(*socket);
  }
  seccomp_notif_sizes sizes{};
  const int64_t r = sys::call(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, sys::arg(&sizes));
  if (r < 0) {
    return system_error("seccomp(SECCOMP_GET_NOTIF_SIZES)", "/linux/seccomp", static_cast<int>(-r),
                        "notified calls need Linux 5.0");
  }
  // A newer kernel may have more to say, an older one less than our headers know.
  supervisor->request_size_ = std::max<size_t>(sizes.seccomp_notif, sizeof(seccomp_notif));
  supervisor->response_size_ =
      std::max<size_t>(sizes.seccomp_notif_resp, sizeof(seccomp_notif_resp));
  const int64_t stop = sys::call(SYS_eventfd2, 0, 02000000 /* EFD_CLOEXEC */);
  if (stop < 0) return system_error("eventfd", "supervisor", static_cast<int>(-stop));
  supervisor->stop_ = UniqueFd(static_cast<int>(stop));
  try {
    supervisor->thread_ = std::thread([s = supervisor.get()] { s->run(); });
  } catch (const std::system_error& error) {
    return system_error("start the thread that answers notified calls", {}, error.code().value());
  }
  return supervisor;
}

Supervisor::~Supervisor() {
  if (!thread_.joinable()) return;
  (void)begun();
  const uint64_t one = 1;
  sys::call(SYS_write, stop_.get(), sys::arg(&one), sizeof one);
  thread_.join();
}

std::optional<Error> Supervisor::begun() {
  if (settled_.load(std::memory_order_acquire) != 0) return failure_;
  over_.store(true, std::memory_order_release);
  wake(&report_->listener);
  while (settled_.load(std::memory_order_acquire) == 0) {
    sys::call(SYS_futex, sys::arg(&settled_), FUTEX_WAIT, 0, 0);
  }
  return failure_;
}

// False when the child ended, or never was, before it had a listener.
bool Supervisor::await_listener() {
  for (;;) {
    const uint32_t state = __atomic_load_n(&report_->listener, __ATOMIC_ACQUIRE);
    if (state == kThere) return true;
    if (over_.load(std::memory_order_acquire)) return false;
    if (state == kComing) {
      // The next that the child does is to load the filter, and then it may not be able to wake us.
      sched_yield();  // not through the seam: how often is chance
      continue;
    }
    timespec brief{0, 20'000'000};
    sys::call(SYS_futex, sys::arg(&report_->listener), FUTEX_WAIT, 0, sys::arg(&brief));
  }
}

Result<UniqueFd> Supervisor::take(int pidfd, int number) {
  const int64_t fd =
      sys::call(SYS_pidfd_getfd, static_cast<uint64_t>(pidfd), static_cast<uint64_t>(number), 0);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  return system_error("step seccomp: pidfd_getfd", "the listener of the filter",
                      static_cast<int>(-fd),
                      fd == -EPERM    ? "needs CAP_SYS_PTRACE over who has changed its ids"
                      : fd == -ENOSYS ? "Linux 5.6 or newer is needed"
                                      : "");
}

Status Supervisor::send_away(int listener, int pid) {
  const std::string text = process_state(how_, pid);
  const int64_t sent =
      send_descriptor_with(socket_.get(), text.data(), text.size(), listener, MSG_NOSIGNAL);
  const char* what = "send the listener to /linux/seccomp/listenerPath";
  if (sent < 0) return system_error(what, how_.path, static_cast<int>(-sent));
  // The descriptor went with the first byte; what did not fit follows.
  for (auto done = static_cast<size_t>(sent); done < text.size();) {
    const int64_t r = sys::call(SYS_sendto, socket_.get(), sys::arg(text.data() + done),
                                text.size() - done, MSG_NOSIGNAL, 0, 0);
    if (r < 0) return system_error(what, how_.path, static_cast<int>(-r));
    done += static_cast<size_t>(r);
  }
  // The child has a copy of the socket until its exec, which may wait for whoever waits for an end.
  sys::call(SYS_shutdown, socket_.get(), SHUT_RDWR);
  socket_.reset();
  return {};
}

void Supervisor::run() {
  const auto settle = [this] {
    settled_.store(1, std::memory_order_release);
    wake(&settled_);
  };
  if (!await_listener()) return settle();
  // Who goes on in the child's place (kCallReborn) is another process.
  const int reborn = __atomic_load_n(&report_->reborn, __ATOMIC_ACQUIRE);
  const int pid = reborn > 0 ? reborn : *pid_;
  const int64_t opened = sys::call(SYS_pidfd_open, static_cast<uint64_t>(pid), 0);
  UniqueFd pidfd(static_cast<int>(opened));
  Status had = opened < 0
                   ? Status(system_error("pidfd_open", "the target", static_cast<int>(-opened)))
                   : Status();
  if (had) {
    auto taken = take(pidfd.get(), report_->listener_fd);
    if (taken) {
      listener_ = std::move(*taken);
    } else {
      had = tl::unexpected(taken.error());
    }
  }
  if (had && socket_) had = send_away(listener_.get(), pid);
  if (!had) {
    failure_ = had.error();
    // It may not be able to leave by itself: that is a call as well.
    if (pidfd) sys::call(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, 0, 0);
  }
  __atomic_store_n(&report_->listener_taken, uint32_t{had ? kGo : kNoGo}, __ATOMIC_RELEASE);
  wake(&report_->listener_taken);
  const bool ours = had && how_.path.empty();
  if (!ours) listener_.reset();
  settle();
  if (ours && !serve()) {
    // It would wait for ever, and may hold the listener itself.
    sys::call(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, 0, 0);
  }
  listener_.reset();
}

void Supervisor::answer(const void* request, void* response) const {
  const auto& call = *static_cast<const seccomp_notif*>(request);
  auto& reply = *static_cast<seccomp_notif_resp*>(response);
  reply.id = call.id;
  const auto it = std::find_if(how_.answers.begin(), how_.answers.end(), [&](const auto& known) {
    return known.arch == call.data.arch && known.nr == call.data.nr;
  });
  if (it == how_.answers.end()) {
    reply.error = -ENOSYS;  // as where nobody listens
    return;
  }
  switch (it->how) {
    case NotifyAnswer::How::refuse:
      reply.error = -static_cast<int32_t>(it->value);
      break;
    case NotifyAnswer::How::pretend:
      reply.val = it->value;
      break;
    case NotifyAnswer::How::proceed:
      reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      break;
  }
}

// False when nobody answers any more, and somebody may ask.
bool Supervisor::serve() {
  std::vector<uint64_t> request(request_size_ / sizeof(uint64_t) + 1);
  std::vector<uint64_t> response(response_size_ / sizeof(uint64_t) + 1);
  for (;;) {
    std::array<pollfd, 2> events = {{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    const int64_t ready =
        sys::call(SYS_poll, sys::arg(events.data()), events.size(), static_cast<uint64_t>(-1));
    if (ready == -EINTR) continue;
    if (ready < 0) return false;
    if (events[1].revents != 0) return true;
    // Nobody is left whom the filter could stop.
    if ((events[0].revents & POLLIN) == 0) return true;
    // The kernel wants it empty, and ENOENT says that the caller is gone.
    std::fill(request.begin(), request.end(), 0);
    const int64_t asked =
        sys::call(SYS_ioctl, listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, sys::arg(request.data()));
    if (asked == -ENOENT || asked == -EINTR) continue;
    if (asked < 0) return false;
    std::fill(response.begin(), response.end(), 0);
    answer(request.data(), response.data());
    // Counted before the caller goes on, so that whoever waits for its end finds it counted.
    answered_.fetch_add(1, std::memory_order_relaxed);
    const int64_t sent =
        sys::call(SYS_ioctl, listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, sys::arg(response.data()));
    if (sent < 0) answered_.fetch_sub(1, std::memory_order_relaxed);
    if (sent < 0 && sent != -ENOENT) return false;
  }
}

}  // namespace ringfence

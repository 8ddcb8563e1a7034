// What canaries show: the looking half of Canaries.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/runner/canary.h"
#include "harness/runner/host_state.h"

namespace ringfence {
namespace {

// Whether anybody is waiting to be accepted.
bool connected(const UniqueFd& fd) {
  const UniqueFd peer(static_cast<int>(sys::call(SYS_accept4, fd.get(), 0, 0, SOCK_CLOEXEC)));
  return static_cast<bool>(peer);
}

Seen seen(const Goal& goal, bool yes, std::string says) {
  return {goal, yes, std::move(says), "canary"};
}

}  // namespace

// A signal that was sent may not have been delivered yet, so that a look at the process could come
// too early. The canary is let go instead: one that was killed dies of the signal on its way out,
// one that was left alone exits as the inmate does.
Seen Canaries::ask_process(const Goal& goal) {
  const auto it = processes_.find(goal.arg);
  if (it == processes_.end()) return seen(goal, false, "there is no such canary");
  Child& child = *it->second.child;
  const char go = 'g';
  const int64_t sent = sys::call(SYS_sendto, it->second.answer.get(), sys::arg(&go), 1,
                                 MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
  if (sent < 0 && sent != -EPIPE && sent != -ECONNRESET) {
    return seen(goal, false, "the canary process cannot be asked");
  }
  constexpr std::chrono::milliseconds kPatience{5000};
  const auto status = child.wait(kPatience);
  if (!status || !*status) return seen(goal, false, "the canary process does not answer");
  return seen(goal, (*status)->signaled,
              fmt::format("canary process {}: {}", child.pid(), (*status)->describe()));
}

std::optional<Seen> Canaries::look(const Goal& goal, bool ended) {
  const auto stat_of = [&](struct stat& st) {
    return sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(goal.arg.c_str()), sys::arg(&st),
                     AT_SYMLINK_NOFOLLOW) == 0;
  };
  struct stat st {};
  switch (goal.sight) {
    case Sight::canary_killed:
      if (!ended) return std::nullopt;
      return ask_process(goal);
    case Sight::canary_traced: {
      for (const auto& [kind, canary] : processes_) {
        const auto status =
            read_file(fmt::format("/proc/{}/status", canary.child->pid())).value_or("");
        const size_t at = status.find("TracerPid:\t");
        if (at != std::string::npos && status[at + 11] != '0') {
          return seen(goal, true, fmt::format("canary process {} is being traced", kind));
        }
      }
      return seen(goal, false, "no canary process is being traced");
    }
    case Sight::canary_memory_changed: {
      for (auto& [kind, canary] : processes_) {
        std::string now(canary.memory.size(), '\0');
        auto fd = sys::open(fmt::format("/proc/{}/mem", canary.child->pid()).c_str(), O_RDONLY);
        if (!fd) continue;
        const int64_t n =
            sys::call(SYS_pread64, fd->get(), sys::arg(now.data()), now.size(), canary.env_addr);
        if (n == static_cast<int64_t>(now.size()) && now != canary.memory) {
          return seen(goal, true, "the memory of canary process " + kind + " was changed");
        }
      }
      return seen(goal, false, "the memory of the canary processes is as it was");
    }
    case Sight::file_changed: {
      const auto planted = planted_.find(goal.arg);
      if (planted == planted_.end()) return seen(goal, false, "no such canary file: " + goal.arg);
      const auto now = read_file(goal.arg);
      const bool changed = now ? *now != planted->second : now.error().err == ENOENT;
      return seen(goal, changed, goal.arg + (changed ? " was changed" : " is as it was"));
    }
    case Sight::file_exists: {
      const bool there = stat_of(st);
      return seen(goal, there, goal.arg + (there ? " is there now" : " is not there"));
    }
    case Sight::file_owned_by: {
      const bool owned = stat_of(st) && st.st_uid == static_cast<uid_t>(goal.value);
      return seen(goal, owned, fmt::format("{} belongs to uid {}", goal.arg, st.st_uid));
    }
    case Sight::file_mode_has: {
      const bool has = stat_of(st) && (st.st_mode & static_cast<mode_t>(goal.value)) ==
                                          static_cast<mode_t>(goal.value);
      return seen(goal, has, fmt::format("{} has mode {:o}", goal.arg, st.st_mode & 07777));
    }
    case Sight::file_capable: {
      vfs_cap_data caps{};
      const int64_t n = sys::call(SYS_getxattr, sys::arg(goal.arg.c_str()),
                                  sys::arg("security.capability"), sys::arg(&caps), sizeof caps);
      return seen(goal, n > 0,
                  goal.arg + (n > 0 ? " has file capabilities now" : " has no file capabilities"));
    }
    case Sight::port_open: {
      auto fd = make_socket(AF_INET, SOCK_STREAM);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<uint16_t>(goal.value));
      // Loopback answers at once: a refused connection shows in SO_ERROR without waiting.
      const int64_t r =
          fd ? sys::call(SYS_connect, fd->get(), sys::arg(&address), sizeof address) : -EBADF;
      int error = r == 0 ? 0 : static_cast<int>(-r);
      if (error == EINPROGRESS) {
        pollfd poll{fd->get(), POLLOUT, 0};
        socklen_t size = sizeof error;
        (void)sys::call(SYS_poll, sys::arg(&poll), 1, 1000);
        (void)sys::call(SYS_getsockopt, fd->get(), SOL_SOCKET, SO_ERROR, sys::arg(&error),
                        sys::arg(&size));
      }
      return seen(goal, error == 0,
                  fmt::format("port {} of the decoy host {}", goal.value,
                              error == 0 ? "answers" : "does not answer"));
    }
    case Sight::file_linked: {
      const bool linked =
          passed_ && sys::call(SYS_fstat, passed_.get(), sys::arg(&st)) == 0 && st.st_nlink > 0;
      return seen(goal, linked,
                  linked ? "the file without a name has a name now"
                         : "the file that was passed in has no name");
    }
    case Sight::hostname_changed: {
      const std::string now = uname_field(false);
      return seen(goal, !now.empty() && now != hostname_, "the decoy host's name is " + now);
    }
    case Sight::domainname_changed: {
      const std::string now = uname_field(true);
      return seen(goal, !now.empty() && now != domainname_,
                  "the decoy host's domain name is " + now);
    }
    case Sight::sysv_changed: {
      if (goal.arg == "semaphore") {
        const int64_t value = sys::call(SYS_semctl, sem_id_, 0, GETVAL, 0);
        const bool gone = value == -EINVAL || value == -EIDRM;
        return seen(goal, gone || (value >= 0 && value != kSemaphoreValue),
                    gone ? "the canary semaphore is gone"
                         : fmt::format("the canary semaphore is {}", value));
      }
      const int64_t at = sys::call(SYS_shmat, shm_id_, 0, SHM_RDONLY);
      if (at < 0) {
        const bool gone = at == -EINVAL || at == -EIDRM;  // shmat(2)
        return seen(goal, gone, gone ? "the canary segment is gone" : "it cannot be attached");
      }
      const bool changed = std::memcmp(address_of_result(at), secret_.data(), secret_.size()) != 0;
      (void)sys::call(SYS_shmdt, at);
      return seen(goal, changed,
                  changed ? "the canary segment was changed" : "the canary segment is as it was");
    }
    case Sight::key_changed: {
      std::string now(secret_.size() + 1, '\0');
      const int64_t size = sys::call(SYS_keyctl, KEYCTL_READ, static_cast<uint64_t>(key_),
                                     sys::arg(now.data()), now.size());
      const bool gone = size == -ENOKEY || size == -EKEYREVOKED || size == -EKEYEXPIRED;
      if (size < 0) return seen(goal, gone, gone ? "the canary key is gone" : "it cannot be read");
      now.resize(std::min(now.size(), static_cast<size_t>(size)));
      return seen(goal, now != secret_,
                  now != secret_ ? "the canary key was changed" : "the canary key is as it was");
    }
    case Sight::abstract_connected:
    case Sight::loopback_connected:
    case Sight::unix_connected: {
      const auto& fd = goal.sight == Sight::abstract_connected   ? abstract_
                       : goal.sight == Sight::loopback_connected ? loopback_
                                                                 : unix_;
      const bool came = fd && connected(fd);
      return seen(goal, came,
                  came ? "a connection arrived at the canary listener"
                       : "no connection arrived at the canary listener");
    }
    case Sight::mount_appeared: {
      const bool more = count_mounts(goal.arg) > mounts_before_[goal.arg];
      return seen(
          goal, more,
          fmt::format("the decoy host sees {} mount at {}", more ? "a new" : "no new", goal.arg));
    }
    case Sight::tty_input: {
      int waiting = 0;
      (void)sys::call(SYS_ioctl, tty_slave_.get(), FIONREAD, sys::arg(&waiting));
      return seen(goal, waiting > 0,
                  fmt::format("{} bytes of input wait on the canary terminal", waiting));
    }
    case Sight::mtu_changed: {
      const int now = lo_mtu();
      return seen(goal, now > 0 && now != mtu_before_, fmt::format("the MTU of lo is {}", now));
    }
    default:
      return look_at_network(goal);
  }
}

std::optional<Seen> Canaries::look_at_network(const Goal& goal) {
  const auto answer = [&](const Result<bool>& yes, const std::string& says) {
    if (!yes) blind_ = yes.error().describe();
    return seen(goal, yes.value_or(false), says);
  };
  switch (goal.sight) {
    case Sight::peer_connected: {
      const auto came = peers_.connected(goal.arg);
      return answer(came, fmt::format("{} connection arrived at neighbour {}",
                                      came.value_or(false) ? "a" : "no", goal.arg));
    }
    case Sight::peer_heard: {
      const auto came = peers_.heard(goal.arg);
      return answer(came, fmt::format("{} datagram arrived at neighbour {}",
                                      came.value_or(false) ? "a" : "no", goal.arg));
    }
    case Sight::net_changed: {
      const auto now = network_list(goal.arg);
      if (!now) return answer(tl::unexpected(now.error()), "the list cannot be read");
      const bool changed = *now != network_before_[goal.arg];
      return answer(changed, fmt::format("the decoy host's {} {}", goal.arg,
                                         changed ? "changed" : "are as they were"));
    }
    default:
      return std::nullopt;
  }
}

}  // namespace ringfence

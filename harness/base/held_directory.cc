#include "harness/base/held_directory.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <charconv>

#include "harness/base/file.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

constexpr std::string_view kPrefix = "ringfence-";

uint64_t own_pid_namespace() {
  struct stat st {};
  const int64_t r =
      sys::call(SYS_newfstatat, AT_FDCWD, sys::arg("/proc/self/ns/pid"), sys::arg(&st), 0);
  return r == 0 ? st.st_ino : 0;
}

int64_t lock(int fd, int operation) {
  for (;;) {
    const int64_t r = sys::call(SYS_flock, static_cast<uint64_t>(fd), operation | LOCK_NB);
    if (r != -EINTR) return r;
  }
}

// Whether the path still leads to the open directory.
Result<bool> is_at(const UniqueFd& fd, const std::string& path) {
  struct stat opened {};
  struct stat there {};
  int64_t r = sys::call(SYS_fstat, fd.get(), sys::arg(&opened));
  if (r == 0) {
    r = sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&there), 0);
  }
  if (r == -ENOENT) return false;
  if (r < 0) return system_error("stat", path, static_cast<int>(-r));
  return opened.st_ino == there.st_ino && opened.st_dev == there.st_dev;
}

// Open and locked; nothing when a janitor has it or has just removed it.
Result<std::optional<UniqueFd>> hold(const std::string& path) {
  auto fd = sys::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd) {
    if (fd.error().err == ENOENT) return std::optional<UniqueFd>{};
    return tl::unexpected(fd.error());
  }
  const int64_t locked = lock(fd->get(), LOCK_SH);
  if (locked == -EWOULDBLOCK) return std::optional<UniqueFd>{};
  if (locked < 0) return system_error("flock", path, static_cast<int>(-locked));
  auto same = is_at(*fd, path);
  if (!same) return tl::unexpected(same.error());
  if (!*same) return std::optional<UniqueFd>{};
  return std::optional<UniqueFd>(std::move(*fd));
}

}  // namespace

std::string held_name(std::string_view word) {
  return fmt::format("{}{}-{}-{}", kPrefix, sys::call(SYS_getpid), own_pid_namespace(), word);
}

std::optional<Maker> parse_held_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const auto parts = split(name.substr(kPrefix.size()), '-');
  if (parts.size() != 3) return std::nullopt;
  const auto read = [](std::string_view text, auto& value) {
    const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value);
    return err == std::errc() && end == text.data() + text.size();
  };
  Maker maker;
  if (!read(parts[0], maker.pid) || maker.pid <= 0) return std::nullopt;
  if (!read(parts[1], maker.pid_namespace)) return std::nullopt;
  // Inodes of namespaces begin here, include/linux/proc_ns.h; any other number is no name of ours.
  constexpr uint64_t kFirstInode = 0xEFFFFFF0;
  if (maker.pid_namespace != 0 && maker.pid_namespace < kFirstInode) return std::nullopt;
  return maker;
}

Result<UniqueFd> make_held_directory(const std::string& path) {
  constexpr int kTries = 50;
  for (int i = 0; i < kTries; ++i) {
    const int64_t made = sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(path.c_str()), 0755);
    if (made < 0 && made != -EEXIST) return system_error("mkdir", path, static_cast<int>(-made));
    auto held = hold(path);
    if (!held) {
      if (made == 0) sys::call(SYS_unlinkat, AT_FDCWD, sys::arg(path.c_str()), AT_REMOVEDIR);
      return tl::unexpected(held.error());
    }
    if (*held) return std::move(**held);
    // Not locked yet, it looked abandoned to a janitor, which removes it now.
    pollfd none{-1, 0, 0};
    sys::call(SYS_poll, sys::arg(&none), 0, 2);
  }
  return system_error("hold directory", path, EBUSY);
}

bool is_abandoned(const std::string& path, const Maker& maker, UniqueFd* claim) {
  auto fd = sys::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd) return false;
  if (lock(fd->get(), LOCK_EX) == 0) {
    // Its maker may have removed it between the two calls, and made another of that name since.
    const auto same = is_at(*fd, path);
    if (!same || !*same) return false;
    *claim = std::move(*fd);
    return true;
  }
  // A child of the maker that is about to die may hold it still.
  return maker.pid_namespace != 0 && maker.pid_namespace == own_pid_namespace() &&
         sys::call(SYS_kill, static_cast<uint64_t>(maker.pid), 0) == -ESRCH;
}

}  // namespace ringfence

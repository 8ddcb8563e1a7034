#include "harness/spawn/child_files.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>

#include "harness/base/sys.h"
#include "harness/spawn/child.h"

// What needs much of the stack is never part of a function that calls itself.
#define RINGFENCE_CHILD_APART __attribute__((noinline)) RINGFENCE_CHILD

namespace ringfence {
namespace {

constexpr uint64_t kLinkMax = 4096;  // PATH_MAX
constexpr uint64_t kBlock = 8192;
constexpr uint64_t kEntries = 1024;  // an entry has at most 280 bytes
constexpr mode_t kModeBits = 07777;

// What getdents64(2) gives.
struct Entry {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[1];
};

constexpr char kDot[2] = {'.', 0};
constexpr char kEmpty[1] = {0};

RINGFENCE_CHILD void close_one(int64_t fd) { sys::call(SYS_close, static_cast<uint64_t>(fd)); }

RINGFENCE_CHILD int64_t known_owner(int64_t r) { return r == -EINVAL ? 0 : r; }

RINGFENCE_CHILD int64_t set_times(uint64_t at, const char* name, const struct stat* st) {
  const timespec times[2] = {st->st_atim, st->st_mtim};
  return sys::call(SYS_utimensat, at, sys::arg(name), sys::arg(&times[0]), AT_SYMLINK_NOFOLLOW);
}

// Of an open file or directory. The owner first: a change of it takes set-user-ID away.
RINGFENCE_CHILD int64_t set_attributes(uint64_t fd, const struct stat* st) {
  int64_t r = known_owner(sys::call(SYS_fchown, fd, st->st_uid, st->st_gid));
  if (r >= 0) r = sys::call(SYS_fchmod, fd, st->st_mode & kModeBits);
  if (r < 0) return r;
  const timespec times[2] = {st->st_atim, st->st_mtim};
  return sys::call(SYS_utimensat, fd, 0, sys::arg(&times[0]), 0);
}

RINGFENCE_CHILD_APART int64_t copy_bytes(uint64_t from, uint64_t to) {
  char block[kBlock];
  for (;;) {
    const int64_t size = sys::call(SYS_read, from, sys::arg(&block[0]), kBlock);
    if (size <= 0) return size;
    for (int64_t done = 0; done < size;) {
      const int64_t r =
          sys::call(SYS_write, to, sys::arg(&block[done]), static_cast<uint64_t>(size - done));
      if (r < 0) return r;
      done += r;
    }
  }
}

RINGFENCE_CHILD_APART int64_t copy_file(uint64_t from, uint64_t to, const char* name) {
  // It may be another one by now than the one that was looked at: nobody waits for a pipe.
  const int64_t source = sys::call(SYS_openat, from, sys::arg(name),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (source < 0) return source;
  struct stat st {};
  int64_t r = sys::call(SYS_fstat, static_cast<uint64_t>(source), sys::arg(&st));
  if (r >= 0 && !S_ISREG(st.st_mode)) r = -ESTALE;
  if (r >= 0) {
    r = sys::call(SYS_openat, to, sys::arg(name),
                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  }
  if (r >= 0) {
    const int64_t copy = r;
    r = copy_bytes(static_cast<uint64_t>(source), static_cast<uint64_t>(copy));
    if (r >= 0) r = set_attributes(static_cast<uint64_t>(copy), &st);
    close_one(copy);
  }
  close_one(source);
  return r;
}

RINGFENCE_CHILD_APART int64_t copy_link(uint64_t link, uint64_t to, const char* name,
                                        const struct stat* st) {
  char text[kLinkMax + 1];
  int64_t r = sys::call(SYS_readlinkat, link, sys::arg(&kEmpty[0]), sys::arg(&text[0]), kLinkMax);
  if (r < 0) return r;
  text[r] = 0;
  r = sys::call(SYS_symlinkat, sys::arg(&text[0]), to, sys::arg(name));
  if (r >= 0) {
    r = known_owner(
        sys::call(SYS_fchownat, to, sys::arg(name), st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
  }
  return r < 0 ? r : set_times(to, name, st);
}

RINGFENCE_CHILD_APART int64_t copy_node(uint64_t to, const char* name, const struct stat* st) {
  int64_t r = sys::call(SYS_mknodat, to, sys::arg(name), st->st_mode, st->st_rdev);
  if (r >= 0) {
    r = known_owner(
        sys::call(SYS_fchownat, to, sys::arg(name), st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
  }
  if (r >= 0) r = sys::call(SYS_fchmodat, to, sys::arg(name), st->st_mode & kModeBits);
  return r < 0 ? r : set_times(to, name, st);
}

// Both of the directory `name`: the one that is copied is that which `path` stands for.
RINGFENCE_CHILD_APART int64_t open_both(uint64_t path, uint64_t to, const char* name,
                                        int64_t (&both)[2]) {
  constexpr uint64_t kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const int64_t r = sys::call(SYS_mkdirat, to, sys::arg(name), 0700);
  if (r < 0) return r;
  both[0] = sys::call(SYS_openat, path, sys::arg(&kDot[0]), kFlags);
  if (both[0] < 0) return both[0];
  both[1] = sys::call(SYS_openat, to, sys::arg(name), kFlags);
  if (both[1] >= 0) return 0;
  close_one(both[0]);
  return both[1];
}

RINGFENCE_CHILD int64_t copy_below(uint64_t from, uint64_t to, int depth);

RINGFENCE_CHILD_APART int64_t copy_one(uint64_t from, uint64_t to, const char* name, int depth) {
  const int64_t path = sys::call(SYS_openat, from, sys::arg(name), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (path < 0) return path;
  struct stat st {};
  int64_t r = sys::call(SYS_fstat, static_cast<uint64_t>(path), sys::arg(&st));
  if (r >= 0 && S_ISREG(st.st_mode)) {
    r = copy_file(from, to, name);
  } else if (r >= 0 && S_ISLNK(st.st_mode)) {
    r = copy_link(static_cast<uint64_t>(path), to, name, &st);
  } else if (r >= 0 && !S_ISDIR(st.st_mode)) {
    r = copy_node(to, name, &st);
  } else if (r >= 0) {
    int64_t both[2];
    r = depth > kCopyDepth ? -ENAMETOOLONG : open_both(static_cast<uint64_t>(path), to, name, both);
    if (r >= 0) {
      r = copy_below(static_cast<uint64_t>(both[0]), static_cast<uint64_t>(both[1]), depth);
      if (r >= 0) r = set_attributes(static_cast<uint64_t>(both[1]), &st);
      for (const int64_t fd : both) close_one(fd);
    }
  }
  close_one(path);
  return r;
}

RINGFENCE_CHILD int64_t copy_below(uint64_t from, uint64_t to, int depth) {
  alignas(Entry) char entries[kEntries];
  for (;;) {
    const int64_t size = sys::call(SYS_getdents64, from, sys::arg(&entries[0]), kEntries);
    if (size <= 0) return size;
    for (int64_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(&entries[at]);
      const char* name = &entry->name[0];
      at += entry->size;
      if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
      const int64_t r = copy_one(from, to, name, depth + 1);
      if (r < 0) return r;
    }
  }
}

}  // namespace

RINGFENCE_CHILD int64_t copy_tree(uint64_t from, uint64_t to, bool whole) {
  // Either may be a descriptor for a path alone.
  constexpr uint64_t kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const int64_t source = sys::call(SYS_openat, from, sys::arg(&kDot[0]), kFlags);
  if (source < 0) return source;
  const int64_t copy = sys::call(SYS_openat, to, sys::arg(&kDot[0]), kFlags);
  int64_t r = copy;
  if (copy >= 0) {
    r = copy_below(static_cast<uint64_t>(source), static_cast<uint64_t>(copy), 0);
    struct stat st {};
    if (r >= 0 && whole) r = sys::call(SYS_fstat, static_cast<uint64_t>(source), sys::arg(&st));
    if (r >= 0 && whole) r = set_attributes(static_cast<uint64_t>(copy), &st);
    close_one(copy);
  }
  close_one(source);
  return r;
}

RINGFENCE_CHILD int64_t send_descriptor(uint64_t socket, uint64_t fd) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  auto* header = reinterpret_cast<cmsghdr*>(&control[0]);
  header->cmsg_len = CMSG_LEN(sizeof(int));
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  *reinterpret_cast<int*>(CMSG_DATA(header)) = static_cast<int>(fd);
  char byte = 0;
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control[0];
  message.msg_controllen = sizeof control;
  const int64_t r = sys::call(SYS_sendmsg, socket, sys::arg(&message), MSG_NOSIGNAL);
  return r < 0 ? r : 0;
}

}  // namespace ringfence

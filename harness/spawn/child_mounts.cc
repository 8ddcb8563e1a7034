#include "harness/spawn/child_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include <cerrno>

#include "harness/base/sys.h"
#include "harness/spawn/child.h"

namespace ringfence {
namespace {

constexpr uint64_t kPathMax = 4096;
constexpr int kLinksMax = 40;  // path_resolution(7)
// statfs(2) has these as mount(2) has them, and two in other places.
constexpr uint64_t kSameInBoth = 1 | 2 | 4 | 8 | 1024 | 2048;  // ro to noexec, noatime, nodiratime
constexpr uint64_t kStRelatime = 4096, kMsRelatime = 1U << 21U;
constexpr uint64_t kStNoSymFollow = 0x2000, kMsNoSymFollow = 0x100;
constexpr uint64_t kMsRemount = 32;
constexpr uint64_t kNowhere = static_cast<uint64_t>(-1);

RINGFENCE_CHILD void fd_path(char* text, uint64_t fd) {
  const char prefix[] = "/proc/self/fd/";
  uint64_t at = 0;
  for (; prefix[at] != 0; ++at) text[at] = prefix[at];
  char digits[20];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + fd % 10);
    fd /= 10;
  } while (fd > 0);
  while (count > 0) text[at++] = digits[--count];
  text[at] = 0;
}

// A path that is resolved bit by bit.
struct Walk {
  uint64_t root;
  char done[kPathMax];  // components that were opened, joined by '/'
  uint64_t done_size;
  char todo[kPathMax];  // what is left, at `next`
  uint64_t next;
  int64_t at;  // the directory of `done`; -1: the root itself
  int links;
};

RINGFENCE_CHILD void leave_directory(Walk* w) {
  if (w->at >= 0) sys::call(SYS_close, static_cast<uint64_t>(w->at));
  w->at = -1;
}

RINGFENCE_CHILD uint64_t directory(const Walk* w) {
  return w->at >= 0 ? static_cast<uint64_t>(w->at) : w->root;
}

// One component: what it is, without following it.
RINGFENCE_CHILD int64_t open_one(const Walk* w, const char* name) {
  return sys::call(SYS_openat, directory(w), sys::arg(name), O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

// The directory above: from the root again, since ".." of a directory that was moved leads out.
RINGFENCE_CHILD int64_t go_up(Walk* w) {
  while (w->done_size > 0 && w->done[w->done_size - 1] != '/') --w->done_size;
  if (w->done_size > 0) --w->done_size;
  leave_directory(w);
  uint64_t from = 0;
  while (from < w->done_size) {
    char name[256];
    uint64_t size = 0;
    while (from + size < w->done_size && w->done[from + size] != '/') {
      if (size + 1 >= sizeof name) return -ENAMETOOLONG;
      name[size] = w->done[from + size];
      ++size;
    }
    name[size] = 0;
    from += size + 1;
    const int64_t fd = open_one(w, &name[0]);
    if (fd < 0) return fd;
    leave_directory(w);
    w->at = fd;
  }
  return 0;
}

// Puts what the link `fd` says before what is left.
RINGFENCE_CHILD int64_t follow(Walk* w, int64_t fd) {
  if (++w->links > kLinksMax) return -ELOOP;
  char text[kPathMax];
  const char empty[1] = {0};
  const int64_t size = sys::call(SYS_readlinkat, static_cast<uint64_t>(fd), sys::arg(&empty[0]),
                                 sys::arg(&text[0]), sizeof text);
  if (size < 0) return size;
  if (size == 0) return -ENOENT;
  uint64_t rest = 0;
  while (w->todo[w->next + rest] != 0) ++rest;
  const auto length = static_cast<uint64_t>(size);
  if (length + 1 + rest + 1 > kPathMax) return -ENAMETOOLONG;
  // From behind: the two may overlap.
  if (length + 1 > w->next) {
    for (uint64_t i = rest + 1; i > 0; --i) w->todo[length + i] = w->todo[w->next + i - 1];
  } else {
    for (uint64_t i = 0; i <= rest; ++i) w->todo[length + 1 + i] = w->todo[w->next + i];
  }
  w->todo[length] = '/';
  for (uint64_t i = 0; i < length; ++i) w->todo[i] = text[i];
  w->next = 0;
  if (text[0] != '/') return 0;
  leave_directory(w);
  w->done_size = 0;
  return 0;
}

RINGFENCE_CHILD int64_t remember(Walk* w, const char* name, uint64_t size) {
  if (w->done_size + size + 2 > kPathMax) return -ENAMETOOLONG;
  if (w->done_size > 0) w->done[w->done_size++] = '/';
  for (uint64_t i = 0; i < size; ++i) w->done[w->done_size++] = name[i];
  return 0;
}

// The next component into `name`; its size, 0 at the end.
RINGFENCE_CHILD uint64_t take(Walk* w, char (&name)[256]) {
  while (w->todo[w->next] == '/') ++w->next;
  uint64_t size = 0;
  while (w->todo[w->next] != 0 && w->todo[w->next] != '/') {
    if (size + 1 < sizeof name) name[size] = w->todo[w->next];
    ++size;
    ++w->next;
  }
  name[size < sizeof name ? size : 0] = 0;
  return size;
}

RINGFENCE_CHILD bool at_end(const Walk* w) {
  uint64_t i = w->next;
  while (w->todo[i] == '/') ++i;
  return w->todo[i] == 0;
}

RINGFENCE_CHILD int64_t resolve(Walk* w, uint64_t flags, bool no_links) {
  for (;;) {
    char name[256];
    const uint64_t size = take(w, name);
    if (size >= sizeof name) return -ENAMETOOLONG;
    if (size == 0) break;
    if (size == 1 && name[0] == '.') continue;
    if (size == 2 && name[0] == '.' && name[1] == '.') {
      if (const int64_t r = go_up(w); r < 0) return r;
      continue;
    }
    const int64_t fd = open_one(w, &name[0]);
    if (fd < 0) return fd;
    struct stat st {};
    int64_t r = sys::call(SYS_fstat, static_cast<uint64_t>(fd), sys::arg(&st));
    const bool link = r >= 0 && S_ISLNK(st.st_mode);
    if (link) {
      r = no_links ? -ELOOP : follow(w, fd);
    } else if (r >= 0 && at_end(w)) {
      if ((flags & O_PATH) != 0) {
        if ((flags & O_DIRECTORY) == 0 || S_ISDIR(st.st_mode)) return fd;
        r = -ENOTDIR;
      } else {
        r = sys::call(SYS_openat, directory(w), sys::arg(&name[0]), flags | O_NOFOLLOW | O_CLOEXEC);
        sys::call(SYS_close, static_cast<uint64_t>(fd));
        return r;
      }
    } else if (r >= 0) {
      r = remember(w, &name[0], size);
      if (r >= 0) {
        leave_directory(w);
        w->at = fd;
        continue;
      }
    }
    sys::call(SYS_close, static_cast<uint64_t>(fd));
    if (r < 0) return r;
  }
  const char dot[2] = {'.', 0};
  return sys::call(SYS_openat, directory(w), sys::arg(&dot[0]), flags | O_CLOEXEC);
}

}  // namespace

RINGFENCE_CHILD int64_t mount_at(const uint64_t* a) {
  char target[40];
  char source[40];
  fd_path(&target[0], a[1]);
  uint64_t from = a[0];
  if (a[5] != kNowhere) {
    fd_path(&source[0], a[5]);
    from = sys::arg(&source[0]);
  }
  uint64_t flags = a[3];
  if ((flags & kMsRemount) != 0) {
    // What is left out would be cleared.
    struct statfs st {};
    const int64_t r = sys::call(SYS_fstatfs, a[1], sys::arg(&st));
    if (r < 0) return r;
    const auto has = static_cast<uint64_t>(st.f_flags);
    flags |= has & kSameInBoth;
    if ((has & kStRelatime) != 0) flags |= kMsRelatime;
    if ((has & kStNoSymFollow) != 0) flags |= kMsNoSymFollow;
  }
  return sys::call(SYS_mount, from, sys::arg(&target[0]), a[2], flags, a[4]);
}

RINGFENCE_CHILD int64_t open_in_root(uint64_t root, const char* path, uint64_t flags,
                                     bool no_links) {
  Walk w;
  w.root = root;
  w.done_size = w.next = 0;
  w.at = -1;
  w.links = 0;
  uint64_t size = 0;
  for (; path[size] != 0; ++size) {
    if (size + 1 >= kPathMax) return -ENAMETOOLONG;
    w.todo[size] = path[size];
  }
  w.todo[size] = 0;
  const int64_t fd = resolve(&w, flags, no_links);
  leave_directory(&w);
  return fd;
}

}  // namespace ringfence

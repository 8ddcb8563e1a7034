#include "probes/inmate/walk.h"

struct entry { /* struct linux_dirent64 */
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};
enum { kDirectory = 4, kRegular = 8 }; /* DT_DIR, DT_REG */

void walk_list_open(struct walk_list* list, long fd) {
  list->fd = fd;
  list->size = 0;
  list->at = 0;
  list->error = 0;
}

const char* walk_list_next(struct walk_list* list) {
  for (;;) {
    if (list->at >= list->size) {
      list->size = sys(__NR_getdents64, list->fd, list->buffer, sizeof list->buffer);
      list->at = 0;
      if (list->size <= 0) {
        list->error = list->size;
        list->size = 0;
        return NULL;
      }
    }
    const struct entry* e = (const struct entry*)(list->buffer + list->at);
    list->at += e->size;
    if (str_eq(e->name, ".") || str_eq(e->name, "..")) continue;
    list->type = e->type;
    return e->name;
  }
}

struct walk {
  int flags;
  long (*use)(long fd);
  int entries;
  long answer;
  long refused[6]; /* the arguments of the refused open that says most */
  struct rf_text path;
};

static struct walk_list levels[kWalkDepth];

static bool walk_level(struct walk* w, int depth, long directory) {
  struct walk_list* list = &levels[depth];
  walk_list_open(list, directory);
  const size_t base = w->path.size;
  bool done = false;
  for (const char* name = walk_list_next(list); name != NULL && !done;
       name = walk_list_next(list)) {
    if (++w->entries > kWalkEntries) break;
    w->path.size = base;
    add_str(&w->path, "/");
    add_str(&w->path, name);
    if (list->type == kRegular) {
      const int flags = w->flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
      const long args[6] = {directory, (long)name, flags};
      const long fd = sys(__NR_openat, directory, name, flags);
      if (fd < 0) {
        const long before = w->answer;
        w->answer = worse(w->answer, fd);
        if (w->answer != before) memcpy(w->refused, args, sizeof args);
        continue;
      }
      const long ret = w->use(fd);
      if (ret < 0) {
        w->answer = worse(w->answer, ret);
        sys(__NR_close, fd);
        continue;
      }
      say_call(__NR_openat, fd, args);
      say_remark(w->path.text);
      w->answer = ret;
      done = true;
    } else if (list->type == kDirectory && depth + 1 < kWalkDepth) {
      const long fd = sys(__NR_openat, directory, name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
      if (fd < 0) continue;
      done = walk_level(w, depth + 1, fd);
      sys(__NR_close, fd);
      if (done) return true;
    }
  }
  w->path.size = base;
  return done;
}

long walk_open(const char* directory, int flags, long (*use)(long fd)) {
  static struct walk w;
  w.flags = flags;
  w.use = use;
  w.answer = 0;
  add_str(&w.path, directory);
  const long fd = decide_open(directory, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return fd;
  if (walk_level(&w, 0, fd)) return w.answer;
  if (w.answer == 0) return -ENOENT; /* nothing there to open */
  say_call(__NR_openat, w.answer, w.refused);
  return w.answer;
}

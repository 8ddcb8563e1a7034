#include "reports/follow.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include <climits>

#include "harness/base/sys.h"
#include "reports/explain.h"
#include "reports/reader.h"
#include "reports/text.h"

namespace ringfence {
namespace {

class Follower {
 public:
  Follower(std::string path, std::string id) : path_(std::move(path)), id_(std::move(id)) {}

  Result<std::vector<RunResult>> run() {
    const int64_t made = sys::call(SYS_inotify_init1, IN_CLOEXEC);
    if (made < 0) return system_error("inotify_init1", path_, static_cast<int>(-made));
    inotify_ = UniqueFd(static_cast<int>(made));
    if (auto ok = wait_for_file(); !ok) return tl::unexpected(ok.error());
    bool over = nobody_writes();
    for (;;) {
      auto news = read_news();
      if (!news) return tl::unexpected(news.error());
      if (*news) {
        auto results = parse_results(text_, path_, {.accept_truncated = true});
        if (!results) return results;
        if (find_case(*results, id_)) return results;
        // Strictly read: every run of it has its summary.
        if (parse_results(text_, path_)) return missing("the run has ended without it");
      }
      if (over) return missing("nobody writes the file any more, and its run has no summary");
      auto closed = wait_for_events();
      if (!closed) return tl::unexpected(closed.error());
      over = *closed && nobody_writes();
    }
  }

 private:
  [[nodiscard]] tl::unexpected<Error> missing(const std::string& why) const {
    return usage_error("explain --follow", terminal_safe(id_ + " in " + path_), why);
  }

  Status watch(const std::string& path, uint32_t mask) {
    const int64_t r =
        sys::call(SYS_inotify_add_watch, inotify_.get(), sys::arg(path.c_str()), mask);
    if (r < 0) return system_error("inotify_add_watch", path, static_cast<int>(-r));
    return {};
  }

  // Before each look the watch is on, so that nothing falls between the two.
  Status wait_for_file() {
    const size_t slash = path_.rfind('/');
    const std::string directory = slash == std::string::npos ? "."
                                  : slash == 0               ? "/"
                                                             : path_.substr(0, slash);
    if (auto ok = watch(directory, IN_CREATE | IN_MOVED_TO); !ok) return ok;
    for (;;) {
      auto fd = sys::open(path_.c_str(), O_RDONLY);
      if (fd) {
        file_ = std::move(*fd);
        return watch(path_, IN_MODIFY | IN_CLOSE_WRITE);
      }
      if (fd.error().err != ENOENT) return tl::unexpected(fd.error());
      if (auto woken = wait_for_events(); !woken) return tl::unexpected(woken.error());
    }
  }

  // A lease for reading is given only while nobody has the file open for writing. Where none is to
  // be had at all (another's file, a file system without) the answer is no.
  [[nodiscard]] bool nobody_writes() const {
    const int64_t r = sys::call(SYS_fcntl, file_.get(), F_SETLEASE, F_RDLCK);
    if (r < 0) return false;
    (void)sys::call(SYS_fcntl, file_.get(), F_SETLEASE, F_UNLCK);
    return true;
  }

  // Whether whole lines have come that may matter. A file that was begun anew is read anew.
  Result<bool> read_news() {
    struct stat st {};
    const int64_t r = sys::call(SYS_fstat, file_.get(), sys::arg(&st));
    if (r < 0) return system_error("fstat", path_, static_cast<int>(-r));
    if (static_cast<uint64_t>(st.st_size) < text_.size() + part_.size()) {
      const int64_t back = sys::call(SYS_lseek, file_.get(), 0, SEEK_SET);
      if (back < 0) return system_error("lseek", path_, static_cast<int>(-back));
      text_.clear();
      part_.clear();
    }
    std::array<char, 65536> buffer;
    for (;;) {
      auto n = sys::read_full(file_.get(), buffer.data(), buffer.size());
      if (!n) return tl::unexpected(n.error());
      part_.append(buffer.data(), *n);
      if (*n < buffer.size()) break;
    }
    const size_t end = part_.rfind('\n');
    if (end == std::string::npos) return false;
    const std::string_view lines = std::string_view(part_).substr(0, end + 1);
    const bool matter = lines.find(id_) != std::string_view::npos ||
                        lines.find("\"type\":\"summary\"") != std::string_view::npos;
    text_ += lines;
    part_.erase(0, end + 1);
    return matter;
  }

  // Blocks until something happens; whether a writer closed the file.
  Result<bool> wait_for_events() {
    alignas(inotify_event) std::array<char, 16 * (sizeof(inotify_event) + NAME_MAX + 1)> buffer;
    int64_t n = -EINTR;
    while (n == -EINTR) {
      n = sys::call(SYS_read, inotify_.get(), sys::arg(buffer.data()), buffer.size());
    }
    if (n < 0) return system_error("read inotify", path_, static_cast<int>(-n));
    bool closed = false;
    for (size_t at = 0; at + sizeof(inotify_event) <= static_cast<size_t>(n);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      closed = closed || (event.mask & IN_CLOSE_WRITE) != 0;
      at += sizeof event + event.len;
    }
    return closed;
  }

  std::string path_, id_;
  UniqueFd inotify_, file_;
  std::string text_;  // whole lines
  std::string part_;  // what came after the last of them
};

}  // namespace

Result<std::vector<RunResult>> follow_case(const std::string& path, const std::string& id) {
  return Follower(path, id).run();
}

}  // namespace ringfence

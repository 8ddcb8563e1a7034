#include "reports/console.h"

#include <algorithm>
#include <chrono>

#include "harness/base/sys.h"

namespace ringfence {
namespace {

constexpr int64_t kRedrawNs = 50'000'000;  // 20 a second: smooth, and next to nothing of the run

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Console::Console(int fd, Style style) : fd_(fd), style_(style) {}

Console::~Console() {
  const std::lock_guard lock(mutex_);
  clear();
}

void Console::write(const std::string& text) {
  if (!status_) return;  // a reader that went away does not come back
  status_ = sys::write_full(fd_, text.data(), text.size());
}

void Console::clear() {
  if (!line_shown_) return;
  write("\r\x1b[K");
  line_shown_ = false;
}

void Console::draw(bool now) {
  if (!style_.live || style_.detail == Detail::quiet) return;
  const int64_t at = now_ns();
  if (!now && at - drawn_ns_ < kRedrawNs) return;
  drawn_ns_ = at;
  progress_.elapsed_ns = at - began_ns_;
  // One write for erase and line: no flicker.
  write("\r\x1b[K" + render_progress(progress_, style_));
  line_shown_ = true;
}

void Console::begin(const HeaderRecord& header, size_t total) {
  const std::lock_guard lock(mutex_);
  if (began_ns_ == 0) began_ns_ = now_ns();
  progress_.total += total;
  clear();
  write(render_banner(header, total, style_));
  draw(true);
}

void Console::case_started(const std::string& id) {
  const std::lock_guard lock(mutex_);
  progress_.running.push_back(id);
  draw(false);
}

void Console::case_finished(const CaseRecord& record) {
  const std::lock_guard lock(mutex_);
  ++progress_.counts[record.verdict];
  auto& running = progress_.running;
  const auto found = std::find(running.begin(), running.end(), record.id);
  if (found != running.end()) running.erase(found);
  const std::string line = render_case_line(record, style_);
  if (!line.empty()) {
    clear();
    write(line);
  }
  draw(!line.empty());
}

void Console::tick() {
  const std::lock_guard lock(mutex_);
  if (began_ns_ != 0) draw(false);
}

Status Console::end(const std::vector<RunResult>& results,
                    const std::vector<ReportPlace>& reports) {
  const std::lock_guard lock(mutex_);
  clear();
  write(render_end(results, reports, style_));
  return status_;
}

}  // namespace ringfence

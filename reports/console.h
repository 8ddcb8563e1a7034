#pragma once
// Console: a run as a person watches it. A thin layer that writes what console_text.h renders: on
// a terminal one status line, redrawn; elsewhere only lines that stay. Thread safe: the runner's
// workers report as they go. A failed write (a closed pipe) never stops a run; end() returns the
// first one.
#include <mutex>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "reports/console_text.h"

namespace ringfence {

class Console {
 public:
  // `fd` is not owned. It is standard error when a report goes to standard output.
  Console(int fd, Style style);
  // A run that ends early (an error) leaves no half line on the terminal.
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Once per header; `total` cases are added to those that are to come.
  void begin(const HeaderRecord& header, size_t total);
  void case_started(const std::string& id);
  void case_finished(const CaseRecord& record);
  // Redraws the elapsed time; call it some times a second. Does nothing off a terminal.
  void tick();
  Status end(const std::vector<RunResult>& results, const std::vector<ReportPlace>& reports);

 private:
  void draw(bool now);
  void clear();
  void write(const std::string& text);

  std::mutex mutex_;
  int fd_;
  Style style_;
  Progress progress_;
  int64_t began_ns_ = 0;
  int64_t drawn_ns_ = 0;
  bool line_shown_ = false;
  Status status_;
};

}  // namespace ringfence

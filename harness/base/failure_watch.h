#pragma once
// FailureWatch: remembers the first syscall of this process that failed while it lives. What looks
// for evidence uses it to tell "it is not there" from "the look failed": only the first is
// evidence. One at a time looks; not for code that makes threads or children that share memory.
#include <span>

namespace ringfence::sys {

class FailureWatch {
 public:
  // Errors in `answers` are what the kernel answers to a question (ENOENT: no such file), and no
  // failure; neither is EINTR, which is retried. The list must outlive the watch.
  explicit FailureWatch(std::span<const int> answers = {});
  ~FailureWatch();
  FailureWatch(const FailureWatch&) = delete;
  FailureWatch& operator=(const FailureWatch&) = delete;

  [[nodiscard]] bool saw() const { return nr_ >= 0; }
  [[nodiscard]] long nr() const { return nr_; }  // the syscall, -1 for none
  [[nodiscard]] int err() const { return err_; }

  void failed(long nr, int err) noexcept;  // for sys::call

 private:
  std::span<const int> answers_;
  FailureWatch* outer_;
  long nr_ = -1;
  int err_ = 0;
};

}  // namespace ringfence::sys

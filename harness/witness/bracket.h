#pragma once
// Bracket: uprobes on the two symbols that stand around an attempt in the inmate's image. The
// kernel's word that our image ran the code of an attempt, and with what result it came out: proof
// of attempt for those that make no syscall of their own on the host, and two lines of the
// timeline.
//
// Attached once for an image (a sealed file in memory), whoever executes it; programs count only
// watched tasks. Costs some milliseconds to attach and more than 100 to detach (the kernel waits
// for every CPU), hence off unless a case or the user asks. A copy of the image in another file is
// not bracketed. Each attempt is some microseconds longer: two breakpoints.
//
// Needs uprobes (CONFIG_UPROBE_EVENTS, Linux 4.17 for their perf event source).
// Source: Documentation/trace/uprobetracer.rst, perf_event_open(2).
#include <cstdint>
#include <memory>
#include <string>

#include "harness/base/result.h"
#include "harness/witness/facts.h"
#include "harness/witness/witness.h"

namespace ringfence {

class Bracket {
 public:
  // `image_fd` is the program; it has to have the symbols. The Witness must live longer.
  static Result<Bracket> attach(const Witness& witness, int image_fd);
  Bracket(Bracket&&) noexcept;
  Bracket& operator=(Bracket&&) noexcept;
  ~Bracket();

  // What was seen of an attempt in a watch (Watch::id()), and makes room for others.
  [[nodiscard]] Result<BracketSeen> take(uint64_t watch, const std::string& attempt) const;

 private:
  struct State;
  explicit Bracket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

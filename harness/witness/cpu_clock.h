#pragma once
// CpuClock: how long watched tasks were on a CPU, in user space and in the kernel, by sampling: one
// sample for every millisecond that a task has run (PERF_COUNT_SW_CPU_CLOCK with a BPF program).
//
// The event belongs to a task and is inherited by what it starts, so nobody else is sampled, the
// cost is the same on 1 CPU and on 128, and what moves between CPUs is followed. Each sample is
// checked against the scope of the Witness. Loaded once; an event for each task that is followed.
//
// Needs CAP_PERFMON (or kernel.perf_event_paranoid <= 2 with CAP_BPF) and Linux 4.9.
// Sources: perf_event_open(2), kernel/events/core.c (inherit_event, perf_event_alloc).
#include <cstdint>
#include <memory>

#include "harness/base/result.h"
#include "harness/witness/facts.h"
#include "harness/witness/witness.h"

namespace ringfence {

class CpuClock {
 public:
  // The Witness must live longer. The time of the process `left_out` does not count (0: none).
  static Result<CpuClock> open(const Witness& witness, int left_out = 0);
  CpuClock(CpuClock&&) noexcept;
  CpuClock& operator=(CpuClock&&) noexcept;
  ~CpuClock();

  // Counts a watch (Watch::id()) from zero, in place `slot` of RF_CPU_SLOTS, by one watch at a
  // time.
  Status begin(uint64_t watch, uint32_t slot) const;
  // Follows a task (a thread; 0: the calling one) and all that it starts from now on, as far as it
  // is watched, while the descriptor is open.
  [[nodiscard]] Result<UniqueFd> follow(int tid) const;
  [[nodiscard]] Result<CpuTime> time(uint64_t watch) const;
  void end(uint64_t watch) const;

 private:
  struct State;
  explicit CpuClock(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringfence

#pragma once
// Capacity: how many events the witness tells before the first is lost, and whether what was lost
// beyond that is counted exactly.
//
// Needs a Witness and a v2 group. Units: events; nanoseconds.
#include <cstdint>
#include <string>

#include "bench/worker.h"
#include "harness/base/result.h"
#include "harness/witness/witness.h"

namespace ringfence::bench {

struct Flood {
  std::string name;
  size_t ring_bytes = 0;
  bool reads_along = true;  // or only once all is over
};

struct Told {
  Flood flood;
  uint64_t made = 0;  // refused calls, an event each
  uint64_t read = 0;
  uint64_t lost = 0;  // as the witness counted
  Worker::Took took;
  uint64_t burst = 0;  // of so many calls
  // None was lost before that many; `made` when none was at all.
  uint64_t without_loss = 0;
  [[nodiscard]] bool exact() const { return made == read + lost; }
  [[nodiscard]] double per_second() const;
  [[nodiscard]] double peak_per_second() const;  // of the fastest burst
};

// `worker` makes at least `calls` refused calls in the group, as fast as it can.
Result<Told> flood(const Witness& witness, uint64_t group, Worker& worker, const Flood& flood,
                   uint64_t calls);
// A line for people.
std::string render(const Told& told);

}  // namespace ringfence::bench

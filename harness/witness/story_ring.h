#pragma once
// StoryRing: how events of the eBPF witness come to the harness. A ring buffer, or where the kernel
// has none a perf buffer for each CPU; which of the two, is found by making one (story_rungs()).
// Reading it costs no fact: what a verdict rests on is in the witness's maps.
//
// Lives in the process that reads, since a perf buffer's memory does not go to a forked one.
//
// Sources: Documentation/bpf/ringbuf.rst (Linux 5.8), perf_event_open(2) PERF_COUNT_SW_BPF_OUTPUT,
// libbpf 1.1.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/witness/ladder.h"

struct rf_event;

namespace ringfence {

enum class StoryTransport : uint8_t { ringbuf, perf };

// The rungs of the hook `story`, in order of preference, each tried.
std::vector<Rung> story_rungs();
// That of the rung which is taken; the rungs may be of any hook.
StoryTransport story_transport(const std::vector<Rung>& rungs);

// A map that takes the events of one watch at a time. `bytes`: a power of two, at least a page; of
// perf buffers that of each CPU.
Result<UniqueFd> make_story_map(StoryTransport transport, size_t bytes);

class StoryRing {
 public:
  using Tell = std::function<void(const rf_event&, size_t)>;
  virtual ~StoryRing() = default;
  // Hands every event of this trial that is there to `tell`, oldest first; how many. Those of
  // another trial, which a shared ring may still hold, are passed over.
  virtual Result<size_t> read(const Tell& tell) = 0;
  // Readable when there are events, for poll(2).
  [[nodiscard]] virtual int fd() const = 0;
};

// `map` is one that make_story_map() made with the same `bytes`. Perf buffers take the place of
// those that another process has put there. `wakes`: see Witness::WatchOptions.
Result<std::unique_ptr<StoryRing>> open_story(StoryTransport transport, int map, size_t bytes,
                                              uint64_t trial, bool wakes);

}  // namespace ringfence

#include "harness/witness/story_ring.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "harness/base/sys.h"
#include "probes/bpf/abi.h"
#include "probes/bpf/probe_abi.h"

namespace ringfence {
namespace {

struct Transport {
  StoryTransport transport;
  std::string_view name;
};
constexpr std::array<Transport, 2> kTransports = {
    {{StoryTransport::ringbuf, "ringbuf"}, {StoryTransport::perf, "perf"}}};

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

class RingBuffer : public StoryRing {
 public:
  explicit RingBuffer(uint64_t trial) : trial_(trial) {}
  RingBuffer(const RingBuffer&) = delete;
  RingBuffer& operator=(const RingBuffer&) = delete;
  ~RingBuffer() override {
    if (buffer_ != nullptr) ring_buffer__free(buffer_);
  }
  bool open(int map) {
    buffer_ = ring_buffer__new(map, sample, this, nullptr);
    return buffer_ != nullptr;
  }
  Result<size_t> read(const Tell& tell) override {
    tell_ = &tell;
    told_ = 0;
    const int n = ring_buffer__consume(buffer_);
    tell_ = nullptr;
    if (n < 0) return system_error("read ring buffer", {}, -n);
    return told_;
  }
  [[nodiscard]] int fd() const override { return ring_buffer__epoll_fd(buffer_); }

 private:
  static int sample(void* context, void* data, size_t size) {
    auto* self = static_cast<RingBuffer*>(context);
    if (size < sizeof(rf_event)) return 0;
    const auto& event = *static_cast<const rf_event*>(data);
    if (event.trial != self->trial_) return 0;
    (*self->tell_)(event, size);
    ++self->told_;
    return 0;
  }
  uint64_t trial_;
  ring_buffer* buffer_ = nullptr;
  const Tell* tell_ = nullptr;
  size_t told_ = 0;
};

class PerfBuffers : public StoryRing {
 public:
  explicit PerfBuffers(uint64_t trial) : trial_(trial) {}
  PerfBuffers(const PerfBuffers&) = delete;
  PerfBuffers& operator=(const PerfBuffers&) = delete;
  ~PerfBuffers() override {
    if (buffers_ != nullptr) perf_buffer__free(buffers_);
  }
  bool open(int map, size_t bytes, bool wakes) {
    perf_event_attr attr{};
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_BPF_OUTPUT;
    attr.sample_type = PERF_SAMPLE_RAW;
    attr.sample_period = attr.wakeup_events = wakes ? 1 : kNever;
    buffers_ = perf_buffer__new_raw(map, bytes / page_bytes(), &attr, record, this, nullptr);
    return buffers_ != nullptr;
  }
  // Each CPU's are in order; all of them are once they are sorted.
  Result<size_t> read(const Tell& tell) override {
    bytes_.clear();
    found_.clear();
    const int n = perf_buffer__consume(buffers_);
    if (n < 0) return system_error("read perf buffers", {}, -n);
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Found& a, const Found& b) { return a.time < b.time; });
    for (const Found& each : found_) {
      // Copied for its alignment.
      alignas(rf_event) std::array<char, kEventMax> event;
      std::memcpy(event.data(), bytes_.data() + each.offset, each.size);
      tell(*reinterpret_cast<const rf_event*>(event.data()), each.size);
    }
    return found_.size();
  }
  [[nodiscard]] int fd() const override { return perf_buffer__epoll_fd(buffers_); }

 private:
  // The longest event, and what perf adds at its end so that the next one is aligned.
  static constexpr size_t kEventMax = sizeof(rf_event_path) + 2 * sizeof(uint64_t);
  static_assert(sizeof(rf_event_probe) <= sizeof(rf_event_path));
  static constexpr uint32_t kNever = 1U << 30;  // events until one wakes
  struct Found {
    uint64_t time;
    size_t offset, size;
  };
  static bpf_perf_event_ret record(void* context, int /*cpu*/, perf_event_header* header) {
    // Others are of PERF_RECORD_LOST: the programs have counted each of those events already.
    if (header->type != PERF_RECORD_SAMPLE) return LIBBPF_PERF_EVENT_CONT;
    struct Raw {
      perf_event_header header;
      uint32_t size;
    };
    const auto* first = reinterpret_cast<const char*>(header) + sizeof(Raw);
    const size_t size = reinterpret_cast<const Raw*>(header)->size;
    auto* self = static_cast<PerfBuffers*>(context);
    rf_event head;
    if (size < sizeof head) return LIBBPF_PERF_EVENT_CONT;
    std::memcpy(&head, first, sizeof head);
    if (head.trial != self->trial_) return LIBBPF_PERF_EVENT_CONT;
    const size_t taken = std::min(size, kEventMax);
    self->found_.push_back({head.at, self->bytes_.size(), taken});
    self->bytes_.insert(self->bytes_.end(), first, first + taken);
    return LIBBPF_PERF_EVENT_CONT;
  }
  uint64_t trial_;
  perf_buffer* buffers_ = nullptr;
  std::vector<char> bytes_;
  std::vector<Found> found_;
};

}  // namespace

std::vector<Rung> story_rungs() {
  std::vector<Rung> rungs;
  for (const Transport& each : kTransports) {
    Rung& rung = rungs.emplace_back(Rung{.hook = "story", .name = std::string(each.name)});
    rung.tried = true;
    const auto map = make_story_map(each.transport, page_bytes());
    rung.loads = map.has_value();
    if (map) continue;
    rung.err = map.error().err;
    rung.reason = rung.err == EPERM ? "EPERM: the kernel does not let this process make the map "
                                      "(privilege, lockdown, or a policy of the host)"
                                    : errno_name(rung.err) + ": this kernel has no such map";
  }
  return rungs;
}

StoryTransport story_transport(const std::vector<Rung>& rungs) {
  const bool perf = std::any_of(rungs.begin(), rungs.end(), [](const Rung& rung) {
    return rung.taken && rung.hook == "story" && rung.name == "perf";
  });
  return perf ? StoryTransport::perf : StoryTransport::ringbuf;
}

uint32_t perf_buffers() { return static_cast<uint32_t>(std::max(libbpf_num_possible_cpus(), 1)); }

Result<UniqueFd> make_story_map(StoryTransport transport, size_t bytes) {
  const bool perf = transport == StoryTransport::perf;
  const char* what = perf ? "perf buffers" : "ring buffer";
  if (perf && (bytes < page_bytes() || !std::has_single_bit(bytes))) {
    return system_error("BPF_MAP_CREATE", what, EINVAL);
  }
  bpf_attr attr{};
  attr.map_type = perf ? BPF_MAP_TYPE_PERF_EVENT_ARRAY : BPF_MAP_TYPE_RINGBUF;
  if (perf) attr.key_size = attr.value_size = sizeof(uint32_t);
  attr.max_entries =
      perf ? static_cast<uint32_t>(libbpf_num_possible_cpus()) : static_cast<uint32_t>(bytes);
  constexpr std::string_view kName = "rf_story";
  std::memcpy(attr.map_name, kName.data(), kName.size());
  const int64_t r = sys::call(SYS_bpf, BPF_MAP_CREATE, sys::arg(&attr), sizeof attr);
  if (r < 0) return system_error("BPF_MAP_CREATE", what, static_cast<int>(-r));
  return UniqueFd(static_cast<int>(r));
}

Result<std::unique_ptr<StoryRing>> open_story(StoryTransport transport, int map, size_t bytes,
                                              uint64_t trial, bool wakes) {
  const QuietLibbpf hush;
  if (transport == StoryTransport::perf) {
    auto buffers = std::make_unique<PerfBuffers>(trial);
    if (!buffers->open(map, bytes, wakes)) return system_error("map perf buffers");
    return buffers;
  }
  auto ring = std::make_unique<RingBuffer>(trial);
  if (!ring->open(map)) return system_error("map ring buffer");
  return ring;
}

}  // namespace ringfence

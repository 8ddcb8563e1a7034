#include "harness/witness/cpu_clock.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cmath>

#include "harness/base/sys.h"
#include "harness/base/unique_fd.h"
#include "harness/witness/ladder.h"
#include "harness/witness/probe.h"
#include "probes/bpf/cpu_clock_abi.h"
// clang-format off: it needs the types above
#include "cpu_clock.skel.h"
// clang-format on

namespace ringfence {
namespace {

constexpr uint64_t kPeriodNs = 1000000;

}  // namespace

int64_t CpuTime::error_ns() const {
  // As if samples came at random: of n, the square root of n more or less; and never less than one.
  const auto samples = static_cast<double>(user_ns + kernel_ns) / static_cast<double>(period_ns);
  return static_cast<int64_t>(std::max(1.0, std::sqrt(samples))) * period_ns;
}

struct CpuClock::State {
  ~State() { cpu_clock_bpf__destroy(skeleton); }
  cpu_clock_bpf* skeleton = nullptr;
};

CpuClock::CpuClock(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuClock::CpuClock(CpuClock&&) noexcept = default;
CpuClock& CpuClock::operator=(CpuClock&&) noexcept = default;
CpuClock::~CpuClock() = default;

Result<CpuClock> CpuClock::open(const Witness& witness, int left_out) {
  const QuietLibbpf hush;
  auto state = std::make_unique<State>();
  state->skeleton = cpu_clock_bpf__open();
  if (state->skeleton == nullptr) return system_error("open eBPF object", "cpu_clock");
  if (auto ok = share_maps(witness, state->skeleton->obj, ~0U, left_out); !ok) {
    return tl::unexpected(ok.error());
  }
  if (const int result = cpu_clock_bpf__load(state->skeleton); result != 0) {
    return unsupported_error("load eBPF CPU clock", {}, -result);
  }
  return CpuClock(std::move(state));
}

Status CpuClock::begin(uint64_t watch, uint32_t slot) const {
  const auto& maps = state_->skeleton->maps;
  const rf_cpu_samples none{};
  if (bpf_map_update_elem(bpf_map__fd(maps.samples), &slot, &none, BPF_ANY) != 0) {
    return system_error("BPF_MAP_UPDATE_ELEM", "samples");
  }
  if (bpf_map_update_elem(bpf_map__fd(maps.slots), &watch, &slot, BPF_ANY) != 0) {
    return system_error("BPF_MAP_UPDATE_ELEM", "slots");
  }
  return {};
}

Result<UniqueFd> CpuClock::follow(int tid) const {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_CPU_CLOCK;
  attr.sample_period = kPeriodNs;
  attr.inherit = 1;
  attr.disabled = 1;
  const int64_t r =
      sys::call(SYS_perf_event_open, sys::arg(&attr), static_cast<uint64_t>(tid),
                static_cast<uint64_t>(-1), static_cast<uint64_t>(-1), PERF_FLAG_FD_CLOEXEC);
  if (r < 0) return unsupported_error("perf_event_open", "cpu-clock", static_cast<int>(-r));
  UniqueFd event(static_cast<int>(r));
  const auto fd = static_cast<uint64_t>(event.get());
  const auto program = static_cast<uint64_t>(bpf_program__fd(state_->skeleton->progs.on_cpu));
  if (const int64_t set = sys::call(SYS_ioctl, fd, PERF_EVENT_IOC_SET_BPF, program); set < 0) {
    return unsupported_error("PERF_EVENT_IOC_SET_BPF", "cpu-clock", static_cast<int>(-set));
  }
  if (const int64_t on = sys::call(SYS_ioctl, fd, PERF_EVENT_IOC_ENABLE, 0); on < 0) {
    return unsupported_error("PERF_EVENT_IOC_ENABLE", "cpu-clock", static_cast<int>(-on));
  }
  return event;
}

Result<CpuTime> CpuClock::time(uint64_t watch) const {
  const auto& maps = state_->skeleton->maps;
  uint32_t slot = 0;
  if (bpf_map_lookup_elem(bpf_map__fd(maps.slots), &watch, &slot) != 0) {
    return system_error("BPF_MAP_LOOKUP_ELEM", "slots");
  }
  rf_cpu_samples samples{};
  if (bpf_map_lookup_elem(bpf_map__fd(maps.samples), &slot, &samples) != 0) {
    return system_error("BPF_MAP_LOOKUP_ELEM", "samples");
  }
  CpuTime time;
  time.period_ns = kPeriodNs;
  time.user_ns = static_cast<int64_t>(samples.user * kPeriodNs);
  time.kernel_ns = static_cast<int64_t>(samples.kernel * kPeriodNs);
  return time;
}

void CpuClock::end(uint64_t watch) const {
  (void)bpf_map_delete_elem(bpf_map__fd(state_->skeleton->maps.slots), &watch);
}

}  // namespace ringfence

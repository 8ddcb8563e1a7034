#include "harness/witness/kvm_devices.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "harness/witness/ladder.h"
#include "harness/witness/pid_namespace.h"
// clang-format off: it needs the types above
#include "kvm_devices.skel.h"
// clang-format on

namespace ringfence {

struct KvmDevices::State {
  ~State() {
    ring_buffer__free(ring);
    kvm_devices_bpf__destroy(skeleton);
  }
  static int given(void* self, void* data, size_t size) {
    const auto* each = static_cast<State*>(self)->each;
    if (size >= sizeof(rf_kvm_access)) (*each)(*static_cast<const rf_kvm_access*>(data));
    return 0;
  }
  kvm_devices_bpf* skeleton = nullptr;
  ring_buffer* ring = nullptr;
  const std::function<void(const rf_kvm_access&)>* each = nullptr;
};

KvmDevices::KvmDevices(std::unique_ptr<State> state) : state_(std::move(state)) {}
KvmDevices::KvmDevices(KvmDevices&&) noexcept = default;
KvmDevices& KvmDevices::operator=(KvmDevices&&) noexcept = default;
KvmDevices::~KvmDevices() = default;

Status KvmDevices::begin(State& state, std::span<const uint16_t> ports, const PidNamespace& pidns,
                         bool tells_reinjected) {
  kvm_devices_bpf__destroy(state.skeleton);
  state.skeleton = kvm_devices_bpf__open();
  if (state.skeleton == nullptr) return system_error("open eBPF object", "kvm_devices");
  auto* settings = state.skeleton->rodata;
  settings->pidns_dev = pidns.device;
  settings->pidns_ino = pidns.inode;
  settings->thread = own_thread();
  settings->tells_reinjected = tells_reinjected;
  for (const uint16_t port : ports) {
    if (port >= RF_KVM_PORTS) {
      return usage_error("watch ports of KVM", fmt::format("{:#x}", port), "below 0x800");
    }
    settings->wanted[port] = 1;
  }
  if (const int result = kvm_devices_bpf__load(state.skeleton); result != 0) {
    return unsupported_error("load the programs that watch KVM's devices", {}, -result);
  }
  if (const int result = kvm_devices_bpf__attach(state.skeleton); result != 0) {
    return unsupported_error("attach to KVM's tracepoints", {}, -result,
                             "the kvm module is not loaded, or has none");
  }
  return {};
}

Result<KvmDevices> KvmDevices::attach(std::span<const uint16_t> ports) {
  const QuietLibbpf hush;
  auto pidns = own_pid_namespace();
  if (!pidns) return tl::unexpected(pidns.error());
  auto state = std::make_unique<State>();
  auto begun = begin(*state, ports, *pidns, true);
  // A tracepoint that gives less than a program reads refuses it.
  if (!begun && begun.error().err == EINVAL) begun = begin(*state, ports, *pidns, false);
  if (!begun) return tl::unexpected(begun.error());
  state->ring = ring_buffer__new(bpf_map__fd(state->skeleton->maps.accesses), State::given,
                                 state.get(), nullptr);
  if (state->ring == nullptr) return system_error("ring_buffer__new", "accesses");
  return KvmDevices(std::move(state));
}

Status KvmDevices::take(const std::function<void(const rf_kvm_access&)>& each) {
  state_->each = &each;
  const int n = ring_buffer__consume(state_->ring);
  state_->each = nullptr;
  if (n < 0) return system_error("ring_buffer__consume", "accesses", -n);
  return {};
}

uint64_t KvmDevices::lost() const { return state_->skeleton->bss->lost; }

}  // namespace ringfence

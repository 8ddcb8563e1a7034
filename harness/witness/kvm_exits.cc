#include "harness/witness/kvm_exits.h"

#include <bpf/libbpf.h>

#include <numeric>
#include <utility>

#include "harness/witness/bpf_map.h"
#include "harness/witness/ladder.h"
#include "harness/witness/pid_namespace.h"
// clang-format off: it needs the types above
#include "kvm.skel.h"
// clang-format on

namespace ringfence {
struct KvmExits::State {
  ~State() { kvm_bpf__destroy(skeleton); }
  kvm_bpf* skeleton = nullptr;
  PidNamespace pidns;
};

KvmExits::KvmExits(std::unique_ptr<State> state) : state_(std::move(state)) {}
KvmExits::KvmExits(KvmExits&&) noexcept = default;
KvmExits& KvmExits::operator=(KvmExits&&) noexcept = default;
KvmExits::~KvmExits() = default;

Result<KvmExits> KvmExits::attach() {
  const QuietLibbpf hush;
  auto pidns = own_pid_namespace();
  if (!pidns) return tl::unexpected(pidns.error());
  auto state = std::make_unique<State>();
  state->pidns = *pidns;
  state->skeleton = kvm_bpf__open();
  if (state->skeleton == nullptr) return system_error("open eBPF object", "kvm");
  state->skeleton->rodata->pidns_dev = pidns->device;
  state->skeleton->rodata->pidns_ino = pidns->inode;
  if (const int result = kvm_bpf__load(state->skeleton); result != 0) {
    return unsupported_error("load the programs that count KVM's exits", {}, -result);
  }
  if (const int result = kvm_bpf__attach(state->skeleton); result != 0) {
    return unsupported_error("attach to KVM's tracepoints", {}, -result,
                             "the kvm module is not loaded, or has none");
  }
  return KvmExits(std::move(state));
}

Result<uint64_t> KvmExits::misses() const {
  uint64_t sum = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, state_->skeleton->obj) {
    auto misses = misses_of_program(bpf_program__fd(program));
    if (!misses) return misses;
    sum += *misses;
  }
  return sum;
}

Result<KvmExits::Count> KvmExits::begin() const {
  auto pidns = own_pid_namespace();
  if (!pidns) return tl::unexpected(pidns.error());
  if (*pidns != state_->pidns) {
    return unsupported_error("count KVM's exits", "another pid namespace");
  }
  auto missed = misses();
  if (!missed) return tl::unexpected(missed.error());
  const uint32_t thread = own_thread();
  const rf_kvm_counts none{};
  auto made = update_map(bpf_map__fd(state_->skeleton->maps.counts), &thread, &none,
                         "counts of KVM's exits");
  if (!made) return tl::unexpected(made.error());
  return Count(this, thread, *missed);
}

KvmExits::Count::Count(const KvmExits* of, uint32_t thread, uint64_t misses)
    : of_(of), thread_(thread), misses_(misses) {}

KvmExits::Count::Count(Count&& other) noexcept
    : of_(std::exchange(other.of_, nullptr)), thread_(other.thread_), misses_(other.misses_) {}

KvmExits::Count::~Count() {
  if (of_ != nullptr) {
    remove_from_map(bpf_map__fd(of_->state_->skeleton->maps.counts), &thread_);
  }
}

Result<rf_kvm_counts> KvmExits::Count::so_far() const {
  rf_kvm_counts counts{};
  auto found = find_in_map(bpf_map__fd(of_->state_->skeleton->maps.counts), &thread_, &counts,
                           "counts of KVM's exits");
  if (!found) return tl::unexpected(found.error());
  auto missed = of_->misses();
  if (!missed) return tl::unexpected(missed.error());
  if (*missed != misses_) {
    return system_error("count KVM's exits", "a program was kept from running", EBUSY);
  }
  return counts;
}

uint64_t all_returns(const rf_kvm_counts& counts) {
  return std::accumulate(std::begin(counts.returns), std::end(counts.returns), uint64_t{0});
}

}  // namespace ringfence

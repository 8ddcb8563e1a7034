#pragma once
// KvmExits: what KVM did for the vCPUs that a thread runs, by eBPF programs at its tracepoints: a
// second count beside the event loop's own and that of the stats descriptor, which nobody in user
// space can get wrong in the same way. Attached once for a run; forked workers share it.
//
// Needs CAP_BPF and CAP_PERFMON (or root), KVM (its module loaded) and Linux 5.7
// (bpf_get_ns_current_pid_tgid). Sources: include/trace/events/kvm.h, arch/x86/kvm/trace.h.
#include <cstdint>
#include <memory>

#include "harness/base/result.h"
#include "probes/bpf/kvm_abi.h"

namespace ringfence {

class KvmExits {
 public:
  // `unsupported` where the programs cannot be loaded, or KVM has no such tracepoints.
  static Result<KvmExits> attach();
  KvmExits(KvmExits&&) noexcept;
  KvmExits& operator=(KvmExits&&) noexcept;
  ~KvmExits();

  // What the calling thread's vCPUs do from now on, until it ends.
  class Count {
   public:
    Count(Count&& other) noexcept;
    Count& operator=(Count&&) = delete;
    ~Count();
    // To be called by the same thread. An error where a program was kept from running in between:
    // then the sums are not all.
    [[nodiscard]] Result<rf_kvm_counts> so_far() const;

   private:
    friend class KvmExits;
    Count(const KvmExits* of, uint32_t thread, uint64_t misses);
    const KvmExits* of_;
    uint32_t thread_;
    uint64_t misses_;
  };
  // The object must live longer. `unsupported` in another pid namespace than the one that attach()
  // was called in.
  [[nodiscard]] Result<Count> begin() const;

 private:
  struct State;
  explicit KvmExits(std::unique_ptr<State> state);
  [[nodiscard]] Result<uint64_t> misses() const;
  std::unique_ptr<State> state_;
};

// All returns of KVM_RUN with an exit for user space.
uint64_t all_returns(const rf_kvm_counts& counts);

}  // namespace ringfence

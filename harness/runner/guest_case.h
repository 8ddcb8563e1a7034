#pragma once
// One guest case in a worker process: the guest on a machine as it should be, the same guest on one
// that is wrong in what the clause is about, and the judge.
//
// The words of GuestBody::control and ::confined are those of vmm/scenario.h.
#include "harness/judge/guest.h"
#include "harness/runner/run_case.h"

namespace ringfence {

CaseRecord run_guest_case(const Case& c, const RunContext& context);

// What `timeout`, which is meant for hardware, becomes on this emulator (vmm::emulator()): an exit
// takes a millisecond where QEMU's TCG emulates the processor beneath KVM, not ten microseconds.
std::chrono::milliseconds guest_trial_time(std::chrono::milliseconds timeout,
                                           std::string_view emulator);

// One trial of it. `name` is confined or control; `kvm_exits` may be null.
GuestOutcome run_guest(const Case& c, const std::string& name, std::chrono::milliseconds timeout,
                       const KvmExits* kvm_exits = nullptr);

}  // namespace ringfence

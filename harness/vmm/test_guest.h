#pragma once
// For tests of this module: guests of a few bytes.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "harness/vmm/machine.h"

namespace ringfence::vmm {

using Bytes = std::vector<uint8_t>;

// Skips the test where there is no KVM.
#define RINGFENCE_NEED_KVM(kvm)             \
  auto kvm = ::ringfence::vmm::Kvm::open(); \
  if (!(kvm)) GTEST_SKIP() << (kvm).error().describe()

inline Result<std::unique_ptr<Machine>> machine_of(const Kvm& kvm, const Bytes& image,
                                                   MachineOptions options = {}) {
  return Machine::create(kvm, image, std::make_unique<BarePlatform>(), std::move(options));
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

namespace code {
inline const Bytes kHlt = {0xf4};
inline const Bytes kSpin = {0xeb, 0xfe};  // jmp $
// mov al, value; out port, al
inline Bytes out8(uint8_t port, uint8_t value) { return {0xb0, value, 0xe6, port}; }
inline Bytes exit_with(uint8_t value) { return out8(0xf4, value); }
}  // namespace code

}  // namespace ringfence::vmm

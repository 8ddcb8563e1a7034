#pragma once
// Whether an accelerator of QEMU carries a kernel, found by trying: a firmware image of a few dozen
// instructions, accelerator_trial.asm. That a machine starts says little: a KVM that emulates the
// core of its guests starts every machine and needs minutes for the first lines of a kernel, or
// never gets there.
#include <chrono>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct AcceleratorTrial {
  std::string program;              // of QEMU (7.2)
  std::string accelerator;          // kvm, tcg
  std::vector<std::string> more{};  // further arguments of QEMU
  std::chrono::milliseconds patience{5000};
};
// Errors: ENOENT and the like of starting QEMU; ENOTSUP with what came instead in `hint`: QEMU's
// own complaint, "it takes more than 100 ns an instruction", or that the image did not come to its
// end.
Status try_accelerator(const AcceleratorTrial& trial);

}  // namespace ringfence

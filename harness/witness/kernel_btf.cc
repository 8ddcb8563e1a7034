#include "harness/witness/kernel_btf.h"

#include <bpf/btf.h>

#include <mutex>

namespace ringfence {

std::shared_ptr<const btf> kernel_btf() {
  static std::mutex mutex;
  static std::weak_ptr<btf> held;
  const std::lock_guard lock(mutex);
  auto kernel = held.lock();
  if (kernel) return kernel;
  btf* const read = btf__load_vmlinux_btf();
  if (read == nullptr) return nullptr;
  kernel = std::shared_ptr<btf>(read, btf__free);
  held = kernel;
  return kernel;
}

}  // namespace ringfence

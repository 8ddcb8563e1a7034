#pragma once
// The pid namespace that this process is in, as eBPF programs want it named
// (bpf_get_ns_current_pid_tgid(), bpf-helpers(7)). Internal to witness/.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cstdint>

#include "harness/base/result.h"
#include "harness/base/sys.h"

namespace ringfence {

struct PidNamespace {
  uint64_t device = 0;  // as the kernel keeps it, not as stat(2) gives it
  uint64_t inode = 0;
  friend bool operator==(const PidNamespace&, const PidNamespace&) = default;
};

inline Result<PidNamespace> own_pid_namespace() {
  struct stat st {};
  const int64_t r = sys::call(SYS_newfstatat, static_cast<uint64_t>(AT_FDCWD),
                              sys::arg("/proc/self/ns/pid"), sys::arg(&st), 0);
  if (r < 0) return system_error("stat", "/proc/self/ns/pid", static_cast<int>(-r));
  return PidNamespace{(uint64_t{major(st.st_dev)} << 20) | minor(st.st_dev), st.st_ino};
}

inline uint32_t own_thread() { return static_cast<uint32_t>(sys::call(SYS_gettid)); }

}  // namespace ringfence

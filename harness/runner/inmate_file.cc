#include "harness/runner/inmate_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "harness/base/sys.h"

namespace ringfence {

Result<UniqueFd> seal_inmate(std::span<const unsigned char> image) {
  const int64_t raw =
      sys::call(SYS_memfd_create, sys::arg("inmate"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw < 0) return system_error("memfd_create", "inmate", static_cast<int>(-raw));
  UniqueFd fd(static_cast<int>(raw));
  if (auto ok = sys::write_full(fd.get(), image.data(), image.size()); !ok) {
    return tl::unexpected(ok.error());
  }
  const int64_t sealed = sys::call(SYS_fcntl, fd.get(), F_ADD_SEALS,
                                   F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  if (sealed < 0) return system_error("F_ADD_SEALS", "inmate", static_cast<int>(-sealed));
  return fd;
}

}  // namespace ringfence

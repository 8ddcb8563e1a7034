#pragma once
// Which kernel a SPEC means, as a file to boot and the directory of its modules.
//
//   running             this kernel: no machine is booted
//   PATH                a vmlinuz (bzImage) or vmlinux; a directory with one and lib/modules (as a
//                       package unpacks, or `make tar-pkg`), or a built kernel tree; a .deb
//   debian:6.12.*       the newest package linux-image-* that matches, of the cloud flavour unless
//                       the pattern ends in -ARCH itself; fetched, never installed
//
// Sources: Documentation/arch/x86/boot.rst (the header of a bzImage).
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct KernelSource {
  std::string spec;  // as it was given
  bool running = false;
  std::string image;    // file to boot
  std::string modules;  // lib/modules/RELEASE, or empty: everything it needs is compiled in
  std::string release;  // as the image says it: "6.1.0-50-cloud-amd64"
};

// Usage errors for a SPEC that is none, a file that is no kernel, a pattern that matches nothing
// (with what there is); system errors for what fails to be fetched.
Result<KernelSource> find_kernel(const std::string& spec, const std::string& cache);

// The release that a kernel image names ("6.1.0-50-cloud-amd64"); usage error for what is none.
Result<std::string> release_of_image(std::string_view bytes, const std::string& name);
// The newest of `packages` that a `debian:` pattern means, or empty.
std::string choose_package(const std::vector<std::string>& packages, const std::string& pattern);

}  // namespace ringfence

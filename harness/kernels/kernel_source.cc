#include "harness/kernels/kernel_source.h"

#include <fnmatch.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "harness/base/file.h"
#include "harness/kernels/elf.h"
#include "harness/kernels/package.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestFile = size_t{1} << 30;
constexpr std::string_view kPrefix = "linux-image-";
constexpr std::string_view kAllowed =
    "'running', a vmlinuz or vmlinux, a directory with one, a .deb, or debian:PATTERN such as "
    "debian:6.12.*";

// Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
constexpr size_t kBootFlag = 0x1fe, kMagic = 0x202, kKernelVersion = 0x20e;

bool is_bzimage(std::string_view bytes) {
  return bytes.size() > 0x210 && bytes.substr(kBootFlag, 2) == "\x55\xaa" &&
         bytes.substr(kMagic, 4) == "HdrS";
}

std::string first_word(std::string_view text) {
  return std::string(text.substr(0, text.find_first_of(std::string_view(" \n\0", 3))));
}

// The modules of `release` in the usual places around an image.
std::string modules_near(const fs::path& image, const std::string& release) {
  const fs::path directory = image.parent_path();
  for (const fs::path& root : {directory, directory / "..", directory / "../..", fs::path("/")}) {
    for (const char* lib : {"lib/modules", "usr/lib/modules"}) {
      std::error_code failed;
      const fs::path candidate = root / lib / release;
      if (fs::is_directory(candidate / "kernel", failed)) {
        return fs::canonical(candidate, failed).string();
      }
    }
  }
  return {};
}

Result<KernelSource> of_image(const std::string& spec, const fs::path& image) {
  auto bytes = read_file(image.string(), kLargestFile);
  if (!bytes) return tl::unexpected(bytes.error());
  auto release = release_of_image(*bytes, image.string());
  if (!release) return tl::unexpected(release.error());
  std::error_code failed;
  const fs::path whole = fs::canonical(image, failed);
  KernelSource source{spec, false, whole.string(), modules_near(whole, *release), *release};
  return source;
}

// The one image of a directory; of several, the newest.
Result<KernelSource> of_directory(const std::string& spec, const fs::path& directory) {
  std::vector<std::string> images;
  for (const char* place : {"", "boot", "arch/x86/boot"}) {
    std::error_code failed;
    for (fs::directory_iterator at(directory / place, failed), end; !failed && at != end;
         at.increment(failed)) {
      const std::string name = at->path().filename().string();
      const bool known = name.starts_with("vmlinuz") || name == "bzImage";
      if (known && at->is_regular_file(failed)) images.push_back(at->path().string());
    }
  }
  if (images.empty()) {
    if (fs::exists(directory / "vmlinux")) return of_image(spec, directory / "vmlinux");
    return usage_error("read --kernel", spec,
                       "no kernel in this directory; expected vmlinuz*, boot/vmlinuz* or "
                       "arch/x86/boot/bzImage");
  }
  return of_image(spec, *std::max_element(images.begin(), images.end(), version_before));
}

Result<KernelSource> of_debian(const std::string& spec, const std::string& pattern,
                               const std::string& cache) {
  auto names = package_names(std::string(kPrefix), cache);
  if (!names) return tl::unexpected(names.error());
  const std::string name = choose_package(*names, pattern);
  if (name.empty()) {
    std::string list;
    for (const auto& other : *names) {
      if (!other.ends_with("-cloud-amd64")) continue;
      list += (list.empty() ? "" : ", ") + other.substr(kPrefix.size());
    }
    return usage_error("read --kernel", spec,
                       list.empty() ? "no package linux-image-* is known here (apt-get update?)"
                                    : "no package matches; there are " + list);
  }
  auto directory = unpacked_package(name, cache);
  if (!directory) return tl::unexpected(directory.error());
  return of_directory(spec, *directory);
}

}  // namespace

std::string choose_package(const std::vector<std::string>& packages, const std::string& pattern) {
  const bool flavour = pattern.ends_with("amd64") || pattern.ends_with("amd64-unsigned");
  const std::string glob = pattern + (flavour ? "" : "-cloud-amd64");
  std::string newest;
  for (const auto& package : packages) {
    if (!package.starts_with(kPrefix)) continue;
    const std::string version = package.substr(kPrefix.size());
    // Names of metapackages have no version after their series: "6.12-cloud-amd64".
    const std::string number = version.substr(0, version.find('-'));
    if (std::count(number.begin(), number.end(), '.') < 2) continue;
    if (::fnmatch(glob.c_str(), version.c_str(), 0) != 0) continue;
    if (newest.empty() || version_before(newest, package)) newest = package;
  }
  return newest;
}

Result<std::string> release_of_image(std::string_view bytes, const std::string& name) {
  if (is_bzimage(bytes)) {
    uint16_t offset = 0;
    std::memcpy(&offset, bytes.data() + kKernelVersion, sizeof offset);
    const size_t at = size_t{offset} + 0x200;
    if (offset != 0 && at < bytes.size()) {
      std::string release = first_word(bytes.substr(at, 128));
      if (!release.empty()) return release;
    }
    return usage_error("read kernel", name, "its header names no version");
  }
  if (is_elf(bytes)) {
    constexpr std::string_view kBanner = "Linux version ";
    const size_t at = bytes.find(kBanner);
    if (at != std::string_view::npos) {
      std::string release = first_word(bytes.substr(at + kBanner.size(), 128));
      if (!release.empty()) return release;
    }
  }
  return usage_error("read kernel", name, "neither a bzImage (vmlinuz) nor a vmlinux");
}

Result<KernelSource> find_kernel(const std::string& spec, const std::string& cache) {
  constexpr std::string_view kDebian = "debian:";
  if (spec == "running") {
    utsname name{};
    ::uname(&name);
    return KernelSource{spec, true, {}, {}, name.release};
  }
  if (spec.starts_with(kDebian)) return of_debian(spec, spec.substr(kDebian.size()), cache);
  std::error_code failed;
  const auto status = fs::status(spec, failed);
  if (fs::is_directory(status)) return of_directory(spec, spec);
  if (!fs::is_regular_file(status)) {
    return usage_error("read --kernel", spec,
                       "there is no such file; expected " + std::string(kAllowed));
  }
  if (spec.ends_with(".deb")) {
    auto directory = unpacked_file(spec, cache);
    if (!directory) return tl::unexpected(directory.error());
    return of_directory(spec, *directory);
  }
  return of_image(spec, spec);
}

}  // namespace ringfence

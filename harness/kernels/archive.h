#pragma once
// Packed files, by libarchive: one compressed file, a Debian package, and the newc cpio archive
// that Linux takes as initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace ringfence {

// The file's contents, unpacked when it is a .gz, .xz or .zst.
Result<std::string> read_packed(const std::string& path);

// Writes the files of a Debian package (deb(5): ar, with data.tar.*) below `directory`, which must
// exist. Usage error for a file that is no package; names that lead out of `directory` are refused.
Status unpack_package(const std::string& package, const std::string& directory);

struct CpioEntry {
  uint32_t mode = 0100644;  // type and permissions, as in st_mode
  std::string content;      // of a file; the target of a symbolic link
};
// By path without a leading slash. The bytes depend on nothing else: owner root, time 0.
Result<std::string> make_cpio(const std::map<std::string, CpioEntry>& entries);

}  // namespace ringfence

#include "harness/base/file.h"

#include <dirent.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include <climits>

#include "harness/base/sys.h"

namespace ringfence {

Result<std::string> read_file_at(int dirfd, const std::string& path, size_t limit) {
  auto fd = sys::openat(dirfd, path.c_str(), O_RDONLY);
  if (!fd) return tl::unexpected(fd.error());
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    auto n = sys::read_full(fd->get(), buffer.data(), buffer.size());
    if (!n) return system_error("read", path, n.error().err);
    text.append(buffer.data(), *n);
    if (text.size() > limit) return system_error("read", path, EFBIG);
    if (*n < buffer.size()) return text;
  }
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  return read_file_at(AT_FDCWD, path, limit);
}

Status write_file_at(int dirfd, const std::string& path, std::string_view text) {
  auto fd = sys::openat(dirfd, path.c_str(), O_WRONLY);
  if (!fd) return tl::unexpected(fd.error());
  for (;;) {
    const int64_t n = sys::call(SYS_write, fd->get(), sys::arg(text.data()), text.size());
    if (n == -EINTR) continue;
    if (n < 0) return system_error("write", path, static_cast<int>(-n));
    if (static_cast<size_t>(n) != text.size()) return system_error("write", path, EIO);
    return {};
  }
}

Status write_file(const std::string& path, std::string_view text) {
  return write_file_at(AT_FDCWD, path, text);
}

Result<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  const int64_t n = sys::call(SYS_readlinkat, AT_FDCWD, sys::arg(path.c_str()),
                              sys::arg(buffer.data()), buffer.size());
  if (n < 0) return system_error("readlink", path, static_cast<int>(-n));
  return std::string(buffer.data(), static_cast<size_t>(n));
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  auto fd = sys::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd) return tl::unexpected(fd.error());
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, 8192> buffer;
  for (;;) {
    const int64_t n = sys::call(SYS_getdents64, fd->get(), sys::arg(buffer.data()), buffer.size());
    if (n < 0) return system_error("getdents64", path, static_cast<int>(-n));
    if (n == 0) return names;
    for (int64_t at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
        names.emplace_back(entry->d_name);
      }
      at += entry->d_reclen;
    }
  }
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    if (end != 0) pieces.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return pieces;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace ringfence

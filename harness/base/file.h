#pragma once
// Small whole files (/proc, /sys, cgroup files, policies), through the syscall seam.
#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

// The whole file. Fails with EFBIG past `limit` bytes.
Result<std::string> read_file(const std::string& path, size_t limit = size_t{16} << 20);
Result<std::string> read_file_at(int dirfd, const std::string& path,
                                 size_t limit = size_t{16} << 20);
// One write(2) of `text` to an existing file, as kernel interfaces want it.
Status write_file(const std::string& path, std::string_view text);
Status write_file_at(int dirfd, const std::string& path, std::string_view text);
// readlink(2).
Result<std::string> read_link(const std::string& path);
// Names in a directory, without "." and "..", in the kernel's order.
Result<std::vector<std::string>> list_directory(const std::string& path);

// The pieces of `text` between `separator`s, empty ones left out.
std::vector<std::string_view> split(std::string_view text, char separator);
// The pieces look into the text, so it has to live as long as they do: not a temporary string.
template <typename T>
requires std::same_as<std::remove_cv_t<T>, std::string> std::vector<std::string_view> split(
    T&& text, char separator)
= delete;
// Without white space at both ends.
std::string_view trim(std::string_view text);

}  // namespace ringfence

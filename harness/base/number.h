#pragma once
// Numbers out of text that the kernel or an inmate wrote, and addresses out of syscall results.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace ringfence {

// The whole text as a decimal int; nothing where it is empty, too large, or has anything else in it
// (a space or a '+' too). std::from_chars, so without a locale and without allocation.
inline std::optional<int> parse_int(std::string_view text) noexcept {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

// The address that mmap(2) or shmat(2) returned through the seam, whose results are integers.
template <typename T = void>
T* address_of_result(int64_t result) noexcept {
  // The kernel made the address; there is no pointer to derive it from.
  return reinterpret_cast<T*>(result);  // NOLINT(performance-no-int-to-ptr): a syscall's result
}

}  // namespace ringfence

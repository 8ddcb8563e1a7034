#pragma once
// Result and Error: how every OS-facing function of the harness reports failure.
//
// Errors keep errno as it was at the failing call. Kinds decide the exit code of the command line:
// `usage` (bad input: a file, an option, a name) exits 64, `system` is the harness or the host
// failing, `unsupported` is a missing facility, which callers turn into a skip.
#include <cerrno>
#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace ringfence {

struct Error {
  enum class Kind { system, usage, unsupported };

  Kind kind = Kind::system;
  std::string what;    // what failed: "mount", "read policy", "parse --jobs"
  int err = 0;         // errno at the failing call, 0 when no syscall was involved
  std::string object;  // on what: a path, file plus JSON pointer, an option
  std::string hint;    // what to do about it, or what is allowed

  // "what: object: strerror (ERRNO): hint", leaving out what is empty.
  [[nodiscard]] std::string describe() const;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// `err` defaults to errno, so call it first thing after the failing call.
inline tl::unexpected<Error> system_error(std::string what, std::string object = {},
                                          int err = errno, std::string hint = {}) {
  return tl::unexpected(
      Error{Error::Kind::system, std::move(what), err, std::move(object), std::move(hint)});
}
inline tl::unexpected<Error> usage_error(std::string what, std::string object = {},
                                         std::string hint = {}) {
  return tl::unexpected(
      Error{Error::Kind::usage, std::move(what), 0, std::move(object), std::move(hint)});
}
inline tl::unexpected<Error> unsupported_error(std::string what, std::string object = {},
                                               int err = 0, std::string hint = {}) {
  return tl::unexpected(
      Error{Error::Kind::unsupported, std::move(what), err, std::move(object), std::move(hint)});
}

// The errno's name ("EPERM"), or "E<number>" for one that has none.
std::string errno_name(int err);
// The errno for a name ("EPERM"), or 0.
int errno_by_name(const std::string& name);

}  // namespace ringfence

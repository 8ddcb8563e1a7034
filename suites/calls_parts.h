#pragma once
// What the rows of calls.cc are made of: the parameters of an attempt, and calls by number,
// argument and path. Internal to suites/.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/judge/case.h"

namespace ringfence::suites {

// Of an attempt: their own text, in which placeholders stand for what only the decoy host knows.
class Params {
 public:
  explicit Params(const std::vector<std::string>& texts) : texts_(texts) {}

  [[nodiscard]] size_t count() const { return texts_.size(); }
  [[nodiscard]] std::string text(size_t i, const std::string& fallback = {}) const {
    return i < texts_.size() ? texts_[i] : fallback;
  }
  // Nothing when it is missing, or not known before it is expanded.
  [[nodiscard]] std::optional<int64_t> number(size_t i) const {
    if (i >= texts_.size() || texts_[i].empty()) return std::nullopt;
    char* end = nullptr;
    errno = 0;
    const int64_t value = std::strtoll(texts_[i].c_str(), &end, 0);
    if (errno != 0 || *end != 0) return std::nullopt;
    return value;
  }

 private:
  const std::vector<std::string>& texts_;
};

inline bool has_placeholder(std::string_view text) {
  return text.find('{') != std::string_view::npos;
}

inline std::string n(int64_t value) { return std::to_string(value); }

// The length of a text; "" (not compared) where only its expansion has one.
inline std::string length(const std::string& text, size_t more = 0) {
  return has_placeholder(text) ? "" : std::to_string(text.size() + more);
}

using Values = std::initializer_list<std::pair<int, std::string>>;

// Values that are not known beforehand are "", and not compared.
inline Call on(long nr, Values values) {
  Call call;
  call.nr = nr;
  for (const auto& [index, value] : values) {
    if (!value.empty()) call.args.push_back({.index = index, .value = value});
  }
  return call;
}

inline Call on_path(long nr, int index, std::string path, Values values = {}) {
  Call call = on(nr, values);
  if (path.empty()) return call;
  call.path = index;
  call.path_is = std::move(path);
  return call;
}

// The inmate opens everything by openat from its working directory, with O_CLOEXEC.
inline Call opening(std::string path, int flags, std::string mode = {}) {
  return on_path(SYS_openat, 1, std::move(path),
                 {{0, n(AT_FDCWD)}, {2, n(flags | O_CLOEXEC)}, {3, std::move(mode)}});
}

inline Call new_socket(int domain, int type) {
  return on(SYS_socket, {{0, n(domain)}, {1, n(type | SOCK_CLOEXEC)}, {2, "0"}});
}

// Where the path is told from the working directory whatever it says. A placeholder's own slash
// cannot be taken away here: then the path is not compared.
inline std::string relative(const std::string& path) {
  const size_t at = path.find_first_not_of('/');
  return at == std::string::npos || path[at] == '{' ? "" : path.substr(at);
}

// One that only leads to what reaches the goal.
inline Call step(Call call) {
  call.step = true;
  return call;
}

}  // namespace ringfence::suites

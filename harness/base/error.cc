#include <cstring>

#include "harness/base/result.h"

namespace ringfence {

std::string Error::describe() const {
  std::string text = what;
  if (!object.empty()) text += ": " + object;
  if (err != 0) {
    const char* words = strerrordesc_np(err);
    text += ": ";
    text += words != nullptr ? words : "unknown error";
    text += " (" + errno_name(err) + ")";
  }
  if (!hint.empty()) text += ": " + hint;
  return text;
}

std::string errno_name(int err) {
  const char* name = strerrorname_np(err);
  return name != nullptr ? name : "E" + std::to_string(err);
}

int errno_by_name(const std::string& name) {
  constexpr int kLast = 133;  // EHWPOISON
  for (int err = 1; err <= kLast; ++err) {
    const char* known = strerrorname_np(err);
    if (known != nullptr && name == known) return err;
  }
  return 0;
}

}  // namespace ringfence

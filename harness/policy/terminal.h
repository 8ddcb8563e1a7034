#pragma once
// The terminal of a target: runtime-spec config.md "Process".
#include <cstdint>

namespace ringfence {

struct ConsoleSize {  // in characters, TIOCSWINSZ
  uint16_t height = 0;
  uint16_t width = 0;
  friend bool operator==(const ConsoleSize&, const ConsoleSize&) = default;
};

}  // namespace ringfence

#pragma once
// How text for people looks: width, colour, how much of it. A value, so that what is rendered can
// be tested; style_for() finds it for a descriptor.
#include <string>
#include <string_view>

#include "harness/judge/result.h"

namespace ringfence {

enum class Detail : uint8_t { quiet, normal, verbose };  // --quiet, nothing, --verbose

struct Style {
  bool colour = false;
  bool live = false;     // a terminal: a status line may be redrawn
  bool unicode = false;  // the locale's character set is UTF-8
  int width = 80;        // columns
  Detail detail = Detail::normal;
};

// What of the environment matters; null where a variable is unset.
struct StyleEnvironment {
  const char* no_color = nullptr;  // NO_COLOR, see no-color.org
  const char* term = nullptr;
  const char* columns = nullptr;
  const char* locale = nullptr;  // the first that is set of LC_ALL, LC_CTYPE, LANG
};

// `tty_width` is what TIOCGWINSZ says, 0 when unknown. COLUMNS overrides it.
Style style_of(bool tty, int tty_width, const StyleEnvironment& environment, Detail detail);
// The same for a descriptor and this process's environment.
Style style_for(int fd, Detail detail);

enum class Tone : uint8_t { plain, good, bad, warning, dim, strong };
std::string paint(const Style& style, Tone tone, std::string_view text);
Tone tone_of(Verdict verdict);
// One column: a check mark, a cross, ...; letters where the locale is not UTF-8.
std::string mark_of(const Style& style, Verdict verdict);

}  // namespace ringfence

#include "reports/style.h"

#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "harness/base/sys.h"

namespace ringfence {
namespace {

constexpr int kNarrowest = 40;
constexpr int kWidest = 160;  // longer lines are hard to read

int number_of(const char* text) {
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

bool names_utf8(const char* locale) {
  if (locale == nullptr) return false;
  std::string upper = locale;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper.find("UTF-8") != std::string::npos || upper.find("UTF8") != std::string::npos;
}

const char* set_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

Style style_of(bool tty, int tty_width, const StyleEnvironment& environment, Detail detail) {
  Style style;
  const bool dumb = environment.term == nullptr || std::strcmp(environment.term, "dumb") == 0;
  const bool refused = environment.no_color != nullptr && *environment.no_color != '\0';
  style.colour = tty && !dumb && !refused;
  style.live = tty && !dumb;  // redrawing needs erase-in-line, which a dumb terminal lacks
  style.unicode = names_utf8(environment.locale);
  const int asked = number_of(environment.columns);
  const int width = asked > 0 ? asked : tty_width;
  if (width > 0) style.width = std::clamp(width, kNarrowest, kWidest);
  style.detail = detail;
  return style;
}

Style style_for(int fd, Detail detail) {
  struct termios2 terminal {};
  struct winsize size {};
  const bool tty = sys::call(SYS_ioctl, fd, TCGETS2, sys::arg(&terminal)) == 0;
  if (tty && sys::call(SYS_ioctl, fd, TIOCGWINSZ, sys::arg(&size)) != 0) size.ws_col = 0;
  StyleEnvironment environment;
  environment.no_color = std::getenv("NO_COLOR");
  environment.term = std::getenv("TERM");
  environment.columns = std::getenv("COLUMNS");
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (environment.locale == nullptr) environment.locale = set_variable(name);
  }
  return style_of(tty, size.ws_col, environment, detail);
}

std::string paint(const Style& style, Tone tone, std::string_view text) {
  if (!style.colour || tone == Tone::plain || text.empty()) return std::string(text);
  constexpr std::array<std::string_view, 6> kCodes = {"", "32", "1;31", "33", "2", "1"};
  return "\x1b[" + std::string(kCodes.at(static_cast<size_t>(tone))) + "m" + std::string(text) +
         "\x1b[0m";
}

Tone tone_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::held:
      return Tone::good;
    case Verdict::breached:
      return Tone::bad;
    case Verdict::unproven:
    case Verdict::broken:
      return Tone::warning;
    case Verdict::skipped:
      break;
  }
  return Tone::dim;
}

std::string mark_of(const Style& style, Verdict verdict) {
  constexpr std::array<std::string_view, kVerdicts> kUnicode = {"\u2713", "\u2717", "?", "-", "!"};
  constexpr std::array<std::string_view, kVerdicts> kAscii = {"+", "X", "?", "-", "!"};
  const auto index = static_cast<size_t>(verdict);
  return std::string(style.unicode ? kUnicode.at(index) : kAscii.at(index));
}

}  // namespace ringfence

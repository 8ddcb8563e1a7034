#pragma once
// Text from a hostile target, made safe for each place it is shown in. A target chooses bytes of
// its evidence (file names, what the inmate says), so no writer prints them as they come: escape
// sequences would act on the user's terminal, a newline would forge a line of KTAP, a control
// character makes XML unreadable.
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace ringfence {

// Valid UTF-8: every byte that is not part of a well-formed sequence (RFC 3629) becomes U+FFFD.
std::string to_utf8(std::string_view bytes);
// One line that acts on nothing: control characters (C0, DEL, C1), line and paragraph separators,
// bidirectional and zero-width controls, and noncharacters are written out (\n, \x1b, \u{202e}).
// Bytes that are not UTF-8 become \xNN.
std::string terminal_safe(std::string_view bytes);
// As terminal_safe, but keeps \n and \t: every character is legal in XML 1.0. The XML library
// escapes the markup.
std::string xml_safe(std::string_view bytes);
// As terminal_safe, and '#' is written \x23, because it begins a directive in KTAP;
// a space at either end is \x20, because readers trim names.
std::string ktap_safe(std::string_view bytes);

// Columns that `text` (UTF-8, no controls) takes on a terminal.
size_t columns(std::string_view text);
// At most `width` columns; a shortened text ends in "...".
std::string fit(std::string_view text, size_t width);
// `text`, filled up with spaces to `width` columns.
std::string pad(std::string_view text, size_t width);
// `text` in lines of at most `width` columns, broken at spaces, each after `indent` spaces and
// with its newline. A word that is longer than a line is not broken.
std::string wrap(std::string_view text, size_t indent, size_t width);
// "812 ns", "12.3 us", "4.56 ms", "1.23 s", "2 min 03 s".
std::string duration_text(int64_t ns);

// The sum, or the nearest number that there is: durations of a result file may be anything.
constexpr int64_t saturated_sum(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

}  // namespace ringfence

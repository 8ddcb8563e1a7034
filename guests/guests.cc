#include "guests/guests.h"

#include <algorithm>
#include <charconv>

#include "harness/base/file.h"

namespace ringfence::vmm {
namespace {

template <typename T>
bool number(std::string_view text, int base, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

tl::unexpected<Error> malformed(std::string_view text, const char* allowed) {
  return usage_error("a guest's report", std::string(text.substr(0, 100)), allowed);
}

}  // namespace

const Guest* find_guest(std::string_view name) {
  const auto all = guests();
  const auto found = std::ranges::find(all, name, &Guest::name);
  return found == all.end() ? nullptr : &*found;
}

Result<GuestLine> parse_guest_line(std::string_view text) {
  using Kind = GuestLine::Kind;
  const auto words = split(text, ' ');
  if (words.empty() || words[0].size() != 1) {
    return malformed(text, "begins with G, +, -, ?, M or Z");
  }
  GuestLine line;
  const auto numbered = [&](size_t count) {
    if (words.size() != count) return false;
    line.name = words[1];
    return number(words[2], 10, line.line);
  };
  switch (words[0][0]) {
    case 'G':
      if (words.size() != 3) return malformed(text, "G GUEST 1");
      if (words[2] != "1") return malformed(text, "version 1 of the probe ABI");
      line.name = words[1];
      return line;
    case '+':
      line.kind = Kind::held;
      if (!numbered(3)) return malformed(text, "+ CLAUSE LINE");
      return line;
    case '-':
      line.kind = Kind::failed;
      if (!numbered(7) || !number(words[3], 16, line.port) || !number(words[4], 16, line.mask) ||
          !number(words[5], 16, line.expected) || !number(words[6], 16, line.seen)) {
        return malformed(text, "- CLAUSE LINE PORT MASK EXPECTED SEEN");
      }
      return line;
    case '?':
      line.kind = Kind::not_judged;
      if (!numbered(4)) return malformed(text, "? CLAUSE LINE WORD");
      line.word = words[3];
      return line;
    case 'M':
      line.kind = Kind::measure;
      if (!numbered(4) || !number(words[3], 16, line.seen)) {
        return malformed(text, "M NAME LINE VALUE");
      }
      return line;
    case 'Z':
      line.kind = Kind::end;
      if (words.size() != 3 || !number(words[1], 16, line.expected) ||
          !number(words[2], 16, line.seen)) {
        return malformed(text, "Z EXPECTATIONS FAILURES");
      }
      return line;
    default:
      return malformed(text, "begins with G, +, -, ?, M or Z");
  }
}

GuestReport parse_guest_report(std::string_view text) {
  using Kind = GuestLine::Kind;
  GuestReport report;
  uint64_t expectations = 0;
  uint64_t failures = 0;
  for (const std::string_view piece : split(text, '\n')) {
    auto line = parse_guest_line(piece);
    if (line && report.ended && line->kind == Kind::failed) {
      // The machine did not end where it had to.
      report.ended = false;
      report.lines.push_back(std::move(*line));
      break;
    }
    if (!line || report.ended || (report.guest.empty() != (line->kind == Kind::begin))) {
      ++report.strays;
      continue;
    }
    switch (line->kind) {
      case Kind::begin:
        report.guest = line->name;
        break;
      case Kind::end:
        report.ended = line->expected == expectations && line->seen == failures;
        if (!report.ended) ++report.strays;
        break;
      case Kind::failed:
        ++failures;
        [[fallthrough]];
      case Kind::held:
        ++expectations;
        [[fallthrough]];
      default:
        report.lines.push_back(std::move(*line));
    }
  }
  return report;
}

}  // namespace ringfence::vmm

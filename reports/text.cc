#include "reports/text.h"

#include <fmt/format.h>

#include <array>

#include "harness/base/file.h"

namespace ringfence {
namespace {

struct Decoded {
  char32_t code = 0;
  size_t size = 1;
  bool valid = false;
};

// One code point of well-formed UTF-8: no overlong form, no surrogate, nothing past U+10FFFF.
Decoded decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  size_t size = 0;
  char32_t code = 0;
  char32_t least = 0;
  if ((first & 0xE0) == 0xC0) {
    size = 2, code = first & 0x1F, least = 0x80;
  } else if ((first & 0xF0) == 0xE0) {
    size = 3, code = first & 0x0F, least = 0x800;
  } else if ((first & 0xF8) == 0xF0) {
    size = 4, code = first & 0x07, least = 0x10000;
  }
  if (size == 0 || text.size() < size) return {};
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3F);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < least || surrogate || code > 0x10FFFF) return {};
  return {code, size, true};
}

struct Range {
  char32_t first, last;
};

template <size_t N>
bool within(char32_t code, const std::array<Range, N>& ranges) {
  for (const Range& range : ranges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

// What acts on a terminal or on the order of what is read (Unicode Cc, Cf that matter, Zl, Zp).
constexpr std::array<Range, 11> kActive = {{{0x00, 0x1F},
                                            {0x7F, 0x9F},
                                            {0xAD, 0xAD},
                                            {0x061C, 0x061C},
                                            {0x200B, 0x200F},
                                            {0x2028, 0x202E},
                                            {0x2060, 0x206F},
                                            {0xFDD0, 0xFDEF},
                                            {0xFEFF, 0xFEFF},
                                            {0xFFF9, 0xFFFB},
                                            {0xE0000, 0xE0FFF}}};
constexpr std::array<Range, 5> kNarrow = {
    {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x1AB0, 0x1AFF}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}}};
constexpr std::array<Range, 9> kWide = {{{0x1100, 0x115F},
                                         {0x2E80, 0xA4CF},
                                         {0xAC00, 0xD7A3},
                                         {0xF900, 0xFAFF},
                                         {0xFE30, 0xFE6F},
                                         {0xFF00, 0xFF60},
                                         {0xFFE0, 0xFFE6},
                                         {0x1F300, 0x1FAFF},
                                         {0x20000, 0x3FFFD}}};

bool active(char32_t code) { return within(code, kActive) || (code & 0xFFFE) == 0xFFFE; }

std::string escape(std::string_view bytes, std::string_view keep, std::string_view also) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Decoded d = decode(bytes);
    const std::string_view raw = bytes.substr(0, d.size);
    bytes.remove_prefix(d.size);
    const auto in = [raw](std::string_view set) { return set.find(raw) != set.npos; };
    if (!d.valid) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(raw[0]));
    } else if (in(keep) || (!active(d.code) && !in(also))) {
      out += raw;
    } else if (d.code == '\n') {
      out += "\\n";
    } else if (d.code == '\t') {
      out += "\\t";
    } else if (d.code == '\r') {
      out += "\\r";
    } else {
      const auto code = static_cast<uint32_t>(d.code);
      out += code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{{{:x}}}", code);
    }
  }
  return out;
}

size_t width_of(char32_t code) {
  if (within(code, kNarrow)) return 0;
  return within(code, kWide) ? 2 : 1;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Decoded d = decode(bytes);
    if (d.valid) {
      out += bytes.substr(0, d.size);
    } else {
      out += "\xEF\xBF\xBD";
    }
    bytes.remove_prefix(d.size);
  }
  return out;
}

std::string terminal_safe(std::string_view bytes) { return escape(bytes, {}, {}); }
std::string xml_safe(std::string_view bytes) { return escape(bytes, "\n\t", {}); }
std::string ktap_safe(std::string_view bytes) {
  std::string out = escape(bytes, {}, "#");
  if (out.ends_with(' ')) out.replace(out.size() - 1, 1, "\\x20");
  if (out.starts_with(' ')) out.replace(0, 1, "\\x20");
  return out;
}

size_t columns(std::string_view text) {
  size_t total = 0;
  while (!text.empty()) {
    const Decoded d = decode(text);
    total += d.valid ? width_of(d.code) : 1;
    text.remove_prefix(d.size);
  }
  return total;
}

std::string fit(std::string_view text, size_t width) {
  if (columns(text) <= width) return std::string(text);
  const std::string_view dots = "...";
  if (width <= dots.size()) return std::string(dots.substr(0, width));
  size_t used = 0;
  size_t bytes = 0;
  while (bytes < text.size()) {
    const Decoded d = decode(text.substr(bytes));
    const size_t w = d.valid ? width_of(d.code) : 1;
    if (used + w > width - dots.size()) break;
    used += w;
    bytes += d.size;
  }
  return std::string(text.substr(0, bytes)) + std::string(dots);
}

std::string pad(std::string_view text, size_t width) {
  const size_t have = columns(text);
  return std::string(text) + std::string(have < width ? width - have : 0, ' ');
}

std::string wrap(std::string_view text, size_t indent, size_t width) {
  std::string out;
  std::string line;
  const size_t room = width > indent + 20 ? width - indent : 20;
  const std::string margin(indent, ' ');
  for (const std::string_view word : split(text, ' ')) {
    if (!line.empty() && columns(line) + 1 + columns(word) > room) {
      out += margin + line + "\n";
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) out += margin + line + "\n";
  return out;
}

std::string duration_text(int64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns < 0) return "-" + duration_text(ns == INT64_MIN ? INT64_MAX : -ns);
  if (ns < 1'000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", value / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.2f} ms", value / 1e6);
  const int64_t seconds = ns / 1'000'000'000;
  if (seconds < 60) return fmt::format("{:.2f} s", value / 1e9);
  return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
}

}  // namespace ringfence

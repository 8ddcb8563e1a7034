#include "harness/vmm/transcript.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "harness/base/file.h"

namespace ringfence::vmm {
namespace {

constexpr std::array<std::string_view, 7> kKinds = {"in",        "out",  "mmio_read", "mmio_write",
                                                    "interrupt", "exit", "accepted"};

std::optional<uint64_t> number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (err != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(line, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

std::optional<Entry> parse_line(std::string_view line) {
  const auto words = words_of(line);
  if (words.size() < 4) return std::nullopt;
  Entry e;
  const auto sequence = number(words[0]);
  const auto now = number(words[1]);
  const auto* kind = std::find(kKinds.begin(), kKinds.end(), words[2]);
  if (!sequence || !now || kind == kKinds.end()) return std::nullopt;
  e.sequence = *sequence;
  e.now = *now;
  e.kind = static_cast<Entry::Kind>(kind - kKinds.begin());
  if (e.kind == Entry::Kind::exit) {
    e.device = std::string(words[3]);
    if (words.size() == 4) return e;
    const auto value = number(words[4]);
    if (!value || words.size() != 5) return std::nullopt;
    e.value = *value;
    return e;
  }
  const auto address = number(words[3]);
  if (!address) return std::nullopt;
  e.address = *address;
  if (e.kind == Entry::Kind::interrupt || e.kind == Entry::Kind::accepted) {
    return words.size() == 4 ? std::optional(e) : std::nullopt;
  }
  if (words.size() < 6) return std::nullopt;
  const auto width = number(words[4]);
  const auto value = number(words[5]);
  if (!width || !value || *width == 0 || *width > 8) return std::nullopt;
  e.width = static_cast<uint8_t>(*width);
  e.value = *value;
  const bool port = e.kind == Entry::Kind::in || e.kind == Entry::Kind::out;
  if (!port) return words.size() == 6 ? std::optional(e) : std::nullopt;
  if (words.size() < 7 || words.size() > 8) return std::nullopt;
  if (words.size() == 8 && words[7] != "undefined") return std::nullopt;
  e.device = words[6] == "-" ? std::string() : std::string(words[6]);
  e.defined = words.size() == 7;
  return e;
}

}  // namespace

std::string render(const Entry& e) {
  std::string line =
      fmt::format("{} {} {} ", e.sequence, e.now, kKinds.at(static_cast<size_t>(e.kind)));
  switch (e.kind) {
    case Entry::Kind::in:
    case Entry::Kind::out:
      return line + fmt::format("{:#06x} {} {:#x} {}{}", e.address, e.width, e.value,
                                e.device.empty() ? "-" : e.device, e.defined ? "" : " undefined");
    case Entry::Kind::mmio_read:
    case Entry::Kind::mmio_write:
      return line + fmt::format("{:#x} {} {:#x}", e.address, e.width, e.value);
    case Entry::Kind::interrupt:
    case Entry::Kind::accepted:
      return line + fmt::format("{:#04x}", e.address);
    case Entry::Kind::exit:
      return line + e.device + (e.value != 0 ? fmt::format(" {:#x}", e.value) : "");
  }
  return line;
}

std::string render_transcript(const std::vector<Entry>& entries) {
  std::string text(kTranscriptFirstLine);
  text += '\n';
  for (const Entry& e : entries) text += render(e) + '\n';
  return text;
}

Result<std::vector<Entry>> parse_transcript(std::string_view text, const std::string& file) {
  std::vector<Entry> entries;
  size_t line_number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++line_number;
    const std::string where = fmt::format("{}:{}", file, line_number);
    if (line_number == 1) {
      if (line != kTranscriptFirstLine) {
        return usage_error("read transcript", where,
                           fmt::format("the first line must be '{}'", kTranscriptFirstLine));
      }
      continue;
    }
    if (line.empty() || line.starts_with('#')) continue;
    auto entry = parse_line(line);
    if (!entry) {
      return usage_error(
          "read transcript", where,
          "a line is: SEQUENCE TIME in|out PORT WIDTH VALUE DEVICE [undefined], "
          "mmio_read|mmio_write ADDRESS WIDTH VALUE, interrupt VECTOR, or exit WORD");
    }
    entries.push_back(std::move(*entry));
  }
  if (line_number == 0) return usage_error("read transcript", file, "the file is empty");
  return entries;
}

std::vector<Entry> Transcript::entries(size_t last) const {
  std::vector<Entry> list;
  const uint64_t from = count_ - std::min<uint64_t>(last, slots_.size());
  for (uint64_t i = from; i < count_; ++i) {
    const Slot& s = slots_[i % most_];
    list.push_back({i + 1, s.now, s.kind, s.defined, s.width, s.address, s.value, s.device});
  }
  return list;
}

void Transcript::clear() {
  slots_.clear();
  count_ = 0;
  next_ = 0;
}

}  // namespace ringfence::vmm

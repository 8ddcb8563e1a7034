#include "harness/vmm/qemu_trace.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "harness/base/file.h"

namespace ringfence::vmm {
namespace {

constexpr std::string_view kRead = "memory_region_ops_read ";
constexpr std::string_view kWrite = "memory_region_ops_write ";
constexpr uint64_t kPorts = 0x10000;
// Intel SDM volume 3, 11.11.1: 0xFEE and the destination; bits 2 and 3 say how it is meant. The
// local APIC has no register there.
constexpr uint64_t kMessages = 0xfee00000;
constexpr uint64_t kMessageMask = 0xfff00ff0;

// The number behind " WORD ".
std::optional<uint64_t> number_behind(std::string_view line, std::string_view word) {
  const size_t at = line.find(fmt::format(" {} ", word));
  if (at == std::string_view::npos) return std::nullopt;
  line.remove_prefix(at + word.size() + 2);
  int base = 10;
  if (line.starts_with("0x")) {
    line.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto [end, err] = std::from_chars(line.data(), line.data() + line.size(), value, base);
  if (err != std::errc() || end == line.data()) return std::nullopt;
  return value;
}

std::optional<Entry> parse_line(std::string_view line, bool write) {
  const auto address = number_behind(line, "addr");
  const auto value = number_behind(line, "value");
  const auto size = number_behind(line, "size");
  if (!address || !value || !size || *size == 0 || *size > 8) return std::nullopt;
  Entry entry;
  entry.address = *address;
  entry.value = *value;
  entry.width = static_cast<uint8_t>(*size);
  if (*address >= kPorts) {
    entry.kind = write ? Entry::Kind::mmio_write : Entry::Kind::mmio_read;
    return entry;
  }
  entry.kind = write ? Entry::Kind::out : Entry::Kind::in;
  if (const size_t name = line.find(" name '"); name != std::string_view::npos) {
    const std::string_view rest = line.substr(name + 7);
    for (const char c : rest.substr(0, rest.find('\''))) {
      entry.device.push_back(c > ' ' && c < 0x7f ? c : '_');  // one word of the text form
    }
  }
  return entry;
}

}  // namespace

Result<std::vector<Entry>> parse_qemu_trace(std::string_view text, const std::string& file) {
  std::vector<Entry> entries;
  size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    const size_t read = line.find(kRead);
    const size_t write = line.find(kWrite);
    if (read == std::string_view::npos && write == std::string_view::npos) continue;
    auto entry = parse_line(line, read == std::string_view::npos);
    if (!entry) {
      return usage_error("read QEMU trace", fmt::format("{}:{}", file, number),
                         "memory_region_ops_* has to say addr, value and size");
    }
    // What the I/O APIC sends is not the guest's.
    if (entry->kind == Entry::Kind::mmio_write && (entry->address & kMessageMask) == kMessages) {
      continue;
    }
    entry->sequence = entries.size() + 1;
    entries.push_back(std::move(*entry));
  }
  return entries;
}

}  // namespace ringfence::vmm

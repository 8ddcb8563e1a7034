#pragma once
// The saved form of a device's state: a tag of four letters, a version, the fields in a fixed
// order, little endian, nothing after them. One function names the fields, for both directions,
// each with the bound that a state of the device keeps; restoring refuses what breaks one.
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/vmm/devices/device.h"

namespace ringfence::vmm {

class StateWriter {
 public:
  template <typename T>
  void value(T& field, uint64_t /*most*/ = std::numeric_limits<uint64_t>::max()) {
    const auto bits = static_cast<uint64_t>(field);
    for (size_t n = 0; n < sizeof(T); ++n) bytes_.push_back(static_cast<uint8_t>(bits >> (8 * n)));
  }
  void require(bool /*holds*/) {}
  [[nodiscard]] std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

class StateReader {
 public:
  explicit StateReader(std::span<const uint8_t> bytes, bool strict = true)
      : bytes_(bytes), strict_(strict) {}

  template <typename T>
  void value(T& field, uint64_t most = std::numeric_limits<uint64_t>::max()) {
    if (bytes_.size() < sizeof(T)) {
      good_ = false;
      return;
    }
    uint64_t bits = 0;
    for (size_t n = 0; n < sizeof(T); ++n) bits |= uint64_t{bytes_[n]} << (8 * n);
    bytes_ = bytes_.subspan(sizeof(T));
    if constexpr (std::is_same_v<T, bool>) most = 1;
    if (bits > most) good_ = false;
    field = static_cast<T>(bits);
  }
  // What no single bound can say. A device with a seeded fault may break it by its fault.
  void require(bool holds) { good_ = good_ && (holds || !strict_); }
  [[nodiscard]] bool complete() const { return good_ && bytes_.empty(); }

 private:
  std::span<const uint8_t> bytes_;
  bool good_ = true;
  bool strict_;
};

// State::fields(io) is a static or member template that visits every field.
template <typename State>
std::vector<uint8_t> save_state(uint32_t tag, uint16_t version, const State& state) {
  StateWriter writer;
  auto copy = state;
  writer.value(tag);
  writer.value(version);
  copy.fields(writer);
  return writer.take();
}

template <typename State>
Status restore_state(std::string_view device, uint32_t tag, uint16_t version,
                     std::span<const uint8_t> bytes, State& state, bool strict = true) {
  StateReader reader(bytes, strict);
  uint32_t seen_tag = 0;
  uint16_t seen_version = 0;
  reader.value(seen_tag);
  reader.value(seen_version);
  if (seen_tag != tag || seen_version != version) {
    return system_error("restore state", std::string(device), EINVAL,
                        "not a state of this device, or of another version");
  }
  auto fresh = state;
  fresh.fields(reader);
  if (!reader.complete()) {
    return system_error("restore state", std::string(device), EINVAL,
                        "cut off, too long, or with a value that the device cannot have");
  }
  state = fresh;
  return {};
}

constexpr uint32_t state_tag(const char (&letters)[5]) {
  uint32_t tag = 0;
  for (unsigned n = 0; n < 4; ++n) tag |= uint32_t{static_cast<uint8_t>(letters[n])} << (8 * n);
  return tag;
}

}  // namespace ringfence::vmm

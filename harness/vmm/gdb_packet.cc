#include "harness/vmm/gdb_packet.h"

#include <fmt/format.h>

#include <charconv>
#include <numeric>

namespace ringfence::vmm {
namespace {

constexpr uint8_t kInterrupt = 0x03;
constexpr char kEscape = '}';
constexpr char kEscapeBit = 0x20;

std::optional<uint8_t> digit_of(uint8_t c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

uint8_t checksum_of(std::string_view raw) {
  return std::accumulate(raw.begin(), raw.end(), uint8_t{0}, [](uint8_t sum, char c) {
    return static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  });
}

}  // namespace

void GdbReader::end_packet(uint8_t checksum, std::vector<GdbInput>& inputs) {
  state_ = State::outside;
  if (too_long_ || bad_digit_ || checksum != checksum_of(raw_)) {
    inputs.push_back({GdbInput::Kind::bad, {}});
    return;
  }
  std::string payload;
  for (size_t i = 0; i < raw_.size(); ++i) {
    if (raw_[i] == kEscape && i + 1 < raw_.size()) {
      payload.push_back(static_cast<char>(raw_[++i] ^ kEscapeBit));
    } else {
      payload.push_back(raw_[i]);
    }
  }
  inputs.push_back({GdbInput::Kind::packet, std::move(payload)});
}

std::vector<GdbInput> GdbReader::feed(std::span<const uint8_t> bytes) {
  std::vector<GdbInput> inputs;
  for (const uint8_t c : bytes) {
    switch (state_) {
      case State::outside:
        if (c == '+') inputs.push_back({GdbInput::Kind::ack, {}});
        if (c == '-') inputs.push_back({GdbInput::Kind::nack, {}});
        if (c == kInterrupt) inputs.push_back({GdbInput::Kind::interrupt, {}});
        if (c != '$') break;
        state_ = State::inside;
        raw_.clear();
        too_long_ = bad_digit_ = false;
        break;
      case State::inside:
        if (c == '#') {
          state_ = State::first_digit;
        } else if (c == '$') {  // the last one was cut off
          raw_.clear();
          too_long_ = false;
        } else if (raw_.size() >= kMost) {
          too_long_ = true;
        } else {
          raw_.push_back(static_cast<char>(c));
        }
        break;
      case State::first_digit:
        bad_digit_ = !digit_of(c).has_value();
        digit_ = digit_of(c).value_or(0);
        state_ = State::second_digit;
        break;
      case State::second_digit:
        bad_digit_ = bad_digit_ || !digit_of(c).has_value();
        end_packet(static_cast<uint8_t>(digit_ << 4 | digit_of(c).value_or(0)), inputs);
        break;
    }
  }
  return inputs;
}

std::string gdb_frame(std::string_view payload) {
  std::string raw;
  for (const char c : payload) {
    if (c == '$' || c == '#' || c == kEscape || c == '*') {
      raw.push_back(kEscape);
      raw.push_back(static_cast<char>(c ^ kEscapeBit));
    } else {
      raw.push_back(c);
    }
  }
  return fmt::format("${}#{:02x}", raw, checksum_of(raw));
}

std::string gdb_hex(std::span<const uint8_t> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

std::optional<std::vector<uint8_t>> gdb_bytes(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const auto high = digit_of(static_cast<uint8_t>(hex[i]));
    const auto low = digit_of(static_cast<uint8_t>(hex[i + 1]));
    if (!high || !low) return std::nullopt;
    bytes.push_back(static_cast<uint8_t>(*high << 4 | *low));
  }
  return bytes;
}

std::optional<uint64_t> gdb_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (err != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace ringfence::vmm

// Addresses as text and back.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "harness/policy/network.h"

namespace ringfence {
namespace {

constexpr size_t kInet = 4;
constexpr unsigned kByteBits = 8;

// Decimal digits alone, at most `max`.
std::optional<unsigned> digits(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() ||
      value > max) {
    return std::nullopt;
  }
  return value;
}

std::optional<uint8_t> hex_byte(std::string_view text) {
  constexpr int kHex = 16;
  uint8_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, kHex);
  if (text.size() != 2 || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

size_t IpAddress::size() const { return family == AF_INET6 ? sizeof(in6_addr) : kInet; }

std::string IpAddress::str() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return "?";
  return text.data();
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  IpAddress address;
  address.family = copy.find(':') == std::string::npos ? AF_INET : AF_INET6;
  // A NUL would end the text early.
  if (copy.find('\0') != std::string::npos ||
      inet_pton(address.family, copy.c_str(), address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

std::string IpNetwork::str() const { return fmt::format("{}/{}", address.str(), prefix); }

bool IpNetwork::host_bits_clear() const {
  for (unsigned bit = prefix; bit < address.size() * kByteBits; ++bit) {
    const unsigned mask = 0x80U >> (bit % kByteBits);
    if ((address.bytes.at(bit / kByteBits) & mask) != 0) return false;
  }
  return true;
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto prefix =
      digits(text.substr(slash + 1), static_cast<unsigned>(address->size() * kByteBits));
  if (!prefix) return std::nullopt;
  return IpNetwork{*address, static_cast<uint8_t>(*prefix)};
}

std::string MacAddress::str() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  constexpr size_t kLength = 17;
  constexpr size_t kStep = 3;
  if (text.size() != kLength) return std::nullopt;
  MacAddress mac;
  for (size_t i = 0; i < mac.bytes.size(); ++i) {
    if (i > 0 && text[i * kStep - 1] != ':') return std::nullopt;
    const auto byte = hex_byte(text.substr(i * kStep, 2));
    if (!byte) return std::nullopt;
    mac.bytes.at(i) = *byte;
  }
  return mac;
}

}  // namespace ringfence

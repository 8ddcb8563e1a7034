#pragma once
// The gdb remote serial protocol's framing and number forms, as pure functions.
//
// Source: Debugging with GDB, appendix E "GDB Remote Serial Protocol", "Overview":
// $payload#checksum, '+' and '-' as answers, 0x03 as the interrupt, '}' as the escape.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence::vmm {

struct GdbInput {
  enum class Kind : uint8_t {
    packet,     // `payload`, unescaped
    bad,        // a packet whose checksum is wrong, or that is too long
    ack,        // '+'
    nack,       // '-': once more, please
    interrupt,  // 0x03
  };
  Kind kind = Kind::packet;
  std::string payload;
};

// Cuts what comes from gdb, in pieces of any size, into packets. What is between packets and means
// nothing is left out.
class GdbReader {
 public:
  // What the stub promises as PacketSize; the payload of a packet is no longer.
  static constexpr size_t kMost = 0x4000;
  std::vector<GdbInput> feed(std::span<const uint8_t> bytes);

 private:
  enum class State : uint8_t { outside, inside, first_digit, second_digit };
  void end_packet(uint8_t checksum, std::vector<GdbInput>& inputs);
  State state_ = State::outside;
  std::string raw_;  // as it came
  bool too_long_ = false;
  bool bad_digit_ = false;
  uint8_t digit_ = 0;
};

// A payload as a packet: escaped, with its checksum.
std::string gdb_frame(std::string_view payload);

// Bytes as pairs of lower case hexadecimal digits, and back; nothing for an odd count or another
// character.
std::string gdb_hex(std::span<const uint8_t> bytes);
std::optional<std::vector<uint8_t>> gdb_bytes(std::string_view hex);
// A whole text as a hexadecimal number of at most 64 bits.
std::optional<uint64_t> gdb_number(std::string_view text);

}  // namespace ringfence::vmm

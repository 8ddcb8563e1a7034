#pragma once
// The channel between the harness and a machine that it has booted: frames over a byte stream that
// may lose or damage bytes (a serial port). Pure: bytes in, frames out.
//
// A frame is `RF` 0x1e, kind (1 byte), sequence number, length of the body (32 bits each, little
// endian), the body, and the CRC-32 (zlib's) of all of it but the first three bytes. A body has at
// most kMaxBody bytes. Sequence numbers count from 0 in each direction, so that a frame that was
// lost or damaged shows as a gap.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringfence {

enum class FrameKind : uint8_t {
  // From the guest.
  hello = 1,   // JSON: what was booted (see agent.h)
  beat = 2,    // a word per CPU, "0:17 1:17": how often that CPU has run the agent's thread
  out = 3,     // standard output of the command
  err = 4,     // its standard error
  result = 5,  // what it wrote on the descriptor for results
  done = 6,    // JSON: how the command ended; the last frame
  // From the harness.
  job = 16,  // JSON: what to do
};

struct Frame {
  FrameKind kind{};
  std::string body;
};

class FrameWriter {
 public:
  // `body` in as many frames as it takes; an empty one is one frame.
  std::string encode(FrameKind kind, std::string_view body);

 private:
  uint32_t next_ = 0;
};

class FrameReader {
 public:
  static constexpr size_t kMaxBody = size_t{1} << 16;

  void feed(std::string_view bytes);
  // The next whole frame; bytes that are none are passed over and counted.
  std::optional<Frame> next();
  // Frames that the sequence numbers say are missing, those that came damaged included.
  [[nodiscard]] uint64_t lost() const { return lost_; }
  [[nodiscard]] uint64_t bytes_passed_over() const { return passed_over_; }

 private:
  std::string buffer_;
  size_t at_ = 0;
  uint32_t expected_ = 0;
  uint64_t lost_ = 0;
  uint64_t passed_over_ = 0;
};

}  // namespace ringfence

#include "harness/kernels/channel.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace ringfence {
namespace {

constexpr std::string_view kMagic("RF\x1e", 3);
constexpr size_t kHead = kMagic.size() + 1 + 4 + 4;
constexpr size_t kTail = 4;

void put32(std::string& to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

uint32_t get32(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return value;
}

uint32_t checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

}  // namespace

std::string FrameWriter::encode(FrameKind kind, std::string_view body) {
  std::string all;
  do {
    const auto piece = body.substr(0, FrameReader::kMaxBody);
    body.remove_prefix(piece.size());
    const size_t began = all.size();
    all += kMagic;
    all += static_cast<char>(kind);
    put32(all, next_++);
    put32(all, static_cast<uint32_t>(piece.size()));
    all += piece;
    put32(all, checksum(std::string_view(all).substr(began + kMagic.size())));
  } while (!body.empty());
  return all;
}

void FrameReader::feed(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_ += bytes;
}

std::optional<Frame> FrameReader::next() {
  while (true) {
    const std::string_view rest = std::string_view(buffer_).substr(at_);
    const size_t begins = rest.find(kMagic);
    if (begins == std::string_view::npos) {
      // The magic's beginning may be at the end.
      const size_t keep = std::min(rest.size(), kMagic.size() - 1);
      passed_over_ += rest.size() - keep;
      at_ += rest.size() - keep;
      return std::nullopt;
    }
    passed_over_ += begins;
    at_ += begins;
    const std::string_view frame = rest.substr(begins);
    if (frame.size() < kHead) return std::nullopt;
    const uint32_t sequence = get32(frame.data() + 4);
    const size_t length = get32(frame.data() + 8);
    const bool sane = length <= kMaxBody;
    if (sane && frame.size() < kHead + length + kTail) return std::nullopt;
    const auto covered = frame.substr(kMagic.size(), sane ? kHead - kMagic.size() + length : 0);
    if (!sane || checksum(covered) != get32(frame.data() + kHead + length)) {
      // Not a frame, or a damaged one: whatever follows is looked at from the next byte on.
      ++passed_over_;
      ++at_;
      continue;
    }
    // One that comes late is out of place, and no gap.
    const uint32_t gap = sequence - expected_;
    lost_ += gap < 1U << 31 ? gap : 1;
    expected_ = sequence + 1;
    Frame result{static_cast<FrameKind>(frame[3]), std::string(frame.substr(kHead, length))};
    at_ += kHead + length + kTail;
    return result;
  }
}

}  // namespace ringfence

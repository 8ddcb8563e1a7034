#pragma once
// Transcript: what went over the border between guest and machine, in order: port and MMIO accesses
// with widths and values, interrupts, exits. The text form has one line for each:
//
//   # ringfence transcript 1
//   SEQUENCE DEVICE_TIME_NS in|out PORT WIDTH VALUE DEVICE [undefined]
//   SEQUENCE DEVICE_TIME_NS mmio_read|mmio_write ADDRESS WIDTH VALUE
//   SEQUENCE DEVICE_TIME_NS interrupt VECTOR      the processor takes it
//   SEQUENCE DEVICE_TIME_NS accepted VECTOR       a local APIC takes it for its processor
//   SEQUENCE DEVICE_TIME_NS exit WORD [VALUE]
//
// Numbers are hexadecimal with 0x, except sequence, time and width. A string access is one line for
// each element.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

struct Entry {
  enum class Kind : uint8_t { in, out, mmio_read, mmio_write, interrupt, exit, accepted };
  uint64_t sequence = 0;
  uint64_t now = 0;  // device time, ns
  Kind kind = Kind::exit;
  bool defined = true;   // false: no device has this port, or not in this width
  uint8_t width = 0;     // bytes
  uint64_t address = 0;  // port, guest-physical address, or vector
  uint64_t value = 0;
  std::string device;  // who answered; for an exit its word ("hlt", "shutdown")
  friend bool operator==(const Entry&, const Entry&) = default;
};

inline constexpr std::string_view kTranscriptFirstLine = "# ringfence transcript 1";

std::string render(const Entry& entry);
// The whole text with its first line.
std::string render_transcript(const std::vector<Entry>& entries);
// Reads what render_transcript() wrote; usage error with the line's number for anything else.
Result<std::vector<Entry>> parse_transcript(std::string_view text, const std::string& file);

// Keeps the last `kept` entries; all of them up to a million when asked.
class Transcript {
 public:
  static constexpr size_t kLast = 64;
  static constexpr size_t kMost = 1'000'000;
  explicit Transcript(bool everything) : most_(everything ? kMost : kLast) {
    slots_.reserve(kLast);
  }

  // `device` is a literal: no copy until somebody looks. This is done for each exit of a guest.
  void add(uint64_t now, Entry::Kind kind, uint64_t address, unsigned width, uint64_t value,
           const char* device, bool defined = true) {
    if (next_ == slots_.size()) {
      if (next_ < most_) {
        slots_.emplace_back();
      } else {
        next_ = 0;
      }
    }
    Slot& slot = slots_[next_++];
    slot.now = now;
    slot.address = address;
    slot.value = value;
    slot.device = device;
    slot.kind = kind;
    slot.width = static_cast<uint8_t>(width);
    slot.defined = defined;
    ++count_;
  }
  [[nodiscard]] uint64_t count() const { return count_; }
  // Those that had no room.
  [[nodiscard]] uint64_t lost() const { return count_ - slots_.size(); }
  // In order; at most `last` of them.
  [[nodiscard]] std::vector<Entry> entries(size_t last = kMost) const;
  void clear();

 private:
  struct Slot {
    uint64_t now = 0;
    uint64_t address = 0;
    uint64_t value = 0;
    const char* device = "";
    Entry::Kind kind = Entry::Kind::exit;
    uint8_t width = 0;
    bool defined = true;
  };
  size_t most_;
  uint64_t count_ = 0;
  size_t next_ = 0;          // the place after the last one
  std::vector<Slot> slots_;  // a ring once it is full
};

}  // namespace ringfence::vmm

#pragma once
// The guests: programs for the mini-VMM and for other VMMs, assembled from guests/*.asm, as bytes
// in two link forms (guests/include/image.inc), and the reports that they give (docs/guests.md).
// Everything returned lives as long as the program.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

// In which state the flat form starts, at offset 0 of a code segment with base 0. Data segments
// have base 0; in the modes but `real` they are flat and, in long mode, paging maps low memory to
// itself.
enum class CpuStart { real, protected16, protected32, long64 };

struct Guest {
  std::string_view name;
  std::string_view source;  // of the tree: "guests/NAME.asm"
  CpuStart start = CpuStart::real;
  std::span<const uint8_t> flat;
  // 64 KiB with the reset vector at 0xFFF0, for 0xF0000 and 0xFFFF0000; empty where the guest does
  // not start in real mode.
  std::span<const uint8_t> firmware;
  // It is about the local APIC or the I/O APIC. For others a local APIC is only in the PIC's way.
  bool local_apic = false;
};

// All guests, in the order of their names.
std::span<const Guest> guests();
// nullptr where there is none of that name.
const Guest* find_guest(std::string_view name);

// One line of a guest's report.
struct GuestLine {
  enum class Kind { begin, held, failed, not_judged, measure, end };
  Kind kind = Kind::begin;
  std::string name;   // the guest's, the clause's, the measurement's
  unsigned line = 0;  // in the guest's source
  // failed: all four; measure: seen; end: expected is the number of expectations, seen of failures.
  uint16_t port = 0;
  uint64_t mask = 0, expected = 0, seen = 0;
  std::string word;  // not_judged: why

  bool operator==(const GuestLine&) const = default;
};

// A line without its end of line. Fails with what is wrong with it: a guest's words are not
// trusted.
Result<GuestLine> parse_guest_line(std::string_view text);

// A whole report. Lines that are none (a guest may print what it likes) are left out and counted.
struct GuestReport {
  std::string guest;             // of the G line
  std::vector<GuestLine> lines;  // without G and Z
  // A Z line, whose counts are those of the lines, and no failure behind it: a guest that goes on
  // behind the exit port says so.
  bool ended = false;
  size_t strays = 0;
};
GuestReport parse_guest_report(std::string_view text);

}  // namespace ringfence::vmm

#pragma once
// Where two transcripts of one guest (vmm/transcript.h) part, on whatever machines it ran.
//
// What is compared is what the guest did and saw: ports and addresses, widths, values, in order;
// interrupts and exits where both transcripts have them. Times, sequence numbers and the names of
// devices are the machine's own. Loops that poll go round as often as the machine is slow, so what
// repeats itself at once counts once. The guest's reports on port 0xE9 (docs/guests.md) align the
// two and say to which line of its source an access belongs.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/vmm/transcript.h"

namespace ringfence {

struct TranscriptDiff {
  struct Side {
    std::string guest;  // of its G line; empty: it gave none
    size_t entries = 0;
    size_t expectations = 0;
    size_t failed = 0;
  };
  // An expectation of the guest's source.
  struct Place {
    std::string clause;
    unsigned line = 0;  // 0: behind the last report
  };
  struct Divergence {
    Place place;                       // the next report behind it
    std::optional<vmm::Entry> common;  // the last that both have
    std::optional<vmm::Entry> before;  // none: that side has no more accesses there
    std::optional<vmm::Entry> after;
  };
  // An expectation that held on one side alone: that side agrees with the data sheet.
  struct Judgement {
    Place place;
    bool before_held = false;
    uint16_t port = 0;
    uint64_t mask = 0, expected = 0, seen = 0;  // on the side where it failed
  };
  // A report that only one side has.
  struct Missing {
    Place place;
    bool before_has_it = false;
  };
  Side before, after;
  bool interrupts_compared = false;
  // False where the PIC and PIT of one side leave no exits: they are KVM's own.
  bool pic_and_pit_compared = true;
  // The same of KVM's I/O APIC; and of the local APIC, which a processor can be by itself.
  bool ioapic_compared = true;
  bool local_apic_compared = true;
  std::optional<Divergence> first;
  std::vector<Judgement> judged;
  std::vector<Missing> missing;
  size_t same_reports = 0;

  [[nodiscard]] bool same() const { return !first && judged.empty() && missing.empty(); }
  [[nodiscard]] int exit_code() const { return same() ? 0 : 1; }
};

TranscriptDiff diff_transcripts(const std::vector<vmm::Entry>& before,
                                const std::vector<vmm::Entry>& after);

// What the rendering asks for; both may give an empty text for what they do not know.
struct TranscriptSources {
  std::function<std::string(std::string_view clause)> sheet;  // the data sheet and its section
  std::function<std::string(std::string_view guest, unsigned line)> text;  // of the guest's source
};
// For people; ends in a newline. The names are those of the two files.
std::string render_transcript_diff(const TranscriptDiff& diff, const std::string& before,
                                   const std::string& after, const TranscriptSources& sources);
// One JSON object and a newline: {same, before, after, first, judged, missing, same_reports}.
std::string transcript_diff_json(const TranscriptDiff& diff, const TranscriptSources& sources);

}  // namespace ringfence

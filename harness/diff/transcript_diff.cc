#include "harness/diff/transcript_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "guests/guests.h"

namespace ringfence {
namespace {

using vmm::Entry;
using vmm::GuestLine;

constexpr uint16_t kDebugPort = 0xe9;
constexpr size_t kLongestLoop = 8;  // accesses in one turn
constexpr size_t kLongestReport = 4096;
constexpr size_t kFarthest = 1000;  // reports, to a place that both come to

// What the guest did between two of its reports, and the report behind it.
struct Segment {
  std::vector<Entry> entries;
  std::optional<GuestLine> report;  // none: the end
};

bool same_access(const Entry& a, const Entry& b) {
  if (a.kind != b.kind || a.address != b.address || a.width != b.width || a.value != b.value) {
    return false;
  }
  return a.kind != Entry::Kind::exit || a.device == b.device;
}

// Appends, but not the next turn of a loop.
void append(std::vector<Entry>& list, const Entry& entry) {
  list.push_back(entry);
  for (size_t turn = 1; turn <= kLongestLoop && 2 * turn <= list.size(); ++turn) {
    const auto last = list.end() - static_cast<std::ptrdiff_t>(turn);
    if (std::equal(last, list.end(), last - static_cast<std::ptrdiff_t>(turn), same_access)) {
      list.erase(last, list.end());
      return;
    }
  }
}

bool has(const std::vector<Entry>& entries, Entry::Kind kind) {
  return std::any_of(entries.begin(), entries.end(),
                     [kind](const Entry& e) { return e.kind == kind; });
}

// What KVM has devices of its own for (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2).
bool is_pic_or_pit(const Entry& entry) {
  static constexpr std::array<uint64_t, 11> kPorts = {0x20, 0x21, 0x40, 0x41,  0x42, 0x43,
                                                      0x61, 0xa0, 0xa1, 0x4d0, 0x4d1};
  return (entry.kind == Entry::Kind::in || entry.kind == Entry::Kind::out) &&
         std::find(kPorts.begin(), kPorts.end(), entry.address) != kPorts.end();
}

constexpr uint64_t kIoApic = 0xfec00000;
constexpr uint64_t kLocalApic = 0xfee00000;
constexpr uint64_t kPage = 0x1000;

bool is_memory_of(const Entry& entry, uint64_t page) {
  return (entry.kind == Entry::Kind::mmio_read || entry.kind == Entry::Kind::mmio_write) &&
         (entry.address & ~(kPage - 1)) == page;
}

// Where a processor answers for its local APIC (APICv, AVIC), some of the writes come out still.
bool reads_local_apic(const Entry& entry) {
  return entry.kind == Entry::Kind::mmio_read && is_memory_of(entry, kLocalApic);
}

// What both record.
struct Compared {
  bool interrupts = false;  // and the HLT that waits for one
  bool accepted = false;
  bool exits = false;
  bool pic_and_pit = true;
  bool ioapic = true;
  bool local_apic = true;
  [[nodiscard]] bool wants(const Entry& entry) const {
    if (!pic_and_pit && is_pic_or_pit(entry)) return false;
    if (!ioapic && is_memory_of(entry, kIoApic)) return false;
    if (!local_apic && is_memory_of(entry, kLocalApic)) return false;
    if (entry.kind == Entry::Kind::interrupt) return interrupts;
    if (entry.kind == Entry::Kind::accepted) return accepted;
    if (entry.kind != Entry::Kind::exit) return true;
    return exits && (interrupts || entry.device != "hlt");
  }
};

std::vector<Segment> segments_of(const std::vector<Entry>& entries, const Compared& compared,
                                 TranscriptDiff::Side& side) {
  std::vector<Segment> segments(1);
  std::string text;
  side.entries = entries.size();
  for (const Entry& entry : entries) {
    if (!compared.wants(entry)) continue;
    if (entry.kind != Entry::Kind::out || entry.address != kDebugPort || entry.width != 1) {
      append(segments.back().entries, entry);
      continue;
    }
    if (entry.value != '\n') {
      if (text.size() < kLongestReport) text.push_back(static_cast<char>(entry.value));
      continue;
    }
    auto report = vmm::parse_guest_line(text);
    text.clear();
    if (!report) continue;  // a guest may print what it likes
    if (report->kind == GuestLine::Kind::begin) side.guest = report->name;
    side.expectations += report->kind == GuestLine::Kind::held ? 1 : 0;
    if (report->kind == GuestLine::Kind::failed) {
      ++side.expectations;
      ++side.failed;
    }
    segments.back().report = std::move(*report);
    segments.emplace_back();
  }
  return segments;
}

// Whether two reports are of the same place in the source.
bool same_place(const Segment& a, const Segment& b) {
  if (a.report.has_value() != b.report.has_value()) return false;
  return !a.report || (a.report->name == b.report->name && a.report->line == b.report->line);
}

TranscriptDiff::Place place_of(const Segment& segment) {
  if (!segment.report) return {};
  return {segment.report->name, segment.report->line};
}

std::optional<TranscriptDiff::Divergence> divergence_in(const Segment& a, const Segment& b) {
  const size_t most = std::max(a.entries.size(), b.entries.size());
  for (size_t i = 0; i < most; ++i) {
    const bool both = i < a.entries.size() && i < b.entries.size();
    if (both && same_access(a.entries[i], b.entries[i])) continue;
    TranscriptDiff::Divergence found;
    found.place = place_of(a);
    if (i > 0) found.common = a.entries[i - 1];
    if (i < a.entries.size()) found.before = a.entries[i];
    if (i < b.entries.size()) found.after = b.entries[i];
    return found;
  }
  return std::nullopt;
}

void judge(const Segment& a, const Segment& b, TranscriptDiff& diff) {
  if (!a.report || !b.report) return;
  using Kind = GuestLine::Kind;
  const bool opposite = (a.report->kind == Kind::held && b.report->kind == Kind::failed) ||
                        (a.report->kind == Kind::failed && b.report->kind == Kind::held);
  if (!opposite) {
    ++diff.same_reports;
    return;
  }
  TranscriptDiff::Judgement judgement;
  judgement.place = place_of(a);
  judgement.before_held = a.report->kind == Kind::held;
  const GuestLine& failed = judgement.before_held ? *b.report : *a.report;
  judgement.port = failed.port;
  judgement.mask = failed.mask;
  judgement.expected = failed.expected;
  judgement.seen = failed.seen;
  diff.judged.push_back(std::move(judgement));
}

// The guest's control flow may part, too: then the nearest place that both come to.
struct Step {
  size_t skip_a = 0;
  size_t skip_b = 0;
};
Step resynchronize(const std::vector<Segment>& a, size_t i, const std::vector<Segment>& b,
                   size_t j) {
  const size_t most = std::min((a.size() - i) + (b.size() - j), kFarthest);
  for (size_t sum = 1; sum <= most; ++sum) {
    for (size_t skip = 0; skip <= sum; ++skip) {
      if (i + skip < a.size() && j + (sum - skip) < b.size() &&
          same_place(a[i + skip], b[j + (sum - skip)])) {
        return {skip, sum - skip};
      }
    }
  }
  return {a.size() - i, b.size() - j};
}

}  // namespace

TranscriptDiff diff_transcripts(const std::vector<Entry>& before, const std::vector<Entry>& after) {
  TranscriptDiff diff;
  Compared compared;
  compared.interrupts = has(before, Entry::Kind::interrupt) == has(after, Entry::Kind::interrupt);
  compared.accepted = has(before, Entry::Kind::accepted) == has(after, Entry::Kind::accepted);
  compared.exits = has(before, Entry::Kind::exit) && has(after, Entry::Kind::exit);
  const auto alike = [&](const auto& wanted) {
    return std::any_of(before.begin(), before.end(), wanted) ==
           std::any_of(after.begin(), after.end(), wanted);
  };
  compared.pic_and_pit = alike(is_pic_or_pit);
  compared.ioapic = alike([](const Entry& e) { return is_memory_of(e, kIoApic); });
  compared.local_apic = alike(reads_local_apic);
  diff.interrupts_compared = compared.interrupts;
  diff.pic_and_pit_compared = compared.pic_and_pit;
  diff.ioapic_compared = compared.ioapic;
  diff.local_apic_compared = compared.local_apic;
  const auto a = segments_of(before, compared, diff.before);
  const auto b = segments_of(after, compared, diff.after);
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (!diff.first) diff.first = divergence_in(a[i], b[j]);
    if (same_place(a[i], b[j])) {
      judge(a[i++], b[j++], diff);
      continue;
    }
    const Step step = resynchronize(a, i, b, j);
    for (size_t n = 0; n < step.skip_a; ++n) {
      if (a[i + n].report) diff.missing.push_back({place_of(a[i + n]), true});
    }
    for (size_t n = 0; n < step.skip_b; ++n) {
      if (b[j + n].report) diff.missing.push_back({place_of(b[j + n]), false});
    }
    i += step.skip_a;
    j += step.skip_b;
  }
  return diff;
}

namespace {

std::string where(const TranscriptDiff& diff, const TranscriptDiff::Place& place) {
  const std::string& guest = diff.before.guest.empty() ? diff.after.guest : diff.before.guest;
  if (place.line == 0) return place.clause.empty() ? "behind the last report" : place.clause;
  return fmt::format("guests/{}.asm:{} ({})", guest, place.line, place.clause);
}

std::string shown(const std::optional<Entry>& entry) {
  return entry ? vmm::render(*entry) : "nothing more there";
}

std::string side_line(const std::string& file, const TranscriptDiff::Side& side) {
  return fmt::format("{}: {}{} accesses, {} expectations, {} failed\n", file,
                     side.guest.empty() ? "" : "guest " + side.guest + ", ", side.entries,
                     side.expectations, side.failed);
}

}  // namespace

std::string render_transcript_diff(const TranscriptDiff& diff, const std::string& before,
                                   const std::string& after, const TranscriptSources& sources) {
  std::string text = side_line(before, diff.before) + side_line(after, diff.after);
  if (!diff.interrupts_compared) {
    text += "interrupts are in one of them alone, and not compared\n";
  }
  if (!diff.pic_and_pit_compared) {
    text += "accesses to the PIC and the PIT are in one of them alone, and not compared\n";
  }
  if (!diff.ioapic_compared) {
    text += "accesses to the I/O APIC are in one of them alone, and not compared\n";
  }
  if (!diff.local_apic_compared) {
    text += "accesses to the local APIC are in one of them alone, and not compared\n";
  }
  const std::string& guest = diff.before.guest.empty() ? diff.after.guest : diff.before.guest;
  if (diff.first) {
    const auto& first = *diff.first;
    text += fmt::format("\nfirst divergence, on the way to {}\n", where(diff, first.place));
    if (const std::string line = sources.text(guest, first.place.line); !line.empty()) {
      text += fmt::format("  {:>6}  {}\n", first.place.line, line);
    }
    if (first.common) text += fmt::format("    both  {}\n", vmm::render(*first.common));
    text += fmt::format("  before  {}\n   after  {}\n", shown(first.before), shown(first.after));
  }
  if (!diff.judged.empty()) text += "\njudged differently\n";
  for (const auto& j : diff.judged) {
    const std::string sheet = sources.sheet(j.place.clause);
    text += fmt::format("  {}: {} agrees with {}; {} does not: ", where(diff, j.place),
                        j.before_held ? before : after,
                        sheet.empty() ? "what the guest expects" : sheet,
                        j.before_held ? after : before);
    if (j.port != 0) text += fmt::format("port {:#06x}, ", j.port);
    text += fmt::format("mask {:#x}, expected {:#x}, seen {:#x}\n", j.mask, j.expected, j.seen);
  }
  if (!diff.missing.empty()) text += "\nreported by one alone\n";
  for (const auto& m : diff.missing) {
    text += fmt::format("  {}: {}\n", where(diff, m.place), m.before_has_it ? before : after);
  }
  text += fmt::format("\n{}{} reports the same\n", diff.same() ? "no divergence, " : "",
                      diff.same_reports);
  return text;
}

std::string transcript_diff_json(const TranscriptDiff& diff, const TranscriptSources& sources) {
  using nlohmann::ordered_json;
  const auto side = [](const TranscriptDiff::Side& s) {
    return ordered_json{{"guest", s.guest},
                        {"accesses", s.entries},
                        {"expectations", s.expectations},
                        {"failed", s.failed}};
  };
  const auto entry = [](const std::optional<Entry>& e) {
    return e ? ordered_json(vmm::render(*e)) : ordered_json();
  };
  ordered_json out{{"same", diff.same()},
                   {"before", side(diff.before)},
                   {"after", side(diff.after)},
                   {"interrupts_compared", diff.interrupts_compared},
                   {"pic_and_pit_compared", diff.pic_and_pit_compared},
                   {"ioapic_compared", diff.ioapic_compared},
                   {"local_apic_compared", diff.local_apic_compared},
                   {"first", nullptr},
                   {"judged", ordered_json::array()},
                   {"missing", ordered_json::array()},
                   {"same_reports", diff.same_reports}};
  if (diff.first) {
    out["first"] = {{"clause", diff.first->place.clause},
                    {"line", diff.first->place.line},
                    {"common", entry(diff.first->common)},
                    {"before", entry(diff.first->before)},
                    {"after", entry(diff.first->after)}};
  }
  for (const auto& j : diff.judged) {
    out["judged"].push_back({{"clause", j.place.clause},
                             {"line", j.place.line},
                             {"agrees", j.before_held ? "before" : "after"},
                             {"source", sources.sheet(j.place.clause)},
                             {"port", j.port},
                             {"mask", j.mask},
                             {"expected", j.expected},
                             {"seen", j.seen}});
  }
  for (const auto& m : diff.missing) {
    out["missing"].push_back({{"clause", m.place.clause},
                              {"line", m.place.line},
                              {"in", m.before_has_it ? "before" : "after"}});
  }
  // What a transcript's words are made of came from a file.
  return out.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace ringfence

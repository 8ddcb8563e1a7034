#include "harness/diff/transcript_diff.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/vmm/qemu_trace.h"

namespace ringfence {
namespace {

using testing::HasSubstr;
using vmm::Entry;

// A transcript from lines: "in 3fd 60", "out 3f8 41", "read fec00010 1", "write fec00000 1", "irq
// 24", "hlt", and reports after '>'.
std::vector<Entry> transcript(std::initializer_list<std::string> lines) {
  std::vector<Entry> entries;
  const auto add = [&](Entry::Kind kind, uint64_t address, uint64_t value, std::string device) {
    Entry e;
    e.sequence = entries.size() + 1;
    e.now = entries.size() * 1000;
    e.kind = kind;
    e.width = kind == Entry::Kind::in || kind == Entry::Kind::out ? 1 : 0;
    e.address = address;
    e.value = value;
    e.device = std::move(device);
    entries.push_back(std::move(e));
  };
  for (const std::string& line : lines) {
    unsigned a = 0;
    unsigned b = 0;
    if (line[0] == '>') {
      for (const char c : line.substr(1) + "\n") {
        add(Entry::Kind::out, 0xe9, static_cast<uint8_t>(c), "debugcon");
      }
    } else if (std::sscanf(line.c_str(), "in %x %x", &a, &b) == 2) {  // NOLINT(cert-err34-c)
      add(Entry::Kind::in, a, b, "one");
    } else if (std::sscanf(line.c_str(), "out %x %x", &a, &b) == 2) {  // NOLINT(cert-err34-c)
      add(Entry::Kind::out, a, b, "one");
    } else if (std::sscanf(line.c_str(), "read %x %x", &a, &b) == 2) {  // NOLINT(cert-err34-c)
      add(Entry::Kind::mmio_read, a, b, "");
    } else if (std::sscanf(line.c_str(), "write %x %x", &a, &b) == 2) {  // NOLINT(cert-err34-c)
      add(Entry::Kind::mmio_write, a, b, "");
    } else if (std::sscanf(line.c_str(), "irq %x", &a) == 1) {  // NOLINT(cert-err34-c)
      add(Entry::Kind::interrupt, a, 0, "");
    } else {
      add(Entry::Kind::exit, 0, 0, line);
    }
  }
  return entries;
}

const TranscriptSources kSources{
    [](std::string_view clause) { return clause == "uart.a" ? "the sheet, 8.3" : ""; },
    [](std::string_view guest, unsigned line) { return fmt::format("{} line {}", guest, line); }};

std::string rendered(const TranscriptDiff& diff) {
  return render_transcript_diff(diff, "old", "new", kSources);
}

TEST(TranscriptDiff, TheSameIsTheSameWhateverTheTimesAndNames) {
  const auto a = transcript({">G x 1", "out 3f8 41", "in 3fd 60", ">+ uart.a 7", "exited"});
  auto b = a;
  for (Entry& e : b) {
    e.now += 5;
    e.device = e.kind == Entry::Kind::exit ? e.device : "other";
  }
  const auto diff = diff_transcripts(a, b);
  EXPECT_TRUE(diff.same());
  EXPECT_EQ(diff.exit_code(), 0);
  EXPECT_EQ(diff.before.guest, "x");
  EXPECT_EQ(diff.same_reports, 2);
  EXPECT_THAT(rendered(diff), HasSubstr("no divergence, 2 reports the same"));
}

TEST(TranscriptDiff, TheFirstDivergenceHasItsLineAndWhoAgreesWithTheSheet) {
  const auto a = transcript({">G x 1", "out 3fb 3", ">+ uart.b 5", "out 3fa 6", "in 3fd 61",
                             ">+ uart.a 7", "in 3fa 1", ">+ uart.b 9"});
  const auto b =
      transcript({">G x 1", "out 3fb 3", ">+ uart.b 5", "out 3fa 6", "in 3fd 60",
                  ">- uart.a 7 03fd 000000ff 00000061 00000060", "in 3fa 2", ">+ uart.b 9"});
  const auto diff = diff_transcripts(a, b);
  EXPECT_EQ(diff.exit_code(), 1);
  ASSERT_TRUE(diff.first);
  EXPECT_EQ(diff.first->place.clause, "uart.a");
  EXPECT_EQ(diff.first->place.line, 7);
  EXPECT_EQ(diff.first->common->value, 6);
  EXPECT_EQ(diff.first->before->value, 0x61);
  EXPECT_EQ(diff.first->after->value, 0x60);
  ASSERT_EQ(diff.judged.size(), 1);
  EXPECT_TRUE(diff.judged[0].before_held);
  EXPECT_EQ(diff.judged[0].seen, 0x60);
  const std::string text = rendered(diff);
  EXPECT_THAT(text, HasSubstr("on the way to guests/x.asm:7 (uart.a)\n       7  x line 7\n"));
  EXPECT_THAT(text, HasSubstr("old agrees with the sheet, 8.3; new does not: port 0x03fd, mask "
                              "0xff, expected 0x61, seen 0x60"));
  // ... and the other way round.
  const auto back = diff_transcripts(b, a);
  EXPECT_FALSE(back.judged.at(0).before_held);
  EXPECT_THAT(rendered(back), HasSubstr("new agrees with the sheet, 8.3; old does not"));
  const auto json = nlohmann::json::parse(transcript_diff_json(diff, kSources));
  EXPECT_EQ(json["same"], false);
  EXPECT_EQ(json["first"]["line"], 7);
  EXPECT_EQ(json["judged"][0]["agrees"], "before");
}

TEST(TranscriptDiff, ALoopThatPollsCountsOnce) {
  const auto a = transcript({"out 43 c8", "in 3fd 0", "in 3fd 0", "in 3fd 20", "out 3f8 41"});
  const auto b = transcript({"out 43 c8", "in 3fd 0", "in 3fd 20", "out 3f8 41"});
  EXPECT_TRUE(diff_transcripts(a, b).same());
  const auto two = transcript({"out 80 0", "in 61 0", "out 80 0", "in 61 0", "in 61 20"});
  const auto one = transcript({"out 80 0", "in 61 0", "in 61 20"});
  EXPECT_TRUE(diff_transcripts(two, one).same());
  // What it ends with is no turn of the loop.
  EXPECT_FALSE(diff_transcripts(a, transcript({"out 43 c8", "in 3fd 0", "out 3f8 41"})).same());
}

TEST(TranscriptDiff, WhatOneSideDoesNotRecordIsNotCompared) {
  const auto ours = transcript({"out 20 11", "out 3f8 41", "hlt", "irq 24", "in 3fd 60", "exited"});
  const auto kvm = transcript({"out 3f8 41", "in 3fd 60", "exited"});
  const auto diff = diff_transcripts(ours, kvm);
  EXPECT_TRUE(diff.same()) << rendered(diff);
  EXPECT_FALSE(diff.interrupts_compared);
  EXPECT_FALSE(diff.pic_and_pit_compared);
  EXPECT_THAT(rendered(diff), HasSubstr("interrupts are in one of them alone"));
  EXPECT_THAT(rendered(diff), HasSubstr("the PIC and the PIT are in one of them alone"));
  // Where both do, it is.
  auto other = ours;
  other[3].address = 0x25;
  EXPECT_FALSE(diff_transcripts(ours, other).same());
  other = ours;
  other[0].value = 0x13;
  EXPECT_FALSE(diff_transcripts(ours, other).same());
  other = ours;
  other.back().device = "shutdown";
  EXPECT_FALSE(diff_transcripts(ours, other).same());
}

TEST(TranscriptDiff, ApicsAreComparedWhereBothRecordThem) {
  const auto whole = transcript({"write fec00000 1", "read fec00010 170011", "read fee00020 0",
                                 "write fee000b0 0", "read 400000 ff"});
  const auto by_the_processor = transcript(
      {"write fec00000 1", "read fec00010 170011", "write fee00380 1", "read 400000 ff"});
  auto diff = diff_transcripts(whole, by_the_processor);
  EXPECT_TRUE(diff.same()) << rendered(diff);
  EXPECT_TRUE(diff.ioapic_compared);
  EXPECT_THAT(rendered(diff), HasSubstr("accesses to the local APIC are in one of them alone"));
  diff = diff_transcripts(whole, transcript({"read 400000 ff"}));
  EXPECT_TRUE(diff.same()) << rendered(diff);
  EXPECT_THAT(rendered(diff), HasSubstr("accesses to the I/O APIC are in one of them alone"));
  EXPECT_FALSE(diff_transcripts(whole, transcript({"read 400000 fe"})).same());
  // Where both do, each access counts.
  for (const size_t at : {1, 3}) {
    auto other = whole;
    other[at].value = 0x170020;
    EXPECT_FALSE(diff_transcripts(whole, other).same()) << at;
  }
}

TEST(TranscriptDiff, AGuestThatGoesAnotherWayIsMetAgain) {
  const auto a = transcript({">G x 1", ">+ uart.a 5", ">+ uart.b 6", ">+ uart.c 9", "out 80 1"});
  const auto b = transcript({">G x 1", ">? uart.a 4 why", ">+ uart.c 9", "out 80 2"});
  const auto diff = diff_transcripts(a, b);
  ASSERT_EQ(diff.missing.size(), 3);
  EXPECT_EQ(diff.missing[0].place.line, 5);
  EXPECT_TRUE(diff.missing[0].before_has_it);
  EXPECT_EQ(diff.missing[2].place.line, 4);
  EXPECT_FALSE(diff.missing[2].before_has_it);
  ASSERT_TRUE(diff.first);
  EXPECT_EQ(diff.first->place.line, 0);
  EXPECT_EQ(diff.first->before->value, 1);
  EXPECT_THAT(rendered(diff), HasSubstr("on the way to behind the last report"));
}

TEST(TranscriptDiff, OneThatEndsEarlyHasNothingMoreThere) {
  const auto diff =
      diff_transcripts(transcript({"out 80 1", "out 80 2"}), transcript({"out 80 1"}));
  ASSERT_TRUE(diff.first);
  EXPECT_FALSE(diff.first->after);
  EXPECT_THAT(rendered(diff), HasSubstr("after  nothing more there"));
  EXPECT_TRUE(diff_transcripts({}, {}).same());
}

TEST(QemuTrace, AccessesBecomeEntries) {
  const auto entries = vmm::parse_qemu_trace(
      "memory_region_ops_write cpu 0 mr 0x55557d22a080 addr 0xe9 value 0x47 size 1 name "
      "'isa-debugcon'\n"
      "something else\n"
      "123@1.5:memory_region_ops_read cpu 0 mr 0x1 addr 0x3fd value 0x60 size 1 name 'a b'\n"
      "memory_region_ops_write cpu -1 mr 0x1 addr 0xfee0e004 value 0x54 size 4 name 'apic-msi'\n"
      "memory_region_ops_read cpu 0 mr 0x1 addr 0xfee00000 value 0x0 size 4\n",
      "trace");
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3);
  EXPECT_EQ(vmm::render((*entries)[0]), "1 0 out 0x00e9 1 0x47 isa-debugcon");
  EXPECT_EQ(vmm::render((*entries)[1]), "2 0 in 0x03fd 1 0x60 a_b");
  EXPECT_EQ(vmm::render((*entries)[2]), "3 0 mmio_read 0xfee00000 4 0x0");
  // It is a transcript like any other.
  EXPECT_EQ(*vmm::parse_transcript(vmm::render_transcript(*entries), "t"), *entries);
}

TEST(QemuTrace, AnotherFormIsRefused) {
  for (const char* bad : {"memory_region_ops_read cpu 0 addr 0x3fd size 1\n",
                          "memory_region_ops_read cpu 0 addr x value 0 size 1\n",
                          "memory_region_ops_read cpu 0 addr 1 value 0 size 9\n"}) {
    const auto entries = vmm::parse_qemu_trace(bad, "trace");
    ASSERT_FALSE(entries) << bad;
    EXPECT_THAT(entries.error().describe(), HasSubstr("trace:1"));
  }
}

}  // namespace
}  // namespace ringfence

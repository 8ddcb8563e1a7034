#include "guests/guests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ringfence::vmm {
namespace {

using Kind = GuestLine::Kind;
using ::testing::HasSubstr;

TEST(Guests, AreFoundByName) {
  ASSERT_NE(find_guest("halt"), nullptr);
  EXPECT_EQ(find_guest("halt")->source, "guests/halt.asm");
  EXPECT_EQ(find_guest("hal"), nullptr);
  EXPECT_EQ(find_guest(""), nullptr);
  EXPECT_TRUE(std::ranges::is_sorted(guests(), {}, &Guest::name));
}

TEST(Guests, HaltOnlyHalts) {
  const Guest& halt = *find_guest("halt");
  ASSERT_EQ(halt.flat.size(), 1);
  EXPECT_EQ(halt.flat[0], 0xf4);
}

TEST(Guests, FirmwareIs64KiBWithCodeAtTheResetVector) {
  for (const Guest& guest : guests()) {
    if (guest.start != CpuStart::real) {
      EXPECT_TRUE(guest.firmware.empty()) << guest.name;
      continue;
    }
    // What judges the processor or KVM is for our machine alone (FLAT_ONLY in CMakeLists.txt).
    const bool of_devices = !guest.name.starts_with("cpu_") && !guest.name.starts_with("exit_") &&
                            !guest.name.starts_with("mem_");
    if (guest.firmware.empty() && !of_devices) continue;
    ASSERT_EQ(guest.firmware.size(), 0x10000) << guest.name;
    // A far jump to F000:0, or what the guest is all of.
    const uint8_t first = guest.firmware[0xfff0];
    EXPECT_TRUE(first == 0xea || first == 0xf4) << guest.name;
  }
}

TEST(Guests, FlatFormFitsBelowTheBiosArea) {
  for (const Guest& guest : guests()) {
    EXPECT_GT(guest.flat.size(), 0) << guest.name;
    EXPECT_LT(guest.flat.size(), 0x10000) << guest.name;
  }
}

TEST(GuestReport, LinesAreParsed) {
  auto line = parse_guest_line("- uart.reset 12 03fd 000000ff 00000060 00000061");
  ASSERT_TRUE(line) << line.error().describe();
  EXPECT_EQ(*line, (GuestLine{Kind::failed, "uart.reset", 12, 0x3fd, 0xff, 0x60, 0x61, ""}));
  line = parse_guest_line("+ uart.reset 12");
  ASSERT_TRUE(line);
  EXPECT_EQ(*line, (GuestLine{Kind::held, "uart.reset", 12, 0, 0, 0, 0, ""}));
  line = parse_guest_line("? pit.frequency 7 tsc_unknown");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->word, "tsc_unknown");
  line = parse_guest_line("M pit.khz 7 00ffffff");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->seen, 0xffffff);
}

TEST(GuestReport, WhatIsNoLineIsRefused) {
  for (const char* text : {"", " ", "+", "+ a", "+ a b", "+ a 1 2", "- a 1 2 3 4",
                           "- a 1 10000 3 4 5", "- a 1 x 3 4 5", "? a 1", "M a 1", "M a 1 g", "Z 1",
                           "Z 1 x", "G a", "G a 2", "hello there", "+ a -1", "+ a 99999999999"}) {
    const auto line = parse_guest_line(text);
    ASSERT_FALSE(line) << text;
    EXPECT_THAT(line.error().what, HasSubstr("report"));
  }
}

TEST(GuestReport, EndsOnlyWithCountsThatAreTrue) {
  EXPECT_TRUE(parse_guest_report("G a 1\n+ x 1\nZ 0001 0000\n").ended);
  EXPECT_TRUE(parse_guest_report("G a 1\n+ x 1\n- x 2 0 1 1 0\nZ 0002 0001\n").ended);
  EXPECT_FALSE(parse_guest_report("G a 1\n+ x 1\n").ended);
  EXPECT_FALSE(parse_guest_report("G a 1\n+ x 1\nZ 0002 0000\n").ended);
  EXPECT_FALSE(parse_guest_report("G a 1\n- x 1 0 1 1 0\nZ 0001 0000\n").ended);
  EXPECT_FALSE(parse_guest_report("+ x 1\nZ 0001 0000\n").ended);
  EXPECT_FALSE(parse_guest_report("").ended);
  // A guest that was not ended by its exit port.
  EXPECT_FALSE(
      parse_guest_report("G a 1\n+ x 1\nZ 0001 0000\n- platform.exit_port 0 0 0 0 0\n").ended);
  // What stands before the beginning or after the end is not the guest's word.
  const auto report = parse_guest_report("+ y 1\nG a 1\n+ x 1\nhello\nZ 0001 0000\n+ z 3\n");
  EXPECT_TRUE(report.ended);
  EXPECT_EQ(report.guest, "a");
  EXPECT_EQ(report.lines.size(), 1);
  EXPECT_EQ(report.strays, 3);
}

}  // namespace
}  // namespace ringfence::vmm

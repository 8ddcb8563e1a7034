#include "reports/text.h"

#include <gtest/gtest.h>

#include <climits>

#include "reports/testing.h"

namespace ringfence {
namespace {

TEST(Text, Utf8IsKeptAndEverythingElseReplaced) {
  EXPECT_EQ(to_utf8("a\u00e9\u4e2d\U0001F512"), "a\u00e9\u4e2d\U0001F512");
  EXPECT_EQ(to_utf8("a\xff"), "a\ufffd");
  EXPECT_EQ(to_utf8("\xc0\xaf"), "\ufffd\ufffd") << "overlong";
  EXPECT_EQ(to_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd") << "surrogate";
  EXPECT_EQ(to_utf8("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd") << "past U+10FFFF";
  EXPECT_EQ(to_utf8("\xe2\x82"), "\ufffd\ufffd") << "cut off";
  EXPECT_EQ(to_utf8(std::string(1, '\0')), std::string(1, '\0'));
}

TEST(Text, TerminalSafeWritesControlsOut) {
  EXPECT_EQ(terminal_safe("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(terminal_safe("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(terminal_safe("\u009b31m"), "\\u{9b}31m") << "CSI as one C1 character";
  EXPECT_EQ(terminal_safe("\x9b"), "\\x9b") << "CSI as one byte";
  // NOLINTNEXTLINE(misc-misleading-bidirectional): an escape, nothing in this source is hidden
  EXPECT_EQ(terminal_safe("\u202e"), "\\u{202e}");
  EXPECT_EQ(terminal_safe(std::string(1, '\0')), "\\x00");
  EXPECT_EQ(terminal_safe("\u00e9 \u4e2d"), "\u00e9 \u4e2d");
}

TEST(Text, XmlKeepsNewlinesAndKtapEscapesHash) {
  EXPECT_EQ(xml_safe("a\nb\tc\x01\ufffe"), "a\nb\tc\\x01\\u{fffe}");
  EXPECT_EQ(ktap_safe("a # SKIP\n"), "a \\x23 SKIP\\n");
  EXPECT_EQ(ktap_safe(" a "), "\\x20a\\x20");
  EXPECT_EQ(ktap_safe(" "), "\\x20");
}

TEST(Text, EverySafeFunctionIsSafeForRandomBytes) {
  testing::RandomResults random(7, true);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random.text();
    EXPECT_EQ(testing::unsafe_part(terminal_safe(text)), "");
    EXPECT_EQ(terminal_safe(text).find('\n'), std::string::npos);
    EXPECT_EQ(testing::unsafe_part(ktap_safe(text)), "");
    EXPECT_EQ(ktap_safe(text).find_first_of("#\n"), std::string::npos);
  }
  EXPECT_NE(testing::unsafe_part("\x1b"), "") << "the check itself";
  EXPECT_NE(testing::unsafe_part("\u009b"), "");
  EXPECT_NE(testing::unsafe_part("\xff"), "");
}

TEST(Text, ColumnsAndFit) {
  EXPECT_EQ(columns("abc"), 3U);
  EXPECT_EQ(columns("\u4e2d\u6587"), 4U);
  EXPECT_EQ(columns("e\u0301"), 1U);
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdefg", 6), "abc...");
  EXPECT_EQ(fit("abcdefg", 2), "..");
  EXPECT_EQ(fit("\u4e2d\u6587\u4e2d\u6587", 6), "\u4e2d...") << "never half a wide character";
  EXPECT_EQ(pad("\u4e2d", 4), "\u4e2d  ");
}

TEST(Text, Durations) {
  EXPECT_EQ(duration_text(0), "0 ns");
  EXPECT_EQ(duration_text(999), "999 ns");
  EXPECT_EQ(duration_text(12'345), "12.3 us");
  EXPECT_EQ(duration_text(4'560'000), "4.56 ms");
  EXPECT_EQ(duration_text(1'230'000'000), "1.23 s");
  EXPECT_EQ(duration_text(123'000'000'000), "2 min 03 s");
  EXPECT_EQ(duration_text(-5), "-5 ns");
  EXPECT_EQ(duration_text(INT64_MIN).substr(0, 1), "-");
}

TEST(Text, NormalizeHidesWhatDiffersBetweenRuns) {
  EXPECT_EQ(testing::normalize("ringfence 0.1.0-3-gabc took 1.23 ms and 2 min 03 s in "
                               "20260102T030405-1f2e"),
            "ringfence VERSION took TIME and TIME in RUN");
}

}  // namespace
}  // namespace ringfence

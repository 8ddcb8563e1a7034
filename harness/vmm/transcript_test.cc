#include "harness/vmm/transcript.h"

#include <gmock/gmock.h>

namespace ringfence::vmm {
namespace {

using ::testing::HasSubstr;

TEST(Transcript, TextComesBackAsTheSameEntries) {
  Transcript t(true);
  t.add(1000, Entry::Kind::out, 0xe9, 1, 0x41, "debugcon");
  t.add(2000, Entry::Kind::in, 0x1234, 4, 0xffffffff, "", false);
  t.add(3000, Entry::Kind::mmio_read, 0xfee00000, 8, 0x1122334455667788, "");
  t.add(3000, Entry::Kind::mmio_write, 0xfee00010, 2, 0xbeef, "");
  t.add(4000, Entry::Kind::interrupt, 0x20, 0, 0, "");
  t.add(5000, Entry::Kind::exit, 0, 0, 0, "hlt");
  t.add(6000, Entry::Kind::exit, 0, 0, 3, "exited");
  t.add(7000, Entry::Kind::accepted, 0x54, 0, 0, "");
  const std::string text = render_transcript(t.entries());
  EXPECT_THAT(text, HasSubstr("8 7000 accepted 0x54\n"));
  EXPECT_THAT(text, HasSubstr("1 1000 out 0x00e9 1 0x41 debugcon\n"));
  EXPECT_THAT(text, HasSubstr("2 2000 in 0x1234 4 0xffffffff - undefined\n"));
  EXPECT_THAT(text, HasSubstr("5 4000 interrupt 0x20\n"));
  const auto back = parse_transcript(text, "t");
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(*back, t.entries());
}

TEST(Transcript, AShortOneKeepsTheLastAndCountsTheRest) {
  Transcript t(false);
  for (uint64_t i = 0; i < Transcript::kLast + 10; ++i) {
    t.add(i, Entry::Kind::out, i, 1, 0, "x");
  }
  EXPECT_EQ(t.lost(), 10U);
  const auto list = t.entries(3);
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].address, Transcript::kLast + 7);
  EXPECT_EQ(list[2].sequence, Transcript::kLast + 10);
  EXPECT_EQ(t.entries().size(), Transcript::kLast);
  EXPECT_EQ(t.entries().front().address, 10U);
}

class BadTranscript : public ::testing::TestWithParam<const char*> {};
TEST_P(BadTranscript, IsRefusedWithItsLine) {
  const auto r = parse_transcript(std::string("# ringfence transcript 1\n") + GetParam(), "file");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().kind, Error::Kind::usage);
  EXPECT_THAT(r.error().describe(), HasSubstr("file:2"));
}
INSTANTIATE_TEST_SUITE_P(Lines, BadTranscript,
                         ::testing::Values("x", "1 2 out", "1 2 out 0xe9 1", "1 2 out 0xe9 9 0 d",
                                           "1 2 out 0xe9 1 0x41", "1 2 fly 0xe9 1 0x41 d",
                                           "1 2 out 0xe9 1 0x41 d maybe", "1 2 interrupt 1 2",
                                           "1 2 accepted 1 2", "a 2 exit hlt", "1 2 exit hlt zz",
                                           "1 2 out 0x 1 0 d", "1 2 mmio_read 0 1 0 d",
                                           "1 2 out 0xe9 1 0xq d",
                                           "1 2 out 0xffffffffffffffff0 1 0 d"));

TEST(Transcript, AnotherFileIsRefused) {
  EXPECT_FALSE(parse_transcript("", "f"));
  const auto r = parse_transcript("hello\n", "f");
  ASSERT_FALSE(r);
  EXPECT_THAT(r.error().describe(), HasSubstr("f:1"));
}

}  // namespace
}  // namespace ringfence::vmm

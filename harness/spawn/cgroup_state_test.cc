#include "harness/spawn/cgroup_state.h"

#include <gtest/gtest.h>

namespace ringfence {
namespace {

TEST(CgroupState, FlatKeyed) {
  const auto keyed = parse_flat_keyed("low 0\nhigh 12\nnot a pair\noom_kill 3\nx y\n");
  EXPECT_EQ(keyed.size(), 3U);
  EXPECT_EQ(keyed.at("high"), 12U);
}

TEST(CgroupState, IoStat) {
  const auto io = parse_io_stat(
      "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n"
      "8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021\n");
  ASSERT_EQ(io.size(), 2U);
  EXPECT_EQ(io.at("8:0").rbytes, 90430464U);
  EXPECT_EQ(io.at("8:16").wios, 353U);
}

TEST(CgroupState, PressureLines) {
  auto psi = parse_pressure(
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=123456\n"
      "full avg10=0.00 avg60=0.00 avg300=0.00 total=42\n");
  ASSERT_TRUE(psi);
  EXPECT_DOUBLE_EQ(psi->some.avg10, 1.5);
  EXPECT_EQ(psi->some.total_us, 123456U);
  ASSERT_TRUE(psi->full);
  EXPECT_EQ(psi->full->total_us, 42U);
  EXPECT_FALSE(parse_pressure("nothing of the kind"));
}

TEST(CgroupState, Limits) {
  EXPECT_EQ(parse_limit("4096"), 4096U);
  EXPECT_EQ(parse_limit("0"), 0U);
  EXPECT_EQ(parse_limit("max"), std::nullopt);
  EXPECT_EQ(parse_limit("9223372036854771712"), std::nullopt);  // of v1
}

}  // namespace
}  // namespace ringfence

// What harness and agent tell each other comes back as it was, and what is damaged is refused.
#include "harness/kernels/job.h"

#include <gtest/gtest.h>

namespace ringfence {
namespace {

// Every beginning but the whole is refused.
template <typename F>
void every_prefix_is_refused(const std::string& text, F parse) {
  for (size_t n = 0; n < text.size(); ++n) {
    auto read = parse(std::string_view(text).substr(0, n));
    ASSERT_FALSE(read) << text.substr(0, n);
    EXPECT_EQ(read.error().kind, Error::Kind::usage);
  }
  EXPECT_TRUE(parse(text));
}

TEST(Job, ComesBack) {
  const Job job{{"run", "a \"quoted\" word", ""},
                {{"PATH", "/bin"}, {"EMPTY", ""}},
                {{"kernel.x", "1 2"}},
                {"kvm_amd"}};
  auto back = parse_job(to_json(job));
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->argv, job.argv);
  EXPECT_EQ(back->environment, job.environment);
  EXPECT_EQ(back->sysctls, job.sysctls);
  EXPECT_EQ(back->modules, job.modules);
  every_prefix_is_refused(to_json(job), parse_job);
}

TEST(Job, HelloComesBack) {
  const Hello hello{"6.1.0-50-cloud-amd64", 4, 1234, {"mount bpf: ENODEV"}};
  auto back = parse_hello(to_json(hello));
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->release, hello.release);
  EXPECT_EQ(back->cpus, 4);
  EXPECT_EQ(back->up_ms, 1234);
  EXPECT_EQ(back->complaints, hello.complaints);
  every_prefix_is_refused(to_json(hello), parse_hello);
}

TEST(Job, DoneIsOneOfThree) {
  EXPECT_EQ(parse_done(to_json(Done{3, {}, {}}))->exit_code, 3);
  EXPECT_EQ(parse_done(to_json(Done{{}, 9, {}}))->signal, 9);
  EXPECT_EQ(parse_done(to_json(Done{{}, {}, "ENOENT"}))->error, "ENOENT");
  EXPECT_FALSE(parse_done(to_json(Done{})));
  every_prefix_is_refused(to_json(Done{0, {}, {}}), parse_done);
}

TEST(Job, WhatHasAnotherShapeIsRefused) {
  for (const char* text :
       {"", "null", "[]", "7", "{}", "{\"argv\":[]}", "{\"argv\":\"x\"}", "\xff\xfe"}) {
    EXPECT_FALSE(parse_job(text)) << text;
    EXPECT_FALSE(parse_hello(text)) << text;
    EXPECT_FALSE(parse_done(text)) << text;
  }
  EXPECT_FALSE(parse_job(R"({"argv":["a",1],"environment":{},"sysctls":{},"modules":[]})"));
  EXPECT_FALSE(parse_done(R"({"exit_code":"0"})"));
  EXPECT_FALSE(parse_hello(R"({"release":"x","cpus":"two","up_ms":1,"complaints":[]})"));
}

TEST(Job, BytesThatAreNoTextDoNotBreakTheMessage) {
  auto back = parse_job(to_json(Job{{"\xff\xfe"}, {}, {}, {}}));
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->argv.size(), 1U);
}

TEST(Job, Beats) {
  const std::map<int, uint64_t> beats = {{0, 17}, {1, 0}, {12, 1000000}};
  EXPECT_EQ(beat_text(beats), "0:17 1:0 12:1000000");
  EXPECT_EQ(parse_beat(beat_text(beats)), beats);
  for (const char* text : {"0", ":", "0:", ":1", "a:1", "0:x", "-1:2", "0:-1", "0:1 1"}) {
    EXPECT_FALSE(parse_beat(text)) << text;
  }
}

}  // namespace
}  // namespace ringfence

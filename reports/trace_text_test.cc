#include "reports/trace_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ringfence {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

Denial denial(const std::string& call, const char* layer) {
  Denial d;
  d.at_ns = 1'250'000'000;
  d.tgid = d.tid = 42;
  d.comm = "app";
  d.call = call;
  d.operation = call + "()";
  d.result = "EPERM";
  d.decided = {Layer(layer), "why"};
  return d;
}

TEST(TraceText, OneLineForADenialInColumns) {
  const Style plain;
  EXPECT_EQ(trace_line(denial("chroot", "cap.SYS_CHROOT"), 1'000'000'000, plain),
            "   0.2500  app[42]               chroot() = EPERM                            "
            "cap.SYS_CHROOT      why\n");
  EXPECT_EQ(trace_columns(plain).find("layer"),
            trace_line(denial("chroot", "cap.SYS_CHROOT"), 0, plain).find("cap.SYS_CHROOT"));
  Style colour;
  colour.colour = true;
  EXPECT_THAT(trace_line(denial("x", "seccomp"), 0, colour), HasSubstr("\x1b[1;31mseccomp"));
}

TEST(TraceText, WhoWasDenied) {
  Denial d = denial("chown", "dac");
  EXPECT_THAT(trace_line(d, 0, Style{}), Not(HasSubstr("uid")));
  EXPECT_EQ(json::parse(trace_json(d, 0))["uid"], 0);
  d.uid = 4294967294;
  EXPECT_THAT(trace_line(d, 0, Style{}), HasSubstr("why (uid 4294967294 outside)\n"));
  EXPECT_EQ(json::parse(trace_json(d, 0))["uid"], 4294967294);
}

TEST(TraceText, WhatATargetChoseActsOnNoTerminal) {
  Denial d = denial("openat", "dac");
  d.comm = "a\nb";
  d.operation = "openat(\"\x1b[2J\xff\")";
  d.path = "\x1b[2J\xff";
  const std::string line = trace_line(d, 0, Style{});
  EXPECT_THAT(line, Not(HasSubstr("\x1b")));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const std::string text = trace_json(d, 0);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(json::parse(text)["path"], "\x1b[2J\xef\xbf\xbd");
}

TEST(TraceText, TheSummaryIsByLayer) {
  DenialLog log, others;
  for (int i = 0; i < 3; ++i) log.add(denial("chroot", "cap.SYS_CHROOT"));
  for (int i = 0; i < 12; ++i) log.add(denial("keyctl", "seccomp"));
  log.add(denial("bpf", "seccomp"));
  TraceEnd end;
  end.refusals = &log;
  end.duration_ns = 2'000'000'000;
  std::string text = trace_summary(end, Style{});
  EXPECT_THAT(text, HasSubstr("denied: 16 operations in 2.00 s\n"));
  EXPECT_THAT(text, HasSubstr("missing capability: CAP_SYS_CHROOT (3 denials: chroot)\n"));
  EXPECT_THAT(text, HasSubstr("seccomp: keyctl (12), bpf (1)\n"));
  EXPECT_THAT(text, HasSubstr("12x  keyctl() = EPERM"));
  EXPECT_THAT(text, Not(HasSubstr("1x  bpf")));
  EXPECT_THAT(text, Not(HasSubstr("lost")));
  end.loss = {3, "3 without room in the ring"};
  end.caps_watched = false;
  end.failures = &others;
  text = trace_summary(end, Style{});
  EXPECT_THAT(text, HasSubstr("3 events lost: the list may be incomplete"));
  EXPECT_THAT(text, HasSubstr("no capability checks"));
  EXPECT_THAT(text, HasSubstr("failed for other reasons: 0"));
}

TEST(TraceText, NothingDeniedIsSaid) {
  const DenialLog log;
  TraceEnd end;
  end.refusals = &log;
  EXPECT_THAT(trace_summary(end, Style{}), HasSubstr("nothing was denied"));
}

TEST(TraceText, JsonHasTheSame) {
  DenialLog log;
  log.add(denial("chroot", "cap.SYS_CHROOT"));
  const auto line = json::parse(trace_json(log.groups().front().first, 1'000'000'000));
  EXPECT_EQ(line["type"], "denial");
  EXPECT_EQ(line["at_us"], 250'000);
  EXPECT_EQ(line["layer"], "cap.SYS_CHROOT");
  EXPECT_EQ(line["refused"], true);
  TraceEnd end;
  end.refusals = &log;
  end.loss.events = 3;
  const auto summary = json::parse(trace_json(end));
  EXPECT_EQ(summary["denials"], 1);
  EXPECT_EQ(summary["layers"][0]["calls"][0]["call"], "chroot");
  EXPECT_EQ(summary["lost"], 3);
  EXPECT_EQ(json::parse(trace_json_begin("x", "1"))["type"], "trace");
}

}  // namespace
}  // namespace ringfence

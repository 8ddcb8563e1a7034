#include "reports/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <regex>
#include <sstream>

#include "harness/base/unique_fd.h"
#include "reports/testing.h"
#include "reports/text.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

Style plain(Detail detail = Detail::normal, int width = 80) {
  Style style;
  style.detail = detail;
  style.width = width;
  return style;
}

const std::vector<ReportPlace> kPlaces = {{"jsonl", "out.jsonl"}, {"junit", "out.xml"}};

std::string without_colour(const std::string& text) {
  return std::regex_replace(text, std::regex("\x1b\\[[0-9;]*m"), "");
}

TEST(Style, ColourOnlyOnATerminalThatWantsIt) {
  StyleEnvironment environment;
  environment.term = "xterm";
  EXPECT_TRUE(style_of(true, 120, environment, Detail::normal).colour);
  EXPECT_FALSE(style_of(false, 0, environment, Detail::normal).colour);
  environment.no_color = "1";
  EXPECT_FALSE(style_of(true, 120, environment, Detail::normal).colour);
  EXPECT_TRUE(style_of(true, 120, environment, Detail::normal).live);
  environment.no_color = nullptr;
  environment.term = "dumb";
  EXPECT_FALSE(style_of(true, 120, environment, Detail::normal).colour);
  EXPECT_FALSE(style_of(true, 120, environment, Detail::normal).live);
  environment.term = nullptr;
  EXPECT_FALSE(style_of(true, 120, environment, Detail::normal).colour);
}

TEST(Style, WidthAndCharacterSet) {
  StyleEnvironment environment;
  EXPECT_EQ(style_of(true, 0, environment, Detail::normal).width, 80);
  EXPECT_EQ(style_of(true, 120, environment, Detail::normal).width, 120);
  EXPECT_EQ(style_of(true, 9999, environment, Detail::normal).width, 160);
  environment.columns = "60";
  EXPECT_EQ(style_of(true, 120, environment, Detail::normal).width, 60);
  environment.columns = "junk";
  EXPECT_EQ(style_of(true, 120, environment, Detail::normal).width, 120);
  environment.columns = "1";
  EXPECT_EQ(style_of(true, 120, environment, Detail::normal).width, 40);
  environment.locale = "C";
  EXPECT_FALSE(style_of(true, 80, environment, Detail::normal).unicode);
  environment.locale = "en_US.utf8";
  EXPECT_TRUE(style_of(true, 80, environment, Detail::normal).unicode);
}

TEST(ConsoleText, GoldenEnd) {
  const auto sample = testing::sample_results();
  const auto check = [](const std::string& name, const std::string& text) {
    EXPECT_EQ(testing::against_golden(name, text), "");
  };
  check("console_normal.txt", render_end({sample[0]}, kPlaces, plain()));
  check("console_two_runs.txt", render_end(sample, {}, plain()));
  check("console_quiet.txt", render_end({sample[0]}, kPlaces, plain(Detail::quiet)));
  check("console_verbose.txt", render_end(sample, kPlaces, plain(Detail::verbose)));
  Style colour = plain();
  colour.colour = true;
  colour.unicode = true;
  check("console_colour.txt", render_end({sample[0]}, kPlaces, colour));
}

TEST(ConsoleText, BreachedComesFirstAndTheExitCodeLast) {
  const std::string text = render_end(testing::sample_results(), kPlaces, plain());
  const size_t breached = text.find("breached (1)");
  ASSERT_NE(breached, std::string::npos);
  EXPECT_LT(breached, text.find("unproven (1)"));
  EXPECT_LT(text.find("unproven (1)"), text.find("broken (1)"));
  EXPECT_LT(text.find("broken (1)"), text.find("skipped (3)"));
  EXPECT_THAT(text, HasSubstr("ringfence explain out.jsonl mnt.open_by_handle\n"));
  EXPECT_THAT(text, HasSubstr("the secret of this run came back"));
  EXPECT_TRUE(text.ends_with("exit 1: something breached\n")) << text;
}

// In every detail, and once for the run.
TEST(ConsoleText, ARunWithoutTheEbpfWitnessSaysSoOnce) {
  auto sample = testing::sample_results();
  const std::string note = "no eBPF witness (needs:root): verdicts rest on weaker evidence";
  sample[0].summary.notes = {note};
  for (const Detail detail : {Detail::quiet, Detail::normal, Detail::verbose}) {
    const std::string text = render_end({sample[0]}, kPlaces, plain(detail));
    const size_t at = text.find(note);
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_EQ(text.find(note, at + 1), std::string::npos);
  }
}

TEST(ConsoleText, WorstExitCodeOfSeveralRuns) {
  auto runs = testing::sample_results();
  runs[0].summary.exit_code = 3;
  runs[1].summary.exit_code = 2;
  EXPECT_EQ(worst_exit_code(runs), 2);
  runs[0].summary.exit_code = 1;
  EXPECT_EQ(worst_exit_code(runs), 1);
  EXPECT_EQ(worst_exit_code({}), 4);
}

TEST(ConsoleText, ProgressFitsTheTerminalAtEveryWidth) {
  Progress progress;
  progress.total = 240;
  progress.counts = {{Verdict::held, 120}, {Verdict::breached, 2}, {Verdict::skipped, 31}};
  progress.running = {"mnt.\x1b[31m\u4e2d\u6587.very_long_name_of_a_case", "net.raw"};
  progress.elapsed_ns = 1'340'000'000;
  for (int width = 40; width <= 160; ++width) {
    for (const bool colour : {false, true}) {
      Style style = plain(Detail::normal, width);
      style.colour = colour;
      style.unicode = colour;
      const std::string line = render_progress(progress, style);
      EXPECT_LT(columns(without_colour(line)), static_cast<size_t>(width)) << line;
      EXPECT_EQ(testing::unsafe_part(without_colour(line)), "");
      EXPECT_EQ(line.find('\n'), std::string::npos);
    }
  }
  EXPECT_EQ(testing::against_golden("progress.txt", render_progress(progress, plain()) + "\n"), "");
}

// No line but the ones to be copied is wider than the terminal, and nothing of a target acts on it.
TEST(ConsoleText, HostileTextNeverReachesTheTerminal) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const auto results = testing::RandomResults(seed, true).results(2, 12);
    for (const Detail detail : {Detail::quiet, Detail::normal, Detail::verbose}) {
      Style style = plain(detail, 100);
      style.colour = seed % 2 == 0;
      std::string text = render_banner(results[0].header, 12, style);
      for (const auto& record : results[0].cases) text += render_case_line(record, style);
      text += render_end(results, {{"jsonl", "a b\x1b[m.jsonl"}}, style);
      EXPECT_EQ(testing::unsafe_part(without_colour(text)), "");
    }
  }
  CaseRecord record = testing::sample_results()[0].cases[1];
  record.evidence[0].text = "\x1b]52;c;aGk=\x07\x1b[31m\u009b2J\nbroken";
  RunResult run = testing::sample_results()[0];
  run.cases = {record};
  const std::string text = render_end({run}, {}, plain());
  EXPECT_THAT(text, HasSubstr("\\x1b]52;c;aGk=\\x07\\x1b[31m\\u{9b}2J\\nbroken"));
}

TEST(ConsoleText, NothingButSpacesIsNothing) {
  RunResult run = testing::sample_results()[0];
  CaseRecord record = run.cases[1];
  record.evidence[0].text = "   ";
  record.title = " ";
  run.cases = {record};
  EXPECT_THAT(render_end({run}, {}, plain()), HasSubstr("  mnt.open_by_handle\n    layer "));
}

TEST(ConsoleText, CaseLinesByDetail) {
  const auto cases = testing::sample_results()[0].cases;
  EXPECT_EQ(render_case_line(cases[0], plain()), "") << "held";
  EXPECT_EQ(render_case_line(cases[5], plain()), "") << "skipped";
  EXPECT_THAT(render_case_line(cases[1], plain()),
              HasSubstr("breached mnt.open_by_handle  the secret of this run came back"));
  EXPECT_THAT(render_case_line(cases[2], plain()), HasSubstr("net.raw  control_failed: socket"));
  EXPECT_EQ(render_case_line(cases[1], plain(Detail::quiet)), "");
  EXPECT_THAT(render_case_line(cases[0], plain(Detail::verbose)),
              HasSubstr("held     pid.signal.init  ns.pid  4.20 ms"));
}

std::string watched(Style style) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const auto run = testing::sample_results()[0];
  {
    Console console(writing.get(), style);
    console.begin(run.header, run.cases.size());
    for (const auto& record : run.cases) {
      console.case_started(record.id);
      console.tick();
      console.case_finished(record);
    }
    EXPECT_TRUE(console.end({run}, kPlaces));
  }
  writing.reset();
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(reading.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

TEST(Console, OffATerminalItIsLinesThatStay) {
  const std::string text = watched(plain());
  EXPECT_EQ(testing::unsafe_part(text), "") << "no carriage return, no erasing";
  EXPECT_EQ(testing::against_golden("console_run.txt", testing::normalize(text)), "");
}

TEST(Console, OnATerminalOneLineIsRedrawnAndGoneAtTheEnd) {
  Style style = plain();
  style.live = true;
  const std::string text = watched(style);
  EXPECT_THAT(text, HasSubstr("\r\x1b[K"));
  EXPECT_THAT(text, HasSubstr("0/7"));
  // What a terminal shows in the end: each line from its last erasure on.
  std::string shown;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t erased = line.rfind("\r\x1b[K");
    shown += (erased == std::string::npos ? line : line.substr(erased + 4)) + "\n";
  }
  EXPECT_EQ(testing::against_golden("console_run.txt", testing::normalize(shown)), "");
}

TEST(Console, EndReportsThatNobodyReads) {
  Console console(-1, plain());
  const auto run = testing::sample_results()[0];
  console.begin(run.header, 1);
  console.case_finished(run.cases[1]);
  const auto status = console.end({run}, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().err, EBADF);
}

}  // namespace
}  // namespace ringfence

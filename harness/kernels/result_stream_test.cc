// The records of a machine come out whole, however they were cut, and nothing is read past damage.
#include "harness/kernels/result_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "reports/record_json.h"
#include "reports/testing.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Seen {
  std::vector<std::string> what;
  bool damaged = false;
};

Seen read(const std::string& text, size_t piece) {
  Seen seen;
  ResultStream stream;
  for (size_t at = 0; at < text.size(); at += piece) {
    stream.feed(std::string_view(text).substr(at, piece), [&](const StreamRecord& r) {
      if (r.header) seen.what.push_back("header " + r.header->run_id);
      if (!r.started.empty()) seen.what.push_back("started " + r.started);
      if (r.case_record) seen.what.push_back("case " + r.case_record->id);
      if (r.granted) seen.what.push_back("granted " + r.granted->what);
      if (r.summary) seen.what.push_back("summary");
    });
  }
  seen.damaged = stream.damaged();
  EXPECT_EQ(seen.damaged, !stream.complaint().empty());
  return seen;
}

// What `ringfence run --report live` writes of the sample's first run.
std::string live(const RunResult& run) {
  std::string text = record_line(run.header) + "\n";
  for (const auto& record : run.cases) {
    text += started_line(record.id) + "\n" + record_line(record) + "\n";
  }
  for (const auto& record : run.granted) text += record_line(record) + "\n";
  for (const auto& record : run.findings) text += record_line(record) + "\n";
  return text + record_line(run.summary) + "\n";
}

TEST(ResultStream, EveryRecordInPiecesOfAnySize) {
  const RunResult run = testing::sample_results()[0];
  std::vector<std::string> expected = {"header " + run.header.run_id};
  for (const auto& record : run.cases) {
    expected.push_back("started " + record.id);
    expected.push_back("case " + record.id);
  }
  for (const auto& record : run.granted) expected.push_back("granted " + record.what);
  expected.emplace_back("summary");
  const std::string text = live(run);
  for (size_t piece : {1, 2, 3, 17, 1000, 1000000}) {
    const Seen seen = read(text, piece);
    EXPECT_EQ(seen.what, expected) << piece;
    EXPECT_FALSE(seen.damaged);
  }
}

TEST(ResultStream, ALineWithoutItsEndIsNotRead) {
  const RunResult run = testing::sample_results()[0];
  const std::string header = record_line(run.header);
  EXPECT_THAT(read(header, 100).what, IsEmpty());
  EXPECT_THAT(read(header + "\n", 100).what, ElementsAre("header " + run.header.run_id));
}

TEST(ResultStream, NothingIsReadAfterALineThatIsNoRecord) {
  const RunResult run = testing::sample_results()[0];
  const std::string header = record_line(run.header) + "\n";
  const std::string record = record_line(run.cases[0]) + "\n";
  for (const std::string& bad :
       {std::string("ringfence: out of memory\n"), std::string("\n"), std::string("{}\n"),
        record.substr(0, record.size() / 2) + "\n", record.substr(7),
        std::string(R"({"type":"started"})") + "\n", std::string(R"({"type":"summary"})") + "\n"}) {
    const Seen seen = read(header + bad + record, 64);
    EXPECT_THAT(seen.what, ElementsAre("header " + run.header.run_id)) << bad;
    EXPECT_TRUE(seen.damaged) << bad;
  }
}

TEST(ResultStream, ARecordBeforeTheHeaderIsDamage) {
  const RunResult run = testing::sample_results()[0];
  const Seen seen = read(record_line(run.cases[0]) + "\n", 64);
  EXPECT_THAT(seen.what, IsEmpty());
  EXPECT_TRUE(seen.damaged);
}

TEST(ResultStream, ARecordOfAnotherRunIsDamage) {
  const RunResult run = testing::sample_results()[0];
  CaseRecord foreign = run.cases[0];
  foreign.run_id = "another";
  EXPECT_TRUE(read(record_line(run.header) + "\n" + record_line(foreign) + "\n", 64).damaged);
}

}  // namespace
}  // namespace ringfence

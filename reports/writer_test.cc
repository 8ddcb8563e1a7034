#include "reports/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <pugixml.hpp>

#include "reports/testing.h"
#include "reports/text.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

std::string written(const std::string& format, const std::vector<RunResult>& results) {
  const std::string path =
      ::testing::TempDir() + "rf_writer_" + std::to_string(::getpid()) + "." + format;
  auto writer = make_writer(format, path);
  EXPECT_TRUE(writer);
  EXPECT_TRUE(write_all(**writer, results));
  std::string text = testing::slurp(path);
  ::unlink(path.c_str());
  return text;
}

TEST(MakeWriter, UnknownFormatNamesTheNearestAndAll) {
  const auto writer = make_writer("junti", "x");
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().kind, Error::Kind::usage);
  EXPECT_THAT(writer.error().describe(), HasSubstr("did you mean 'junit'?"));
  EXPECT_THAT(writer.error().describe(), HasSubstr("jsonl, junit, ktap"));
}

TEST(MakeWriter, UnwritablePathIsKnownBeforeTheRun) {
  for (const auto& format : writer_formats()) {
    const auto writer = make_writer(format, "/nonexistent/report");
    ASSERT_FALSE(writer) << format;
    EXPECT_EQ(writer.error().kind, Error::Kind::usage);
    EXPECT_EQ(writer.error().err, ENOENT);
    EXPECT_EQ(writer.error().object, "/nonexistent/report");
    EXPECT_FALSE(make_writer(format, "/"));
    EXPECT_FALSE(make_writer(format, ""));
  }
}

TEST(MakeWriter, FullDeviceIsAnError) {
  for (const auto& format : writer_formats()) {
    auto writer = make_writer(format, "/dev/full");
    ASSERT_TRUE(writer);
    const auto status = write_all(**writer, testing::sample_results());
    ASSERT_FALSE(status) << format;
    EXPECT_EQ(status.error().err, ENOSPC);
    EXPECT_EQ(status.error().object, "/dev/full");
  }
}

TEST(MakeWriter, RecordWithoutItsHeaderIsAnError) {
  for (const std::string format : {"junit", "ktap"}) {
    auto writer = make_writer(format, "/dev/null");
    ASSERT_TRUE(writer);
    EXPECT_FALSE((*writer)->add(testing::sample_results()[0].cases[0])) << format;
  }
}

TEST(Golden, SampleInEveryFormat) {
  const auto sample = testing::sample_results();
  EXPECT_EQ(testing::against_golden("sample.jsonl", written("jsonl", sample)), "");
  EXPECT_EQ(testing::against_golden("sample.junit.xml", written("junit", sample)), "");
  EXPECT_EQ(testing::against_golden("sample.ktap", written("ktap", sample)), "");
  EXPECT_EQ(testing::against_golden("sample.one.ktap", written("ktap", {sample[0]})), "");
}

// --- JUnit ----------------------------------------------------------------------------------

// The shape of junit-10.xsd: which children and attributes an element may and must have.
struct Shape {
  std::set<std::string> children;
  std::set<std::string> required;
  std::set<std::string> optional;
};
const std::map<std::string, Shape> kShapes = {
    {"testsuites", {{"testsuite"}, {}, {"name", "time", "tests", "failures", "errors"}}},
    {"testsuite",
     {{"testsuite", "properties", "testcase", "system-out", "system-err"},
      {"name", "tests", "failures", "errors"},
      {"group", "time", "skipped", "timestamp", "hostname", "id", "package"}}},
    {"properties", {{"property"}, {}, {}}},
    {"property", {{}, {"name", "value"}, {}}},
    {"testcase",
     {{"skipped", "error", "failure", "system-out", "system-err"},
      {"name"},
      {"time", "classname", "group"}}},
    {"failure", {{}, {}, {"type", "message"}}},
    {"error", {{}, {}, {"type", "message"}}},
    {"skipped", {{}, {}, {"type", "message"}}},
};

void check_shape(pugi::xml_node node) {
  const auto found = kShapes.find(node.name());
  ASSERT_NE(found, kShapes.end()) << node.name();
  std::set<std::string> missing = found->second.required;
  for (const auto attribute : node.attributes()) {
    const std::string name = attribute.name();
    missing.erase(name);
    EXPECT_TRUE(found->second.required.count(name) + found->second.optional.count(name) == 1)
        << node.name() << " " << name;
    if (name == "time") {
      EXPECT_TRUE(std::regex_match(attribute.value(), std::regex(R"(\d+\.\d{6})")));
    }
  }
  EXPECT_TRUE(missing.empty()) << node.name() << " lacks " << *missing.begin();
  for (const auto child : node.children()) {
    if (child.type() != pugi::node_element) continue;
    EXPECT_TRUE(found->second.children.count(child.name()) == 1)
        << child.name() << " in " << node.name();
    check_shape(child);
  }
}

// Names and verdicts, as JUnit tells them: "" passed, else the child's type.
using Outcomes = std::multimap<std::string, std::string>;

Outcomes check_junit(const std::string& xml) {
  EXPECT_EQ(to_utf8(xml), xml);
  for (const char c : xml) {
    const auto byte = static_cast<unsigned char>(c);
    EXPECT_TRUE(byte >= 0x20 || c == '\n' || c == '\t') << "illegal in XML 1.0: " << int{byte};
  }
  pugi::xml_document document;
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  EXPECT_TRUE(parsed) << parsed.description();
  check_shape(document.document_element());
  Outcomes outcomes;
  int total = 0;
  for (const auto suite : document.document_element().children("testsuite")) {
    int tests = 0;
    int failures = 0;
    int errors = 0;
    int skipped = 0;
    for (const auto test : suite.children("testcase")) {
      ++tests;
      const auto child = test.first_child();
      failures += std::string(child.name()) == "failure";
      errors += std::string(child.name()) == "error";
      skipped += std::string(child.name()) == "skipped";
      if (child) {
        EXPECT_STRNE(child.attribute("message").value(), "");
      }
      outcomes.emplace(test.attribute("name").value(), child.attribute("type").value());
    }
    EXPECT_EQ(suite.attribute("tests").as_int(), tests);
    EXPECT_EQ(suite.attribute("failures").as_int(), failures);
    EXPECT_EQ(suite.attribute("errors").as_int(), errors);
    EXPECT_EQ(suite.attribute("skipped").as_int(), skipped);
    total += tests;
  }
  EXPECT_EQ(document.document_element().attribute("tests").as_int(), total);
  return outcomes;
}

TEST(Junit, SampleHasEveryOutcome) {
  const auto sample = testing::sample_results();
  const auto outcomes = check_junit(written("junit", {sample[0]}));
  EXPECT_EQ(outcomes.size(), sample[0].cases.size());
  for (const auto& record : sample[0].cases) {
    ASSERT_EQ(outcomes.count(record.id), 1U);
    const std::string expected =
        record.verdict == Verdict::held ? "" : std::string(verdict_name(record.verdict));
    EXPECT_EQ(outcomes.find(record.id)->second, expected);
  }
}

TEST(Junit, HostileTextStaysText) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto results = testing::RandomResults(seed, true).results(2, 10);
    Outcomes outcomes = check_junit(written("junit", results));
    for (const auto& run : results) {
      for (const auto& record : run.cases) {
        bool found = false;
        const auto [first, last] = outcomes.equal_range(xml_safe(record.id));
        for (auto it = first; it != last && !found; ++it) {
          const bool held = record.verdict == Verdict::held;
          if (it->second != (held ? "" : verdict_name(record.verdict))) continue;
          outcomes.erase(it);
          found = true;
          break;
        }
        EXPECT_TRUE(found) << terminal_safe(record.id);
      }
    }
    for (const auto& [name, type] : outcomes) EXPECT_EQ(name, "run.exit_code");
  }
}

// --- KTAP -----------------------------------------------------------------------------------

struct KtapLine {
  std::string path;  // "pid/pid.signal"
  bool ok = false;
  std::string directive;
};

// Reads one document at `depth` from `lines`, checking version, plan, numbers and indentation.
// Returns whether every test in it is ok.
class KtapParser {
 public:
  explicit KtapParser(const std::string& text) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines_.push_back(line);
  }
  std::vector<KtapLine> parse() {
    document(0, "");
    EXPECT_EQ(at_, lines_.size()) << "lines that belong to nothing";
    return found_;
  }

 private:
  // The current line without its indentation; nothing when it belongs to another depth.
  const char* line(size_t depth) {
    if (at_ >= lines_.size()) return nullptr;
    const std::string& text = lines_[at_];
    if (text.find_first_not_of(' ') != depth * 2) return nullptr;
    return text.c_str() + depth * 2;
  }

  bool document(size_t depth, const std::string& path) {
    EXPECT_STREQ(line(depth), "KTAP version 1");
    ++at_;
    std::string name;
    std::smatch match;
    int planned = -1;
    int number = 0;
    bool ok = true;
    bool nested_ok = true;
    std::string nested;
    while (at_ < lines_.size()) {
      const char* now = line(depth);
      if (now == nullptr) {
        const char* deeper = line(depth + 1);
        if (deeper == nullptr) break;
        EXPECT_STREQ(deeper, "KTAP version 1");
        const size_t subtest = at_ + 1;
        EXPECT_LT(subtest, lines_.size());
        nested = lines_[subtest].substr((depth + 1) * 2);
        EXPECT_TRUE(nested.starts_with("# Subtest: "));
        nested = nested.substr(11);
        nested_ok = document(depth + 1, path + nested + "/");
        continue;
      }
      const std::string text = now;
      ++at_;
      if (text[0] == '#') continue;
      if (std::regex_match(text, match, std::regex(R"(1\.\.(\d+))"))) {
        EXPECT_EQ(planned, -1) << "two plans";
        planned = std::stoi(match[1]);
        continue;
      }
      const bool result = std::regex_match(
          text, match, std::regex(R"((not )?ok (\d+) ([^#]*[^# ])( # (SKIP|ERROR) .*)?)"));
      EXPECT_TRUE(result) << text;
      if (!result) break;
      EXPECT_EQ(std::stoi(match[2]), ++number) << text;
      const bool line_ok = !match[1].matched;
      if (!nested.empty()) {
        EXPECT_EQ(match[3], nested);
        EXPECT_EQ(line_ok, nested_ok) << "a subtest's result is that of its tests";
      } else {
        found_.push_back({path + match[3].str(), line_ok, match[5]});
      }
      nested.clear();
      ok = ok && line_ok;
    }
    EXPECT_EQ(planned, number) << path;
    return ok;
  }

  std::vector<std::string> lines_;
  size_t at_ = 0;
  std::vector<KtapLine> found_;
};

TEST(Ktap, SampleHasEveryOutcome) {
  const auto sample = testing::sample_results();
  const auto lines = KtapParser(written("ktap", {sample[0]})).parse();
  ASSERT_EQ(lines.size(), sample[0].cases.size());
  std::map<std::string, KtapLine> by_path;
  for (const auto& line : lines) by_path[line.path] = line;
  EXPECT_TRUE(by_path.at("pid/pid.signal.init").ok);
  EXPECT_FALSE(by_path.at("mnt/mnt.open_by_handle").ok);
  EXPECT_EQ(by_path.at("mnt/mnt.open_by_handle").directive, "");
  EXPECT_EQ(by_path.at("net/net.raw").directive, "ERROR");
  EXPECT_FALSE(by_path.at("net/net.raw").ok);
  EXPECT_EQ(by_path.at("limit/limit.pids").directive, "SKIP");
  EXPECT_TRUE(by_path.at("limit/limit.pids").ok);
}

TEST(Ktap, HostileTextForgesNoLine) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const auto results = testing::RandomResults(seed, true).results(seed % 3 + 1, 10);
    const std::string text = written("ktap", results);
    EXPECT_EQ(testing::unsafe_part(text), "");
    size_t cases = 0;
    size_t bad = 0;
    for (const auto& run : results) {
      cases += run.cases.size() + !run_complaint(run).empty();
      bad += !run_complaint(run).empty();
      for (const auto& r : run.cases) {
        bad += r.verdict != Verdict::held && r.verdict != Verdict::skipped;
      }
    }
    const auto lines = KtapParser(text).parse();
    EXPECT_EQ(lines.size(), cases);
    size_t not_ok = 0;
    for (const auto& line : lines) not_ok += !line.ok;
    EXPECT_EQ(not_ok, bad);
  }
}

// A run whose exit code is not 0 must not look green in any report.
TEST(Reports, ComplaintWithoutABadCaseIsVisible) {
  auto run = testing::sample_results()[1];
  EXPECT_EQ(check_junit(written("junit", {run})).size(), 1U);
  EXPECT_EQ(KtapParser(written("ktap", {run})).parse().size(), 1U);
  run.summary.exit_code = 3;
  run.summary.complaints = {"1 held, --min-held asks for 40"};
  const auto outcomes = check_junit(written("junit", {run}));
  ASSERT_EQ(outcomes.count("run.exit_code"), 1U);
  EXPECT_EQ(outcomes.find("run.exit_code")->second, "broken");
  const auto lines = KtapParser(written("ktap", {run})).parse();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_FALSE(lines[1].ok);
  EXPECT_THAT(written("ktap", {run}), HasSubstr("--min-held asks for 40"));
}

}  // namespace
}  // namespace ringfence

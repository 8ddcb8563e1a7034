#include "harness/gtest_bridge/gtest_bridge.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <set>

#include "harness/base/facts.h"
#include "harness/runner/kernel_watch.h"
#include "reports/explain.h"
#include "reports/style.h"

namespace ringfence {
namespace {

// Probed once per process: some facts take milliseconds.
const Facts& facts() {
  static const Facts kFacts = Facts::probe();
  return kFacts;
}

void record_properties(const CaseRecord& record) {
  const auto put = [](const char* key, const std::string& value) {
    if (!value.empty()) testing::Test::RecordProperty(key, value);
  };
  put("id", record.id);
  put("title", record.title);
  put("source", record.source);
  put("verdict", std::string(verdict_name(record.verdict)));
  put("reason", record.reason);
  put("detail", record.detail);
  put("expected_layer", record.expected_layer.str());
  put("decided_by", record.decided_by);
  put("target", record.target);
  put("mode", record.mode);
  if (record.control) put("control", record.control->says);
  if (record.liveness) put("liveness", record.liveness->says);
  uint64_t lost = 0;
  for (const auto& witness : record.witnesses) {
    put(("witness_" + witness.name).c_str(), witness.says);
    lost += witness.lost;
  }
  put("lost", std::to_string(lost));
  put("run_id", record.run_id);
  put("duration_ns", std::to_string(record.duration_ns));
}

class CaseTest : public testing::Test {
 public:
  CaseTest(const Case& c, const RunOptions& options) : case_(c), options_(options) {}

 protected:
  void TestBody() override {
    const CaseRecord record = judge_case(case_, options_);
    record_properties(record);
    switch (record.verdict) {
      case Verdict::held:
        break;
      case Verdict::skipped:
        GTEST_SKIP() << record.reason << (record.detail.empty() ? "" : ": ") << record.detail;
      case Verdict::breached:
      case Verdict::unproven:
      case Verdict::broken:
        ADD_FAILURE() << describe_record(record);
    }
  }

 private:
  const Case& case_;
  const RunOptions& options_;
};

std::string first_line(const CaseRecord& record) {
  std::string text = fmt::format("{}: {}", record.id, verdict_name(record.verdict));
  if (!record.decided_by.empty()) text += ", decided by " + record.decided_by;
  if (!record.reason.empty()) text += " (" + record.reason + ")";
  if (!record.detail.empty()) text += ": " + record.detail;
  return text;
}

}  // namespace

TestName test_name(const std::string& id) {
  const size_t dot = id.find('.');
  if (dot == std::string::npos) return {id, id};
  TestName name{id.substr(0, dot), id.substr(dot + 1)};
  std::replace(name.test.begin(), name.test.end(), '.', '_');
  return name;
}

Status register_cases(const Registry& registry, RunOptions options) {
  auto chosen = registry.select(options.globs, options.full);
  if (!chosen) return tl::unexpected(chosen.error());
  if (options.policy) {
    std::erase_if(*chosen, [](const Case* c) { return !c->outside; });
  }
  std::set<std::string> names;
  for (const Case* c : *chosen) {
    const TestName name = test_name(c->id);
    if (!names.insert(name.suite + "." + name.test).second) {
      return usage_error("register case", c->id,
                         "another one has the test name " + name.suite + "." + name.test);
    }
  }
  // GoogleTest keeps the factories until the program ends, and they keep these.
  const auto shared = std::make_shared<const RunOptions>(std::move(options));
  for (const Case* c : *chosen) {
    const TestName name = test_name(c->id);
    testing::RegisterTest(
        name.suite.c_str(), name.test.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [c = *c, shared]() -> testing::Test* { return new CaseTest(c, *shared); });
  }
  return {};
}

CaseRecord judge_case(const Case& c, RunOptions options) {
  Registry registry;
  if (auto ok = registry.add(c); !ok) {
    return untried(c, Mode::case_mode, Verdict::broken, "run_failed", ok.error().describe());
  }
  options.globs = {c.id};
  options.shard_index = options.shard_count = 1;
  if (options.kernel_witness && options.opened_witness == nullptr) {
    options.opened_witness = witness_of_process();
  }
  Observer nobody;
  auto result = run(registry, facts(), options, nobody);
  if (!result)
    return untried(c, Mode::case_mode, Verdict::broken, "run_failed", result.error().describe());
  if (result->cases.empty()) {
    return untried(c, Mode::case_mode, Verdict::skipped, "not-judged:policy-mode",
                   "nothing of it shows outside a target under a given policy");
  }
  return result->cases.front();
}

std::string describe_record(const CaseRecord& record) {
  return first_line(record) + "\n" + render_explain(HeaderRecord(), record, Style());
}

void PrintTo(const CaseRecord& record, std::ostream* os) { *os << first_line(record); }

}  // namespace ringfence

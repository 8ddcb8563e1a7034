#pragma once
// For the tests of reports/ and harness/diff: sample results, random ones, golden files.
#include <random>
#include <string>
#include <vector>

#include "harness/judge/result.h"

namespace ringfence::testing {

// Two runs: case mode with every verdict, and a policy. Every value is fixed.
std::vector<RunResult> sample_results();

// Records full of what targets and hosts might come up with: control characters, escape sequences,
// markup, newlines, U+202E, emoji; with `broken_utf8` also bytes that are not UTF-8.
class RandomResults {
 public:
  explicit RandomResults(uint32_t seed, bool broken_utf8) : rng_(seed), broken_utf8_(broken_utf8) {}
  std::vector<RunResult> results(size_t runs, size_t cases);
  std::string text(size_t most = 6);

 private:
  size_t number(size_t below) { return rng_() % below; }
  std::string word() { return "w" + text(2); }
  CaseRecord record(const std::string& run_id, size_t index);

  std::mt19937 rng_;
  bool broken_utf8_;
};

// Compares `text` with reports/testdata/`name`; an empty string when they are equal, else what
// differs. With RINGFENCE_UPDATE_GOLDEN=1 in the environment it writes the file instead.
std::string against_golden(const std::string& name, const std::string& text);
// What differs between two runs of the same program: "1.23 ms" -> TIME, run ids -> RUN, the version
// after "ringfence " -> VERSION.
std::string normalize(std::string text);
// The path of a file in reports/testdata.
std::string testdata(const std::string& name);
std::string slurp(const std::string& path);
// Empty, or the first byte or code point of `text` that acts on a terminal; newlines are allowed.
std::string unsafe_part(const std::string& text);

}  // namespace ringfence::testing

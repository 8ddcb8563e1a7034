#pragma once
// Compares the cost of two or more things on one noisy machine, so that the result can be trusted.
//
// The contestants run interleaved in rounds, every second round in reverse (A B, B A, ...): a slow
// drift of the machine (frequency, cache, neighbours) then hits all alike, where one after the
// other would blame it on the last. Every sample is kept. Costs are compared by medians; the
// uncertainty of a ratio is a bootstrap interval over whole rounds, which keeps what a round's
// samples share.
//
// Units: nanoseconds. Errors: `usage` for options that cannot work; a contestant's own otherwise.
// Sources: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979 (percentile
// interval).
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::bench {

struct Contestant {
  std::string name;
  std::function<Status()> run;       // once; what it prepares should be prepared before
  std::function<Status()> before{};  // each run, and not timed; may be empty
};

struct CompareOptions {
  size_t warmup = 5;    // rounds that are not kept
  size_t rounds = 100;  // samples of each contestant, at least 2
  double confidence = 0.95;
  size_t resamples = 2000;
  uint64_t seed = 1;               // of the bootstrap: the same samples give the same interval
  std::function<int64_t()> clock;  // nanoseconds, monotonic; empty: CLOCK_MONOTONIC
};

struct Series {
  std::string name;
  std::vector<int64_t> samples;  // in the order of the rounds
};

struct Spread {
  double median = 0;
  double p5 = 0;
  double p95 = 0;
  double mad = 0;  // median absolute deviation from the median
  int64_t min = 0;
  int64_t max = 0;
};

struct Ratio {
  std::string name;
  std::string baseline;
  double ratio = 0;  // median of `name` over median of `baseline`
  double low = 0;    // ends of the interval
  double high = 0;
  // The interval leaves out 1: the difference is more than this run's noise.
  [[nodiscard]] bool differs() const { return low > 1 || high < 1; }
};

struct Comparison {
  CompareOptions options;
  std::vector<Series> series;
  std::vector<Ratio> ratios;  // of each further contestant over the first
};

// The first contestant is the baseline. Stops at the first run that fails.
Result<Comparison> compare(const std::vector<Contestant>& contestants,
                           const CompareOptions& options = {});

// For samples that are already there. `samples` must not be empty.
Spread spread(const std::vector<int64_t>& samples);
// Both series by rounds, of the same length. Infinite when the baseline's median is 0.
Ratio ratio(const Series& baseline, const Series& other, const CompareOptions& options);

// A table for people: median, p5..p95, MAD, ratio with its interval.
std::string render(const Comparison& comparison);
// One JSON object on one line, without newline: {"type":"bench","unit":"ns",...}, with all samples.
std::string to_json(const Comparison& comparison, const std::string& group);

}  // namespace ringfence::bench

#include "bench/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include <nlohmann/json.hpp>

namespace ringfence::bench {
namespace {

int64_t monotonic() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The value at `fraction` of sorted samples, linear between neighbours.
template <typename T>
double quantile(const std::vector<T>& sorted, double fraction) {
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = position - static_cast<double>(below);
  return static_cast<double>(sorted[below]) * (1 - part) +
         static_cast<double>(sorted[above]) * part;
}

// Reorders its argument.
template <typename T>
double median(std::vector<T>& values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(middle), values.end());
  const auto upper = static_cast<double>(values[middle]);
  if (values.size() % 2 == 1) return upper;
  const T lower =
      *std::max_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(middle));
  return (static_cast<double>(lower) + upper) / 2;
}

double over(double value, double baseline) {
  if (baseline == 0) return std::numeric_limits<double>::infinity();
  return value / baseline;
}

Status check(const std::vector<Contestant>& contestants, const CompareOptions& options) {
  if (contestants.size() < 2) return usage_error("compare", "contestants", "at least two");
  std::set<std::string> names;
  for (const Contestant& c : contestants) {
    if (!names.insert(c.name).second) return usage_error("compare", c.name, "two of one name");
    if (!c.run) return usage_error("compare", c.name, "nothing to run");
  }
  if (options.rounds < 2) return usage_error("compare", "rounds", "at least 2");
  if (options.resamples < 1) return usage_error("compare", "resamples", "at least 1");
  if (!(options.confidence > 0 && options.confidence < 1)) {
    return usage_error("compare", "confidence", "between 0 and 1");
  }
  return {};
}

std::string duration(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.1f} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.2f} ms", ns / 1e6);
  return fmt::format("{:.2f} s", ns / 1e9);
}

}  // namespace

Spread spread(const std::vector<int64_t>& samples) {
  std::vector<int64_t> sorted = samples;
  std::sort(sorted.begin(), sorted.end());
  Spread s;
  s.median = quantile(sorted, 0.5);
  s.p5 = quantile(sorted, 0.05);
  s.p95 = quantile(sorted, 0.95);
  s.min = sorted.front();
  s.max = sorted.back();
  std::vector<double> away;
  away.reserve(sorted.size());
  for (const int64_t sample : sorted)
    away.push_back(std::abs(static_cast<double>(sample) - s.median));
  s.mad = median(away);
  return s;
}

Ratio ratio(const Series& baseline, const Series& other, const CompareOptions& options) {
  Ratio result{other.name, baseline.name, 0, 0, 0};
  std::vector<int64_t> a = baseline.samples;
  std::vector<int64_t> b = other.samples;
  result.ratio = over(median(b), median(a));

  const size_t rounds = std::min(baseline.samples.size(), other.samples.size());
  std::mt19937_64 random(options.seed);
  std::vector<double> drawn;
  drawn.reserve(options.resamples);
  a.resize(rounds);
  b.resize(rounds);
  for (size_t i = 0; i < options.resamples; ++i) {
    for (size_t j = 0; j < rounds; ++j) {
      // The bias of the remainder is below 2^-40 for any count of rounds that fits in memory.
      const size_t pick = random() % rounds;
      a[j] = baseline.samples[pick];
      b[j] = other.samples[pick];
    }
    drawn.push_back(over(median(b), median(a)));
  }
  std::sort(drawn.begin(), drawn.end());
  const double tail = (1 - options.confidence) / 2;
  result.low = quantile(drawn, tail);
  result.high = quantile(drawn, 1 - tail);
  return result;
}

Result<Comparison> compare(const std::vector<Contestant>& contestants,
                           const CompareOptions& options) {
  if (auto checked = check(contestants, options); !checked) {
    return tl::unexpected(checked.error());
  }
  const auto now = options.clock ? options.clock : std::function<int64_t()>(monotonic);
  Comparison comparison;
  comparison.options = options;
  for (const Contestant& c : contestants) {
    comparison.series.push_back({c.name, {}});
    comparison.series.back().samples.reserve(options.rounds);
  }
  const size_t count = contestants.size();
  for (size_t round = 0; round < options.warmup + options.rounds; ++round) {
    for (size_t place = 0; place < count; ++place) {
      const size_t index = round % 2 == 0 ? place : count - 1 - place;
      Status ran;
      if (contestants[index].before) ran = contestants[index].before();
      const int64_t begin = now();
      if (ran) ran = contestants[index].run();
      const int64_t end = now();
      if (!ran) {
        Error error = ran.error();
        error.what = fmt::format("{} (round {}): {}", contestants[index].name, round, error.what);
        return tl::unexpected(error);
      }
      if (round >= options.warmup) comparison.series[index].samples.push_back(end - begin);
    }
  }
  for (size_t i = 1; i < count; ++i) {
    comparison.ratios.push_back(ratio(comparison.series[0], comparison.series[i], options));
  }
  return comparison;
}

std::string render(const Comparison& comparison) {
  size_t width = 4;
  for (const Series& series : comparison.series) width = std::max(width, series.name.size());
  std::string out = fmt::format("{:<{}}  {:>10}  {:>10}  {:>10}  {:>10}  {}\n", "what", width,
                                "median", "p5", "p95", "MAD", "ratio");
  for (size_t i = 0; i < comparison.series.size(); ++i) {
    const Series& series = comparison.series[i];
    const Spread s = spread(series.samples);
    out += fmt::format("{:<{}}  {:>10}  {:>10}  {:>10}  {:>10}  ", series.name, width,
                       duration(s.median), duration(s.p5), duration(s.p95), duration(s.mad));
    if (i == 0) {
      out += "1\n";
    } else {
      const Ratio& r = comparison.ratios[i - 1];
      out += fmt::format("{:.2f} [{:.2f}, {:.2f}]{}\n", r.ratio, r.low, r.high,
                         r.differs() ? "" : "  no difference seen");
    }
  }
  out += fmt::format("{} rounds after {} of warm-up, interleaved; intervals of {:g} %\n",
                     comparison.options.rounds, comparison.options.warmup,
                     comparison.options.confidence * 100);
  return out;
}

std::string to_json(const Comparison& comparison, const std::string& group) {
  using nlohmann::ordered_json;
  ordered_json root = {{"type", "bench"},
                       {"group", group},
                       {"unit", "ns"},
                       {"rounds", comparison.options.rounds},
                       {"warmup", comparison.options.warmup},
                       {"confidence", comparison.options.confidence},
                       {"seed", comparison.options.seed}};
  root["contestants"] = ordered_json::array();
  for (const Series& series : comparison.series) {
    const Spread s = spread(series.samples);
    root["contestants"].push_back({{"name", series.name},
                                   {"median", s.median},
                                   {"p5", s.p5},
                                   {"p95", s.p95},
                                   {"mad", s.mad},
                                   {"min", s.min},
                                   {"max", s.max},
                                   {"samples", series.samples}});
  }
  root["ratios"] = ordered_json::array();
  for (const Ratio& r : comparison.ratios) {
    root["ratios"].push_back({{"name", r.name},
                              {"baseline", r.baseline},
                              {"ratio", r.ratio},
                              {"low", r.low},
                              {"high", r.high}});
  }
  return root.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace ringfence::bench

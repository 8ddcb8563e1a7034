#include "bench/capacity.h"

#include <fmt/format.h>

#include "probes/bpf/abi.h"

namespace ringfence::bench {
namespace {

constexpr uint64_t kBurst = 1000;

double rate(uint64_t events, int64_t ns) {
  return ns > 0 ? static_cast<double>(events) * 1e9 / static_cast<double>(ns) : 0;
}

}  // namespace

double Told::per_second() const { return rate(made, took.all); }
double Told::peak_per_second() const { return rate(burst, took.fastest); }

Result<Told> flood(const Witness& witness, uint64_t group, Worker& worker, const Flood& flood,
                   uint64_t calls) {
  // Denials only: what the worker does to take its orders succeeds, and is no event.
  auto watch = witness.watch(group, {.ring_bytes = flood.ring_bytes, .story = false});
  if (!watch) return tl::unexpected(watch.error());
  Told told;
  told.flood = flood;
  const uint64_t bursts = (calls + kBurst - 1) / kBurst;
  told.burst = kBurst;
  told.made = bursts * kBurst;
  const auto count = [&told](const rf_event& /*event*/, size_t /*size*/) { ++told.read; };
  bool losing = false;
  const auto look = [&]() -> Status {
    auto facts = watch->facts();
    if (!facts) return tl::unexpected(facts.error());
    told.lost = facts->story_lost;
    return {};
  };
  if (auto ok = worker.begin(Call::kill, kBurst, bursts); !ok) return tl::unexpected(ok.error());
  for (bool over = false; !over;) {
    if (flood.reads_along) {
      if (auto read = watch->story(count); !read) return tl::unexpected(read.error());
      if (!losing) {
        if (auto ok = look(); !ok) return tl::unexpected(ok.error());
        losing = told.lost > 0;
        if (!losing) told.without_loss = told.read;
      }
    }
    auto took = worker.poll();
    if (!took) return tl::unexpected(took.error());
    over = took->has_value();
    if (over) told.took = **took;
  }
  for (bool more = true; more;) {
    auto read = watch->story(count);
    if (!read) return tl::unexpected(read.error());
    more = *read > 0;
  }
  if (auto ok = look(); !ok) return tl::unexpected(ok.error());
  if (told.lost == 0) told.without_loss = told.read;
  return told;
}

std::string render(const Told& told) {
  std::string first;
  if (told.lost > 0 && told.flood.reads_along) {
    first = fmt::format(" (none of the first {})", told.without_loss);
  }
  return fmt::format(
      "{}: {} events at {:.2f} million a second (at most {:.2f}), {} read, {} lost{}: {}\n",
      told.flood.name, told.made, told.per_second() / 1e6, told.peak_per_second() / 1e6, told.read,
      told.lost, first, told.exact() ? "counted exactly" : "WRONG, they do not add up");
}

}  // namespace ringfence::bench

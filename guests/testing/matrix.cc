#include "guests/testing/matrix.h"

#include <fmt/format.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace ringfence::vmm {
namespace {

std::string device_of(std::string_view id) { return std::string(id.substr(0, id.find('.'))); }

// Of the host, and so of its guests.
uint32_t tsc_khz() {
  static const uint32_t khz = [] {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const uint64_t first = __rdtsc();
    while (Clock::now() - begin < std::chrono::milliseconds(30)) {
    }
    const uint64_t last = __rdtsc();
    const auto passed = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    return static_cast<uint32_t>(static_cast<double>(last - first) / passed);
  }();
  return khz;
}

void say_tsc(std::vector<kvm_cpuid_entry2>& leaves) {
  std::erase_if(leaves, [](const auto& leaf) {
    return leaf.function >= 0x40000000 && leaf.function <= 0x4fffffff;
  });
  kvm_cpuid_entry2 leaf{};
  leaf.function = 0x40000000;
  leaf.eax = 0x40000010;
  leaves.push_back(leaf);
  leaf.function = 0x40000010;
  leaf.eax = tsc_khz();
  leaves.push_back(leaf);
}

bool needs(const DeviceClause& clause, std::string_view what) {
  return std::ranges::find(clause.needs, what) != clause.needs.end();
}

// A fault's looks, in the order of Matrix::judges().
struct Looks {
  std::vector<std::string> guests;
  std::vector<Result<Sight>> sights;
};

std::vector<Looks> all_looks(const Matrix& matrix, const std::vector<std::string>& faults) {
  std::vector<Looks> looks(faults.size());
  in_parallel(faults.size(), [&](size_t n) {
    looks[n].guests = matrix.judges(faults[n]);
    for (const auto& guest : looks[n].guests) {
      looks[n].sights.push_back(matrix.look(guest, faults[n]));
    }
  });
  return looks;
}

}  // namespace

void in_parallel(size_t jobs, const std::function<void(size_t)>& job) {
  std::atomic<size_t> next{0};
  std::vector<std::jthread> threads;
  const size_t count = std::min<size_t>(jobs, std::max(1U, std::thread::hardware_concurrency()));
  threads.reserve(count);
  for (size_t n = 0; n < count; ++n) {
    threads.emplace_back([&] {
      for (size_t at = next++; at < jobs; at = next++) job(at);
    });
  }
}

Result<Sight> Matrix::look(const std::string& guest, const std::string& fault) const {
  const Guest* image = find_guest(guest);
  if (image == nullptr) return usage_error("guest", guest, "a file of guests/");
  BoardRunOptions options;
  options.fault = fault;
  options.machine.budget.exits = 40'000;
  options.machine.budget.time = std::chrono::seconds(20);
  for (const auto& clause : table_.clauses) {
    if (clause.guest != guest) continue;
    if (!clause.keys.empty()) options.keys = clause.keys;
    if (needs(clause, "clock:real")) options.machine.clock = ClockKind::real;
    if (needs(clause, "cpuid:tsc_khz")) options.machine.edit_cpuid = say_tsc;
  }
  const auto run = run_on_board(kvm_, *image, options);
  if (!run) return tl::unexpected(run.error());
  Sight sight;
  for (const auto& line : run->report.lines) {
    if (line.kind == GuestLine::Kind::held) sight.held.insert(line.name);
    if (line.kind == GuestLine::Kind::failed) sight.failed.insert(line.name);
    if (line.kind == GuestLine::Kind::not_judged) sight.not_judged.insert(line.name);
  }
  sight.whole = run->whole();
  sight.end = run->end.text;
  return sight;
}

std::vector<std::string> Matrix::guests() const {
  std::vector<std::string> all;
  for (const auto& clause : table_.clauses) {
    if (std::ranges::find(all, clause.guest) == all.end()) all.push_back(clause.guest);
  }
  return all;
}

std::vector<std::string> Matrix::judges(const std::string& fault) const {
  const auto device = device_of(fault);
  const std::set<std::string> large = {"uart", "pic", "pit", "i8042", "rtc"};
  std::vector<std::string> found;
  for (const auto& clause : table_.clauses) {
    const auto area = device_of(clause.id);
    const bool judges =
        large.contains(device) ? area == device : area == "platform" || clause.guest == "i8042_a20";
    if (judges && std::ranges::find(found, clause.guest) == found.end()) {
      found.push_back(clause.guest);
    }
  }
  return found;
}

std::vector<std::string> check_clean(const Matrix& matrix, const DeviceTable& table) {
  std::vector<std::string> wrong;
  const auto guests = matrix.guests();
  std::vector<Result<Sight>> sights(guests.size(), Sight{});
  in_parallel(guests.size(), [&](size_t n) { sights[n] = matrix.look(guests[n], ""); });
  for (size_t n = 0; n < guests.size(); ++n) {
    const auto& sight = sights[n];
    if (!sight) {
      wrong.push_back(guests[n] + ": " + sight.error().describe());
      continue;
    }
    if (!sight->whole) wrong.push_back(guests[n] + " has no right end: " + sight->end);
    std::set<std::string> named;
    for (const auto& clause : table.clauses) {
      if (clause.guest != guests[n]) continue;
      named.insert(clause.id);
      if (!sight->held.contains(clause.id)) {
        wrong.push_back(fmt::format("{} does not report + {}", guests[n], clause.id));
      }
    }
    for (const auto& id : sight->failed) wrong.push_back(guests[n] + " reports - " + id);
    for (const auto& id : sight->not_judged) wrong.push_back(guests[n] + " reports ? " + id);
    for (const auto& id : sight->held) {
      // A clause may be looked at in passing; then it is another guest's.
      const bool elsewhere = std::ranges::any_of(
          table.clauses, [&](const DeviceClause& clause) { return clause.id == id; });
      if (!named.contains(id) && !elsewhere) {
        wrong.push_back(fmt::format("{} reports {}, which the table has not", guests[n], id));
      }
    }
  }
  return wrong;
}

std::vector<std::string> check_faults(const Matrix& matrix, const DeviceTable& table,
                                      const std::vector<std::string>& faults, double& score) {
  std::vector<std::string> wrong;
  // One run for each guest and fault that the table has together.
  std::map<std::pair<std::string, std::string>, std::set<std::string>> listed;  // -> clauses
  std::set<std::string> killed;
  for (const auto& clause : table.clauses) {
    if (clause.kills.empty()) wrong.push_back(clause.id + " has no fault that turns it red");
    for (const auto& fault : clause.kills) {
      listed[{clause.guest, fault}].insert(clause.id);
      killed.insert(fault);
    }
  }
  for (const auto& end : table.by_the_end) {
    listed[{end.guest, end.fault}] = {};
    killed.insert(end.fault);
  }
  const std::vector<std::pair<std::pair<std::string, std::string>, std::set<std::string>>> runs(
      listed.begin(), listed.end());
  std::vector<Result<Sight>> sights(runs.size(), Sight{});
  in_parallel(runs.size(), [&](size_t n) {
    sights[n] = matrix.look(runs[n].first.first, runs[n].first.second);
  });
  for (size_t n = 0; n < runs.size(); ++n) {
    const auto& [guest, fault] = runs[n].first;
    if (!sights[n]) {
      wrong.push_back(fmt::format("{} with {}: {}", guest, fault, sights[n].error().describe()));
      killed.erase(fault);
      continue;
    }
    for (const auto& id : runs[n].second) {
      if (sights[n]->failed.contains(id)) continue;
      wrong.push_back(fmt::format("{} with {} does not report - {}", guest, fault, id));
      killed.erase(fault);
    }
    if (runs[n].second.empty() && sights[n]->whole) {
      wrong.push_back(fmt::format("{} with {} ends as if nothing were wrong", guest, fault));
      killed.erase(fault);
    }
  }
  std::vector<std::string> survivors;
  for (const auto& survivor : table.survivors) survivors.push_back(survivor.fault);
  const auto looks = all_looks(matrix, survivors);
  for (size_t n = 0; n < survivors.size(); ++n) {
    for (size_t g = 0; g < looks[n].sights.size(); ++g) {
      const auto& sight = looks[n].sights[g];
      if (!sight) {
        wrong.push_back(sight.error().describe());
      } else if (!sight->failed.empty() || !sight->whole) {
        wrong.push_back(fmt::format("{} is listed as a survivor, and {} sees it", survivors[n],
                                    looks[n].guests[g]));
      }
    }
  }
  std::set<std::string> known(survivors.begin(), survivors.end());
  for (const auto& [run, clauses] : listed) known.insert(run.second);
  size_t seen = 0;
  for (const auto& fault : faults) {
    if (known.erase(fault) == 0) wrong.push_back(fault + " is neither killed nor a survivor");
    if (killed.contains(fault)) ++seen;
  }
  for (const auto& fault : known) wrong.push_back(fault + " is no fault of a device");
  score =
      faults.empty() ? 0 : 100.0 * static_cast<double>(seen) / static_cast<double>(faults.size());
  return wrong;
}

DeviceTable fill(const Matrix& matrix, const DeviceTable& table,
                 const std::vector<std::string>& faults) {
  const auto looks = all_looks(matrix, faults);
  // Clause of a guest -> the faults that turn it red.
  std::map<std::string, std::vector<std::string>> red;
  for (size_t n = 0; n < faults.size(); ++n) {
    for (size_t g = 0; g < looks[n].sights.size(); ++g) {
      if (!looks[n].sights[g]) continue;
      for (const auto& clause : table.clauses) {
        if (clause.guest == looks[n].guests[g] && looks[n].sights[g]->failed.contains(clause.id)) {
          red[clause.id].push_back(faults[n]);
        }
      }
    }
  }
  DeviceTable filled = table;
  for (auto& clause : filled.clauses) clause.kills.clear();
  filled.by_the_end.clear();
  filled.survivors.clear();
  for (size_t n = 0; n < faults.size(); ++n) {
    DeviceClause* best = nullptr;
    for (auto& clause : filled.clauses) {
      const auto found = red.find(clause.id);
      if (found == red.end() ||
          std::ranges::find(found->second, faults[n]) == found->second.end()) {
        continue;
      }
      if (best == nullptr || found->second.size() < red[best->id].size()) best = &clause;
    }
    if (best != nullptr) {
      best->kills.push_back(faults[n]);
      continue;
    }
    std::string by;
    for (size_t g = 0; g < looks[n].sights.size(); ++g) {
      if (looks[n].sights[g] && !looks[n].sights[g]->whole && by.empty()) by = looks[n].guests[g];
    }
    if (!by.empty()) {
      filled.by_the_end.push_back({faults[n], by});
      continue;
    }
    const auto old = std::ranges::find(table.survivors, faults[n], &Survivor::fault);
    filled.survivors.push_back({faults[n], old == table.survivors.end() ? "" : old->reason});
  }
  for (auto& clause : filled.clauses) {
    if (clause.kills.empty() && !red[clause.id].empty()) clause.kills = {red[clause.id].front()};
  }
  return filled;
}

}  // namespace ringfence::vmm

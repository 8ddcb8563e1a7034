#include "harness/witness/ladder_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace ringfence {
namespace {

constexpr size_t kLogLinesMax = 40;

// Of a long log the end says what was wrong. It quotes our own program, and nothing of a target.
std::string log_text(std::string_view log) {
  std::vector<std::string_view> lines;
  while (!log.empty()) {
    const size_t end = log.find('\n');
    if (end != 0) lines.push_back(log.substr(0, end));
    log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
  }
  std::string out;
  const size_t first = lines.size() > kLogLinesMax ? lines.size() - kLogLinesMax : 0;
  if (first > 0) out += fmt::format("         ... {} lines before\n", first);
  for (size_t i = first; i < lines.size(); ++i) out += fmt::format("         | {}\n", lines[i]);
  return out;
}

}  // namespace

std::string render_ladder(std::span<const Rung> rungs, bool verbose) {
  std::string out;
  for (auto rung = rungs.begin(); rung != rungs.end();) {
    const auto end = std::find_if(rung, rungs.end(),
                                  [&](const Rung& other) { return other.hook != rung->hook; });
    const auto taken = std::find_if(rung, end, [](const Rung& r) { return r.taken; });
    std::string others;
    for (auto r = rung; r != end; ++r) {
      if (r->loads && !r->taken) others += (others.empty() ? "  (also: " : ", ") + r->name;
    }
    if (!others.empty()) others += ")";
    out += fmt::format("  {}  {:<16}{}{}\n", taken != end ? "yes" : "no ", rung->hook,
                       taken != end ? taken->name : "absent", others);
    if (taken != end && !taken->of.empty()) {
      out += fmt::format("       {:<16}of {}\n", "", taken->of);
    }
    for (; rung != end; ++rung) {
      if (!rung->tried || rung->loads) continue;
      out += fmt::format("       {:<16}{} refused: {}\n", "", rung->name, rung->reason);
      const bool verifiers = rung->err == EACCES || rung->err == EINVAL;
      if (!rung->log.empty() && (verbose || verifiers)) out += log_text(rung->log);
    }
  }
  return out;
}

std::map<std::string, std::string> hooks_of(std::span<const Rung> rungs) {
  constexpr std::string_view kAbsent = "absent: ";
  std::map<std::string, std::string> hooks;
  const bool answers = std::any_of(rungs.begin(), rungs.end(), [](const Rung& rung) {
    return rung.hook == "lsm" && rung.taken;
  });
  for (const Rung& rung : rungs) {
    // What goes with another hook, or one rung of it, is missed only by that.
    if (rung.hook == "capargs" && !rung.taken) continue;
    if (rung.hook.starts_with("lsm_") && !rung.taken && !answers) continue;
    std::string& how = hooks[rung.hook];
    if (rung.taken) {
      how = rung.name;
    } else if (how.empty() || how.starts_with(kAbsent)) {
      how = std::string(kAbsent) + (rung.reason.empty() ? "not tried" : rung.reason);
    }
  }
  return hooks;
}

}  // namespace ringfence

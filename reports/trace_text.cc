#include "reports/trace_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "reports/text.h"

namespace ringfence {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTask = 20;
constexpr size_t kOperation = 42;
constexpr size_t kLayer = 18;

std::string task_of(const Denial& d) {
  return fmt::format("{}[{}]", terminal_safe(d.comm), d.tgid == d.tid ? d.tgid : d.tid);
}

std::string what_of(const Denial& d) {
  return fmt::format("{} = {}", terminal_safe(d.operation), d.result);
}

// Who it was explains a denial, unless it was root.
std::string why_of(const Denial& d) {
  if (!d.refused) return "failed, and is no refusal";
  return d.uid == 0 ? d.decided.why : fmt::format("{} (uid {} outside)", d.decided.why, d.uid);
}

// What is longer than its column moves the next ones, rather than lose what it says.
std::string column(std::string_view text, size_t width) { return pad(text, width) + "  "; }

Tone tone_of_layer(const Denial& d) {
  if (!d.refused) return Tone::dim;
  return d.decided.layer == Layer::kUnattributed ? Tone::warning : Tone::bad;
}

std::string calls_text(const DenialLog::Total& total) {
  std::string text;
  for (const auto& [call, count] : total.calls) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", call, count);
  }
  return text;
}

std::string times(uint64_t count) {
  return fmt::format("{} denial{}", count, count == 1 ? "" : "s");
}

// "missing capability: CAP_SYS_CHROOT (3 denials: chroot)", "seccomp: keyctl (12)".
std::string total_text(const DenialLog::Total& total) {
  const auto name = total.layer.name();
  if (name.starts_with("cap.")) {
    std::string calls;
    for (const auto& [call, count] : total.calls) calls += (calls.empty() ? "" : ", ") + call;
    return fmt::format("missing capability: CAP_{} ({}: {})", name.substr(sizeof("cap.") - 1),
                       times(total.count), calls);
  }
  static const std::map<std::string_view, const char*> words = {
      {"dac", "plain permission"},
      {"mount.ro", "read-only mount"},
      {"ns.user", "capability of another user namespace"},
      {"unattributed", "unattributed, the kernel said no and nothing seen says why"},
  };
  const auto word = words.find(name);
  return fmt::format("{}: {}", word == words.end() ? std::string(name) : word->second,
                     calls_text(total));
}

Json groups_json(const DenialLog& log) {
  Json groups = Json::array();
  for (const auto& group : log.groups()) {
    groups.push_back(Json{{"comm", to_utf8(group.first.comm)},
                          {"operation", to_utf8(group.first.operation)},
                          {"result", group.first.result},
                          {"layer", group.first.decided.layer.str()},
                          {"count", group.count}});
  }
  return groups;
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string trace_columns(const Style& style) {
  return paint(style, Tone::dim,
               column(fmt::format("{:>9}", "time"), 9) + column("task", kTask) +
                   column("operation", kOperation) + column("layer", kLayer) + "why") +
         '\n';
}

std::string trace_line(const Denial& d, int64_t began_ns, const Style& style) {
  const auto seconds = static_cast<double>(d.at_ns - began_ns) / 1e9;
  return paint(style, Tone::dim, fmt::format("{:>9.4f}  ", seconds)) + column(task_of(d), kTask) +
         column(what_of(d), kOperation) +
         paint(style, tone_of_layer(d), column(d.refused ? d.decided.layer.name() : "-", kLayer)) +
         paint(style, Tone::dim, why_of(d)) + '\n';
}

std::string trace_line(const ProbeLine& line, const std::string& probe, int64_t began_ns,
                       const Style& style) {
  const auto seconds = static_cast<double>(line.at_ns - began_ns) / 1e9;
  return paint(style, Tone::dim, fmt::format("{:>9.4f}  ", seconds)) +
         column(fmt::format("{}[{}]", terminal_safe(line.comm), line.tid), kTask) +
         column(terminal_safe(line.text), kOperation) +
         paint(style, Tone::dim, column("-", kLayer) + "probe " + terminal_safe(probe)) + '\n';
}

std::string trace_summary(const TraceEnd& end, const Style& style) {
  std::string text;
  const uint64_t count = end.refusals->count();
  const std::string time = duration_text(end.duration_ns);
  if (count == 0) {
    text += fmt::format("nothing was denied in {}\n", time);
  } else {
    text += paint(style, Tone::strong,
                  fmt::format("denied: {} operation{} in {}", count, count == 1 ? "" : "s", time)) +
            '\n';
  }
  for (const auto& total : end.refusals->totals()) text += "  " + total_text(total) + '\n';
  bool first = true;
  for (const auto* log : {end.refusals, end.failures}) {
    if (log == nullptr) continue;
    for (const auto& group : log->groups()) {
      if (group.count < 2) continue;
      if (first) text += paint(style, Tone::dim, "repeated") + '\n';
      first = false;
      text += fmt::format("  {:>6}x  {}{}\n", group.count, column(what_of(group.first), kOperation),
                          terminal_safe(group.first.comm));
    }
  }
  if (end.failures != nullptr) {
    text += fmt::format("failed for other reasons: {}\n", end.failures->count());
  }
  if (!end.counts.empty()) text += paint(style, Tone::dim, "counted by probes") + '\n';
  for (const ProbeCount& counted : end.counts) {
    text += fmt::format("  {:>8}  {}: {}\n", counted.value, terminal_safe(counted.probe),
                        terminal_safe(counted.name));
  }
  if (end.cpu) {
    text += fmt::format("time on CPU: user {}, kernel {} (sampled every {}, +- {})\n",
                        duration_text(end.cpu->user_ns), duration_text(end.cpu->kernel_ns),
                        duration_text(end.cpu->period_ns), duration_text(end.cpu->error_ns()));
  } else if (!end.no_cpu.empty()) {
    text +=
        paint(style, Tone::warning, "time on CPU: not known, " + terminal_safe(end.no_cpu)) + '\n';
  }
  if (!end.caps_watched) {
    text += paint(style, Tone::warning,
                  "this kernel shows no capability checks: a missing capability is unattributed") +
            '\n';
  }
  if (end.loss.events > 0) {
    text += paint(style, Tone::warning,
                  fmt::format("{} event{} lost: the list may be incomplete ({})", end.loss.events,
                              end.loss.events == 1 ? "" : "s", end.loss.what)) +
            '\n';
  }
  return text;
}

std::string trace_json_begin(const std::string& scope, const std::string& version) {
  return line_of(
      Json{{"type", "trace"}, {"schema", 1}, {"version", version}, {"scope", to_utf8(scope)}});
}

std::string trace_json(const Denial& d, int64_t began_ns) {
  Json json{{"type", "denial"}, {"at_us", (d.at_ns - began_ns) / 1000},
            {"pid", d.tgid},    {"tid", d.tid},
            {"uid", d.uid},     {"comm", to_utf8(d.comm)},
            {"call", d.call},   {"operation", to_utf8(d.operation)}};
  if (!d.path.empty()) json["path"] = to_utf8(d.path);
  json["result"] = d.result;
  json["refused"] = d.refused;
  json["layer"] = d.refused ? d.decided.layer.str() : "";
  json["why"] = d.refused ? d.decided.why : "";
  return line_of(json);
}

std::string trace_json(const ProbeLine& line, const std::string& probe, int64_t began_ns) {
  return line_of(Json{{"type", "probe"},
                      {"at_us", (line.at_ns - began_ns) / 1000},
                      {"pid", line.tgid},
                      {"tid", line.tid},
                      {"comm", to_utf8(line.comm)},
                      {"probe", to_utf8(probe)},
                      {"text", to_utf8(line.text)}});
}

std::string trace_json(const TraceEnd& end) {
  Json layers = Json::array();
  for (const auto& total : end.refusals->totals()) {
    Json calls = Json::array();
    for (const auto& [call, count] : total.calls) {
      calls.push_back(Json{{"call", call}, {"count", count}});
    }
    layers.push_back(Json{{"layer", total.layer.str()}, {"count", total.count}, {"calls", calls}});
  }
  Json counts = Json::array();
  for (const ProbeCount& count : end.counts) {
    counts.push_back(Json{
        {"probe", to_utf8(count.probe)}, {"name", to_utf8(count.name)}, {"count", count.value}});
  }
  Json cpu;  // null: not known
  if (end.cpu) {
    cpu = Json{{"user_us", end.cpu->user_ns / 1000},
               {"kernel_us", end.cpu->kernel_ns / 1000},
               {"error_us", end.cpu->error_ns() / 1000}};
  }
  return line_of(Json{{"type", "summary"},
                      {"denials", end.refusals->count()},
                      {"duration_us", end.duration_ns / 1000},
                      {"layers", layers},
                      {"groups", groups_json(*end.refusals)},
                      {"other_failures", end.failures == nullptr ? 0 : end.failures->count()},
                      {"capabilities_watched", end.caps_watched},
                      {"probe_counts", counts},
                      {"cpu", cpu},
                      {"lost", end.loss.events},
                      {"lost_what", end.loss.what}});
}

}  // namespace ringfence

// What `ringfence doctor` prints.
#include <fmt/format.h>

#include <array>

#include <nlohmann/json.hpp>

#include "harness/base/facts.h"

namespace ringfence {
namespace {

// Kinds of work and what each stands on. Any of the alternatives is enough.
struct Ability {
  std::string_view what;
  std::vector<std::vector<std::string_view>> alternatives;
};

const std::vector<Ability>& abilities() {
  static const std::vector<Ability> list = {
      {"spawn targets in namespaces", {{"root", "pidns", "mntns"}, {"userns", "pidns", "mntns"}}},
      {"play the host to the targets (decoy host)",
       {{"root", "pidns", "mntns", "netns", "ipcns", "utsns"},
        {"userns", "pidns", "mntns", "netns", "ipcns", "utsns"}}},
      {"seccomp cases", {{"seccomp"}}},
      {"capability cases", {{"root"}, {"userns"}}},
      {"quick limit cases", {{"cgroup.pids", "cgroup.memory"}}},
      {"targets without root", {{"userns"}}},
      {"targets without root, with ranges of ids", {{"userns", "subuid"}}},
      {"eBPF witnesses", {{"bpf", "btf"}}},
      {"guests in the mini-VMM", {{"kvm"}}},
  };
  return list;
}

struct Verdict {
  bool can = false;
  std::string missing;  // of the alternative that lacks least
};

Verdict judge(const Facts& facts, const Ability& ability) {
  size_t least = SIZE_MAX;
  std::string missing;
  for (const auto& alternative : ability.alternatives) {
    std::vector<std::string> lacking;
    for (const auto& requirement : alternative) {
      if (auto why = facts.why_not(requirement); !why.empty()) lacking.push_back(std::move(why));
    }
    if (lacking.empty()) return {true, {}};
    if (lacking.size() < least) {
      least = lacking.size();
      missing = fmt::format("{}", fmt::join(lacking, ", "));
    }
  }
  return {false, missing};
}

class Paint {
 public:
  explicit Paint(bool color) : color_(color) {}
  [[nodiscard]] std::string bold(std::string_view text) const { return wrap("1", text); }
  [[nodiscard]] std::string good(std::string_view text) const { return wrap("32", text); }
  [[nodiscard]] std::string bad(std::string_view text) const { return wrap("33", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return wrap("2", text); }

 private:
  [[nodiscard]] std::string wrap(std::string_view code, std::string_view text) const {
    return color_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  }
  bool color_;
};

std::string trimmed(std::string line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

std::string render_doctor(const Facts& facts, bool color) {
  const Paint paint(color);
  std::string out = paint.bold("what this machine can test") + "\n";
  for (const Ability& ability : abilities()) {
    const Verdict verdict = judge(facts, ability);
    out += trimmed(fmt::format("  {}  {:<44}{}", verdict.can ? paint.good("yes") : paint.bad("no "),
                               ability.what, verdict.missing)) +
           "\n";
  }
  std::string group;
  for (const Fact* fact : facts.all()) {
    if (fact->group != group) {
      group = fact->group;
      out += "\n" + paint.bold(group) + "\n";
    }
    std::string mark = fact->available ? paint.good("yes") : paint.bad("no ");
    if (fact->info && fact->available) mark = paint.dim(" - ");
    std::string text = fact->detail;
    if (!fact->available) text = fmt::format("{}  ({})", fact->reason, fact->detail);
    out += trimmed(fmt::format("  {}  {:<16}{}", mark, fact->name, text)) + "\n";
    if (!fact->available && !fact->hint.empty()) {
      out += fmt::format("       {:<16}{}\n", "", paint.dim("-> " + fact->hint));
    }
  }
  return out;
}

std::string doctor_json(const Facts& facts) {
  using nlohmann::ordered_json;
  ordered_json root;
  root["can"] = ordered_json::array();
  for (const Ability& ability : abilities()) {
    const Verdict verdict = judge(facts, ability);
    root["can"].push_back(
        {{"what", ability.what}, {"can", verdict.can}, {"missing", verdict.missing}});
  }
  root["facts"] = ordered_json::array();
  for (const Fact* fact : facts.all()) {
    root["facts"].push_back({{"name", fact->name},
                             {"group", fact->group},
                             {"available", fact->available},
                             {"info", fact->info},
                             {"detail", fact->detail},
                             {"reason", fact->reason},
                             {"hint", fact->hint}});
  }
  // Bytes of the machine (DMI, mount points) that are no UTF-8 become U+FFFD rather than a throw.
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace ringfence

// linux.resources.unified: keys and values as the kernel's cgroup-v2.rst has them, checked before
// anything is made.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "harness/base/file.h"
#include "harness/policy/resources.h"

namespace ringfence {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

bool in_range(std::string_view text, uint64_t least, uint64_t most) {
  const auto value = number(text);
  return value && *value >= least && *value <= most;
}

// Bytes as the kernel's memparse() reads them, or "max".
bool size_or_max(std::string_view text) {
  if (text == "max") return true;
  if (!text.empty() && std::string_view("kKmMgGtT").find(text.back()) != text.npos) {
    text.remove_suffix(1);
  }
  return number(text).has_value();
}

bool major_minor(std::string_view text) {
  const size_t colon = text.find(':');
  return colon != text.npos && number(text.substr(0, colon)).has_value() &&
         number(text.substr(colon + 1)).has_value();
}

// "8:0 rbps=1048576 wiops=max": a device, then keys of `keys`; "max" where `max` says so.
bool device_line(std::string_view line, std::initializer_list<std::string_view> keys, bool max) {
  const auto words = split(line, ' ');
  if (words.size() < 2 || !major_minor(words[0])) return false;
  return std::all_of(words.begin() + 1, words.end(), [&](std::string_view word) {
    const size_t equal = word.find('=');
    if (equal == word.npos) return false;
    const std::string_view value = word.substr(equal + 1);
    return std::find(keys.begin(), keys.end(), word.substr(0, equal)) != keys.end() &&
           (number(value).has_value() || (max && value == "max"));
  });
}

template <typename Check>
bool each_line(std::string_view text, const Check& check) {
  const auto lines = split(text, '\n');
  return !lines.empty() && std::all_of(lines.begin(), lines.end(), check);
}

// "100", "default 100" or "8:0 100".
bool weight_line(std::string_view line, uint64_t most) {
  const auto words = split(line, ' ');
  if (words.size() == 1) return in_range(words[0], 1, most);
  return words.size() == 2 && (words[0] == "default" || major_minor(words[0])) &&
         in_range(words[1], 1, most);
}

bool rdma_limit(std::string_view word) {
  const size_t equal = word.find('=');
  const std::string_view key = word.substr(0, equal);
  if (equal == word.npos || (key != "hca_handle" && key != "hca_object")) return false;
  const std::string_view value = word.substr(equal + 1);
  return value == "max" || in_range(value, 0, INT32_MAX);
}

bool cpu_max(std::string_view text) {
  constexpr uint64_t kLeast = 1000;
  constexpr uint64_t kMost = 1000000;
  const auto words = split(text, ' ');
  if (words.empty() || words.size() > 2) return false;
  if (words[0] != "max" && !in_range(words[0], kLeast, UINT64_MAX / 1000)) return false;
  return words.size() == 1 || in_range(words[1], kLeast, kMost);
}

struct Rule {
  std::string_view file;
  bool (*good)(std::string_view value);
  const char* allowed;
};

constexpr const char* kSize = "bytes, with K, M, G or T behind it, or max";
constexpr std::array kRules = {
    Rule{"pids.max", [](std::string_view v) { return v == "max" || in_range(v, 0, 4194304); },
         "0 to 4194304, or max"},
    Rule{"memory.max", size_or_max, kSize},
    Rule{"memory.high", size_or_max, kSize},
    Rule{"memory.low", size_or_max, kSize},
    Rule{"memory.min", size_or_max, kSize},
    Rule{"memory.swap.max", size_or_max, kSize},
    Rule{"memory.swap.high", size_or_max, kSize},
    Rule{"memory.zswap.max", size_or_max, kSize},
    Rule{"memory.oom.group", [](std::string_view v) { return v == "0" || v == "1"; }, "0 or 1"},
    Rule{"cpu.max", cpu_max, "QUOTA or max, then PERIOD; both from 1000 us, PERIOD to 1000000"},
    Rule{"cpu.max.burst", [](std::string_view v) { return number(v).has_value(); }, "microseconds"},
    Rule{"cpu.weight", [](std::string_view v) { return in_range(v, 1, 10000); }, "1 to 10000"},
    Rule{"cpu.weight.nice",
         [](std::string_view v) {
           if (v.starts_with('-')) return in_range(v.substr(1), 0, 20);
           return in_range(v, 0, 19);
         },
         "-20 to 19"},
    Rule{"cpu.idle", [](std::string_view v) { return v == "0" || v == "1"; }, "0 or 1"},
    Rule{"cpuset.cpus", [](std::string_view v) { return well_formed_list(v, kMostCpu); },
         "a list such as 0-2,16"},
    Rule{"cpuset.mems", [](std::string_view v) { return well_formed_list(v, kMostNode); },
         "a list such as 0-1"},
    Rule{"cpuset.cpus.partition",
         [](std::string_view v) { return v == "member" || v == "root" || v == "isolated"; },
         "member, root or isolated"},
    Rule{"io.max",
         [](std::string_view v) {
           return each_line(v, [](std::string_view line) {
             return device_line(line, {"rbps", "wbps", "riops", "wiops"}, true);
           });
         },
         "MAJOR:MINOR and rbps=, wbps=, riops= or wiops="},
    Rule{"io.latency",
         [](std::string_view v) {
           return each_line(
               v, [](std::string_view line) { return device_line(line, {"target"}, false); });
         },
         "MAJOR:MINOR target=MICROSECONDS"},
    Rule{"io.weight",
         [](std::string_view v) {
           return each_line(v, [](std::string_view line) { return weight_line(line, 10000); });
         },
         "1 to 10000, alone or after default or MAJOR:MINOR"},
    Rule{"io.bfq.weight",
         [](std::string_view v) {
           return each_line(v, [](std::string_view line) { return weight_line(line, 1000); });
         },
         "1 to 1000, alone or after default or MAJOR:MINOR"},
    Rule{"rdma.max",
         [](std::string_view v) {
           return each_line(v, [](std::string_view line) {
             const auto words = split(line, ' ');
             return words.size() > 1 && std::all_of(words.begin() + 1, words.end(), rdma_limit);
           });
         },
         "DEVICE and hca_handle= or hca_object=, each 0 to 2147483647 or max"},
    // A target that begins frozen never gets to its program.
    Rule{"cgroup.freeze", [](std::string_view v) { return v == "0"; },
         "0: a frozen target would never start"},
    Rule{"cgroup.max.depth",
         [](std::string_view v) { return v == "max" || in_range(v, 0, INT32_MAX); },
         "0 to 2147483647, or max"},
    Rule{"cgroup.max.descendants",
         [](std::string_view v) { return v == "max" || in_range(v, 0, INT32_MAX); },
         "0 to 2147483647, or max"},
};

constexpr std::array kControllers = {"cgroup", "cpu",  "cpuset", "memory", "io",
                                     "pids",   "rdma", "misc",   "hugetlb"};

bool well_formed_name(std::string_view file) {
  return !file.empty() && std::all_of(file.begin(), file.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_';
  });
}

}  // namespace

bool well_formed_list(std::string_view text, uint32_t most) {
  size_t at = 0;
  while (at <= text.size()) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    const size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *first > *last || *last > most) return false;
    at = comma + 1;
  }
  return true;
}

std::vector<uint32_t> numbers_of_list(std::string_view text, uint32_t most) {
  std::vector<uint32_t> numbers;
  if (!well_formed_list(text, most)) return numbers;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    const size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : number(part.substr(dash + 1));
    for (uint64_t n = first.value_or(1); n <= last.value_or(0); ++n) {
      numbers.push_back(static_cast<uint32_t>(n));
    }
    at = comma + 1;
  }
  return numbers;
}

std::string controller_of_file(std::string_view file) {
  std::string name(file.substr(0, file.find('.')));
  return name == "cgroup" ? std::string() : name;
}

std::string fault_of_unified(const std::string& file, const std::string& value, std::string* hint) {
  *hint = "CONTROLLER.NAME, without a path";
  if (file.find('/') != std::string::npos || file.find('.') == std::string::npos ||
      !well_formed_name(file)) {
    return "not a cgroup file \"" + file + "\"";
  }
  const std::string first = file.substr(0, file.find('.'));
  if (std::find(kControllers.begin(), kControllers.end(), first) == kControllers.end()) {
    *hint = fmt::format("a file of cpu, cpuset, memory, io, pids, rdma, misc, hugetlb or cgroup");
    return "unknown controller \"" + first + "\"";
  }
  // These would move processes, hand controllers on, or end the target.
  for (const char* name :
       {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "cgroup.type", "cgroup.kill"}) {
    if (file != name) continue;
    *hint = "a file that sets a limit";
    return file + " is the runtime's own";
  }
  const auto* rule =
      std::find_if(kRules.begin(), kRules.end(), [&](const Rule& r) { return r.file == file; });
  if (rule != kRules.end() && !rule->good(value)) {
    *hint = rule->allowed;
    return fmt::format("{}: malformed or out of range: \"{}\"", file, value);
  }
  if (file.starts_with("hugetlb.") && file.ends_with("max") && !size_or_max(value)) {
    *hint = kSize;
    return fmt::format("{}: malformed or out of range: \"{}\"", file, value);
  }
  return {};
}

}  // namespace ringfence

#include "harness/spawn/cgroup_state.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "harness/base/file.h"

namespace ringfence {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

using Keyed = std::map<std::string, uint64_t>;

std::optional<uint64_t> get(const Keyed& keyed, const std::string& key) {
  const auto it = keyed.find(key);
  return it == keyed.end() ? std::nullopt : std::optional(it->second);
}

std::optional<Keyed> keyed_file(const std::string& path) {
  auto text = read_file(path);
  return text ? std::optional(parse_flat_keyed(*text)) : std::nullopt;
}

std::optional<uint64_t> number_file(const std::string& path) {
  auto text = read_file(path);
  return text ? number(trim(*text)) : std::nullopt;
}

std::optional<uint64_t> limit_file(const std::string& path) {
  auto text = read_file(path);
  return text ? parse_limit(trim(*text)) : std::nullopt;
}

Result<uint64_t> demand(const std::string& path) {
  auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  const auto value = number(trim(*text));
  if (!value) return system_error("read counter", path, EBADMSG);
  return *value;
}

Result<std::string> directory_of(const CgroupLeaf& leaf, const std::string& controller) {
  std::string directory = leaf.directory(controller);
  if (directory.empty()) {
    return unsupported_error("read cgroup", controller, 0, "the group has no such part");
  }
  return directory;
}

// "8:0 Read 4096" lines of blkio.throttle.*.
void add_v1_io(std::map<std::string, IoState>& all, const std::string& path,
               uint64_t IoState::*reads, uint64_t IoState::*writes) {
  const auto text = read_file(path);
  if (!text) return;
  for (const auto line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 3) continue;
    IoState& state = all[std::string(words[0])];
    if (words[1] == "Read") state.*reads = number(words[2]).value_or(0);
    if (words[1] == "Write") state.*writes = number(words[2]).value_or(0);
  }
}

}  // namespace

Keyed parse_flat_keyed(std::string_view text) {
  Keyed keyed;
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 2) continue;
    if (const auto value = number(words[1])) keyed[std::string(words[0])] = *value;
  }
  return keyed;
}

std::map<std::string, IoState> parse_io_stat(std::string_view text) {
  std::map<std::string, IoState> all;
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 2) continue;
    IoState& state = all[std::string(words[0])];
    for (size_t i = 1; i < words.size(); ++i) {
      const size_t equal = words[i].find('=');
      if (equal == std::string_view::npos) continue;
      const std::string_view key = words[i].substr(0, equal);
      const uint64_t value = number(words[i].substr(equal + 1)).value_or(0);
      if (key == "rbytes") state.rbytes = value;
      if (key == "wbytes") state.wbytes = value;
      if (key == "rios") state.rios = value;
      if (key == "wios") state.wios = value;
    }
  }
  return all;
}

Result<Pressure> parse_pressure(const std::string& text) {
  Pressure pressure;
  bool some = false;
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 5 || (words[0] != "some" && words[0] != "full")) continue;
    PressureLine parsed;
    for (size_t i = 1; i < words.size(); ++i) {
      const size_t equal = words[i].find('=');
      if (equal == std::string_view::npos) continue;
      const std::string_view key = words[i].substr(0, equal);
      const std::string value(words[i].substr(equal + 1));
      if (key == "avg10") parsed.avg10 = std::strtod(value.c_str(), nullptr);
      if (key == "avg60") parsed.avg60 = std::strtod(value.c_str(), nullptr);
      if (key == "avg300") parsed.avg300 = std::strtod(value.c_str(), nullptr);
      if (key == "total") parsed.total_us = number(value).value_or(0);
    }
    if (words[0] == "some") {
      pressure.some = parsed;
      some = true;
    } else {
      pressure.full = parsed;
    }
  }
  if (!some) return system_error("read pressure", text.substr(0, 40), EBADMSG);
  return pressure;
}

std::optional<uint64_t> parse_limit(std::string_view text) {
  const auto value = number(text);
  // PAGE_COUNTER_MAX: LONG_MAX rounded down to a page.
  constexpr uint64_t kUnlimited = uint64_t{INT64_MAX} / 4096 * 4096;
  if (!value || *value >= kUnlimited) return std::nullopt;
  return value;
}

Result<CpuState> cpu_state(const CgroupLeaf& leaf) {
  CpuState state;
  bool known = false;
  // Every v2 group has the time used, with the controller or without.
  if (const std::string unified = leaf.directory({}); !unified.empty()) {
    if (const auto stat = keyed_file(unified + "/cpu.stat")) {
      known = true;
      state.usage_us = get(*stat, "usage_usec");
      state.user_us = get(*stat, "user_usec");
      state.system_us = get(*stat, "system_usec");
      state.nr_periods = get(*stat, "nr_periods");
      state.nr_throttled = get(*stat, "nr_throttled");
      state.throttled_us = get(*stat, "throttled_usec");
    }
  }
  constexpr uint64_t kNsPerUs = 1000;
  if (const std::string v1 = leaf.directory("cpu"); !v1.empty() && leaf.is_v1("cpu")) {
    const auto stat = keyed_file(v1 + "/cpu.stat");
    known = known || stat.has_value();
    if (stat) {
      state.nr_periods = get(*stat, "nr_periods");
      state.nr_throttled = get(*stat, "nr_throttled");
      if (const auto ns = get(*stat, "throttled_time")) state.throttled_us = *ns / kNsPerUs;
    }
  }
  if (const std::string acct = leaf.directory("cpuacct"); !acct.empty() && !state.usage_us) {
    if (const auto ns = number_file(acct + "/cpuacct.usage")) {
      known = true;
      state.usage_us = *ns / kNsPerUs;
    }
  }
  if (!known) return unsupported_error("read cpu.stat", "group", 0, "the group has no such file");
  return state;
}

Result<MemoryState> memory_state(const CgroupLeaf& leaf) {
  auto directory = directory_of(leaf, "memory");
  if (!directory) return tl::unexpected(directory.error());
  const std::string prefix = *directory + "/memory.";
  const bool v1 = leaf.is_v1("memory");
  MemoryState state;
  auto current = demand(prefix + (v1 ? "usage_in_bytes" : "current"));
  if (!current) return tl::unexpected(current.error());
  state.current = *current;
  state.peak = number_file(prefix + (v1 ? "max_usage_in_bytes" : "peak"));
  state.max = limit_file(prefix + (v1 ? "limit_in_bytes" : "max"));
  if (const auto stat = keyed_file(prefix + "stat")) state.stat = *stat;
  if (v1) {
    state.max_events = number_file(prefix + "failcnt");
    if (const auto control = keyed_file(prefix + "oom_control")) {
      state.oom_kill = get(*control, "oom_kill");
    }
    if (const auto both = number_file(prefix + "memsw.usage_in_bytes")) {
      state.swap_current = *both > state.current ? *both - state.current : 0;
    }
    return state;
  }
  state.swap_current = number_file(prefix + "swap.current");
  if (const auto events = keyed_file(prefix + "events")) {
    state.low = get(*events, "low");
    state.high = get(*events, "high");
    state.max_events = get(*events, "max");
    state.oom = get(*events, "oom");
    state.oom_kill = get(*events, "oom_kill");
    state.oom_group_kill = get(*events, "oom_group_kill");
  }
  return state;
}

Result<PidsState> pids_state(const CgroupLeaf& leaf) {
  auto directory = directory_of(leaf, "pids");
  if (!directory) return tl::unexpected(directory.error());
  PidsState state;
  auto current = demand(*directory + "/pids.current");
  if (!current) return tl::unexpected(current.error());
  state.current = *current;
  state.peak = number_file(*directory + "/pids.peak");
  state.max = limit_file(*directory + "/pids.max");
  if (const auto events = keyed_file(*directory + "/pids.events")) {
    state.refused = get(*events, "max").value_or(0);
  }
  return state;
}

Result<std::map<std::string, IoState>> io_state(const CgroupLeaf& leaf) {
  auto directory = directory_of(leaf, "io");
  if (!directory) return tl::unexpected(directory.error());
  if (leaf.is_v1("io")) {
    std::map<std::string, IoState> all;
    const std::string prefix = *directory + "/blkio.throttle.";
    add_v1_io(all, prefix + "io_service_bytes", &IoState::rbytes, &IoState::wbytes);
    add_v1_io(all, prefix + "io_serviced", &IoState::rios, &IoState::wios);
    return all;
  }
  auto text = read_file(*directory + "/io.stat");
  if (!text) return tl::unexpected(text.error());
  return parse_io_stat(*text);
}

Result<uint64_t> hugetlb_current(const CgroupLeaf& leaf, const std::string& page_size) {
  auto directory = directory_of(leaf, "hugetlb");
  if (!directory) return tl::unexpected(directory.error());
  return demand(fmt::format("{}/hugetlb.{}.{}", *directory, page_size,
                            leaf.is_v1("hugetlb") ? "usage_in_bytes" : "current"));
}

Result<CoreState> core_state(const CgroupLeaf& leaf) {
  auto directory = directory_of(leaf, {});
  if (!directory) return tl::unexpected(directory.error());
  auto events = read_file(*directory + "/cgroup.events");
  if (!events) return tl::unexpected(events.error());
  const Keyed keyed = parse_flat_keyed(*events);
  CoreState state;
  state.populated = get(keyed, "populated").value_or(0) != 0;
  state.frozen = get(keyed, "frozen").value_or(0) != 0;
  if (const auto stat = keyed_file(*directory + "/cgroup.stat")) {
    state.descendants = get(*stat, "nr_descendants").value_or(0);
    state.dying_descendants = get(*stat, "nr_dying_descendants").value_or(0);
  }
  return state;
}

Result<Pressure> pressure(const CgroupLeaf& leaf, const std::string& resource) {
  auto directory = directory_of(leaf, {});
  if (!directory) return tl::unexpected(directory.error());
  const std::string path = fmt::format("{}/{}.pressure", *directory, resource);
  auto text = read_file(path);
  if (!text) return unsupported_error("read pressure", path, text.error().err, "needs PSI");
  return parse_pressure(*text);
}

}  // namespace ringfence

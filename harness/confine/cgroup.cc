#include "harness/confine/cgroup.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "harness/base/file.h"
#include "harness/confine/device_filter.h"
#include "harness/confine/landlock.h"

namespace ringfence {
namespace {

using Setting = Step::Setting;
constexpr uint64_t kDefaultPeriod = 100000;  // us

// One step to be: what one v2 file (or the device list) is set to.
struct Limit {
  Layer layer;
  std::string file;
  std::string text;
  bool confines = true;
  std::vector<Setting> settings;
};

std::string max_or(int64_t value) { return value < 0 ? "max" : std::to_string(value); }

std::string layer_name(const std::string& file) { return "cgroup." + controller_of_file(file); }

class Limits {
 public:
  // A later one for the same file takes the place of the earlier.
  Limit& add(const std::string& file, const std::string& value, std::vector<Setting::V1> v1,
             bool confines) {
    std::erase_if(all_, [&](const Limit& l) { return l.file == file; });
    Limit limit;
    limit.layer = Layer::parse(layer_name(file)).value_or(Layer{});
    limit.file = file;
    limit.text = fmt::format("{} = {}", file, value);
    limit.confines = confines;
    limit.settings.push_back({controller_of_file(file), file, value, std::move(v1)});
    return all_.emplace_back(std::move(limit));
  }
  // More of the same file: another device.
  void more(const std::string& file, const std::string& value, std::vector<Setting::V1> v1,
            std::vector<Setting::V1> instead = {}) {
    const auto it =
        std::find_if(all_.begin(), all_.end(), [&](const Limit& l) { return l.file == file; });
    if (it == all_.end()) {
      add(file, value, std::move(v1), true).settings.back().instead = std::move(instead);
      return;
    }
    it->text += ", " + value;
    it->settings.push_back({controller_of_file(file), file, value, std::move(v1)});
    it->settings.back().instead = std::move(instead);
  }
  // What v1 alone has, and is left out where no group has it: `pointer` below /linux/resources.
  Limit& v1_only(const std::string& controller, const std::vector<Setting::V1>& v1,
                 const std::string& pointer, bool confines) {
    Limit limit;
    limit.layer = Layer::parse("cgroup." + controller).value_or(Layer{});
    limit.file = v1.back().file;
    for (const auto& [file, value] : v1) {
      limit.text += fmt::format("{}{} = {}", limit.text.empty() ? "" : ", ", file, value);
    }
    limit.confines = confines;
    Setting setting{controller};
    setting.v1 = v1;
    setting.if_there = true;
    setting.pointer = "/linux/resources/" + pointer;
    limit.settings.push_back(std::move(setting));
    return all_.emplace_back(std::move(limit));
  }
  std::vector<Limit> take() { return std::move(all_); }

 private:
  std::vector<Limit> all_;
};

void add_cpuset(Limits& limits, const Resources& r) {
  if (!r.cpuset_cpus.empty()) {
    limits.add("cpuset.cpus", r.cpuset_cpus, {{"cpuset.cpus", r.cpuset_cpus}}, true);
  }
  if (!r.cpuset_mems.empty()) {
    limits.add("cpuset.mems", r.cpuset_mems, {{"cpuset.mems", r.cpuset_mems}}, true);
  }
}

void add_cpu(Limits& limits, const Resources& r) {
  if (r.cpu_shares) {
    limits.add("cpu.weight", std::to_string(cpu_weight_of_shares(*r.cpu_shares)),
               {{"cpu.shares", std::to_string(*r.cpu_shares)}}, true);
  }
  if (r.cpu_quota || r.cpu_period) {
    const int64_t quota = r.cpu_quota.value_or(-1);
    const std::string period = std::to_string(r.cpu_period.value_or(kDefaultPeriod));
    limits.add("cpu.max", fmt::format("{} {}", max_or(quota), period),
               {{"cpu.cfs_period_us", period}, {"cpu.cfs_quota_us", std::to_string(quota)}},
               quota >= 0);
  }
  if (r.cpu_burst.value_or(0) > 0) {  // it loosens
    const std::string burst = std::to_string(*r.cpu_burst);
    limits.add("cpu.max.burst", burst, {{"cpu.cfs_burst_us", burst}}, false);
  }
  if (r.cpu_idle) {
    const std::string idle = std::to_string(*r.cpu_idle);
    limits.add("cpu.idle", idle, {{"cpu.idle", idle}}, *r.cpu_idle != 0);
  }
  // A new group has none, so that this loosens. The period first, which the run time is part of.
  std::vector<Setting::V1> realtime;
  if (r.cpu_rt_period) realtime.push_back({"cpu.rt_period_us", std::to_string(*r.cpu_rt_period)});
  if (r.cpu_rt_runtime) {
    realtime.push_back({"cpu.rt_runtime_us", std::to_string(*r.cpu_rt_runtime)});
  }
  if (!realtime.empty()) {
    limits.v1_only("cpu", realtime, r.cpu_rt_runtime ? "cpu/realtimeRuntime" : "cpu/realtimePeriod",
                   false);
  }
}

void add_memory(Limits& limits, const Resources& r) {
  if (r.memory_limit) {
    limits.add("memory.max", max_or(*r.memory_limit),
               {{"memory.limit_in_bytes", std::to_string(*r.memory_limit)}}, *r.memory_limit >= 0);
  }
  if (r.memory_reservation) {
    limits.add("memory.low", max_or(*r.memory_reservation),
               {{"memory.soft_limit_in_bytes", std::to_string(*r.memory_reservation)}}, true);
  }
  if (const auto swap = swap_max_of(r.memory_swap, r.memory_limit)) {
    const int64_t both = r.memory_swap.value_or(-1);
    Limit& limit = limits.add("memory.swap.max", max_or(*swap),
                              {{"memory.memsw.limit_in_bytes", std::to_string(both)}}, *swap >= 0);
    // Where the kernel has no swap, none can be used.
    limit.settings.front().if_there = *swap <= 0;
  }
  if (r.memory_kernel_tcp) {
    limits.v1_only("memory",
                   {{"memory.kmem.tcp.limit_in_bytes", std::to_string(*r.memory_kernel_tcp)}},
                   "memory/kernelTCP", *r.memory_kernel_tcp >= 0);
  }
  if (r.memory_swappiness) {
    limits.v1_only("memory", {{"memory.swappiness", std::to_string(*r.memory_swappiness)}},
                   "memory/swappiness", false);
  }
  // A new group kills, so there is nothing to write where that is wanted.
  if (r.memory_oom_kill_disabled.value_or(false)) {
    limits.v1_only("memory", {{"memory.oom_control", "1"}}, "memory/disableOOMKiller", false);
  }
}

void add_rates(Limits& limits, const std::vector<DeviceRate>& rates, const char* key,
               const char* v1) {
  for (const auto& r : rates) {
    const std::string rate = r.rate == 0 ? "max" : std::to_string(r.rate);
    limits.more("io.max", fmt::format("{}:{} {}={}", r.major, r.minor, key, rate),
                {{fmt::format("blkio.throttle.{}_device", v1),
                  fmt::format("{}:{} {}", r.major, r.minor, r.rate)}});
  }
}

void add_io(Limits& limits, const Resources& r) {
  const auto weight = [&](const std::string& device, uint32_t value) {
    const std::string plain = std::to_string(value);
    const std::string prefix = device.empty() ? "" : device + " ";
    limits.more("io.weight", prefix + std::to_string(io_weight_of_blkio(value)),
                {{device.empty() ? "blkio.bfq.weight|blkio.weight"
                                 : "blkio.bfq.weight_device|blkio.weight_device",
                  prefix + plain}},
                // A kernel without the cost model has BFQ's own, whose scale is v1's.
                {{"io.bfq.weight", prefix + plain}});
  };
  if (r.io_weight) weight({}, *r.io_weight);
  std::vector<Setting::V1> leaves;
  for (const auto& w : r.io_device_weights) {
    const std::string device = fmt::format("{}:{}", w.major, w.minor);
    if (w.weight > 0) weight(device, w.weight);
    if (w.leaf_weight > 0) {
      leaves.push_back({"blkio.leaf_weight_device", fmt::format("{} {}", device, w.leaf_weight)});
    }
  }
  if (r.io_leaf_weight) {
    limits.v1_only("io", {{"blkio.leaf_weight", std::to_string(*r.io_leaf_weight)}},
                   "blockIO/leafWeight", false);
  }
  if (!leaves.empty()) limits.v1_only("io", leaves, "blockIO/weightDevice", false);
  add_rates(limits, r.io_read_bps, "rbps", "read_bps");
  add_rates(limits, r.io_write_bps, "wbps", "write_bps");
  add_rates(limits, r.io_read_iops, "riops", "read_iops");
  add_rates(limits, r.io_write_iops, "wiops", "write_iops");
}

void add_hugetlb(Limits& limits, const Resources& r) {
  for (const auto& huge : r.hugepage_limits) {
    const std::string value = std::to_string(huge.limit);
    const std::string prefix = "hugetlb." + huge.page_size;
    Limit& limit = limits.add(prefix + ".max", value, {{prefix + ".limit_in_bytes", value}}, true);
    // Reservations, which a fault of a page that is not reserved does not count against.
    Setting rsvd{
        "hugetlb", prefix + ".rsvd.max", value, {{prefix + ".rsvd.limit_in_bytes", value}}};
    rsvd.if_there = true;
    limit.settings.push_back(std::move(rsvd));
  }
}

void add_network(Limits& limits, const Resources& r) {
  if (r.net_class_id) {
    limits.v1_only("net_cls", {{"net_cls.classid", std::to_string(*r.net_class_id)}},
                   "network/classID", false);
  }
  std::vector<Setting::V1> priorities;
  for (const auto& [name, priority] : r.net_priorities) {
    priorities.push_back({"net_prio.ifpriomap", fmt::format("{} {}", name, priority)});
  }
  if (!priorities.empty()) limits.v1_only("net_prio", priorities, "network/priorities", false);
}

void add_rdma(Limits& limits, const Resources& r) {
  for (const auto& [device, limit] : r.rdma) {
    std::string line = device;
    if (limit.hca_handles) line += fmt::format(" hca_handle={}", *limit.hca_handles);
    if (limit.hca_objects) line += fmt::format(" hca_object={}", *limit.hca_objects);
    if (line != device) limits.more("rdma.max", line, {{"rdma.max", line}});
  }
}

// ---- unified -----------------------------------------------------------------------------------

std::vector<Setting::V1> v1_of_cpu_max(const std::string& value) {
  const auto words = split(value, ' ');
  std::vector<Setting::V1> v1;
  if (words.size() > 1) v1.push_back({"cpu.cfs_period_us", std::string(words[1])});
  v1.push_back({"cpu.cfs_quota_us", words[0] == "max" ? "-1" : std::string(words[0])});
  return v1;
}

std::vector<Setting::V1> v1_of_io_max(const std::string& value) {
  std::vector<Setting::V1> v1;
  for (const auto line : split(value, '\n')) {
    const auto words = split(line, ' ');
    for (size_t i = 1; i < words.size(); ++i) {
      const std::string_view key = words[i].substr(0, words[i].find('='));
      const std::string_view rate = words[i].substr(words[i].find('=') + 1);
      const char* name = key == "rbps"    ? "read_bps"
                         : key == "wbps"  ? "write_bps"
                         : key == "riops" ? "read_iops"
                                          : "write_iops";
      v1.push_back({fmt::format("blkio.throttle.{}_device", name),
                    fmt::format("{} {}", words[0], rate == "max" ? "0" : rate)});
    }
  }
  return v1;
}

std::vector<Setting::V1> v1_of_bfq_weight(const std::string& value) {
  std::vector<Setting::V1> v1;
  for (const auto line : split(value, '\n')) {
    const auto words = split(line, ' ');
    if (words.empty()) continue;
    if (words.size() == 1 || words[0] == "default") {
      v1.push_back({"blkio.bfq.weight|blkio.weight", std::string(words.back())});
    } else {
      v1.push_back({"blkio.bfq.weight_device|blkio.weight_device", std::string(line)});
    }
  }
  return v1;
}

// Empty where v1 has nothing of the kind.
std::vector<Setting::V1> v1_of(const std::string& file, const std::string& value) {
  const std::string minus_one = value == "max" ? "-1" : value;
  if (file == "memory.max") return {{"memory.limit_in_bytes", minus_one}};
  if (file == "cpu.max") return v1_of_cpu_max(value);
  if (file == "cpu.max.burst") return {{"cpu.cfs_burst_us", value}};
  if (file == "cpu.weight") {
    return {{"cpu.shares", std::to_string(cpu_shares_of_weight(std::stoul(value)))}};
  }
  if (file == "io.max") return v1_of_io_max(value);
  if (file == "io.bfq.weight") return v1_of_bfq_weight(value);
  if (file.starts_with("hugetlb.") && file.ends_with(".max")) {
    return {{file.substr(0, file.size() - 3) + "limit_in_bytes", minus_one}};
  }
  for (const char* same : {"pids.max", "cpuset.cpus", "cpuset.mems", "cpu.idle", "rdma.max"}) {
    if (file == same) return {{file, value}};
  }
  return {};
}

void add_unified(Limits& limits, const Resources& r) {
  for (const auto& [file, value] : r.unified) {
    // A target that begins unfrozen is what the kernel makes.
    if (file == "cgroup.freeze") continue;
    const bool loosens = value == "max" || value.starts_with("max ") || file == "cpu.max.burst" ||
                         (value == "0" && (file == "memory.low" || file == "memory.min" ||
                                           file == "memory.oom.group" || file == "cpu.idle"));
    limits.add(file, value, v1_of(file, value), !loosens);
  }
}

std::vector<Limit> limits_of(const Resources& r) {
  Limits limits;
  add_cpuset(limits, r);
  add_cpu(limits, r);
  add_memory(limits, r);
  if (r.pids_limit) {
    // As runc reads it: zero sets no limit, like a negative number.
    const int64_t value = *r.pids_limit == 0 ? -1 : *r.pids_limit;
    limits.add("pids.max", max_or(value), {{"pids.max", max_or(value)}}, value >= 0);
  }
  add_hugetlb(limits, r);
  add_io(limits, r);
  add_network(limits, r);
  add_rdma(limits, r);
  add_unified(limits, r);
  return limits.take();
}

Result<Limit> device_limit(const std::vector<DeviceRule>& rules) {
  auto list = resolve_devices(rules);
  if (!list) return tl::unexpected(list.error());
  Limit limit;
  limit.layer = Layer::kCgroupDevices;
  limit.file = "devices";
  Setting setting{"devices"};
  limit.text = list->allow ? "devices: all but" : "devices: none but";
  for (const auto& [file, value] : device_writes(*list)) {
    if (value != "a") limit.text += " " + value + ",";
    setting.v1.push_back({file, value});
  }
  limit.text.pop_back();
  limit.confines = !list->allow || !list->exceptions.empty();
  setting.program = device_program(*list);
  limit.settings.push_back(std::move(setting));
  return limit;
}

std::string key_of(const std::string& file) {
  if (file == "memory.max" || file == "pids.max") return layer_name(file);
  return file.starts_with("cgroup.") ? file : "cgroup." + file;
}

}  // namespace

uint64_t cpu_weight_of_shares(uint64_t shares) {
  constexpr uint64_t kLeast = 2;
  constexpr uint64_t kMost = 262144;
  if (shares == 0) return 0;
  if (shares <= kLeast) return 1;
  if (shares >= kMost) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  const double exponent = (l * l + 125 * l) / 612 - 7.0 / 34;
  // A hair's breadth of rounding must not become a whole weight.
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent) - 1e-9));
}

uint64_t cpu_shares_of_weight(uint64_t weight) {
  return std::max<uint64_t>(2, (weight * 1024 + 50) / 100);
}

uint64_t io_weight_of_blkio(uint64_t weight) {
  if (weight == 0) return 0;
  return 1 + (std::max<uint64_t>(weight, 10) - 10) * 9999 / 990;
}

std::optional<int64_t> swap_max_of(std::optional<int64_t> memory_and_swap,
                                   std::optional<int64_t> memory) {
  // Unlimited memory and nothing said of swap: both are unlimited.
  if (!memory_and_swap) return memory == -1 ? std::optional<int64_t>(-1) : std::nullopt;
  if (*memory_and_swap < 0) return -1;
  if (!memory || *memory < 0) return memory_and_swap;
  return *memory_and_swap - *memory;
}

Result<std::vector<std::string>> add_cgroup_limits(Assembler& plan, const Policy& policy) {
  std::vector<Limit> limits = limits_of(policy.resources);
  if (!policy.resources.devices.empty()) {
    auto devices = device_limit(policy.resources.devices);
    if (!devices) return tl::unexpected(devices.error());
    limits.push_back(std::move(*devices));
  }
  std::set<std::string> controllers;
  for (Limit& limit : limits) {
    Step step = Assembler::confining(limit.layer, key_of(limit.file), std::move(limit.text));
    step.where = Where::parent;
    step.confines = limit.confines;
    step.settings = std::move(limit.settings);
    const std::string controller = step.settings.front().controller;
    if (plan.add(std::move(step)) && !controller.empty()) controllers.insert(controller);
  }
  return std::vector<std::string>(controllers.begin(), controllers.end());
}

std::vector<std::string> cgroup_needs(const Resources& resources) {
  std::set<std::string> needs;
  if (!resources.devices.empty()) needs.insert("cgroup.devices");
  for (const Limit& limit : limits_of(resources)) {
    const Setting& first = limit.settings.front();
    if (!first.pointer.empty()) continue;
    if (first.controller.empty()) {
      needs.insert("cgroup2");
    } else if (!limit.layer.empty() && first.controller != "rdma") {  // which is no fact's
      needs.insert(limit.layer.str());
    }
    if (first.if_there) continue;
    std::string files = "cgroup:" + first.file;
    for (const auto& v2 : first.instead) files += "|" + v2.file;
    for (const auto& v1 : first.v1) files += "|" + v1.file;
    needs.insert(std::move(files));
  }
  return {needs.begin(), needs.end()};
}

std::vector<Unenforced> unenforced_here(const Resources& resources, const Facts& facts) {
  std::vector<Unenforced> fields;
  for (const Limit& limit : limits_of(resources)) {
    const Setting& first = limit.settings.front();
    if (first.pointer.empty()) continue;
    const bool there = std::all_of(first.v1.begin(), first.v1.end(), [&](const Setting::V1& v1) {
      return facts.satisfied("cgroup:" + v1.file);
    });
    if (!there) fields.push_back({first.pointer, limit.confines ? limit.layer : Layer{}});
  }
  return fields;
}

Policy as_enforced_here(Policy policy, const Facts& facts) {
  for (auto& u : unenforced_here(policy.resources, facts)) {
    policy.unenforced.push_back(std::move(u));
  }
  for (const auto& need : landlock_needs(policy)) {
    if (facts.satisfied(need)) continue;
    policy.landlock.clear();
    policy.unenforced.push_back({"/annotations/ringfence.landlock", Layer::kLandlock});
  }
  if (policy.session_keyring && !facts.satisfied("keys")) {
    policy.session_keyring = false;
    policy.unenforced.push_back({"/annotations/ringfence.session_keyring", Layer::kKeyring});
  }
  if (!policy.cgroups_path.empty() && !facts.satisfied("cgroup2") &&
      !facts.satisfied("cgroup.pids")) {
    policy.cgroups_path.clear();
    policy.unenforced.push_back({"/linux/cgroupsPath", {}});
  }
  return policy;
}

std::vector<std::string> cgroup_controllers(const Resources& resources) {
  std::set<std::string> controllers;
  if (!resources.devices.empty()) controllers.insert("devices");
  for (const Limit& limit : limits_of(resources)) {
    const std::string& controller = limit.settings.front().controller;
    if (!controller.empty()) controllers.insert(controller);
  }
  return {controllers.begin(), controllers.end()};
}

void add_cgroup_join(Assembler& plan) {
  Step step = Assembler::setup({}, "cgroup.join", "join the cgroups that were given");
  // A limit binds nobody who is outside of its group.
  step.confines = std::any_of(plan.steps().begin(), plan.steps().end(),
                              [](const Step& s) { return s.where == Where::parent && s.confines; });
  for (int slot = kSlotCgroup0; slot <= kSlotCgroupLast; ++slot) {
    step.ops.push_back(when(make_op(SYS_write, slot_arg(slot), plan.text("0"), 1), slot));
  }
  plan.add(std::move(step));
}

}  // namespace ringfence

// Groups: what each limit does to who attacks it, measured from outside, and the ways out of a
// group or past its limits. cgroups(7), kernel Documentation/admin-guide/cgroup-v2.rst and
// cgroup-v1/. Those that take seconds run by name or with --suite full.
//
// Tolerances are ratios, so that a slow or busy machine changes no verdict: a goal lies well above
// what the limit allows and well below what is had without it.
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <csignal>

#include "harness/spawn/cgroup_leaf.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

constexpr int64_t kMib = int64_t{1} << 20;
constexpr int64_t kMemory = 16;  // MiB; every attack takes three or four times as much
constexpr const char* kV2 = "kernel Documentation/admin-guide/cgroup-v2.rst";
constexpr int kKmsgMajor = 1;
constexpr int kKmsgMinor = 11;

Case limit_case(std::string id, std::string title, const Layer& layer) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = kV2;
  c.expected = layer;
  c.policy = bare();
  c.step = layer.str();
  c.needs = {layer.str()};
  c.quick = false;
  return c;
}

// ---- pids ---------------------------------------------------------------------------------------
void add_pids(std::vector<Case>& cases) {
  constexpr int64_t kMax = 16;
  Case pids = limit_case("limit.pids.fork_bomb", "fork past pids.max", Layer::kCgroupPids);
  pids.source = "cgroups(7), pids controller";
  pids.policy.resources.pids_limit = kMax;
  pids.attempt = {"fork_bomb", {"64"}};
  pids.goal = {Sight::tasks_over, "", kMax};
  pids.proofs = {{Sight::cgroup_event, "pids.max", 1}};
  pids.liveness = {"fork_bomb", {"4"}};
  cases.push_back(pids);
  pids.id = "limit.pids.outside_group";
  pids.title = "fork past pids.max from outside of the group that it limits";
  pids.step = "cgroup.join";
  cases.push_back(std::move(pids));
}

// ---- memory -------------------------------------------------------------------------------------
Case memory_case(std::string id, std::string title, Attempt attempt) {
  Case c = limit_case(std::move(id), std::move(title), Layer::kCgroupMemory);
  c.source = "cgroups(7), memory controller";
  c.policy.resources.memory_limit = kMemory * kMib;
  c.attempt = std::move(attempt);
  // Charged at the most, and half as much again for what the kernel charges by force.
  c.goal = {Sight::charged_over, "", (kMemory + kMemory / 2) * kMib};
  c.proofs = {{Sight::killed_by, "", SIGKILL}, {Sight::cgroup_event, "memory.oom_kill", 1}};
  c.liveness = {"alloc", {"4"}};
  c.needs.emplace_back("cgroup:memory.peak|memory.max_usage_in_bytes");
  return c;
}

void add_memory(std::vector<Case>& cases) {
  const std::string much = std::to_string(3 * kMemory);  // the decoy host's tmpfs has 64 MiB
  Case anon = memory_case("limit.memory.anon", "allocate past memory.max", {"alloc", {"64"}});
  anon.goal = {Sight::memory_over, "", kMemory * kMib};
  cases.push_back(std::move(anon));
  cases.push_back(
      memory_case("limit.memory.memfd", "write a memfd past memory.max", {"alloc_memfd", {much}}));
  cases.push_back(memory_case("limit.memory.tmpfs", "write a file of a tmpfs past memory.max",
                              {"alloc_file", {"/tmp/rf_big", much}}));
  Case shm = memory_case("limit.memory.shm", "fill System V shared memory past memory.max",
                         {"alloc_shm", {much}});
  shm.needs.emplace_back("sysvipc");
  cases.push_back(std::move(shm));

  Case high = limit_case("limit.memory.high", "allocate past memory.high, which only slows down",
                         Layer::kCgroupMemory);
  // Small, so that a slow machine has it all in time without the limit; with it each 128 KiB beyond
  // a quarter more cost two seconds.
  constexpr int64_t kHigh = 4;
  high.policy.resources.unified = {{"memory.high", std::to_string(kHigh * kMib)}};
  high.attempt = {"alloc_for", {std::to_string(4 * kHigh), "4000"}};
  high.goal = {Sight::memory_over, "", 3 * kHigh * kMib};
  high.proofs = {{Sight::cgroup_event, "memory.high", 1}};
  high.liveness = {"alloc", {"1"}};
  high.step = "cgroup.memory.high";
  cases.push_back(std::move(high));

  Case group = limit_case("limit.memory.oom_group",
                          "outlive a child that the OOM killer takes, under memory.oom.group",
                          Layer::kCgroupMemory);
  group.policy.resources.unified = {{"memory.max", std::to_string(kMemory * kMib)},
                                    {"memory.oom.group", "1"}};
  group.attempt = {"oom_child", {"64"}};
  group.goal = {Sight::tasks_over, "", 0};
  group.proofs = {{Sight::killed_by, "", SIGKILL}, {Sight::cgroup_event, "memory.oom_kill", 1}};
  group.liveness = {"oom_child", {"4"}};
  group.step = "cgroup.memory.oom.group";
  cases.push_back(std::move(group));
}

// ---- cpu, cpuset --------------------------------------------------------------------------------
void add_cpu(std::vector<Case>& cases) {
  // 5 % of one CPU for the whole group, whatever it has of tasks and CPUs; held up to 15 %.
  Case max = limit_case("limit.cpu.max", "use more CPU than cpu.max with four tasks that spin",
                        Layer::kCgroupCpu);
  max.policy.resources.cpu_quota = 5000;
  max.policy.resources.cpu_period = 100000;
  max.attempt = {"spin_all", {"2000", "3"}};
  max.goal = {Sight::cpu_over, "", 150};
  max.proofs = {{Sight::cgroup_event, "cpu.nr_throttled", 1}};
  max.liveness = {"spin", {"1"}};
  max.contained = true;  // it spins for as long as it wants, on less
  max.step = "cgroup.cpu.max";
  cases.push_back(std::move(max));

  // An eighth of the default weight on v1, a fifth on v2, against one with the default.
  Case weight = limit_case("limit.cpu.weight", "use as much of a CPU as a rival of more weight",
                           Layer::kCgroupCpu);
  weight.policy.resources.cpu_shares = 128;
  weight.attempt = {"spin_cpu", {"0", "2000"}};
  weight.goal = {Sight::rival_over, "", 500};
  weight.liveness = {"spin", {"1"}};
  weight.contained = true;
  weight.step = "cgroup.cpu.weight";
  cases.push_back(std::move(weight));

  Case cpus =
      limit_case("limit.cpuset.cpus", "run on a CPU outside of cpuset.cpus", Layer::kCgroupCpuset);
  cpus.source = "cpuset(7), sched_setaffinity(2)";
  cpus.policy.resources.cpuset_cpus = "0";
  cpus.attempt = {"spin_cpu", {"1", "50"}};
  cpus.goal = {Sight::bound_to_cpu, "", 1};
  cpus.liveness = {"spin_cpu", {"0", "1"}};
  cpus.needs.emplace_back("path:/sys/devices/system/cpu/cpu1");
  cpus.step = "cgroup.cpuset.cpus";
  cases.push_back(std::move(cpus));
}

// ---- devices ------------------------------------------------------------------------------------
void add_devices(std::vector<Case>& cases) {
  const std::vector<std::string> kmsg = {"/tmp", std::to_string(kKmsgMajor),
                                         std::to_string(kKmsgMinor)};
  Case devices =
      limit_case("limit.devices", "open a device that is not on the list", Layer::kCgroupDevices);
  devices.source = "runtime-spec config-linux.md, Allowed Device list";
  devices.policy.resources.devices = {DeviceRule{}};
  devices.attempt = {"mknod_open", kmsg};
  devices.goal = {Sight::holds_device, "", static_cast<int64_t>(makedev(kKmsgMajor, kKmsgMinor))};
  devices.liveness = {"mknod_open", {"/tmp", "1", "3"}};
  devices.alive = {Sight::holds_device, "", static_cast<int64_t>(makedev(1, 3))};
  devices.needs.emplace_back("root");
  devices.quick = true;
  cases.push_back(std::move(devices));
}

// ---- Out of the group, or past its limits from inside ------------------------------------------
// A mount of the cgroup file system as runtimes make it: one hierarchy a directory on v1.
Policy with_cgroup_mount() {
  Policy policy = in_root({{"cgroup", "/sys/fs/cgroup", {"ro"}}});
  policy.namespaces.push_back({Ns::cgroup, ""});
  return policy;
}

void add_escapes(std::vector<Case>& cases) {
  Case out = limit_case("cgroup.migrate_out", "move oneself out of one's group by a mount of v2",
                        Layer::kCgroupNs);
  out.source = "cgroup_namespaces(7)";
  out.policy = in_namespaces({Ns::cgroup});
  out.attempt = {"cgroup_out", {"/tmp/rf_cgroup"}};
  out.goal = {Sight::outside_group};
  out.contained = true;  // it moves to the root that it sees: its own group
  out.proofs = {{Sight::ns_differs, "cgroup"}};
  out.needs = {"root", "cgroup2"};
  out.quick = true;
  cases.push_back(std::move(out));

  // The v1 hierarchy of the controller is a mount of its own, below the one of the policy.
  const CgroupLayout layout = CgroupLayout::probe();
  const auto read_only_step = [&](const std::string& controller) {
    const std::string point = layout.v1_point(controller);
    if (point.empty()) return std::string("mount.ro:/sys/fs/cgroup");
    return "mount.ro:/sys/fs/cgroup" + point.substr(point.rfind('/'));
  };
  Case raise = limit_case("cgroup.raise_own_limit", "raise one's own pids.max and fork past it",
                          Layer::kReadOnly);
  raise.policy = with_cgroup_mount();
  constexpr int64_t kMax = 16;
  raise.policy.resources.pids_limit = kMax;
  raise.attempt = {"raise_fork", {"64", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"}};
  raise.goal = {Sight::tasks_over, "", kMax};
  raise.proofs = {{Sight::mount_has, "/sys/fs/cgroup*", MS_RDONLY},
                  {Sight::cgroup_event, "pids.max", 1}};
  raise.needs = {"root", "cgroup.pids"};
  raise.step = read_only_step("pids");
  raise.quick = true;
  cases.push_back(std::move(raise));

  Case allow = limit_case("cgroup.devices_allow", "allow oneself every device, by devices.allow",
                          Layer::kReadOnly);
  allow.source = "kernel Documentation/admin-guide/cgroup-v1/devices.rst";
  allow.policy = with_cgroup_mount();
  allow.policy.resources.devices = {DeviceRule{}};
  allow.attempt = {"allow_devices",
                   {"/rf_node", std::to_string(kKmsgMajor), std::to_string(kKmsgMinor),
                    "/sys/fs/cgroup/devices/devices.allow"}};
  allow.goal = {Sight::holds_device, "", static_cast<int64_t>(makedev(kKmsgMajor, kKmsgMinor))};
  allow.proofs = {{Sight::mount_has, "/sys/fs/cgroup*", MS_RDONLY}};
  allow.needs = {"root", "cgroup.devices", "cgroup:devices.allow"};
  allow.step = read_only_step("devices");
  allow.quick = true;
  cases.push_back(std::move(allow));
}

}  // namespace

std::vector<Case> cgroup_cases() {
  std::vector<Case> cases;
  add_pids(cases);
  add_memory(cases);
  add_cpu(cases);
  add_devices(cases);
  add_escapes(cases);
  return cases;
}

}  // namespace ringfence::suites

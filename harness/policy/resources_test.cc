#include "harness/policy/resources.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/policy/read.h"
#include "harness/policy/without.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string config(const std::string& resources) {
  return fmt::format(
      R"({{"ociVersion": "1.0.2", "process": {{"args": ["x"], "cwd": "/"}}, "root": {{"path": "r"}},
          "linux": {{"resources": {}}}}})",
      resources);
}

Resources read(const std::string& resources) {
  auto read = parse_oci_policy(config(resources), "t");
  EXPECT_TRUE(read) << read.error().describe();
  return read ? read->policy.resources : Resources{};
}

constexpr const char* kEverything = R"({
  "devices": [{"allow": false, "access": "rwm"},
              {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"},
              {"allow": true, "type": "b", "major": 8, "minor": -1}],
  "memory": {"limit": 1000, "reservation": 500, "swap": 3000, "kernelTCP": 700, "swappiness": 0,
             "disableOOMKiller": true},
  "cpu": {"shares": 512, "quota": 20000, "period": 100000, "burst": 5000, "cpus": "0-1,3",
          "mems": "0", "idle": 1, "realtimeRuntime": 4000, "realtimePeriod": 500000},
  "pids": {"limit": 7},
  "blockIO": {"weight": 500, "leafWeight": 400,
              "weightDevice": [{"major": 8, "minor": 0, "weight": 100},
                               {"major": 8, "minor": 16, "leafWeight": 200}],
              "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
              "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
              "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
              "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]},
  "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
  "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]},
  "rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 1000}, "siw0": {}},
  "unified": {"memory.high": "900", "io.max": "8:0 rbps=max wiops=7"}
})";

TEST(Resources, EveryFieldIsReadAndWrittenBack) {
  auto policy = parse_oci_policy(config(kEverything), "t");
  ASSERT_TRUE(policy) << policy.error().describe();
  EXPECT_THAT(policy->policy.unenforced, IsEmpty());
  EXPECT_THAT(policy->warnings, IsEmpty());
  const Resources& r = policy->policy.resources;
  ASSERT_EQ(r.devices.size(), 3U);
  EXPECT_EQ(r.devices[0], (DeviceRule{false, 'a', {}, {}, "rwm"}));
  EXPECT_EQ(r.devices[1], (DeviceRule{true, 'c', 10, 200, "rw"}));
  EXPECT_EQ(r.devices[2], (DeviceRule{true, 'b', 8, {}, "rwm"}));
  EXPECT_EQ(r.memory_reservation, 500);
  EXPECT_EQ(r.memory_swap, 3000);
  EXPECT_EQ(r.memory_kernel_tcp, 700);
  EXPECT_EQ(r.memory_swappiness, 0U);
  EXPECT_EQ(r.memory_oom_kill_disabled, true);
  EXPECT_EQ(r.cpu_rt_runtime, 4000U);
  EXPECT_EQ(r.cpu_rt_period, 500000U);
  EXPECT_EQ(r.cpu_shares, 512U);
  EXPECT_EQ(r.cpu_quota, 20000);
  EXPECT_EQ(r.cpu_burst, 5000U);
  EXPECT_EQ(r.cpuset_cpus, "0-1,3");
  EXPECT_EQ(r.io_weight, 500U);
  EXPECT_EQ(r.io_write_iops, (std::vector<DeviceRate>{{8, 0, 4}}));
  EXPECT_EQ(r.hugepage_limits, (std::vector<HugePageLimit>{{"2MB", 4194304}}));
  EXPECT_EQ(r.io_leaf_weight, 400U);
  EXPECT_EQ(r.io_device_weights, (std::vector<DeviceWeight>{{8, 0, 100}, {8, 16, 0, 200}}));
  EXPECT_EQ(r.net_class_id, 1048577U);
  EXPECT_EQ(r.net_priorities, (std::vector<NetPriority>{{"eth0", 5}}));
  EXPECT_EQ(r.rdma.at("mlx5_0"), (RdmaLimit{3, 1000}));
  EXPECT_EQ(r.rdma.at("siw0"), RdmaLimit{});
  EXPECT_EQ(r.unified.at("memory.high"), "900");
  auto again = parse_oci_policy(write_oci_policy(policy->policy), "t");
  ASSERT_TRUE(again) << again.error().describe();
  EXPECT_EQ(again->policy.resources, r);
}

TEST(Resources, EveryControllerCanBeTakenOut) {
  auto read = parse_oci_policy(config(kEverything), "t");
  ASSERT_TRUE(read);
  Policy policy = read->policy;
  for (const Layer& layer :
       {Layer::kCgroupPids, Layer::kCgroupMemory, Layer::kCgroupCpu, Layer::kCgroupCpuset,
        Layer::kCgroupIo, Layer::kCgroupHugetlb, Layer::kCgroupDevices, Layer{"cgroup.rdma"},
        Layer{"cgroup.net_cls"}, Layer{"cgroup.net_prio"}}) {
    const Policy less = without(policy, layer);
    EXPECT_NE(less.resources, policy.resources) << layer.name();
    EXPECT_EQ(without(less, layer), less) << layer.name();
    policy = less;
  }
  EXPECT_EQ(policy.resources, Resources{});
}

TEST(Resources, ZeroIsUnsetAsForRunc) {
  EXPECT_EQ(read(R"({"cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0,
                             "realtimePeriod": 0}, "blockIO": {"weight": 0, "leafWeight": 0},
                     "network": {"classID": 0}, "rdma": {},
                     "memory": {"limit": 0, "swap": 0, "kernel": 0, "kernelTCP": 0,
                                "swappiness": 18446744073709551615}})"),
            Resources{});
  // The kernel's own bounds, cpu.shares(v1).
  EXPECT_EQ(read(R"({"cpu": {"shares": 1}})").cpu_shares, 2U);
  EXPECT_EQ(read(R"({"cpu": {"shares": 999999999}})").cpu_shares, 262144U);
}

// As runc does since 1.1: said and ignored.
TEST(Resources, KernelMemoryIsIgnored) {
  auto read = parse_oci_policy(config(R"({"memory": {"limit": 5, "kernel": 7}})"), "t");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_EQ(read->warnings.size(), 1U);
  EXPECT_EQ(read->warnings[0].pointer, "/linux/resources/memory/kernel");
  ASSERT_EQ(read->policy.unenforced.size(), 1U);
  EXPECT_EQ(read->policy.unenforced[0], (Unenforced{"/linux/resources/memory/kernel", Layer{}}));
  // Alone it would have been the limit.
  read = parse_oci_policy(config(R"({"memory": {"kernel": 7}})"), "t");
  ASSERT_TRUE(read && read->policy.unenforced.size() == 1);
  EXPECT_EQ(read->policy.unenforced[0].layer, Layer::kCgroupMemory);
}

struct Refused {
  const char* resources;
  const char* pointer;
  const char* words;
};
const std::vector<Refused> kRefused = {
    {R"({"blockIO": {"weight": 9}})", "blockIO/weight", "10 to 1000"},
    {R"({"blockIO": {"weight": 1001}})", "blockIO/weight", "10 to 1000"},
    {R"({"blockIO": {"leafWeight": 9}})", "blockIO/leafWeight", "10 to 1000"},
    {R"({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 5}]}})",
     "blockIO/weightDevice/0/leafWeight", "10 to 1000"},
    {R"({"network": {"classID": 4294967296}})", "network/classID", "0 to 4294967295"},
    {R"({"network": {"priorities": [{"name": "eth0"}]}})", "network/priorities/0/priority",
     "required"},
    {R"({"network": {"priorities": [{"name": "a b", "priority": 1}]}})",
     "network/priorities/0/name", "at most 15"},
    {R"({"network": {"priorities": [{"name": "sixteen-bytes-xx", "priority": 1}]}})",
     "network/priorities/0/name", "at most 15"},
    {R"({"rdma": {"mlx5_0": {"hcaHandles": 2147483648}}})", "rdma/mlx5_0/hcaHandles",
     "0 to 2147483647"},
    {R"({"rdma": {"a b": {"hcaHandles": 1}}})", "rdma/a b", "such as mlx5_0"},
    {R"({"unified": {"rdma.max": "mlx5_0"}})", "unified/rdma.max", "hca_handle="},
    {R"({"unified": {"rdma.max": "mlx5_0 hca=1"}})", "unified/rdma.max", "hca_handle="},
    {R"({"unified": {"io.bfq.weight": "1001"}})", "unified/io.bfq.weight", "1 to 1000"},
    {R"({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 5}]}})",
     "blockIO/weightDevice/0/weight", "10 to 1000"},
    {R"({"blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 5}]}})",
     "blockIO/throttleReadBpsDevice/0/major", "0 to 4095"},
    {R"({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "rate": 5}]}})",
     "blockIO/throttleReadBpsDevice/0/minor", "required"},
    {R"({"cpu": {"quota": 999}})", "cpu/quota", "at least 1000"},
    {R"({"cpu": {"quota": -2}})", "cpu/quota", "-1 to"},
    {R"({"cpu": {"period": 999}})", "cpu/period", "1000 to 1000000"},
    {R"({"cpu": {"period": 1000001}})", "cpu/period", "1000 to 1000000"},
    {R"({"cpu": {"burst": 5}})", "cpu/burst", "quota beside it"},
    {R"({"cpu": {"quota": 2000, "burst": 2001}})", "cpu/burst", "at most 2000"},
    {R"({"cpu": {"realtimeRuntime": -1}})", "cpu/realtimeRuntime", "0 to"},
    {R"({"cpu": {"realtimeRuntime": 1000001}})", "cpu/realtimeRuntime", "at most 1000000"},
    {R"({"cpu": {"realtimeRuntime": 11, "realtimePeriod": 10}})", "cpu/realtimeRuntime",
     "at most 10"},
    {R"({"cpu": {"realtimePeriod": 2147483648}})", "cpu/realtimePeriod", "1 to 2147483647"},
    {R"({"cpu": {"idle": 2}})", "cpu/idle", "0 to 1"},
    {R"({"cpu": {"cpus": "0-"}})", "cpu/cpus", "0-2,16"},
    {R"({"cpu": {"cpus": "3-1"}})", "cpu/cpus", "0-2,16"},
    {R"({"cpu": {"cpus": "0,,1"}})", "cpu/cpus", "0-2,16"},
    {R"({"cpu": {"cpus": "99999"}})", "cpu/cpus", "0-2,16"},
    {R"({"cpu": {"mems": "a"}})", "cpu/mems", "0-2,16"},
    {R"({"memory": {"limit": -2}})", "memory/limit", "-1 to"},
    {R"({"memory": {"kernel": -2}})", "memory/kernel", "-1 to"},
    {R"({"memory": {"kernelTCP": -2}})", "memory/kernelTCP", "-1 to"},
    {R"({"memory": {"swappiness": 101}})", "memory/swappiness", "0 to 100"},
    {R"({"memory": {"disableOOMKiller": 1}})", "memory/disableOOMKiller", "wrong type"},
    {R"({"memory": {"swap": 5}})", "memory/swap", "limit beside it"},
    {R"({"memory": {"limit": 10, "swap": 5}})", "memory/swap", "at least 10"},
    {R"({"hugepageLimits": [{"pageSize": "2M", "limit": 1}]})", "hugepageLimits/0/pageSize",
     "such as 2MB"},
    {R"({"hugepageLimits": [{"limit": 1}]})", "hugepageLimits/0/pageSize", "required"},
    {R"({"devices": [{"access": "r"}]})", "devices/0/allow", "required"},
    {R"({"devices": [{"allow": true, "type": "d"}]})", "devices/0/type", "unknown"},
    {R"({"devices": [{"allow": true, "access": "rx"}]})", "devices/0/access", "letters of rwm"},
    {R"({"devices": [{"allow": true, "major": 4096}]})", "devices/0/major", "4095"},
    {R"({"unified": {"cpu.weight": "0"}})", "unified/cpu.weight", "1 to 10000"},
    {R"({"unified": {"cpu.weight": "10001"}})", "unified/cpu.weight", "1 to 10000"},
    {R"({"unified": {"io.weight": "default 0"}})", "unified/io.weight", "1 to 10000"},
    {R"({"unified": {"cpu.max": "100"}})", "unified/cpu.max", "1000"},
    {R"({"unified": {"cpu.max": "max 2000000"}})", "unified/cpu.max", "1000000"},
    {R"({"unified": {"cpu.max": "1000 1000 1000"}})", "unified/cpu.max", "QUOTA"},
    {R"({"unified": {"memory.max": "-1"}})", "unified/memory.max", "or max"},
    {R"({"unified": {"memory.oom.group": "2"}})", "unified/memory.oom.group", "0 or 1"},
    {R"({"unified": {"pids.max": "4194305"}})", "unified/pids.max", "4194304"},
    {R"({"unified": {"cpuset.cpus": "0-1-2"}})", "unified/cpuset.cpus", "0-2,16"},
    {R"({"unified": {"io.max": "8 rbps=1"}})", "unified/io.max", "MAJOR:MINOR"},
    {R"({"unified": {"io.max": "8:0 bps=1"}})", "unified/io.max", "rbps="},
    {R"({"unified": {"io.latency": "8:0"}})", "unified/io.latency", "target="},
    {R"({"unified": {"hugetlb.2MB.max": "x"}})", "unified/hugetlb.2MB.max", "or max"},
    {R"({"unified": {"cgroup.freeze": "1"}})", "unified/cgroup.freeze", "never start"},
    {R"({"unified": {"cgroup.procs": "1"}})", "unified/cgroup.procs", "sets a limit"},
    {R"({"unified": {"cgroup.kill": "1"}})", "unified/cgroup.kill", "sets a limit"},
    {R"({"unified": {"../memory.max": "1"}})", "unified/..~1memory.max", "without a path"},
    {R"({"unified": {"memory max.": "1"}})", "unified/memory max.", "without a path"},
    {R"({"unified": {"memory": "1"}})", "unified/memory", "without a path"},
    {R"({"unified": {"memroy.max": "1"}})", "unified/memroy.max", "a file of cpu"},
    {R"({"unified": {"memory.max": 1}})", "unified/memory.max", "string"},
};

TEST(Resources, OutOfRangeIsRefusedByPointer) {
  for (const auto& [resources, pointer, words] : kRefused) {
    auto read = parse_oci_policy(config(resources), "t");
    ASSERT_FALSE(read) << resources;
    EXPECT_EQ(read.error().kind, Error::Kind::usage);
    EXPECT_EQ(read.error().object, std::string("t: /linux/resources/") + pointer);
    EXPECT_THAT(read.error().describe(), HasSubstr(words)) << resources;
  }
}

TEST(Resources, UnifiedTakesWhatTheKernelTakes) {
  const auto fine = [](const char* file, const char* value) {
    std::string hint;
    const std::string fault = fault_of_unified(file, value, &hint);
    EXPECT_EQ(fault, "") << file << " " << value;
  };
  fine("cpu.max", "max");
  fine("cpu.max", "20000 100000");
  fine("memory.high", "16M");
  fine("memory.low", "max");
  fine("io.weight", "8:16 200");
  fine("io.max", "8:0 rbps=1 wbps=max\n8:16 riops=5");
  fine("io.bfq.weight", "default 200\n8:0 300");
  fine("rdma.max", "mlx5_0 hca_handle=2 hca_object=max");
  fine("cpu.weight.nice", "-20");
  fine("cpuset.cpus", "0-3,7");
  fine("hugetlb.1GB.max", "1G");
  fine("memory.some_new_file", "whatever it takes");  // the kernel will say
}

TEST(Resources, Lists) {
  EXPECT_TRUE(well_formed_list("0", 0));
  EXPECT_TRUE(well_formed_list("0-2,16,5", 16));
  EXPECT_FALSE(well_formed_list("0-2,16", 15));
  for (const char* bad : {"", ",", "1,", "-1", "1-", "1-0", " 1", "1 2", "a"}) {
    EXPECT_FALSE(well_formed_list(bad, 100)) << bad;
  }
}

}  // namespace
}  // namespace ringfence

// Resources as steps: v2 values, and the v1 writes that stand in for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/confine/cgroup.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using V1 = Step::Setting::V1;

std::vector<Step> steps_of(const Resources& resources) {
  Assembler plan({});
  Policy policy;
  policy.resources = resources;
  auto controllers = add_cgroup_limits(plan, policy);
  EXPECT_TRUE(controllers) << controllers.error().describe();
  return plan.take_steps();
}

// The one step of key `key`.
Step step_of(const Resources& resources, const std::string& key) {
  for (const Step& step : steps_of(resources)) {
    if (step.key == key) return step;
  }
  ADD_FAILURE() << "no step " << key;
  return {};
}

struct Made {
  std::string value;
  std::vector<V1> v1;
};
Made made(const Step& step, size_t index = 0) {
  if (step.settings.size() <= index) return {};
  return {step.settings[index].value, step.settings[index].v1};
}

TEST(CgroupLimits, SharesAndWeightsMeetAtTheirEndsAndDefaults) {
  EXPECT_EQ(cpu_weight_of_shares(0), 0U);
  EXPECT_EQ(cpu_weight_of_shares(2), 1U);
  EXPECT_EQ(cpu_weight_of_shares(1024), 100U);
  EXPECT_EQ(cpu_weight_of_shares(262144), 10000U);
  EXPECT_EQ(cpu_weight_of_shares(1000000), 10000U);
  uint64_t last = 0;
  for (uint64_t shares = 2; shares <= 262144; shares += shares / 64 + 1) {
    const uint64_t weight = cpu_weight_of_shares(shares);
    EXPECT_GE(weight, last);
    EXPECT_LE(weight, 10000U);
    last = weight;
  }
  EXPECT_EQ(cpu_shares_of_weight(100), 1024U);
  EXPECT_EQ(cpu_shares_of_weight(1), 10U);
  EXPECT_EQ(io_weight_of_blkio(10), 1U);
  EXPECT_EQ(io_weight_of_blkio(1000), 10000U);
}

TEST(CgroupLimits, SwapIsCountedWithoutTheMemory) {
  EXPECT_EQ(swap_max_of(300, 100), 200);
  EXPECT_EQ(swap_max_of(100, 100), 0);
  EXPECT_EQ(swap_max_of(-1, 100), -1);
  EXPECT_EQ(swap_max_of({}, 100), std::nullopt);
  EXPECT_EQ(swap_max_of({}, -1), -1);
  EXPECT_EQ(swap_max_of(300, -1), 300);
}

TEST(CgroupLimits, CpuForBoth) {
  Resources r;
  r.cpu_quota = 20000;
  r.cpu_period = 50000;
  r.cpu_shares = 1024;
  r.cpu_burst = 1000;
  const Made max = made(step_of(r, "cgroup.cpu.max"));
  EXPECT_EQ(max.value, "20000 50000");
  EXPECT_THAT(max.v1,
              ElementsAre(V1{"cpu.cfs_period_us", "50000"}, V1{"cpu.cfs_quota_us", "20000"}));
  const Made weight = made(step_of(r, "cgroup.cpu.weight"));
  EXPECT_EQ(weight.value, "100");
  EXPECT_THAT(weight.v1, ElementsAre(V1{"cpu.shares", "1024"}));
  EXPECT_FALSE(step_of(r, "cgroup.cpu.max.burst").confines);
  EXPECT_TRUE(step_of(r, "cgroup.cpu.max").confines);
  r.cpu_quota = -1;
  EXPECT_EQ(made(step_of(r, "cgroup.cpu.max")).value, "max 50000");
  EXPECT_FALSE(step_of(r, "cgroup.cpu.max").confines);
}

TEST(CgroupLimits, MemoryForBoth) {
  Resources r;
  r.memory_limit = 1000;
  r.memory_swap = 1000;
  r.memory_reservation = 500;
  EXPECT_EQ(made(step_of(r, "cgroup.memory")).value, "1000");
  const Step swap = step_of(r, "cgroup.memory.swap.max");
  EXPECT_EQ(made(swap).value, "0");
  EXPECT_THAT(made(swap).v1, ElementsAre(V1{"memory.memsw.limit_in_bytes", "1000"}));
  EXPECT_TRUE(swap.settings.front().if_there);  // a kernel without swap uses none
  EXPECT_THAT(made(step_of(r, "cgroup.memory.low")).v1,
              ElementsAre(V1{"memory.soft_limit_in_bytes", "500"}));
  r.memory_swap = 3000;
  EXPECT_EQ(made(step_of(r, "cgroup.memory.swap.max")).value, "2000");
  EXPECT_FALSE(step_of(r, "cgroup.memory.swap.max").settings.front().if_there);
}

// What v1 alone has: no file of v2, and the field of config.json to tell where it is left out.
TEST(CgroupLimits, MemoryOfV1Alone) {
  Resources r;
  r.memory_kernel_tcp = 700;
  r.memory_swappiness = 0;
  r.memory_oom_kill_disabled = true;
  const Step tcp = step_of(r, "cgroup.memory.kmem.tcp.limit_in_bytes");
  EXPECT_TRUE(tcp.confines);
  EXPECT_EQ(tcp.layer, Layer::kCgroupMemory);
  EXPECT_EQ(tcp.text, "memory.kmem.tcp.limit_in_bytes = 700");
  ASSERT_EQ(tcp.settings.size(), 1U);
  EXPECT_EQ(tcp.settings[0].controller, "memory");
  EXPECT_EQ(tcp.settings[0].file, "");
  EXPECT_EQ(tcp.settings[0].pointer, "/linux/resources/memory/kernelTCP");
  EXPECT_THAT(made(tcp).v1, ElementsAre(V1{"memory.kmem.tcp.limit_in_bytes", "700"}));
  const Step swappiness = step_of(r, "cgroup.memory.swappiness");
  EXPECT_FALSE(swappiness.confines);
  EXPECT_THAT(made(swappiness).v1, ElementsAre(V1{"memory.swappiness", "0"}));
  const Step oom = step_of(r, "cgroup.memory.oom_control");
  EXPECT_FALSE(oom.confines);
  EXPECT_THAT(made(oom).v1, ElementsAre(V1{"memory.oom_control", "1"}));
  r.memory_kernel_tcp = -1;
  r.memory_oom_kill_disabled = false;
  EXPECT_FALSE(step_of(r, "cgroup.memory.kmem.tcp.limit_in_bytes").confines);
  EXPECT_EQ(steps_of(r).size(), 2U);
}

TEST(CgroupLimits, RealTimeOfV1Alone) {
  Resources r;
  r.cpu_rt_runtime = 4000;
  Step step = step_of(r, "cgroup.cpu.rt_runtime_us");
  EXPECT_FALSE(step.confines);  // without it a group has none
  EXPECT_EQ(step.layer, Layer::kCgroupCpu);
  EXPECT_THAT(made(step).v1, ElementsAre(V1{"cpu.rt_runtime_us", "4000"}));
  r.cpu_rt_period = 500000;
  step = step_of(r, "cgroup.cpu.rt_runtime_us");
  EXPECT_THAT(made(step).v1,
              ElementsAre(V1{"cpu.rt_period_us", "500000"}, V1{"cpu.rt_runtime_us", "4000"}));
  EXPECT_EQ(step.settings[0].pointer, "/linux/resources/cpu/realtimeRuntime");
  r.cpu_rt_runtime.reset();
  step = step_of(r, "cgroup.cpu.rt_period_us");
  EXPECT_EQ(step.settings[0].pointer, "/linux/resources/cpu/realtimePeriod");
}

TEST(CgroupLimits, WhatV1AloneHasIsNoNeedAndToldWhereItIsNot) {
  Resources r;
  r.memory_kernel_tcp = 700;
  r.memory_swappiness = 10;
  r.cpu_rt_runtime = 4000;
  EXPECT_THAT(cgroup_needs(r), IsEmpty());
  const Facts facts = Facts::probe();
  const auto left = unenforced_here(r, facts);
  const auto has = [&](const char* pointer, const Layer& layer) {
    return std::find(left.begin(), left.end(), Unenforced{pointer, layer}) != left.end();
  };
  EXPECT_NE(has("/linux/resources/memory/kernelTCP", Layer::kCgroupMemory),
            facts.satisfied("cgroup:memory.kmem.tcp.limit_in_bytes"));
  EXPECT_NE(has("/linux/resources/memory/swappiness", Layer{}),
            facts.satisfied("cgroup:memory.swappiness"));
  EXPECT_NE(has("/linux/resources/cpu/realtimeRuntime", Layer{}),
            facts.satisfied("cgroup:cpu.rt_runtime_us"));
}

TEST(CgroupLimits, APathIsForgottenWhereNoGroupCanBeMade) {
  Policy policy;
  policy.cgroups_path = "/app";
  const Facts facts = Facts::probe();
  const Policy here = as_enforced_here(policy, facts);
  if (facts.satisfied("cgroup2") || facts.satisfied("cgroup.pids")) {
    EXPECT_EQ(here, policy);
  } else {
    EXPECT_EQ(here.cgroups_path, "");
    EXPECT_THAT(here.unenforced, ElementsAre(Unenforced{"/linux/cgroupsPath", Layer{}}));
  }
}

TEST(CgroupLimits, IoByDevice) {
  Resources r;
  r.io_weight = 1000;
  r.io_device_weights = {{8, 0, 10}};
  r.io_read_bps = {{8, 0, 100}, {8, 16, 0}};
  r.io_write_iops = {{8, 0, 5}};
  const Step max = step_of(r, "cgroup.io.max");
  ASSERT_EQ(max.settings.size(), 3U);
  EXPECT_EQ(made(max, 0).value, "8:0 rbps=100");
  EXPECT_THAT(made(max, 0).v1, ElementsAre(V1{"blkio.throttle.read_bps_device", "8:0 100"}));
  EXPECT_EQ(made(max, 1).value, "8:16 rbps=max");
  EXPECT_EQ(made(max, 2).value, "8:0 wiops=5");
  EXPECT_THAT(made(max, 2).v1, ElementsAre(V1{"blkio.throttle.write_iops_device", "8:0 5"}));
  const Step weight = step_of(r, "cgroup.io.weight");
  EXPECT_EQ(made(weight, 0).value, "10000");
  EXPECT_THAT(made(weight, 0).v1, ElementsAre(V1{"blkio.bfq.weight|blkio.weight", "1000"}));
  EXPECT_EQ(made(weight, 1).value, "8:0 1");
  // BFQ's scale is v1's.
  EXPECT_THAT(weight.settings[0].instead, ElementsAre(V1{"io.bfq.weight", "1000"}));
  EXPECT_THAT(weight.settings[1].instead, ElementsAre(V1{"io.bfq.weight", "8:0 10"}));
  r = {};
  r.io_weight = 10;
  EXPECT_THAT(
      cgroup_needs(r),
      ElementsAre("cgroup.io", "cgroup:io.weight|io.bfq.weight|blkio.bfq.weight|blkio.weight"));
}

TEST(CgroupLimits, LeafWeights) {
  Resources r;
  r.io_leaf_weight = 300;
  r.io_device_weights = {{8, 0, 0, 100}, {8, 16, 200, 50}};
  const Step leaf = step_of(r, "cgroup.blkio.leaf_weight");
  EXPECT_EQ(leaf.layer, Layer::kCgroupIo);
  EXPECT_THAT(made(leaf).v1, ElementsAre(V1{"blkio.leaf_weight", "300"}));
  EXPECT_EQ(leaf.settings[0].pointer, "/linux/resources/blockIO/leafWeight");
  EXPECT_THAT(made(step_of(r, "cgroup.blkio.leaf_weight_device")).v1,
              ElementsAre(V1{"blkio.leaf_weight_device", "8:0 100"},
                          V1{"blkio.leaf_weight_device", "8:16 50"}));
  EXPECT_EQ(made(step_of(r, "cgroup.io.weight")).value,
            "8:16 " + std::to_string(io_weight_of_blkio(200)));
  EXPECT_EQ(steps_of(r).size(), 3U);
}

TEST(CgroupLimits, NetworkAndRdma) {
  Resources r;
  r.net_class_id = 0x100001;
  r.net_priorities = {{"lo", 3}, {"eth0", 5}};
  r.rdma = {{"mlx5_0", {2, 2000}}, {"mlx5_1", {{}, 7}}, {"siw0", {}}};
  const Step id = step_of(r, "cgroup.net_cls.classid");
  EXPECT_EQ(id.layer.name(), "cgroup.net_cls");
  EXPECT_FALSE(id.confines);  // a tag
  EXPECT_EQ(id.settings[0].controller, "net_cls");
  EXPECT_THAT(made(id).v1, ElementsAre(V1{"net_cls.classid", "1048577"}));
  const Step priorities = step_of(r, "cgroup.net_prio.ifpriomap");
  EXPECT_EQ(priorities.settings[0].controller, "net_prio");
  EXPECT_THAT(made(priorities).v1,
              ElementsAre(V1{"net_prio.ifpriomap", "lo 3"}, V1{"net_prio.ifpriomap", "eth0 5"}));
  const Step rdma = step_of(r, "cgroup.rdma.max");
  EXPECT_EQ(rdma.layer.name(), "cgroup.rdma");
  EXPECT_TRUE(rdma.confines);
  ASSERT_EQ(rdma.settings.size(), 2U);
  EXPECT_EQ(made(rdma, 0).value, "mlx5_0 hca_handle=2 hca_object=2000");
  EXPECT_THAT(made(rdma, 1).v1, ElementsAre(V1{"rdma.max", "mlx5_1 hca_object=7"}));
  EXPECT_THAT(cgroup_needs(r), ElementsAre("cgroup:rdma.max|rdma.max"));
  EXPECT_THAT(cgroup_controllers(r), ElementsAre("net_cls", "net_prio", "rdma"));
}

TEST(CgroupLimits, UnifiedGoesToV1WhereThatHasTheLike) {
  Resources r;
  r.unified = {{"cpu.max", "max"},
               {"cpu.weight", "200"},
               {"memory.max", "max"},
               {"memory.high", "5"},
               {"pids.max", "9"},
               {"io.max", "8:0 rbps=7 wiops=max"},
               {"hugetlb.2MB.max", "4096"},
               {"cgroup.freeze", "0"},
               {"io.bfq.weight", "default 200\n8:0 300"}};
  EXPECT_THAT(made(step_of(r, "cgroup.cpu.max")).v1, ElementsAre(V1{"cpu.cfs_quota_us", "-1"}));
  EXPECT_THAT(made(step_of(r, "cgroup.cpu.weight")).v1, ElementsAre(V1{"cpu.shares", "2048"}));
  EXPECT_THAT(made(step_of(r, "cgroup.memory")).v1, ElementsAre(V1{"memory.limit_in_bytes", "-1"}));
  EXPECT_FALSE(step_of(r, "cgroup.memory").confines);
  EXPECT_THAT(made(step_of(r, "cgroup.memory.high")).v1, IsEmpty());
  EXPECT_THAT(made(step_of(r, "cgroup.io.max")).v1,
              ElementsAre(V1{"blkio.throttle.read_bps_device", "8:0 7"},
                          V1{"blkio.throttle.write_iops_device", "8:0 0"}));
  EXPECT_THAT(made(step_of(r, "cgroup.hugetlb.2MB.max")).v1,
              ElementsAre(V1{"hugetlb.2MB.limit_in_bytes", "4096"}));
  EXPECT_THAT(made(step_of(r, "cgroup.io.bfq.weight")).v1,
              ElementsAre(V1{"blkio.bfq.weight|blkio.weight", "200"},
                          V1{"blkio.bfq.weight_device|blkio.weight_device", "8:0 300"}));
  EXPECT_EQ(steps_of(r).size(), 8U);  // no step for cgroup.freeze
}

TEST(CgroupLimits, UnifiedHasTheLastWord) {
  Resources r;
  r.pids_limit = 5;
  r.unified = {{"pids.max", "9"}};
  ASSERT_EQ(steps_of(r).size(), 1U);
  EXPECT_EQ(made(step_of(r, "cgroup.pids")).value, "9");
}

TEST(CgroupLimits, NeedsSayWhatTheHostMustHave) {
  Resources r;
  r.unified = {{"memory.high", "5"}};
  r.devices = {DeviceRule{}};
  r.cpu_quota = 5000;
  EXPECT_THAT(cgroup_needs(r), ElementsAre("cgroup.cpu", "cgroup.devices", "cgroup.memory",
                                           "cgroup:cpu.max|cpu.cfs_period_us|cpu.cfs_quota_us",
                                           "cgroup:memory.high"));
  EXPECT_THAT(cgroup_controllers(r), ElementsAre("cpu", "devices", "memory"));
  EXPECT_THAT(cgroup_needs({}), IsEmpty());
}

}  // namespace
}  // namespace ringfence

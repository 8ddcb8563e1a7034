// Scheduler, I/O priority, affinity, personality, memory policy and labels: read, kept, written.
#include "harness/policy/scheduling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/base/facts.h"
#include "harness/policy/read.h"
#include "harness/policy/without.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Policy read(const std::string& process, const std::string& linux_section = "") {
  const std::string json = R"({"ociVersion": "1.2.0", "root": {"path": "r"}, "process": {
    "cwd": "/", "args": ["sh"])" +
                           process + R"(}, "linux": {)" + linux_section + "}}";
  auto result = parse_oci_policy(json, "t.json");
  EXPECT_TRUE(result) << (result ? "" : result.error().describe());
  if (!result) return {};
  EXPECT_THAT(result->warnings, IsEmpty());
  // What is read is written, and is then the same.
  auto again = parse_oci_policy(write_oci_policy(result->policy), "t.json");
  EXPECT_TRUE(again) << (again ? "" : again.error().describe());
  if (again) {
    EXPECT_EQ(again->policy, result->policy);
  }
  return result->policy;
}

TEST(Scheduling, Schedulers) {
  const auto scheduler = [](const std::string& fields) {
    const Policy policy = read(R"(, "scheduler": {)" + fields + "}");
    EXPECT_THAT(policy.unenforced, IsEmpty());
    return policy.scheduler.value_or(Scheduler{});
  };
  EXPECT_EQ(scheduler(R"("policy": "SCHED_OTHER", "nice": -20)"),
            (Scheduler{0, -20, 0, 0, 0, 0, 0}));
  EXPECT_EQ(scheduler(R"("policy": "SCHED_BATCH", "nice": 19)"), (Scheduler{3, 19, 0, 0, 0, 0, 0}));
  EXPECT_EQ(scheduler(R"("policy": "SCHED_FIFO", "priority": 1)"),
            (Scheduler{1, 0, 1, 0, 0, 0, 0}));
  EXPECT_EQ(scheduler(R"("policy": "SCHED_RR", "priority": 99)"),
            (Scheduler{2, 0, 99, 0, 0, 0, 0}));
  EXPECT_EQ(scheduler(R"("policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 2000,
                         "period": 3000)"),
            (Scheduler{6, 0, 0, 0, 1024, 2000, 3000}));
  EXPECT_EQ(scheduler(R"("policy": "SCHED_IDLE",
                         "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_UTIL_CLAMP_MAX"])"),
            (Scheduler{5, 0, 0, 0x41, 0, 0, 0}));
  // Where a policy has no nice value it is passed over, as runc does.
  EXPECT_EQ(scheduler(R"("policy": "SCHED_IDLE", "nice": 7)").nice, 0);
  EXPECT_FALSE(read("").scheduler);
}

TEST(Scheduling, IoPriorities) {
  const auto priority = [](const std::string& fields) {
    return read(R"(, "ioPriority": {)" + fields + "}").io_priority.value_or(IoPriority{});
  };
  EXPECT_EQ(priority(R"("class": "IOPRIO_CLASS_RT", "priority": 0)"), (IoPriority{1, 0}));
  EXPECT_EQ(priority(R"("class": "IOPRIO_CLASS_BE", "priority": 7)"), (IoPriority{2, 7}));
  EXPECT_EQ(priority(R"("class": "IOPRIO_CLASS_IDLE", "priority": 3)"), (IoPriority{3, 0}));
  EXPECT_FALSE(read("").io_priority);
}

TEST(Scheduling, CpusOfAnExec) {
  EXPECT_EQ(read(R"(, "execCPUAffinity": {"initial": "0", "final": "1-2,8191"})").exec_cpu_affinity,
            (ExecCpuAffinity{"0", "1-2,8191"}));
  EXPECT_EQ(read(R"(, "execCPUAffinity": {})").exec_cpu_affinity, ExecCpuAffinity{});
  EXPECT_THAT(numbers_of_list("1-2,8191", kMostCpu), ElementsAre(1, 2, 8191));
  EXPECT_THAT(numbers_of_list("8192", kMostCpu), IsEmpty());
  EXPECT_THAT(numbers_of_list("1-", kMostCpu), IsEmpty());
}

TEST(Scheduling, PersonalityAndMemoryPolicy) {
  EXPECT_EQ(read("", R"("personality": {"domain": "LINUX32"})").personality, 8U);
  EXPECT_EQ(read("", R"("personality": {"domain": "LINUX", "flags": []})").personality, 0U);
  EXPECT_FALSE(read("").personality);
  EXPECT_EQ(read("", R"("memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1",
                                         "flags": ["MPOL_F_STATIC_NODES"]})")
                .memory_policy,
            (MemoryPolicy{2, 1U << 15U, "0-1"}));
  EXPECT_EQ(read("", R"("memoryPolicy": {"mode": "MPOL_LOCAL"})").memory_policy,
            (MemoryPolicy{4, 0, ""}));
  EXPECT_EQ(read("", R"("memoryPolicy": {"mode": "MPOL_PREFERRED"})").memory_policy,
            (MemoryPolicy{1, 0, ""}));
  EXPECT_FALSE(read("").memory_policy);
}

// A label whose module the kernel does not have is kept, and said to be without effect.
TEST(Scheduling, Labels) {
  const Policy policy = read(R"(, "apparmorProfile": "p", "selinuxLabel": "u:r:t:s0")");
  EXPECT_EQ(policy.apparmor_profile, "p");
  EXPECT_EQ(policy.selinux_label, "u:r:t:s0");
  std::vector<Unenforced> expected;
  const Facts facts = Facts::probe();
  if (!facts.satisfied("lsm:apparmor")) {
    expected.push_back({"/process/apparmorProfile", Layer::kAppArmor});
  }
  if (!facts.satisfied("lsm:selinux")) {
    expected.push_back({"/process/selinuxLabel", Layer::kSelinux});
  }
  EXPECT_EQ(policy.unenforced, expected);
  EXPECT_EQ(without(policy, Layer::kAppArmor).apparmor_profile, "");
  EXPECT_EQ(without(policy, Layer::kAppArmor).selinux_label, "u:r:t:s0");
  EXPECT_EQ(without(policy, Layer::kSelinux).selinux_label, "");
}

TEST(Scheduling, WordsAreOneToOne) {
  for (const auto* words :
       {&scheduler_policies(), &scheduler_flags(), &io_classes(), &personality_domains(),
        &memory_policy_modes(), &memory_policy_flags()}) {
    for (const SpecWord& w : *words) {
      EXPECT_EQ(word_of(*words, w.value), w.name);
      EXPECT_EQ(value_of(*words, w.name), w.value);
    }
    EXPECT_EQ(word_of(*words, 1U << 30U), "");
    EXPECT_FALSE(value_of(*words, "NO_SUCH_WORD"));
  }
}

}  // namespace
}  // namespace ringfence

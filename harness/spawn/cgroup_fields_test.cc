// Fields of the control groups that a small host lacks the means for: memory nodes, protection and
// swap, weights of block I/O, huge pages. Each by its effect, where the machine has what it takes.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <rdma/ib_user_verbs.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "harness/spawn/cgroup_state.h"
#include "harness/spawn/test_groups.h"
#include "harness/spawn/test_loop.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMib = uint64_t{1} << 20;

// A kernel that nobody needs afterwards: what is the whole machine's may be changed there.
bool disposable() { return std::getenv("RINGFENCE_TEST_DISPOSABLE") != nullptr; }

uint64_t swap_total() {
  const auto text = read_file("/proc/meminfo");
  if (!text) return 0;
  for (const auto line : split(*text, '\n')) {
    if (line.starts_with("SwapTotal:")) return std::stoull(std::string(trim(line.substr(10))));
  }
  return 0;
}

class CgroupFields : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    here_ = CgroupLayout::probe();
    if (here_.mode == "none") GTEST_SKIP() << "needs:cgroup.pids";
  }
  void TearDown() override {
    for (const auto& file : files_) std::filesystem::remove(file);
  }
  // A file in memory whose pages count for whoever writes them, and can be swapped.
  std::string file_in_memory() {
    files_.push_back(fmt::format("/dev/shm/ringfence-test-{}-{}", getpid(), files_.size()));
    return files_.back();
  }
  static std::string fill(const std::string& file, uint64_t size) {
    return fmt::format("dd if=/dev/zero of={} bs=65536 count={} 2>&1 && echo filled", file,
                       size / 65536);
  }
  CgroupLayout here_;
  std::vector<std::string> files_;
};

// ---- cpuset.mems --------------------------------------------------------------------------------

TEST_F(CgroupFields, CpusetMems) {
  if (!here_.offers("cpuset")) GTEST_SKIP() << "needs:cgroup.cpuset";
  Policy policy = open_policy();
  policy.resources.cpuset_mems = "0";
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_EQ(trim(group->read("cpuset", "cpuset.mems").value_or("?")), "0");
  auto child = start(*compile(policy), "while :; do :; done", &*group);
  ASSERT_TRUE(child) << child.error().describe();
  const auto status = read_file(fmt::format("/proc/{}/status", child->pid()));
  ASSERT_TRUE(status);
  EXPECT_THAT(*status, HasSubstr("Mems_allowed_list:\t0\n"));
  // Within the set no policy can name another node: the target is refused, and its spawner is not
  // where there is one.
  Policy beyond = policy;
  beyond.memory_policy = MemoryPolicy{2, 0, "1"};
  EXPECT_THAT(run(*compile(beyond), "echo alive", &*group).error,
              HasSubstr("step process.memory_policy: set_mempolicy"));
  // A node that the machine does not have, in a set.
  policy.resources.cpuset_mems = "1023";
  auto none = group_for(here_, policy);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().describe(), HasSubstr("cpuset.mems"));
}

// ---- Memory -------------------------------------------------------------------------------------

// Two groups with as much memory each; what is taken back from both together is taken from the one
// that is not protected.
TEST_F(CgroupFields, MemoryLowIsTakenLast) {
  if (!here_.unified_has("memory")) GTEST_SKIP() << "needs:cgroup2";
  if (swap_total() == 0) GTEST_SKIP() << "host-lacks:swap";
  constexpr uint64_t kEach = 24 * kMib;
  for (const bool by_low : {true, false}) {
    Policy shielded = open_policy();
    if (by_low) shielded.resources.memory_reservation = 32 * kMib;
    auto root = CgroupRoot::create(here_, {"memory"});
    ASSERT_TRUE(root) << root.error().describe();
    const std::vector<Step::Setting> plain = {{"memory"}};
    const auto limits = compile(shielded)->settings();
    auto first = CgroupLeaf::create(*root, limits.empty() ? plain : limits, "first");
    auto second = CgroupLeaf::create(*root, plain, "second");
    ASSERT_TRUE(first && second);
    const std::string a = file_in_memory();
    const std::string b = file_in_memory();
    ASSERT_THAT(run(*compile(shielded), fill(a, kEach), &*first).out, HasSubstr("filled"));
    ASSERT_THAT(run(*compile(open_policy()), fill(b, kEach), &*second).out, HasSubstr("filled"));
    ASSERT_GE(memory_state(*first)->current, kEach);
    ASSERT_GE(memory_state(*second)->current, kEach);
    const auto above = std::filesystem::path(first->directory("memory")).parent_path();
    if (!std::filesystem::exists(above / "memory.reclaim")) {
      GTEST_SKIP() << "host-lacks:cgroup:memory.reclaim";
    }
    // Rather more than the second alone can give while keeping what it has just used; the kernel
    // may end with EAGAIN short of it.
    (void)write_file(above / "memory.reclaim", std::to_string(16 * kMib));
    const auto one = memory_state(*first);
    const auto two = memory_state(*second);
    ASSERT_TRUE(one && two);
    EXPECT_GT(two->swap_current.value_or(0), 2 * kMib) << by_low;
    if (by_low) {
      EXPECT_EQ(trim(first->read("memory", "memory.low").value_or("?")), std::to_string(32 * kMib));
      EXPECT_EQ(one->swap_current.value_or(1), 0U);
      EXPECT_GE(one->current, kEach);
      EXPECT_EQ(one->low.value_or(1), 0U);
    } else {
      EXPECT_GT(one->swap_current.value_or(0), kMib);  // the control: it is taken from as well
    }
  }
}

TEST_F(CgroupFields, SwapMaxBoundsWhatIsSwapped) {
  if (!here_.unified_has("memory")) GTEST_SKIP() << "needs:cgroup2";
  if (swap_total() < uint64_t{65536}) GTEST_SKIP() << "host-lacks:swap";
  const auto filled = [&](int64_t memory_and_swap) {
    Policy policy = open_policy();
    policy.resources.memory_limit = 8 * kMib;
    policy.resources.memory_swap = memory_and_swap;
    auto group = group_for(here_, policy);
    EXPECT_TRUE(group) << group.error().describe();
    const std::string file = file_in_memory();
    const Ran ran = run(*compile(policy), fill(file, 24 * kMib), &*group);
    struct {
      bool whole;
      uint64_t swapped, oom;
    } seen{ran.out.find("filled") != std::string::npos, 0, 0};
    if (const auto state = memory_state(*group)) {
      seen.swapped = state->swap_current.value_or(0);
      seen.oom = state->oom_kill.value_or(0);
    }
    std::filesystem::remove(file);
    return seen;
  };
  const auto bounded = filled(12 * kMib);  // 4 MiB of swap
  EXPECT_FALSE(bounded.whole);
  EXPECT_GT(bounded.oom, 0U);
  EXPECT_LE(bounded.swapped, 4 * kMib);
  const auto none = filled(8 * kMib);  // no swap at all
  EXPECT_FALSE(none.whole);
  EXPECT_EQ(none.swapped, 0U);
  // The control: with enough of it the same is written whole, most of it in swap.
  const auto open = filled(-1);
  EXPECT_TRUE(open.whole);
  EXPECT_EQ(open.oom, 0U);
  EXPECT_GT(open.swapped, 12 * kMib);
}

// ---- Block I/O ----------------------------------------------------------------------------------

// The cost model of the device says what it can do in a second, and the weights divide that.
TEST_F(CgroupFields, IoWeightDividesADevice) {
  if (!disposable()) GTEST_SKIP() << "needs:a kernel of its own";
  if (!here_.unified_has("io")) GTEST_SKIP() << "needs:cgroup2";
  auto device = LoopDevice::make();
  if (!device) GTEST_SKIP() << "host-lacks:loop device";
  const std::string number = fmt::format("{}:{}", device->number().first, device->number().second);
  const std::string top = here_.unified;
  if (!write_file(top + "/io.cost.model",
                  number + " ctrl=user model=linear rbps=4194304 rseqiops=64 rrandiops=64"
                           " wbps=4194304 wseqiops=64 wrandiops=64")) {
    GTEST_SKIP() << "host-lacks:cgroup:io.cost.model";
  }
  const auto ruled =
      write_file(top + "/io.cost.qos", number + " enable=1 ctrl=user min=100.00 max=100.00");
  ASSERT_TRUE(ruled) << ruled.error().describe();
  Policy heavy = open_policy();
  heavy.resources.io_weight = 1000;
  Policy light = open_policy();
  light.resources.io_device_weights = {{device->number().first, device->number().second, 100}};
  auto root = CgroupRoot::create(here_, {"io"});
  ASSERT_TRUE(root) << root.error().describe();
  auto first = CgroupLeaf::create(*root, compile(heavy)->settings(), "heavy");
  ASSERT_TRUE(first) << first.error().describe();
  auto second = CgroupLeaf::create(*root, compile(light)->settings(), "light");
  ASSERT_TRUE(second) << second.error().describe();
  const std::string write = "while :; do dd if=/dev/zero of=" + device->path() +
                            " bs=16384 count=1000 oflag=direct 2>/dev/null; done";
  auto a = start(*compile(heavy), write, &*first);
  auto b = start(*compile(light), write, &*second);
  ASSERT_TRUE(a && b);
  const auto written = [&](const CgroupLeaf& leaf) {
    auto io = io_state(leaf);
    return io ? static_cast<double>((*io)[number].wbytes) : 0.0;
  };
  EXPECT_FALSE(b->wait(std::chrono::seconds(1)).value_or(std::nullopt));  // until both are at it
  const double a0 = written(*first);
  const double b0 = written(*second);
  EXPECT_FALSE(b->wait(std::chrono::seconds(4)).value_or(std::nullopt));
  const double a1 = written(*first) - a0;
  const double b1 = written(*second) - b0;
  EXPECT_GT(b1, 0);
  // Weights of 10000 and 910: eleven to one at best, less on a machine too slow to use its share.
  // Equal groups have 1.
  EXPECT_GT(a1 / b1, 1.5) << a1 << " and " << b1;
  EXPECT_LT(a1 / b1, 30) << a1 << " and " << b1;
  ASSERT_TRUE(a->kill());
  ASSERT_TRUE(b->kill());
  (void)write_file(top + "/io.cost.qos", number + " enable=0");
}

// Neither the hosts of this project nor Debian's kernels are built with it: it is set where it is
// there, and refused as unsupported, not passed over, where it is not.
TEST_F(CgroupFields, IoLatency) {
  if (!here_.offers("io")) GTEST_SKIP() << "needs:cgroup.io";
  Policy policy = open_policy();
  policy.resources.unified = {{"io.latency", "7:0 target=1000"}};
  auto group = group_for(here_, policy);
  if (group) {
    EXPECT_THAT(group->read("io", "io.latency").value_or(""), HasSubstr("7:0 target=1000"));
  } else {
    EXPECT_EQ(group.error().kind, Error::Kind::unsupported) << group.error().describe();
  }
}

// BFQ's own weight, of v2 or v1, and OCI's weight where a group has no io.weight.
TEST_F(CgroupFields, BfqWeight) {
  if (!here_.offers("io")) GTEST_SKIP() << "needs:cgroup.io";
  const bool v1 = !here_.unified_has("io");
  const std::string file = v1 ? "blkio.bfq.weight" : "io.bfq.weight";
  const auto weight_of = [&](const CgroupLeaf& group) {
    const auto text = read_file(group.directory("io") + "/" + file);
    return text ? std::string(trim(*text)) : "?";
  };
  auto open = group_for(here_, open_policy(), {"io"});
  ASSERT_TRUE(open) << open.error().describe();
  if (weight_of(*open) == "?") GTEST_SKIP() << "host-lacks:cgroup:" << file;
  const std::string plain = v1 ? "" : "default ";
  EXPECT_EQ(weight_of(*open), plain + "100");  // the control
  Policy policy = open_policy();
  policy.resources.unified = {{"io.bfq.weight", "default 300"}};
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_EQ(weight_of(*group), plain + "300");
  if (v1) return;
  policy = open_policy();
  policy.resources.io_weight = 400;
  auto settings = compile(policy)->settings();
  ASSERT_EQ(settings.size(), 1U);
  settings[0].file = "io.weight_of_no_kernel";
  ASSERT_TRUE(group->set(settings[0]));
  EXPECT_EQ(weight_of(*group), "default 400");
}

// The errno of a member of the group that opens a context of the device (which is what hca_handle
// counts), by uverbs' own command; 0 for success.
int open_rdma_context(CgroupLeaf& group, const std::string& device_file) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno;
  const UniqueFd wait(fds[0]);
  UniqueFd go(fds[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    char byte = 0;
    if (read(wait.get(), &byte, 1) != 1) _exit(EIO);  // until it is in the group
    ib_uverbs_get_context_resp answer{};
    struct {
      ib_uverbs_cmd_hdr head;
      __u64 response;
    } command{};
    command.head = {IB_USER_VERBS_CMD_GET_CONTEXT, sizeof command / 4, sizeof answer / 4};
    command.response = reinterpret_cast<__u64>(&answer);
    const int fd = open(device_file.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) _exit(errno);
    _exit(write(fd, &command, sizeof command) < 0 ? errno : 0);
  }
  const bool in = group.add(pid).has_value() && write(go.get(), "x", 1) == 1;
  go.reset();
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return in && WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

TEST_F(CgroupFields, RdmaHandlesAreCounted) {
  if (!here_.offers("rdma")) GTEST_SKIP() << "needs:cgroup.rdma";
  const auto devices = list_directory("/sys/class/infiniband");
  if (!devices || devices->empty()) GTEST_SKIP() << "host-lacks:rdma device";
  const std::string node = "/dev/infiniband/uverbs0";
  if (!std::filesystem::exists(node)) GTEST_SKIP() << "host-lacks:path:" << node;
  const auto opened = [&](uint32_t handles) {
    Policy policy = open_policy();
    policy.resources.rdma[devices->front()] = {handles, {}};
    auto group = group_for(here_, policy);
    EXPECT_TRUE(group) << group.error().describe();
    return group ? open_rdma_context(*group, node) : EIO;
  };
  EXPECT_EQ(opened(0), EAGAIN);
  EXPECT_EQ(opened(1), 0);  // the control
}

// Without a device nobody can be limited: the kernel is asked, and knows of none.
TEST_F(CgroupFields, RdmaMax) {
  if (!here_.offers("rdma")) GTEST_SKIP() << "needs:cgroup.rdma";
  std::string device = "ringfence-none";
  const auto devices = list_directory("/sys/class/infiniband");
  const bool there = devices && !devices->empty();
  if (there) device = devices->front();
  Policy policy = open_policy();
  policy.resources.rdma[device] = {2, 2000};
  auto group = group_for(here_, policy);
  if (there) {
    ASSERT_TRUE(group) << group.error().describe();
    EXPECT_THAT(group->read("rdma", "rdma.max").value_or(""),
                HasSubstr(device + " hca_handle=2 hca_object=2000"));
  } else {
    ASSERT_FALSE(group);
    EXPECT_THAT(group.error().describe(), HasSubstr("rdma.max: No such device"));
  }
}

// What has no effect that a test could tell from chance: the kernel has it as it was written.
TEST_F(CgroupFields, TheKernelHasWhatWasWritten) {
  for (const char* controller : {"cpu", "memory", "io"}) {
    if (!here_.unified_has(controller)) GTEST_SKIP() << "needs:cgroup2";
  }
  auto device = LoopDevice::make();
  if (!device) GTEST_SKIP() << "host-lacks:loop device";
  const auto [major, minor] = device->number();
  Policy policy = open_policy();
  policy.resources.cpu_quota = 50000;
  policy.resources.cpu_period = 200000;
  policy.resources.cpu_burst = 20000;
  policy.resources.cpu_idle = 1;
  policy.resources.io_read_bps = {{major, minor, 1000000}};
  policy.resources.io_read_iops = {{major, minor, 500}};
  policy.resources.unified = {{"memory.min", "1048576"}};
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  const auto in = [&](const char* controller, const char* file) {
    return std::string(trim(group->read(controller, file).value_or("?")));
  };
  EXPECT_EQ(in("cpu", "cpu.max"), "50000 200000");
  EXPECT_EQ(in("cpu", "cpu.max.burst"), "20000");
  EXPECT_EQ(in("cpu", "cpu.idle"), "1");
  EXPECT_EQ(in("memory", "memory.min"), "1048576");
  EXPECT_EQ(in("io", "io.max"),
            fmt::format("{}:{} rbps=1000000 wbps=max riops=500 wiops=max", major, minor));
  // The control.
  auto open = group_for(here_, open_policy(), {"cpu", "memory", "io"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_EQ(trim(open->read("cpu", "cpu.max").value_or("?")), "max 100000");
  EXPECT_EQ(trim(open->read("memory", "memory.min").value_or("?")), "0");
  EXPECT_EQ(trim(open->read("io", "io.max").value_or("?")), "");
}

// ---- Huge pages ---------------------------------------------------------------------------------

TEST_F(CgroupFields, HugePagesAreCounted) {
  if (!disposable()) GTEST_SKIP() << "needs:a kernel of its own";
  if (!here_.offers("hugetlb")) GTEST_SKIP() << "needs:cgroup.hugetlb";
  (void)write_file("/proc/sys/vm/nr_hugepages", "8");
  const auto pages = read_file("/proc/sys/vm/nr_hugepages");
  if (!pages || std::stoi(*pages) < 4) GTEST_SKIP() << "host-lacks:huge pages";
  const std::string point = fmt::format("/run/ringfence-test-{}", getpid());
  std::filesystem::create_directory(point);
  ASSERT_EQ(mount("none", point.c_str(), "hugetlbfs", 0, "pagesize=2M"), 0);
  const auto take = [&](const Policy& policy, const std::string& name, uint64_t& held) {
    auto group = group_for(here_, policy, {"hugetlb"});
    EXPECT_TRUE(group) << group.error().describe();
    const Ran ran = run(*compile(policy),
                        "fallocate -l 6291456 " + point + "/" + name + " && echo taken", &*group);
    held = hugetlb_current(*group, "2MB").value_or(99);
    std::filesystem::remove(point + "/" + name);
    return ran.out.find("taken") != std::string::npos;
  };
  Policy policy = open_policy();
  policy.resources.hugepage_limits = {{"2MB", 4 * kMib}};
  uint64_t held = 0;
  EXPECT_FALSE(take(policy, "limited", held));
  EXPECT_LE(held, 4 * kMib);
  EXPECT_TRUE(take(open_policy(), "open", held));  // the control
  EXPECT_EQ(held, 6 * kMib);
  umount2(point.c_str(), MNT_DETACH);
  std::filesystem::remove(point);
}

}  // namespace
}  // namespace ringfence

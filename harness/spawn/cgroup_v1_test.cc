// Fields of linux.resources that cgroup v1 alone has: seen in the group's files as the kernel has
// them and by what they do, and said to be left out where the group is one of v2.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "harness/spawn/test_groups.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMib = int64_t{1} << 20;

class CgroupV1 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    here_ = CgroupLayout::probe();
    if (here_.mode == "none") GTEST_SKIP() << "needs:cgroup.pids";
  }
  // Whether a group of ours gets `file` of a v1 hierarchy with `controller`.
  [[nodiscard]] bool has(const std::string& controller, const std::string& file) const {
    const std::string point = here_.v1_point(controller);
    if (point.empty() || here_.unified_has(controller)) return false;
    // The root's files are those of every group, but for a few that limit.
    auto group = group_for(here_, open_policy(), {controller});
    return group && std::filesystem::exists(group->directory(controller) + "/" + file);
  }
  static std::string in(const CgroupLeaf& group, const char* controller, const char* file) {
    const auto text = read_file(group.directory(controller) + "/" + file);
    return text ? std::string(trim(*text)) : "?";
  }
  CgroupLayout here_;
};

// ---- Memory -------------------------------------------------------------------------------------

TEST_F(CgroupV1, SwappinessAndKernelTcp) {
  if (!has("memory", "memory.swappiness")) GTEST_SKIP() << "host-lacks:cgroup:memory.swappiness";
  Policy policy = open_policy();
  policy.resources.memory_swappiness = 7;
  policy.resources.memory_kernel_tcp = 16 * kMib;
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "memory", "memory.swappiness"), "7");
  EXPECT_EQ(in(*group, "memory", "memory.kmem.tcp.limit_in_bytes"), std::to_string(16 * kMib));
  // The control.
  auto open = group_for(here_, open_policy(), {"memory"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_NE(in(*open, "memory", "memory.swappiness"), "7");
  EXPECT_NE(in(*open, "memory", "memory.kmem.tcp.limit_in_bytes"), std::to_string(16 * kMib));
}

// Who fills its memory is killed, or waits for ever where nobody is to be killed.
TEST_F(CgroupV1, WithoutAnOomKillerTheTargetWaits) {
  if (!has("memory", "memory.oom_control")) GTEST_SKIP() << "host-lacks:cgroup:memory.oom_control";
  // Touched by the program itself: of what the kernel fills in a call there would be less.
  const std::string fill = "x=0123456789abcdef; while :; do x=$x$x; done";
  for (const bool disabled : {true, false}) {
    Policy policy = open_policy();
    policy.resources.memory_limit = 8 * kMib;
    policy.resources.memory_swap = 8 * kMib;
    policy.resources.memory_oom_kill_disabled = disabled;
    auto group = group_for(here_, policy);
    ASSERT_TRUE(group) << group.error().describe();
    EXPECT_THAT(in(*group, "memory", "memory.oom_control"),
                HasSubstr(disabled ? "oom_kill_disable 1" : "oom_kill_disable 0"));
    auto child = start(*compile(policy), fill, &*group);
    ASSERT_TRUE(child) << child.error().describe();
    if (disabled) {
      std::string state;
      for (int i = 0; i < 200 && state.find("under_oom 1") == state.npos; ++i) {
        EXPECT_FALSE(child->wait(std::chrono::milliseconds(20)).value_or(std::nullopt));
        state = in(*group, "memory", "memory.oom_control");
      }
      EXPECT_THAT(state, HasSubstr("under_oom 1"));
      EXPECT_EQ(group->event("memory", "oom_kill").value_or(9), 0U);
      ASSERT_TRUE(child->kill());
    } else {
      const auto ended = child->wait(std::chrono::seconds(20));
      EXPECT_TRUE(ended && *ended);
      EXPECT_GT(group->event("memory", "oom_kill").value_or(0), 0U);
    }
  }
}

// ---- Real time ----------------------------------------------------------------------------------

Policy realtime(uint64_t runtime, uint64_t period) {
  Policy policy = open_policy();
  policy.scheduler = Scheduler{};
  policy.scheduler->policy = SCHED_FIFO;
  policy.scheduler->priority = 1;
  if (runtime > 0) policy.resources.cpu_rt_runtime = runtime;
  if (period > 0) policy.resources.cpu_rt_period = period;
  return policy;
}

// A new group gives real time to nobody; with the field its target gets it, and no more than that.
TEST_F(CgroupV1, RealTimeIsGivenToTheGroup) {
  if (!has("cpu", "cpu.rt_runtime_us")) GTEST_SKIP() << "host-lacks:cgroup:cpu.rt_runtime_us";
  const Policy policy = realtime(20000, 500000);
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "cpu", "cpu.rt_runtime_us"), "20000");
  EXPECT_EQ(in(*group, "cpu", "cpu.rt_period_us"), "500000");
  EXPECT_EQ(run(*compile(policy), "echo alive", &*group).out, "alive\n");
  // The control.
  const Policy without = realtime(0, 0);
  auto none = group_for(here_, without, {"cpu"});
  ASSERT_TRUE(none) << none.error().describe();
  EXPECT_EQ(in(*none, "cpu", "cpu.rt_runtime_us"), "0");
  EXPECT_THAT(run(*compile(without), "echo alive", &*none).error, HasSubstr("EPERM"));
}

TEST_F(CgroupV1, RealTimeOfManyTargetsOfOneRun) {
  if (!has("cpu", "cpu.rt_runtime_us")) GTEST_SKIP() << "host-lacks:cgroup:cpu.rt_runtime_us";
  auto root = CgroupRoot::create(here_, {"cpu"});
  ASSERT_TRUE(root) << root.error().describe();
  const auto leaf = [&](uint64_t runtime, uint64_t period, const char* name) {
    return CgroupLeaf::create(*root, compile(realtime(runtime, period))->settings(), name);
  };
  auto first = leaf(10000, 0, "first");
  auto second = leaf(10000, 100000, "second");
  ASSERT_TRUE(first && second);
  const std::string above = std::filesystem::path(first->directory("cpu")).parent_path();
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "110000");
  // What a target of the past had is the next one's.
  *second = *leaf(20000, 0, "third");
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "130000");
  auto fourth = leaf(10000, 0, "fourth");
  ASSERT_TRUE(fourth) << fourth.error().describe();
  EXPECT_EQ(trim(read_file(above + "/cpu.rt_runtime_us").value_or("?")), "130000");
  // More than there is for all groups of the machine.
  const auto much = leaf(1000000, 0, "much");
  ASSERT_FALSE(much);
  EXPECT_THAT(much.error().describe(), HasSubstr("no more to give"));
}

// ---- Network ------------------------------------------------------------------------------------

// A socket that listens, as sock_diag(7) tells of it.
struct Listening {
  uint16_t port = 0;
  std::optional<uint32_t> class_id;
};

// Who listens in this network namespace, by an answer of the kernel's tcp_diag; nothing without it.
std::vector<Listening> listening() {
  std::vector<Listening> list;
  const UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  struct {
    nlmsghdr head;
    inet_diag_req_v2 body;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = AF_INET;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_ext = 1 << (INET_DIAG_TCLASS - 1);  // INET_DIAG_CLASS_ID comes with it
  request.body.idiag_states = 1 << 10;                   // TCP_LISTEN
  if (fd.get() < 0 || send(fd.get(), &request, sizeof request, 0) < 0) return list;
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  for (bool more = true; more;) {
    const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return list;
    auto left = static_cast<unsigned>(got);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(m, left);
         m = NLMSG_NEXT(m, left)) {
      more = more && m->nlmsg_type == SOCK_DIAG_BY_FAMILY;
      if (!more) break;
      const auto* socket = static_cast<const inet_diag_msg*>(NLMSG_DATA(m));
      Listening one{ntohs(socket->id.idiag_sport), {}};
      auto rest = static_cast<unsigned>(m->nlmsg_len - NLMSG_LENGTH(sizeof *socket));
      for (auto* a = reinterpret_cast<const rtattr*>(socket + 1); RTA_OK(a, rest);
           a = RTA_NEXT(a, rest)) {
        if (a->rta_type != INET_DIAG_CLASS_ID) continue;
        uint32_t id = 0;
        std::memcpy(&id, RTA_DATA(a), sizeof id);
        one.class_id = id;
      }
      list.push_back(one);
    }
  }
  return list;
}

// The class of a socket that a member of the group makes; nothing where the kernel does not tell.
std::optional<uint32_t> class_of_a_socket(CgroupLeaf& group) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return std::nullopt;
  const UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) return std::nullopt;
  const UniqueFd wait(go[0]);
  UniqueFd start(go[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    char byte = 0;
    if (read(wait.get(), &byte, 1) != 1) _exit(1);  // until it is in the group
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd, plain, size) != 0 || listen(fd, 1) != 0 || getsockname(fd, plain, &size) != 0 ||
        write(out.get(), &address.sin_port, sizeof address.sin_port) < 0) {
      _exit(1);
    }
    for (;;) pause();
  }
  out.reset();
  uint16_t port = 0;
  std::optional<uint32_t> found;
  if (group.add(pid) && write(start.get(), "x", 1) == 1 &&
      read(in.get(), &port, sizeof port) == sizeof port) {
    for (const Listening& one : listening()) {
      if (one.port == ntohs(port)) found = one.class_id;
    }
  }
  (void)::kill(pid, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return found;
}

// A priority of the loopback interface, and a class that tc(8) can match.
TEST_F(CgroupV1, ClassAndPrioritiesOfTheNetwork) {
  if (!has("net_cls", "net_cls.classid")) GTEST_SKIP() << "host-lacks:cgroup:net_cls.classid";
  if (!has("net_prio", "net_prio.ifpriomap"))
    GTEST_SKIP() << "host-lacks:cgroup:net_prio.ifpriomap";
  Policy policy = open_policy();
  policy.resources.net_class_id = 0x100001;
  policy.resources.net_priorities = {{"lo", 5}};
  auto group = group_for(here_, policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(group->left_out(), IsEmpty());
  EXPECT_EQ(in(*group, "net_cls", "net_cls.classid"), "1048577");
  EXPECT_THAT(in(*group, "net_prio", "net_prio.ifpriomap"), HasSubstr("lo 5"));
  auto child = start(*compile(policy), "while :; do :; done", &*group);
  ASSERT_TRUE(child) << child.error().describe();
  const auto where = read_file(fmt::format("/proc/{}/cgroup", child->pid()));
  const std::string own = group->directory("net_cls").substr(here_.v1_point("net_cls").size());
  EXPECT_THAT(where.value_or(""), HasSubstr(":" + own + "\n"));
  // It is the sockets' of the group: what tc(8) goes by.
  ASSERT_TRUE(child->kill());
  const auto seen = class_of_a_socket(*group);
  EXPECT_EQ(seen, 0x100001U);
  // The control.
  auto open = group_for(here_, open_policy(), {"net_cls", "net_prio"});
  ASSERT_TRUE(open) << open.error().describe();
  EXPECT_EQ(in(*open, "net_cls", "net_cls.classid"), "0");
  EXPECT_THAT(in(*open, "net_prio", "net_prio.ifpriomap"), HasSubstr("lo 0"));
  EXPECT_EQ(class_of_a_socket(*open), 0U);
  // An interface that is not there.
  policy.resources.net_priorities = {{"ringfence-none", 5}};
  const auto none = group_for(here_, policy);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().describe(), HasSubstr("net_prio.ifpriomap: No such device"));
}

// ---- Where v2 has the group ---------------------------------------------------------------------

TEST_F(CgroupV1, IsLeftOutOnV2AndSaid) {
  if (here_.unified.empty()) GTEST_SKIP() << "needs:cgroup2";
  Policy policy = realtime(20000, 0);
  policy.scheduler.reset();
  policy.resources.memory_swappiness = 7;
  policy.resources.memory_kernel_tcp = 16 * kMib;
  policy.resources.memory_oom_kill_disabled = true;
  policy.resources.io_leaf_weight = 100;
  policy.resources.io_device_weights = {{8, 0, 0, 100}};
  policy.resources.net_class_id = 1;
  policy.resources.net_priorities = {{"lo", 5}};
  auto group = group_for(only_v2(here_), policy);
  ASSERT_TRUE(group) << group.error().describe();
  EXPECT_THAT(
      group->left_out(),
      ElementsAre("/linux/resources/cpu/realtimeRuntime", "/linux/resources/memory/kernelTCP",
                  "/linux/resources/memory/swappiness", "/linux/resources/memory/disableOOMKiller",
                  "/linux/resources/blockIO/leafWeight", "/linux/resources/blockIO/weightDevice",
                  "/linux/resources/network/classID", "/linux/resources/network/priorities"));
  EXPECT_EQ(run(*compile(policy), "echo alive", &*group).out, "alive\n");
}

}  // namespace
}  // namespace ringfence

// The programs of a group on this kernel: what they see of those below it, and that they change
// nothing.
#include "harness/witness/group_programs.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>

#include "harness/base/sys.h"
#include "harness/witness/group_text.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct GroupStage {
  explicit GroupStage(bool attach = true) : group(test_group()) {
    EXPECT_TRUE(group);
    if (attach) {
      auto made = shared_witness()->attach_to_group(fd());
      EXPECT_TRUE(made) << made.error().describe();
      programs.emplace(std::move(*made));
      EXPECT_THAT(programs->absent(), IsEmpty());
      EXPECT_EQ(programs->count(), 6U);
    }
    auto watching = shared_witness()->watch(id_of(*group));
    EXPECT_TRUE(watching) << watching.error().describe();
    watch.emplace(std::move(*watching));
  }
  [[nodiscard]] int fd() const { return group->unified_fd(); }
  [[nodiscard]] KernelFacts facts() const {
    auto now = watch->facts();
    EXPECT_TRUE(now) << now.error().describe();
    return now ? *now : KernelFacts{};
  }
  int run(const Actor::Act& act, uint64_t flags = 0, const Actor::Prepare& prepare = {}) const {
    Actor actor(fd(), flags, prepare, act);
    EXPECT_TRUE(actor.ready()) << actor.trouble();
    EXPECT_TRUE(watch->look_for({}));
    EXPECT_EQ(actor.finish(), 0);
    return actor.said();
  }
  [[nodiscard]] std::vector<std::string> texts() {
    std::vector<std::string> all;
    for (const StoryLine& line : lines_of(*watch)) {
      if (line.kind >= RF_EV_SOCKET) all.push_back(line.text);
    }
    return all;
  }
  Result<CgroupLeaf> group;
  std::optional<GroupPrograms> programs;
  std::optional<Watch> watch;
};

#define RINGFENCE_NEEDS_GROUP_PROGRAMS()                                            \
  RINGFENCE_NEEDS_WITNESS();                                                        \
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";                                 \
  if (!shared_witness()->offers("egress") || !shared_witness()->offers("device")) { \
    GTEST_SKIP() << "needs:bpf: no programs for a group";                           \
  }

sockaddr_in local(uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(port);
  return to;
}

bool up() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  (void)std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool is_up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return is_up;
}

constexpr uint16_t kPort = 7007;

int ten_bytes_to_self() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in self = local(kPort);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&self), sizeof self) != 0) return errno;
  return sendto(fd, "0123456789", 10, 0, reinterpret_cast<const sockaddr*>(&self), sizeof self) ==
                 10
             ? 0
             : errno;
}

TEST(GroupPrograms, PacketsAndBytesOfATrialAndOfNobodyElse) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  const GroupStage stage;
  Actor outside(-1, CLONE_NEWNET, up, ten_bytes_to_self);
  ASSERT_TRUE(outside.ready());
  outside.finish();
  EXPECT_EQ(outside.said(), 0);
  EXPECT_TRUE(stage.facts().net.watched);
  EXPECT_EQ(stage.facts().net.packets_out, 0U);
  EXPECT_EQ(stage.facts().net.sockets, 0U);
  EXPECT_EQ(stage.run(ten_bytes_to_self, CLONE_NEWNET, up), 0);
  const NetSeen net = stage.facts().net;
  EXPECT_EQ(net.packets_out, 1U);
  EXPECT_EQ(net.packets_in, 1U);
  EXPECT_EQ(net.bytes_out, 38U);  // 20 of IP, 8 of UDP
  EXPECT_EQ(net.bytes_in, 38U);
  EXPECT_EQ(net.left, 0U);
  EXPECT_EQ(net.sockets, 1U);
  EXPECT_EQ(net.describe(), "1 packet out, 1 in, all by loopback");
}

TEST(GroupPrograms, APacketThatLeaves) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  const GroupStage stage;
  Actor actor(stage.fd(), CLONE_NEWNET, tun_up, [] {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in to = local(9);
    to.sin_addr.s_addr = inet_addr("192.0.2.2");
    return sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 1 ? 0
                                                                                         : errno;
  });
  if (!actor.ready() && actor.trouble().find("not supported") != std::string::npos) {
    GTEST_SKIP() << "host-lacks:tun";
  }
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  EXPECT_EQ(actor.finish(), 0);
  EXPECT_EQ(actor.said(), 0);
  EXPECT_EQ(stage.facts().net.left, 1U);
  EXPECT_EQ(stage.facts().net.describe(),
            "1 packet out, 0 in, 1 of them by another device than loopback");
}

TEST(GroupPrograms, SocketsAreToldOfInWords) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  GroupStage stage;
  const int said = stage.run(
      [] {
        const int four = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const sockaddr_in to = local(kPort);
        (void)connect(four, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        const int err = errno;
        const int six = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in6 there{};
        there.sin6_family = AF_INET6;
        there.sin6_addr = in6addr_loopback;
        there.sin6_port = htons(kPort);
        if (six >= 0) (void)connect(six, reinterpret_cast<const sockaddr*>(&there), sizeof there);
        return err;
      },
      CLONE_NEWNET, up);
  EXPECT_EQ(said, ECONNREFUSED);
  const auto texts = stage.texts();
  EXPECT_THAT(texts, Contains("makes a socket: IPv4, SOCK_STREAM, TCP"));
  EXPECT_THAT(texts, Contains("makes a socket: IPv6, SOCK_DGRAM, UDP"));
  EXPECT_THAT(texts, Contains("connects to 127.0.0.1:7007"));
  EXPECT_THAT(texts, Contains("connects to [::1]:7007"));
  EXPECT_THAT(texts, Contains(testing::AllOf(HasSubstr("TCP socket of port "),
                                             HasSubstr(" to port 7007: CLOSE to SYN_SENT"))));
  EXPECT_THAT(texts, Contains(HasSubstr("SYN_SENT to CLOSE")));
  EXPECT_EQ(stage.facts().net.connects, 2U);
}

TEST(GroupPrograms, TheDeviceCheckIsToldOfAndAFact) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  GroupStage stage;
  EXPECT_EQ(stage.run([] { return open("/dev/zero", O_RDWR | O_CLOEXEC) >= 0 ? 0 : errno; }), 0);
  EXPECT_THAT(stage.texts(), Contains("asks the device controller for char 1:5, read and write"));
  EXPECT_TRUE(stage.facts().devices_watched);
  EXPECT_EQ(stage.facts().devices_asked, 1U);
}

size_t attached(int group_fd, bpf_attach_type type) {
  uint32_t count = 0;
  EXPECT_EQ(bpf_prog_query(group_fd, type, 0, nullptr, nullptr, &count), 0);
  return count;
}

// Another's program stays, and what it denies stays denied.
TEST(GroupPrograms, NothingIsReplacedOrAllowedAndNothingStays) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  GroupStage stage(false);
  const auto open_zero = [] { return open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno; };
  EXPECT_EQ(stage.run(open_zero), 0);
  const auto others = deny_zero(stage.fd());
  ASSERT_TRUE(others) << others.error().describe();
  EXPECT_EQ(attached(stage.fd(), BPF_CGROUP_DEVICE), 1U);
  {
    const auto ours = shared_witness()->attach_to_group(stage.fd());
    ASSERT_TRUE(ours);
    EXPECT_EQ(attached(stage.fd(), BPF_CGROUP_DEVICE), 2U);
    EXPECT_EQ(attached(stage.fd(), BPF_CGROUP_INET_EGRESS), 1U);
    EXPECT_EQ(stage.run(open_zero), EPERM);
    EXPECT_EQ(stage.facts().devices_asked, 1U);
    EXPECT_TRUE(stage.facts().devices_watched);
  }
  EXPECT_EQ(attached(stage.fd(), BPF_CGROUP_DEVICE), 1U);
  for (const auto type :
       {BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_SOCK_CREATE,
        BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT}) {
    EXPECT_EQ(attached(stage.fd(), type), 0U);
  }
  EXPECT_EQ(stage.run(open_zero), EPERM);
  EXPECT_EQ(stage.facts().devices_asked, 0U);
  EXPECT_FALSE(stage.facts().devices_watched);
  EXPECT_FALSE(stage.facts().net.watched);
}

// Not in a group of ours: then nothing seen means nothing.
// Of the last group: that those of one before it are attached says nothing of this one.
TEST(GroupPrograms, WhatCouldNotBeAttachedIsNotWatched) {
  RINGFENCE_NEEDS_WITNESS();
  auto first = test_group();
  auto second = test_group();
  ASSERT_TRUE(first && second);
  const auto attached = shared_witness()->attach_to_group(first->unified_fd());
  ASSERT_TRUE(attached) << attached.error().describe();
  ASSERT_TRUE(attached->absent().empty());
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_bpf, .index = sys::kEvery, .err = EPERM}));
  const auto refused = shared_witness()->attach_to_group(second->unified_fd());
  sys::disarm_faults();
  ASSERT_TRUE(refused) << refused.error().describe();
  EXPECT_EQ(refused->count(), 0U);
  const auto watch = shared_witness()->watch(id_of(*second));
  ASSERT_TRUE(watch) << watch.error().describe();
  const auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_FALSE(facts->net.watched);
  EXPECT_FALSE(facts->devices_watched);
}

TEST(GroupPrograms, AWatchOfAProcessKnowsNothingOfPackets) {
  RINGFENCE_NEEDS_GROUP_PROGRAMS();
  const GroupStage stage;
  const Actor actor(-1, 0, {}, [] { return 0; });
  auto watch = shared_witness()->watch_process(actor.pid(), {});
  ASSERT_TRUE(watch);
  EXPECT_TRUE(stage.facts().net.watched);
  EXPECT_FALSE(watch->facts()->net.watched);
  EXPECT_FALSE(watch->facts()->devices_watched);
}

TEST(GroupText, NumbersWithoutAName) {
  rf_event_number e{};
  e.head.kind = RF_EV_SOCKET;
  e.number = 200;
  e.more[0] = 201;
  e.more[1] = 202;
  EXPECT_EQ(group_event_text(e), "makes a socket: family 200, type 201, protocol 202");
  e.head.kind = RF_EV_SOCK_STATE;
  e.more[0] = 99 << 8 | 13;
  e.more[1] = 1 << 16 | 2;
  EXPECT_EQ(group_event_text(e), "protocol 200 socket of port 1 to port 2: state 99 to BOUND");
  e.head.kind = RF_EV_DEVICE;
  e.number = 1;
  e.more[0] = 1;
  e.more[1] = 8;
  e.more[2] = 0;
  EXPECT_EQ(group_event_text(e), "asks the device controller for block 8:0, mknod");
  e.more[0] = 0;
  EXPECT_THAT(group_event_text(e), HasSubstr("access 0"));
  e.head.kind = RF_EV_FORK;
  EXPECT_EQ(group_event_text(e), "");
}

}  // namespace
}  // namespace ringfence

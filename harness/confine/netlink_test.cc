// Every request, in a network namespace of the test's own, and what the kernel lists afterwards.
#include "harness/confine/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "harness/base/sys.h"
#include "harness/confine/netns.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

class NetlinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = make_netns();
    if (!made && made.error().err == EPERM) GTEST_SKIP() << "needs:root";
    ASSERT_TRUE(made) << made.error().describe();
    auto inside = InNetns::enter(made->get());
    ASSERT_TRUE(inside) << inside.error().describe();
    inside_.emplace(std::move(*inside));
    auto opened = Netlink::open();
    ASSERT_TRUE(opened) << opened.error().describe();
    netlink_.emplace(std::move(*opened));
  }
  Netlink& netlink() { return *netlink_; }
  int index(const std::string& name) {
    const auto index = netlink().index_of(name);
    EXPECT_TRUE(index) << name;
    return index.value_or(0);
  }
  LinkInfo link(const std::string& name) {
    auto link = netlink().link(name);
    EXPECT_TRUE(link) << name;
    return link.value_or(LinkInfo{});
  }
  static void ok(const Status& status) { ASSERT_TRUE(status) << status.error().describe(); }

  std::optional<InNetns> inside_;
  std::optional<Netlink> netlink_;
};

TEST_F(NetlinkTest, ANewNamespaceHasLoopbackAndNothingElse) {
  const auto links = netlink().links();
  ASSERT_TRUE(links) << links.error().describe();
  ASSERT_EQ(links->size(), 1U);
  EXPECT_EQ(links->front().name, "lo");
  EXPECT_EQ(links->front().index, 1);
  EXPECT_TRUE(links->front().up());
  ok(netlink().set_up(1, false));
  EXPECT_FALSE(link("lo").up());
}

TEST_F(NetlinkTest, VethBridgeAndPortFlags) {
  ok(netlink().add_link("bridge", "br0"));
  ok(netlink().add_veth("v0", "v1"));
  EXPECT_EQ(link("br0").kind, "bridge");
  EXPECT_EQ(link("v0").kind, "veth");
  EXPECT_EQ(link("v0").link, index("v1"));
  EXPECT_FALSE(link("v0").port);
  ok(netlink().set_master(index("v0"), index("br0")));
  EXPECT_EQ(link("v0").master, index("br0"));
  EXPECT_EQ(link("v0").port, BridgePort{});
  for (int flag = 0; flag < 4; ++flag) {
    BridgePort port;
    if (flag == 0) port.isolated = true;
    if (flag == 1) port.hairpin = true;
    if (flag == 2) port.learning = false;
    if (flag == 3) port.flood = false;
    ok(netlink().set_port(index("v0"), port));
    EXPECT_EQ(link("v0").port, port) << flag;
  }
  ok(netlink().set_master(index("v0"), 0));
  EXPECT_EQ(link("v0").master, 0);
  ok(netlink().delete_link(index("v0")));
  EXPECT_FALSE(netlink().link("v1")) << "one end goes with the other";
}

TEST_F(NetlinkTest, MtuMacNameUp) {
  ok(netlink().add_veth("v0", "v1"));
  const int v0 = index("v0");
  ok(netlink().set_mtu(v0, 1400));
  ok(netlink().set_mac(v0, *MacAddress::parse("02:00:00:00:00:07")));
  ok(netlink().rename(v0, "eth0"));
  ok(netlink().set_up(v0));
  const LinkInfo now = link("eth0");
  EXPECT_EQ(now.index, v0);
  EXPECT_EQ(now.mtu, 1400U);
  EXPECT_EQ(now.mac.str(), "02:00:00:00:00:07");
  EXPECT_TRUE(now.up());
}

TEST_F(NetlinkTest, AddressesRoutesNeighbours) {
  ok(netlink().add_veth("v0", "v1"));
  const int v0 = index("v0");
  ok(netlink().no_address_of_its_own(v0));
  ok(netlink().no_address_of_its_own(index("v1")));
  ok(netlink().set_up(v0));
  ok(netlink().set_up(index("v1")));
  for (const char* text : {"10.0.0.2/24", "fd00::2/64"}) {
    ok(netlink().add_address(v0, *IpNetwork::parse(text)));
  }
  std::vector<std::string> got;
  const auto addresses = netlink().addresses();
  ASSERT_TRUE(addresses);
  for (const auto& one : *addresses) {
    if (one.index == v0) got.push_back(one.address.str());
  }
  EXPECT_THAT(got, testing::UnorderedElementsAre("10.0.0.2/24", "fd00::2/64"))
      << "and no link-local one";
  ok(netlink().add_neighbour(
      v0, {*IpAddress::parse("10.0.0.1"), *MacAddress::parse("02:00:00:00:00:01")}));
  ok(netlink().add_route(v0, {*IpNetwork::parse("10.1.0.0/16"), IpAddress::parse("10.0.0.1")}));
  ok(netlink().add_route(v0, {*IpNetwork::parse("0.0.0.0/0"), IpAddress::parse("10.0.0.1")}));
  ok(netlink().add_route(v0, {*IpNetwork::parse("10.2.0.0/16"), std::nullopt}));
  const auto wrong =
      netlink().add_route(v0, {*IpNetwork::parse("10.3.0.0/16"), IpAddress::parse("192.0.2.1")});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().err, ENETUNREACH);
  EXPECT_EQ(wrong.error().object, "10.3.0.0/16");
  EXPECT_THAT(wrong.error().hint, HasSubstr("gateway")) << "the kernel's own words";
}

TEST_F(NetlinkTest, MovesByDescriptorAndByPid) {
  auto other = make_netns();
  ASSERT_TRUE(other);
  ok(netlink().add_veth("v0", "v1"));
  ok(netlink().move_to_fd(index("v1"), other->get(), "eth0"));
  EXPECT_FALSE(netlink().link("v1"));
  EXPECT_FALSE(netlink().link("eth0"));
  {
    auto there = InNetns::enter(other->get());
    ASSERT_TRUE(there);
    auto theirs = Netlink::open();
    ASSERT_TRUE(theirs);
    EXPECT_TRUE(theirs->link("eth0"));
  }
  ok(netlink().add_veth("v2", "v3"));
  std::array<int, 2> arrived{};
  ASSERT_EQ(pipe2(arrived.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool there = sys::call(SYS_setns, other->get(), CLONE_NEWNET) == 0;
    if (there) (void)!write(arrived[1], "x", 1);
    pause();
    _exit(0);
  }
  char byte = 0;
  EXPECT_EQ(read(arrived[0], &byte, 1), 1);
  const auto moved = netlink().move_to_pid(index("v3"), child, "eth1");
  EXPECT_TRUE(moved) << moved.error().describe();
  close(arrived[0]);
  close(arrived[1]);
  (void)kill(child, SIGKILL);
  (void)waitpid(child, nullptr, 0);
  auto inside = InNetns::enter(other->get());
  ASSERT_TRUE(inside);
  auto theirs = Netlink::open();
  ASSERT_TRUE(theirs);
  EXPECT_TRUE(theirs->link("eth1"));
}

TEST_F(NetlinkTest, Macvlan) {
  ok(netlink().add_veth("v0", "v1"));
  ok(netlink().add_macvlan("mv0", index("v0")));
  EXPECT_EQ(link("mv0").kind, "macvlan");
  EXPECT_EQ(link("mv0").link, index("v0"));
}

TEST_F(NetlinkTest, ErrorsKeepErrnoAndTheKernelsWords) {
  ok(netlink().add_link("bridge", "br0"));
  const auto twice = netlink().add_link("bridge", "br0");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().err, EEXIST);
  EXPECT_EQ(twice.error().object, "bridge br0");
  const auto kind = netlink().add_link("no-such-kind", "x0");
  ASSERT_FALSE(kind);
  EXPECT_EQ(kind.error().err, EOPNOTSUPP);
  EXPECT_THAT(kind.error().hint, HasSubstr("Unknown device type"));
  const auto name = netlink().add_link("bridge", "0123456789abcdef");
  ASSERT_FALSE(name);
  EXPECT_THAT(name.error().err, testing::AnyOf(ERANGE, EINVAL));
  const auto gone = netlink().set_up(4711);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().err, ENODEV);
  EXPECT_EQ(netlink().link("gone").error().err, ENODEV);
  const auto port = netlink().set_port(index("lo"), {});
  ASSERT_FALSE(port);
}

TEST_F(NetlinkTest, InjectedFaultsComeOutAsErrors) {
  for (const long nr : {SYS_socket, SYS_bind}) {
    ok(sys::arm_fault({.nr = nr, .index = 0, .err = ENOMEM}));
    const auto opened = Netlink::open();
    EXPECT_TRUE(sys::fault_fired());
    sys::disarm_faults();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().err, ENOMEM);
  }
  for (const long nr : {SYS_sendto, SYS_recvfrom}) {
    auto cut = Netlink::open();
    ASSERT_TRUE(cut);
    ok(sys::arm_fault({.nr = nr, .index = 0, .err = ENOBUFS}));
    const auto links = cut->links();
    EXPECT_TRUE(sys::fault_fired());
    sys::disarm_faults();
    ASSERT_FALSE(links);
    EXPECT_EQ(links.error().err, ENOBUFS);
    ok(sys::arm_fault({.nr = nr, .index = 0, .err = EINTR}));
    EXPECT_TRUE(netlink().links()) << "an interrupted call is made again";
    sys::disarm_faults();
  }
  // Old kernels: no extended acknowledgement; the errno is there all the same.
  ok(sys::arm_fault({.nr = SYS_setsockopt, .index = sys::kEvery, .err = ENOPROTOOPT}));
  auto plain = Netlink::open();
  sys::disarm_faults();
  ASSERT_TRUE(plain);
  const auto kind = plain->add_link("no-such-kind", "x0");
  ASSERT_FALSE(kind);
  EXPECT_EQ(kind.error().err, EOPNOTSUPP);
  EXPECT_EQ(kind.error().hint, "");
}

TEST_F(NetlinkTest, AMessageThatIsTooLongIsRefused) {
  NetlinkMessage message(16, 0, 64);
  message.text(1, std::string(100, 'x'));
  EXPECT_TRUE(message.overflowed());
  const auto sent = netlink().request(message, "send", "it");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().err, EMSGSIZE);
}

}  // namespace
}  // namespace ringfence

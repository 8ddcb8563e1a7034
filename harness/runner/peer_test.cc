// Neighbours and lists of the network: each sings when it is touched, and not before; and what the
// counters of a port are worth.
#include "harness/runner/peer.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <optional>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netns.h"
#include "harness/runner/port_watch.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

constexpr int kLoopback = 1;

class PeersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = make_netns();
    if (!made && made.error().err == EPERM) GTEST_SKIP() << "needs:root";
    ASSERT_TRUE(made) << made.error().describe();
    auto host = InNetns::enter(made->get());
    ASSERT_TRUE(host);
    host_.emplace(std::move(*host));
    for (const char* name : {"a", "b", "isolated"}) {
      const auto ok = peers_.make(name);
      ASSERT_TRUE(ok) << ok.error().describe();
    }
  }
  // An end of a veth on the bridge, as a target would have it: here, in the decoy host itself.
  void join(const BridgePort& port) {
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    ASSERT_TRUE(netlink->add_veth("rf0", "eth0"));
    const int outer = netlink->index_of("rf0").value();
    const int inner = netlink->index_of("eth0").value();
    ASSERT_TRUE(netlink->set_master(outer, netlink->index_of(kPeerBridge).value()));
    ASSERT_TRUE(netlink->set_port(outer, port));
    ASSERT_TRUE(netlink->set_mac(inner, *MacAddress::parse(kTargetMac)));
    ASSERT_TRUE(netlink->add_address(inner, *IpNetwork::parse(kTargetNetwork)));
    ASSERT_TRUE(netlink->set_up(outer));
    ASSERT_TRUE(netlink->set_up(inner));
  }
  // Whether a connection comes about. One that is let through takes microseconds on an idle machine
  // and has long on a busy one; what is dropped is waited for in vain.
  static bool connects(const char* address, timeval wait = {20, 0}) {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kPeerPort);
    EXPECT_EQ(inet_pton(AF_INET, address, &to.sin_addr), 1);
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  std::optional<InNetns> host_;
  Peers peers_;
};

TEST_F(PeersTest, HearWhoConnects) {
  join({});
  for (const PeerSpec& peer : kPeers) {
    EXPECT_FALSE(peers_.connected(peer.name).value()) << peer.name;
    EXPECT_TRUE(connects(peer.address)) << peer.name;
    EXPECT_TRUE(peers_.connected(peer.name).value()) << peer.name;
    EXPECT_TRUE(peers_.connected(peer.name).value()) << "what was seen stays";
  }
}

TEST_F(PeersTest, AnIsolatedPortReachesNoOther) {
  BridgePort port;
  port.isolated = true;
  join(port);
  EXPECT_FALSE(connects(kPeers[2].address, {0, 300000}));
  EXPECT_FALSE(peers_.connected("isolated").value());
  EXPECT_TRUE(connects(kPeers[0].address));
}

TEST_F(PeersTest, SpeakToOneAnother) {
  EXPECT_FALSE(peers_.heard("b").value());
  ASSERT_TRUE(peers_.say("a", "b", "psst"));
  EXPECT_TRUE(peers_.heard("b").value());
  EXPECT_TRUE(peers_.heard("b").value());
  EXPECT_FALSE(peers_.heard("a").value());
  EXPECT_EQ(peers_.say("a", "nobody", "psst").error().kind, Error::Kind::usage);
  EXPECT_EQ(peers_.make("nobody").error().kind, Error::Kind::usage);
  EXPECT_FALSE(peers_.connected("nobody"));
}

// What a look cannot see is an error, not an absence.
TEST_F(PeersTest, ABlindLookSaysSo) {
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_accept4, .index = 0, .err = EMFILE}));
  const auto connected = peers_.connected("a");
  sys::disarm_faults();
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().err, EMFILE);
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_recvfrom, .index = 0, .err = ENOMEM}));
  const auto heard = peers_.heard("a");
  sys::disarm_faults();
  ASSERT_FALSE(heard);
  ASSERT_TRUE(sys::arm_fault({.nr = SYS_sendto, .index = 0, .err = ENOBUFS}));
  const auto list = network_list("routes");
  sys::disarm_faults();
  ASSERT_FALSE(list);
}

TEST_F(PeersTest, ListsShowWhatWasChanged) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  const auto changes = [](const char* what, auto&& change) {
    const auto before = network_list(what);
    EXPECT_TRUE(before) << what << ": " << before.error().describe();
    EXPECT_EQ(*before, network_list(what).value()) << what;
    EXPECT_TRUE(change()) << what;
    EXPECT_NE(*before, network_list(what).value()) << what;
  };
  changes("addresses", [&] {
    return netlink->add_address(kLoopback, *IpNetwork::parse("10.9.9.9/32")).has_value();
  });
  changes("routes", [&] {
    return netlink->add_route(kLoopback, {*IpNetwork::parse("10.8.0.0/16"), std::nullopt})
        .has_value();
  });
  changes("links", [&] { return netlink->add_link("bridge", "br9").has_value(); });
  EXPECT_EQ(network_list("weather").error().kind, Error::Kind::usage);
}

// Two ports in the plan, of which one has the program: what the other sent is not known.
TEST(PortWatch, WhatIsNotCountedIsLost) {
  const PortWatch watch = PortWatch::begin();
  if (watch.program() < 0) GTEST_SKIP() << "needs:bpf";
  Plan plan;
  plan.network.interfaces.resize(2);
  for (uint16_t i = 0; i < 2; ++i) {
    Step& step = plan.steps.emplace_back();
    step.network = {Step::Network::Effect::link, i, 0};
  }
  TrialOutcome outcome;
  outcome.stage = TrialOutcome::Stage::ended;
  outcome.counted_ports = 1;
  watch.collect(plan, outcome);
  EXPECT_EQ(outcome.kernel.lost, 1U);
  EXPECT_THAT(outcome.kernel.lost_what, HasSubstr("1 of 2 ports"));
  EXPECT_FALSE(outcome.kernel.port.watched);

  TrialOutcome both;
  both.stage = TrialOutcome::Stage::ended;
  both.counted_ports = 2;
  watch.collect(plan, both);
  EXPECT_EQ(both.kernel.lost, 0U);
  EXPECT_TRUE(both.kernel.port.watched);
  EXPECT_EQ(both.kernel.port.packets(), 0U);
  ASSERT_EQ(both.evidence.size(), 1U);

  TrialOutcome unborn;  // it never started, so there was nothing to count
  watch.collect(plan, unborn);
  EXPECT_EQ(unborn.kernel.lost, 0U);
  EXPECT_FALSE(unborn.kernel.port.watched);
}

}  // namespace
}  // namespace ringfence

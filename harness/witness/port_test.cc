// What an XDP program counts at the outer end of a veth: everything that comes out of the inner
// one, by protocol, also what the filter behind it drops; and nothing of what goes in.
#include "harness/witness/port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netns.h"
#include "harness/confine/port_filter.h"

namespace ringfence {
namespace {

constexpr int kSent = 5;

class PortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Port::load();
    if (!loaded) GTEST_SKIP() << "needs:bpf: " << loaded.error().describe();
    port_.emplace(std::move(*loaded));
    auto outside = make_netns();
    ASSERT_TRUE(outside) << outside.error().describe();
    auto inner = make_netns();
    ASSERT_TRUE(inner);
    inner_ = std::move(*inner);
    auto here = InNetns::enter(outside->get());
    ASSERT_TRUE(here);
    here_.emplace(std::move(*here));
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    netlink_.emplace(std::move(*netlink));
    ASSERT_TRUE(netlink_->add_veth("outer", "moving"));
    outer_ = netlink_->index_of("outer").value();
    ASSERT_TRUE(netlink_->no_address_of_its_own(outer_));
    ASSERT_TRUE(netlink_->move_to_fd(netlink_->index_of("moving").value(), inner_.get(), "eth0"));
    ASSERT_TRUE(netlink_->add_address(outer_, *IpNetwork::parse("10.0.0.1/24")));
  }
  void raise() {
    ASSERT_TRUE(netlink_->set_up(outer_));
    auto there = InNetns::enter(inner_.get());
    ASSERT_TRUE(there);
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    const int eth0 = netlink->index_of("eth0").value();
    ASSERT_TRUE(netlink->no_address_of_its_own(eth0));
    ASSERT_TRUE(netlink->add_address(eth0, *IpNetwork::parse("10.0.0.2/24")));
    ASSERT_TRUE(netlink->add_neighbour(
        eth0, {*IpAddress::parse("10.0.0.1"), netlink_->link("outer").value().mac}));
    ASSERT_TRUE(netlink->set_up(eth0));
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    sender_ = UniqueFd(fd);
  }
  void send() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    ASSERT_EQ(inet_pton(AF_INET, "10.0.0.1", &to.sin_addr), 1);
    for (int i = 0; i < kSent; ++i) {
      // What was refused before is told by the next call; it is not sent then.
      ssize_t n = -1;
      for (int tries = 0; n < 0 && tries < 3; ++tries) {
        n = sendto(sender_.get(), "hello", 5, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
      }
      ASSERT_EQ(n, 5);
    }
  }
  std::optional<Port> port_;
  std::optional<InNetns> here_;
  std::optional<Netlink> netlink_;
  UniqueFd inner_, sender_;
  int outer_ = 0;
};

TEST_F(PortTest, CountsWhatComesOutByProtocol) {
  ASSERT_TRUE(netlink_->set_xdp(outer_, port_->program()));
  raise();
  send();
  const auto seen = port_->seen();
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_EQ(seen->udp, uint64_t{kSent});
  EXPECT_EQ(seen->tcp, 0U);
  EXPECT_EQ(seen->bytes, uint64_t{kSent} * (14 + 20 + 8 + 5) + (seen->packets() - kSent) * 42);
}

TEST_F(PortTest, CountsWhatTheFilterBehindItDrops) {
  ASSERT_TRUE(netlink_->set_xdp(outer_, port_->program()));
  NetworkInterface own;
  own.addresses = {*IpNetwork::parse("10.0.0.2/24")};
  const auto filtered = attach_port_filter(*netlink_, outer_, compile_port_filter(own, {}));
  if (!filtered) GTEST_SKIP() << "host-lacks:tc_bpf: " << filtered.error().describe();
  raise();
  const LinkInfo before = netlink_->link("outer").value();
  send();
  EXPECT_EQ(port_->seen().value().udp, uint64_t{kSent});
  EXPECT_EQ(netlink_->link("outer").value().packets_out, before.packets_out)
      << "and nobody answered what was dropped";
}

TEST_F(PortTest, WithoutTheProgramNothingIsCounted) {
  raise();
  send();
  EXPECT_EQ(port_->seen().value().packets(), 0U);
  EXPECT_EQ(port_->seen().value().describe(), "no frame");
  ASSERT_TRUE(netlink_->set_xdp(outer_, port_->program()));
  send();
  EXPECT_EQ(port_->seen().value().udp, uint64_t{kSent});
  ASSERT_TRUE(netlink_->set_xdp(outer_, -1));
  send();
  EXPECT_EQ(port_->seen().value().udp, uint64_t{kSent});
}

TEST_F(PortTest, EachHasCountersOfItsOwn) {
  auto other = Port::load();
  ASSERT_TRUE(other);
  ASSERT_TRUE(netlink_->set_xdp(outer_, port_->program()));
  raise();
  send();
  EXPECT_EQ(port_->seen().value().udp, uint64_t{kSent});
  EXPECT_EQ(other->seen().value().packets(), 0U);
}

}  // namespace
}  // namespace ringfence

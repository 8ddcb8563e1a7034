// The network part of a policy: what is written is what is read.
#include "harness/policy/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "harness/policy/read.h"
#include "harness/policy/without.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

NetworkPolicy everything() {
  NetworkInterface veth;
  veth.name = "eth0";
  veth.bridge = "br0";
  veth.mtu = 1400;
  veth.mac = MacAddress::parse("02:00:00:00:00:01");
  veth.addresses = {*IpNetwork::parse("10.0.0.2/24"), *IpNetwork::parse("fd00::2/64")};
  veth.routes = {{*IpNetwork::parse("0.0.0.0/0"), IpAddress::parse("10.0.0.1")},
                 {*IpNetwork::parse("::/0"), IpAddress::parse("fd00::1")},
                 {*IpNetwork::parse("::/0"), std::nullopt},
                 {*IpNetwork::parse("10.1.0.0/16"), std::nullopt}};
  veth.neighbours = {{*IpAddress::parse("10.0.0.3"), *MacAddress::parse("02:00:00:00:00:03")}};
  veth.port = {true, true, false, false};
  NetworkInterface macvlan;
  macvlan.kind = InterfaceKind::macvlan;
  macvlan.name = "eth1";
  macvlan.parent = "up0";
  NetworkInterface lo;
  lo.kind = InterfaceKind::loopback;
  lo.name = "lo";
  lo.addresses = {*IpNetwork::parse("127.1.0.1/8")};
  NetworkPolicy network;
  network.interfaces = {veth, macvlan, lo};
  network.allow = {{*IpNetwork::parse("10.0.0.3/32"), IPPROTO_TCP, 80},
                   {*IpNetwork::parse("10.0.0.4/32"), IPPROTO_ICMP, 0},
                   {*IpNetwork::parse("fd00::/64"), 0, 0}};
  return network;
}

Policy with(NetworkPolicy network) {
  Policy policy;
  policy.name = "net.json";
  policy.root = Policy::Root{};
  policy.namespaces = {{Ns::net, ""}};
  policy.network = std::move(network);
  return policy;
}

TEST(NetworkPolicy, IsReadAsItWasWritten) {
  const Policy policy = with(everything());
  const auto read = parse_oci_policy(write_oci_policy(policy), "net.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->policy.network, policy.network);
  EXPECT_TRUE(read->warnings.empty());
  EXPECT_EQ(write_network(read->policy.network), write_network(policy.network));
}

TEST(NetworkPolicy, AnEmptyAllowListIsNotNone) {
  NetworkPolicy network = everything();
  network.allow->clear();
  const auto read = parse_oci_policy(write_oci_policy(with(network)), "net.json");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_TRUE(read->policy.network.allow);
  EXPECT_TRUE(read->policy.network.allow->empty());
}

TEST(NetworkPolicy, NoneIsNotWritten) {
  EXPECT_THAT(write_oci_policy(with({})), testing::Not(HasSubstr("ringfence.network")));
}

TEST(NetworkPolicy, APeerWithoutPrefixIsOneHost) {
  const std::string text =
      R"({"interfaces":[{"kind":"veth","name":"eth0"}],"allow":[{"to":"10.0.0.3"},{"to":"fd00::3"}]})";
  Policy policy = with({});
  policy.annotations["ringfence.network"] = text;
  const std::string file = write_oci_policy(policy);
  const auto read = parse_oci_policy(file, "net.json");
  ASSERT_TRUE(read) << read.error().describe();
  ASSERT_EQ(read->policy.network.allow->size(), 2U);
  EXPECT_EQ(read->policy.network.allow->at(0).to.str(), "10.0.0.3/32");
  EXPECT_EQ(read->policy.network.allow->at(1).to.str(), "fd00::3/128");
}

TEST(NetworkPolicy, WithoutItsLayers) {
  const Policy policy = with(everything());
  const Policy unfiltered = without(policy, Layer::kNetFilter);
  EXPECT_FALSE(unfiltered.network.allow);
  EXPECT_EQ(unfiltered.network.interfaces.size(), 3U);
  EXPECT_EQ(unfiltered.network.interfaces[0].port, BridgePort{});
  EXPECT_EQ(unfiltered.network.interfaces[0].addresses, policy.network.interfaces[0].addresses);
  EXPECT_TRUE(without(policy, Layer::kNet).network.empty());
}

TEST(NetworkAddress, TextAndBack) {
  for (const char* text : {"10.0.0.2/24", "0.0.0.0/0", "fd00::2/64", "::/0", "1.2.3.4/32"}) {
    const auto network = IpNetwork::parse(text);
    ASSERT_TRUE(network) << text;
    EXPECT_EQ(network->str(), text);
  }
  for (const char* text : {"", "/", "10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0/24",
                           "10.0.0.2/+4", "fd00::2/129", "fd00::2/64/", "x/1", "10.0.0.2/024x"}) {
    EXPECT_FALSE(IpNetwork::parse(text)) << text;
  }
  EXPECT_TRUE(IpNetwork::parse("10.0.0.0/24")->host_bits_clear());
  EXPECT_FALSE(IpNetwork::parse("10.0.0.1/24")->host_bits_clear());
  EXPECT_TRUE(IpNetwork::parse("10.0.0.1/32")->host_bits_clear());
  EXPECT_FALSE(IpNetwork::parse("10.0.0.129/25")->host_bits_clear());
  EXPECT_EQ(MacAddress::parse("02:aB:00:00:00:ff")->str(), "02:ab:00:00:00:ff");
  for (const char* text : {"", "02:ab:00:00:00", "02-ab-00-00-00-ff", "02:ab:00:00:00:fg",
                           "02:ab:00:00:00:ff:", "+2:ab:00:00:00:ff"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

}  // namespace
}  // namespace ringfence

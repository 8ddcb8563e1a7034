// The network part of a policy, carried out: what the target's namespace has, and what stands
// outside, asked of the kernel by the test, which plays the host in a namespace of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"
#include "harness/confine/netns.h"
#include "harness/confine/netns_pool.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

NetworkInterface eth0() {
  NetworkInterface one;
  one.name = "eth0";
  one.bridge = "br0";
  one.mtu = 1400;
  one.mac = MacAddress::parse("02:00:00:00:00:02");
  one.addresses = {*IpNetwork::parse("10.0.0.2/24"), *IpNetwork::parse("fd00::2/64")};
  one.routes = {{*IpNetwork::parse("0.0.0.0/0"), IpAddress::parse("10.0.0.1")}};
  one.neighbours = {{*IpAddress::parse("10.0.0.1"), *MacAddress::parse("02:00:00:00:00:01")}};
  return one;
}

Policy with(std::vector<NetworkInterface> interfaces) {
  Policy policy = open_policy();
  policy.namespaces = {{Ns::net, {}}};
  policy.network.interfaces = std::move(interfaces);
  return policy;
}

class SpawnNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = make_netns();
    if (!made && made.error().err == EPERM) GTEST_SKIP() << "needs:root";
    ASSERT_TRUE(made) << made.error().describe();
    auto host = InNetns::enter(made->get());
    ASSERT_TRUE(host);
    host_.emplace(std::move(*host));
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    netlink_.emplace(std::move(*netlink));
  }
  Waiting start(const Policy& policy, int netns_fd = -1, Entry entry = Entry::clone) {
    CompileOptions options;
    options.entry = entry;
    const auto plan = compile(policy, options);
    EXPECT_TRUE(plan) << plan.error().describe();
    return wait_under(*plan, netns_fd);
  }
  static Netlink inside(const Waiting& waiting) {
    auto fd = sys::open(waiting.proc("ns/net").c_str(), O_RDONLY);
    auto there = InNetns::enter(fd.value().get());
    EXPECT_TRUE(there);
    return std::move(Netlink::open().value());
  }
  // The veth's outer end, which is a port of the bridge.
  LinkInfo outer() {
    const auto links = netlink_->links();
    for (const LinkInfo& link : *links) {
      if (link.kind == "veth") return link;
    }
    ADD_FAILURE() << "no veth outside";
    return {};
  }
  std::vector<std::string> names() {
    std::vector<std::string> list;
    const auto links = netlink_->links();
    for (const LinkInfo& link : *links) list.push_back(link.name);
    return list;
  }
  std::optional<InNetns> host_;
  std::optional<Netlink> netlink_;
};

TEST_F(SpawnNetwork, AVethOnABridge) {
  NetworkInterface wanted = eth0();
  wanted.port.isolated = true;
  const Waiting waiting = start(with({wanted}));
  ASSERT_EQ(waiting.error, "");
  Netlink there = inside(waiting);
  const auto link = there.link("eth0");
  ASSERT_TRUE(link) << link.error().describe();
  EXPECT_EQ(link->kind, "veth");
  EXPECT_TRUE(link->up());
  EXPECT_EQ(link->mtu, 1400U);
  EXPECT_EQ(link->mac, *wanted.mac);
  std::vector<std::string> addresses;
  const auto all = there.addresses();
  ASSERT_TRUE(all);
  for (const auto& one : *all) {
    if (one.index == link->index) addresses.push_back(one.address.str());
  }
  EXPECT_THAT(addresses, UnorderedElementsAre("10.0.0.2/24", "fd00::2/64"));
  EXPECT_TRUE(there.link("lo").value().up());
  // It is there already: the same once more is refused.
  EXPECT_EQ(there.add_route(link->index, wanted.routes[0]).error().err, EEXIST);

  const LinkInfo port = outer();
  EXPECT_EQ(port.name, "rf" + std::to_string(waiting.child->pid()) + ".0");
  EXPECT_TRUE(port.up());
  EXPECT_EQ(port.mtu, 1400U);
  EXPECT_EQ(port.master, netlink_->index_of("br0").value());
  EXPECT_EQ(port.port, wanted.port);
  EXPECT_TRUE(netlink_->link("br0").value().up());
  // br0 and the port and lo, and nothing that is on its way.
  EXPECT_EQ(names().size(), 3U);
}

// ---- Interfaces of the spawner's (linux.netDevices) --------------------------------------------

class SpawnNetworkDevices : public SpawnNetwork {
 protected:
  static constexpr const char* kOne = "rftest0";
  static constexpr const char* kOther = "rftest1";
  void SetUp() override {
    SpawnNetwork::SetUp();
    if (!netlink_) return;
    make();
  }
  void make() {
    ASSERT_TRUE(netlink_->add_veth(kOne, kOther));
    index_ = netlink_->index_of(kOne).value();
    for (const char* address : {"10.9.0.1/24", "fd09::1/64"}) {
      ASSERT_TRUE(netlink_->add_address(index_, *IpNetwork::parse(address)));
    }
    ASSERT_TRUE(netlink_->set_up(index_));
  }
  static Policy taking(std::map<std::string, std::string> devices) {
    Policy policy = open_policy();
    policy.namespaces = {{Ns::net, {}}};
    policy.net_devices = std::move(devices);
    return policy;
  }
  static Waiting attended(const Policy& policy, Entry entry = Entry::clone) {
    CompileOptions options;
    options.attended = true;
    options.entry = entry;
    const auto plan = compile(policy, options);
    EXPECT_TRUE(plan) << plan.error().describe();
    return wait_under(*plan);
  }
  int index_ = 0;
};

TEST_F(SpawnNetworkDevices, MovesWithItsAddressesUnderAnotherName) {
  for (const Entry entry : {Entry::clone, Entry::unshare}) {
    SCOPED_TRACE(entry == Entry::clone ? "clone" : "unshare");
    if (entry == Entry::unshare) {
      // The one that was there has ended with the target's namespace, and its peer with it.
      for (int i = 0; i < 500 && netlink_->index_of(kOther); ++i) usleep(10'000);
      ASSERT_FALSE(netlink_->index_of(kOther));
      make();
    }
    const Waiting waiting = attended(taking({{kOne, "eth7"}}), entry);
    ASSERT_EQ(waiting.error, "");
    EXPECT_FALSE(netlink_->index_of(kOne));
    EXPECT_TRUE(netlink_->index_of(kOther));
    Netlink there = inside(waiting);
    const auto link = there.link("eth7");
    ASSERT_TRUE(link) << link.error().describe();
    EXPECT_EQ(link->kind, "veth");
    EXPECT_TRUE(link->up());
    std::vector<std::string> addresses;
    const auto all = there.addresses();
    ASSERT_TRUE(all);
    for (const auto& one : *all) {
      if (one.index == link->index && one.global) addresses.push_back(one.address.str());
    }
    EXPECT_THAT(addresses, UnorderedElementsAre("10.9.0.1/24", "fd09::1/64"));
  }
}

TEST_F(SpawnNetworkDevices, KeepsItsNameInAUserNamespace) {
  Policy policy = taking({{kOne, ""}});
  policy.namespaces.push_back({Ns::user, {}});
  policy.uid_mappings = policy.gid_mappings = {{0, 100000, 65536}};
  const Waiting waiting = attended(policy);
  ASSERT_EQ(waiting.error, "");
  EXPECT_FALSE(netlink_->index_of(kOne));
  EXPECT_TRUE(inside(waiting).link(kOne));
}

TEST_F(SpawnNetworkDevices, OneThatIsNotThereIsAnError) {
  const Waiting waiting = attended(taking({{"rftest9", ""}}));
  EXPECT_THAT(waiting.error, HasSubstr("net.device:rftest9"));
  EXPECT_THAT(waiting.error, HasSubstr("ENODEV"));
  EXPECT_TRUE(childless());
}

TEST_F(SpawnNetworkDevices, StaysForACaseAndWithoutANewNamespace) {
  const Waiting waiting = start(taking({{kOne, "eth7"}}));  // as cases are started
  ASSERT_EQ(waiting.error, "");
  EXPECT_TRUE(netlink_->index_of(kOne));
  Policy here = taking({{kOne, "eth7"}});
  here.namespaces.clear();
  const Waiting same = attended(here);
  ASSERT_EQ(same.error, "");
  EXPECT_TRUE(netlink_->index_of(kOne));
}

// The namespace is there only once the child has made it: then it asks for what goes into it, once,
// with its id maps where it has a user namespace.
TEST_F(SpawnNetwork, ByUnshareItIsTheSame) {
  for (const bool user : {false, true}) {
    SCOPED_TRACE(user);
    Policy policy = with({eth0()});
    if (user) {
      policy.namespaces.push_back({Ns::user, {}});
      policy.uid_mappings = policy.gid_mappings = {{0, 100000, 65536}};
    }
    const Waiting waiting = start(policy, -1, Entry::unshare);
    ASSERT_EQ(waiting.error, "");
    const auto link = inside(waiting).link("eth0");
    ASSERT_TRUE(link) << link.error().describe();
    EXPECT_TRUE(link->up());
    EXPECT_EQ(link->mtu, 1400U);
    if (user) {
      EXPECT_THAT(read_file(waiting.proc("uid_map")).value_or(""), HasSubstr("100000"));
    }
  }
}

TEST_F(SpawnNetwork, SeveralTargetsOnOneBridgeAndWhatTheyLeave) {
  {
    NetworkInterface other = eth0();
    other.mac.reset();
    other.addresses = {*IpNetwork::parse("10.0.0.3/24")};
    const Waiting first = start(with({eth0()}));
    const Waiting second = start(with({other}));
    ASSERT_EQ(first.error, "");
    ASSERT_EQ(second.error, "");
    EXPECT_EQ(names().size(), 4U);
  }
  // The bridge stays, and the ends go with their namespaces: what is left of them, if anything, is
  // still being taken down.
  EXPECT_TRUE(netlink_->link("br0"));
  for (const std::string& name : names()) {
    EXPECT_TRUE(name == "lo" || name == "br0" || name.starts_with("rf")) << name;
  }
}

TEST_F(SpawnNetwork, MacvlanAndLoopback) {
  ASSERT_TRUE(netlink_->add_veth("up0", "up1"));
  NetworkInterface macvlan;
  macvlan.kind = InterfaceKind::macvlan;
  macvlan.name = "mv0";
  macvlan.parent = "up0";
  macvlan.addresses = {*IpNetwork::parse("10.0.0.4/24")};
  NetworkInterface lo;
  lo.kind = InterfaceKind::loopback;
  lo.name = "lo";
  lo.addresses = {*IpNetwork::parse("10.9.9.9/32")};
  const Waiting waiting = start(with({macvlan, lo}));
  ASSERT_EQ(waiting.error, "");
  Netlink there = inside(waiting);
  EXPECT_EQ(there.link("mv0").value().kind, "macvlan");
  const auto all = there.addresses();
  ASSERT_TRUE(all);
  EXPECT_TRUE(std::any_of(all->begin(), all->end(), [](const AddressInfo& one) {
    return one.index == 1 && one.address.str() == "10.9.9.9/32";
  }));
}

TEST_F(SpawnNetwork, InAUserNamespaceOfTheTargets) {
  Policy policy = with({eth0()});
  policy.namespaces.push_back({Ns::user, {}});
  policy.uid_mappings = policy.gid_mappings = {{0, 100000, 65536}};
  policy.network.allow.emplace();
  const Waiting waiting = start(policy);
  ASSERT_EQ(waiting.error, "");
  EXPECT_TRUE(inside(waiting).link("eth0").value().up());
}

TEST_F(SpawnNetwork, AFailedStepIsNamedWithTheKernelsWords) {
  NetworkInterface macvlan;
  macvlan.kind = InterfaceKind::macvlan;
  macvlan.name = "mv0";
  macvlan.parent = "absent0";
  const auto plan = compile(with({macvlan}));
  ASSERT_TRUE(plan);
  const Ran ran = run(*plan, "true");
  EXPECT_THAT(ran.error, HasSubstr("step net.link:mv0"));
  EXPECT_THAT(ran.error, HasSubstr("absent0"));
  EXPECT_TRUE(childless());
  NetworkInterface bad = eth0();
  bad.routes = {{*IpNetwork::parse("0.0.0.0/0"), IpAddress::parse("192.0.2.1")}};
  const auto routes = compile(with({bad}));
  ASSERT_TRUE(routes);
  EXPECT_THAT(run(*routes, "true").error, HasSubstr("step net.route:eth0:default"));
  EXPECT_TRUE(childless());
}

// Each request of the helper fails once: the target does not start, the step is named, and no
// process stays.
TEST_F(SpawnNetwork, EveryRequestThatFailsStopsTheTarget) {
  Policy policy = with({eth0()});
  policy.network.interfaces[0].port.flood = false;
  policy.network.allow = {{*IpNetwork::parse("10.0.0.1/32"), 0, 0}};
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  size_t fired = 0;
  constexpr size_t kMost = 200;
  for (size_t index = 0; index < kMost; ++index) {
    ASSERT_TRUE(sys::arm_fault({.nr = SYS_sendto, .index = index, .err = ENOBUFS}));
    const Ran ran = run(*plan, "true");
    const bool hit = sys::fault_fired();
    sys::disarm_faults();
    EXPECT_TRUE(childless());
    if (!hit) {
      EXPECT_EQ(ran.error, "");
      break;
    }
    ++fired;
    EXPECT_THAT(ran.error, HasSubstr("step net.")) << index;
    EXPECT_THAT(ran.error, HasSubstr("ENOBUFS")) << index;
  }
  EXPECT_GT(fired, 10U);
  EXPECT_LT(fired, kMost);
}

TEST_F(SpawnNetwork, NothingIsChangedInANamespaceThatIsNotNew) {
  Policy policy = with({eth0()});
  policy.namespaces.clear();
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find("net.link:eth0"), nullptr);
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_THAT(names(), UnorderedElementsAre("lo"));
}

// A witness that cannot be had changes nothing for the target, and is told.
TEST_F(SpawnNetwork, APortThatCannotBeCountedIsTold) {
  const auto plan = compile(with({eth0()}));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->ports(), 1);
  const auto no_program = sys::open("/dev/null", O_RDONLY);
  ASSERT_TRUE(no_program);
  int counted = -1;
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/true";
  request.args = {"true"};
  request.port_program = no_program->get();
  request.counted_ports = &counted;
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  EXPECT_EQ(counted, 0);
  const auto ended = child->wait();
  ASSERT_TRUE(ended && *ended);
  EXPECT_EQ((*ended)->describe(), "exit 0");
}

TEST_F(SpawnNetwork, DroppedStepsAreNotMade) {
  NetworkInterface wanted = eth0();
  wanted.port.isolated = true;
  const Policy policy = with({wanted});
  CompileOptions options;
  options.drop = [](const Step& step) { return step.key == "net.port:eth0"; };
  const auto plan = compile(policy, options);
  ASSERT_TRUE(plan);
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(outer().port, BridgePort{});
}

TEST_F(SpawnNetwork, EntersAPreparedNamespace) {
  NetnsPool pool;
  ASSERT_TRUE(pool.fill(1));
  const auto prepared = pool.take();
  ASSERT_TRUE(prepared);
  struct stat there {};
  struct stat own {};
  ASSERT_EQ(fstat(prepared->get(), &there), 0);
  Policy policy = with({eth0()});
  const Waiting waiting = start(policy, prepared->get());
  ASSERT_EQ(waiting.error, "");
  ASSERT_EQ(stat(waiting.proc("ns/net").c_str(), &own), 0);
  EXPECT_EQ(own.st_ino, there.st_ino);
  EXPECT_TRUE(inside(waiting).link("eth0").value().up());
}

TEST_F(SpawnNetwork, APreparedNamespaceIsNotJoined) {
  NetnsPool pool;
  const auto prepared = pool.take();
  ASSERT_TRUE(prepared);
  const auto plan = compile(with({}));
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->apart) << "what a pool made needs no process of its own to enter";
  EXPECT_EQ(wait_under(*plan, prepared->get()).error, "");
  // Without a new namespace in the plan there is nothing that it could stand for.
  const auto none = compile(open_policy());
  ASSERT_TRUE(none);
  EXPECT_THAT(wait_under(*none, prepared->get()).error, HasSubstr("network namespace"));
  Policy user = with({});
  user.namespaces.push_back({Ns::user, {}});
  user.uid_mappings = user.gid_mappings = {{0, 100000, 65536}};
  const auto owned = compile(user);
  ASSERT_TRUE(owned);
  EXPECT_THAT(wait_under(*owned, prepared->get()).error, HasSubstr("network namespace"));
  // What is no network namespace at all is refused by the kernel, and the step says so.
  const auto wrong = sys::open("/proc/self/ns/uts", O_RDONLY);
  ASSERT_TRUE(wrong);
  EXPECT_THAT(wait_under(*plan, wrong->get()).error, HasSubstr("step ns.net: setns"));
  EXPECT_TRUE(childless());
}

}  // namespace
}  // namespace ringfence

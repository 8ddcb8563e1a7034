#include "harness/confine/network.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>

#include "harness/base/sys.h"
#include "harness/confine/port_filter.h"

namespace ringfence {
namespace {

using Effect = Step::Network::Effect;

std::string port_words(const BridgePort& port) {
  std::string text;
  const auto add = [&](bool unusual, const char* word) {
    if (!unusual) return;
    if (!text.empty()) text += ", ";
    text += word;
  };
  add(port.isolated, "isolated");
  add(port.hairpin, "hairpin");
  add(!port.learning, "no learning");
  add(!port.flood, "no flooding");
  return text;
}

std::string_view kind_word(InterfaceKind kind) {
  return kind == InterfaceKind::veth ? "veth" : "macvlan";
}

// A kernel without IPv6 gives no addresses of its own.
Status quiet(Netlink& netlink, int index) {
  auto ok = netlink.no_address_of_its_own(index);
  if (!ok && ok.error().err != EAFNOSUPPORT && ok.error().err != EOPNOTSUPP) return ok;
  return {};
}

class Steps {
 public:
  Steps(Assembler& plan, const NetworkPolicy& network) : plan_(plan), network_(network) {}

  void add(size_t number) {
    number_ = static_cast<uint16_t>(number);
    const NetworkInterface& i = network_.interfaces[number];
    const bool own = i.kind != InterfaceKind::loopback;
    if (!i.bridge.empty()) {
      step(Effect::bridge, "net.bridge:" + i.bridge, "make the bridge unless it is there");
    }
    if (own) {
      const std::string& at = i.bridge.empty() ? i.parent : i.bridge;
      step(Effect::link, "net.link:" + i.name,
           fmt::format("make it, {}{}{}", kind_word(i.kind), at.empty() ? "" : " on ", at));
    }
    if (i.mac) step(Effect::mac, "net.mac:" + i.name, "set it to " + i.mac->str());
    if (i.mtu) step(Effect::mtu, "net.mtu:" + i.name, fmt::format("set it to {}", *i.mtu));
    if (const std::string words = port_words(i.port); !words.empty()) {
      // Hairpin alone takes nothing away.
      const bool confines = i.port.isolated || !i.port.learning || !i.port.flood;
      step(Effect::port, "net.port:" + i.name, "its bridge port: " + words, confines,
           Layer::kNetFilter);
    }
    if (network_.allow && i.kind == InterfaceKind::veth) {
      step(Effect::filter, "net.filter:" + i.name,
           fmt::format("let it reach {} peers and nobody else", network_.allow->size()), true,
           Layer::kNetFilter);
    }
    const auto each = [&](Effect effect, const char* key, const auto& list, auto text) {
      for (size_t n = 0; n < list.size(); ++n) {
        const std::string value = text(list[n]);
        step(effect, fmt::format("{}:{}:{}", key, i.name, value), "add " + value, false,
             Layer::kNet, n);
      }
    };
    each(Effect::address, "net.address", i.addresses, [](const IpNetwork& a) { return a.str(); });
    each(Effect::neighbour, "net.neighbour", i.neighbours,
         [](const NetworkNeighbour& n) { return n.address.str(); });
    if (own || !i.routes.empty()) step(Effect::up, "net.up:" + i.name, "bring it up");
    each(Effect::route, "net.route", i.routes,
         [](const NetworkRoute& r) { return r.to.prefix == 0 ? "default" : r.to.str(); });
  }

 private:
  void step(Effect effect, std::string key, std::string text, bool confines = false,
            const Layer& layer = Layer::kNet, size_t entry = 0) {
    Step one = Assembler::setup(layer, std::move(key), std::move(text));
    one.where = Where::helper;
    one.confines = confines;
    one.network = {effect, number_, static_cast<uint16_t>(entry)};
    plan_.add(std::move(one));
  }

  Assembler& plan_;
  const NetworkPolicy& network_;
  uint16_t number_ = 0;
};

}  // namespace

void add_network(Assembler& plan, const NetworkPolicy& network) {
  Steps steps(plan, network);
  for (size_t i = 0; i < network.interfaces.size(); ++i) steps.add(i);
}

void add_net_devices(Assembler& plan, const NetDevices& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const auto& [device, name] = devices[i];
    Step step = Assembler::setup(Layer::kNet, "net.device:" + device,
                                 name.empty() ? "move the spawner's " + device + " in"
                                              : fmt::format("move it in, as {}", name));
    step.where = Where::helper;
    step.network = {Effect::take, static_cast<uint16_t>(i), 0};
    plan.add(std::move(step));
  }
}

Result<NetworkMaker> NetworkMaker::open(const NetworkPolicy& network, const NetDevices& devices,
                                        int pid) {
  auto outside = Netlink::open();
  if (!outside) return tl::unexpected(outside.error());
  auto events = Netlink::open_events();
  if (!events) return tl::unexpected(events.error());
  auto netns = sys::open(fmt::format("/proc/{}/ns/net", pid).c_str(), O_RDONLY);
  if (!netns) return tl::unexpected(netns.error());
  if (const int64_t r = sys::call(SYS_setns, netns->get(), CLONE_NEWNET); r < 0) {
    return system_error("setns", "the target's network namespace", static_cast<int>(-r));
  }
  auto inside = Netlink::open();
  if (!inside) return tl::unexpected(inside.error());
  return NetworkMaker(network, devices, pid, std::move(*outside), std::move(*events),
                      std::move(*inside), std::move(*netns));
}

Result<int> NetworkMaker::inner(const NetworkInterface& wanted) {
  return inside_.index_of(wanted.name);
}

Status NetworkMaker::make_link(const NetworkInterface& wanted, size_t number) {
  // Free names: the target's pid is nobody else's, and the inner end leaves at once.
  const std::string outer = fmt::format("rf{}.{}", pid_, number);
  const std::string moving = fmt::format("rfi{}.{}", pid_, number);
  if (wanted.kind == InterfaceKind::macvlan) {
    const auto parent = outside_.index_of(wanted.parent);
    if (!parent) return tl::unexpected(parent.error());
    if (auto ok = outside_.add_macvlan(moving, *parent); !ok) return ok;
  } else if (auto ok = outside_.add_veth(outer, moving); !ok) {
    return ok;
  }
  const auto end = outside_.index_of(moving);
  if (!end) return tl::unexpected(end.error());
  if (wanted.kind == InterfaceKind::veth) {
    const auto mine = outside_.index_of(outer);
    if (!mine) return tl::unexpected(mine.error());
    outer_[number] = *mine;
    if (auto ok = quiet(outside_, *mine); !ok) return ok;
    if (!wanted.bridge.empty()) {
      const auto bridge = outside_.index_of(wanted.bridge);
      if (!bridge) return tl::unexpected(bridge.error());
      if (auto ok = outside_.set_master(*mine, *bridge); !ok) return ok;
    }
    if (xdp_fd_ >= 0) {
      // A witness that is missing is told, and changes nothing for the target.
      if (outside_.set_xdp(*mine, xdp_fd_)) ++counted_;
    }
  }
  if (auto ok = outside_.move_to_fd(*end, netns_.get(), wanted.name); !ok) return ok;
  // Only now: in another namespace an interface begins with that namespace's defaults.
  const auto moved = inner(wanted);
  if (!moved) return tl::unexpected(moved.error());
  return quiet(inside_, *moved);
}

Status NetworkMaker::take(const std::string& device, const std::string& name) {
  const auto index = outside_.index_of(device);
  if (!index) return tl::unexpected(index.error());
  const auto addresses = outside_.addresses();
  if (!addresses) return tl::unexpected(addresses.error());
  // It loses its addresses on the way.
  if (auto ok = outside_.move_to_fd(*index, netns_.get(), name); !ok) return ok;
  const auto moved = inside_.index_of(name.empty() ? device : name);
  if (!moved) return tl::unexpected(moved.error());
  for (const AddressInfo& had : *addresses) {
    if (had.index != *index || !had.global || !had.permanent) continue;
    if (auto ok = inside_.add_address(*moved, had.address); !ok) return ok;
  }
  return inside_.set_up(*moved);
}

Status NetworkMaker::make(const Step::Network& step) {
  if (step.effect == Effect::take) {
    const auto& [device, name] = devices_->at(step.interface);
    return take(device, name);
  }
  const NetworkInterface& wanted = network_->interfaces.at(step.interface);
  const auto outer = outer_.find(step.interface);
  const auto outside = [&](auto&& change) -> Status {
    if (outer == outer_.end()) return system_error("find interface", wanted.name, ENODEV);
    return change(outer->second);
  };
  const auto inside = [&](auto&& change) -> Status {
    const auto index = inner(wanted);
    if (!index) return tl::unexpected(index.error());
    return change(*index);
  };
  switch (step.effect) {
    case Effect::none:
    case Effect::take:
      return {};
    case Effect::bridge: {
      auto made = outside_.add_link("bridge", wanted.bridge);
      const bool there = !made && made.error().err == EEXIST;
      if (!made && !there) return made;
      const auto bridge = outside_.link(wanted.bridge);
      if (!bridge) return tl::unexpected(bridge.error());
      if (bridge->kind != "bridge") {
        return usage_error("make bridge", wanted.bridge, "an interface of that name is no bridge");
      }
      if (made) {
        if (auto ok = quiet(outside_, bridge->index); !ok) return ok;
      }
      return bridge->up() ? Status{} : outside_.set_up(bridge->index);
    }
    case Effect::link:
      return make_link(wanted, step.interface);
    case Effect::mac:
      return inside([&](int index) { return inside_.set_mac(index, *wanted.mac); });
    case Effect::mtu: {
      if (outer != outer_.end()) {
        if (auto ok = outside_.set_mtu(outer->second, *wanted.mtu); !ok) return ok;
      }
      return inside([&](int index) { return inside_.set_mtu(index, *wanted.mtu); });
    }
    case Effect::port:
      return outside([&](int index) { return outside_.set_port(index, wanted.port); });
    case Effect::filter:
      return outside([&](int index) {
        return attach_port_filter(outside_, index, compile_port_filter(wanted, *network_->allow));
      });
    case Effect::address:
      return inside(
          [&](int index) { return inside_.add_address(index, wanted.addresses.at(step.entry)); });
    case Effect::neighbour:
      return inside([&](int index) {
        return inside_.add_neighbour(index, wanted.neighbours.at(step.entry));
      });
    case Effect::up: {
      if (outer != outer_.end()) {
        if (auto ok = outside_.set_up(outer->second); !ok) return ok;
      }
      if (auto ok = inside([&](int index) { return inside_.set_up(index); }); !ok) return ok;
      if (outer == outer_.end() || wanted.bridge.empty()) return {};
      return outside_.wait_until_forwarding(outer->second, events_);
    }
    case Effect::route:
      return inside(
          [&](int index) { return inside_.add_route(index, wanted.routes.at(step.entry)); });
  }
  return {};
}

}  // namespace ringfence

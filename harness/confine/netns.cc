#include "harness/confine/netns.h"

#include <linux/sched.h>
#include <sys/syscall.h>

#include <cstdlib>

#include "harness/base/sys.h"
#include "harness/confine/netlink.h"

namespace ringfence {
namespace {

constexpr const char* kOwn = "/proc/thread-self/ns/net";
constexpr int kLoopback = 1;  // in every network namespace, include/net/flow.h

}  // namespace

Result<UniqueFd> own_netns() { return sys::open(kOwn, O_RDONLY); }

Result<InNetns> InNetns::enter(int netns_fd) {
  auto home = own_netns();
  if (!home) return tl::unexpected(home.error());
  if (const int64_t r = sys::call(SYS_setns, netns_fd, CLONE_NEWNET); r < 0) {
    return system_error("setns", "network namespace", static_cast<int>(-r));
  }
  return InNetns(std::move(*home));
}

Status InNetns::leave() {
  if (!home_) return {};
  if (const int64_t r = sys::call(SYS_setns, home_.get(), CLONE_NEWNET); r < 0) {
    return system_error("setns", "the network namespace before", static_cast<int>(-r));
  }
  home_.reset();
  return {};
}

InNetns::~InNetns() {
  if (!leave() && !leave()) std::abort();
}

Result<UniqueFd> make_netns() {
  auto home = own_netns();
  if (!home) return tl::unexpected(home.error());
  // To enter one's own namespace is allowed: what is made next is left again by the same guard.
  auto inside = InNetns::enter(home->get());
  if (!inside) return tl::unexpected(inside.error());
  if (const int64_t r = sys::call(SYS_unshare, CLONE_NEWNET); r < 0) {
    return system_error("unshare", "network namespace", static_cast<int>(-r));
  }
  auto made = own_netns();
  if (!made) return tl::unexpected(made.error());
  auto netlink = Netlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  if (auto up = netlink->set_up(kLoopback); !up) return tl::unexpected(up.error());
  if (auto back = inside->leave(); !back) return tl::unexpected(back.error());
  return made;
}

}  // namespace ringfence

// Trials of the network's facilities, each in a network namespace of its own, which goes with the
// child. By hand, since what runs in such a child makes syscalls and nothing else.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>

#include "harness/base/facts_probe.h"
#include "harness/base/sys.h"

namespace ringfence::facts_detail {
namespace {

constexpr int kLoopback = 1;

int to_errno(int64_t result) { return result < 0 ? static_cast<int>(-result) : 0; }

// A request under construction: header, the family's own header, attributes.
struct Message {
  static constexpr size_t kRoom = 512;
  alignas(nlmsghdr) unsigned char bytes[kRoom];
  uint32_t size;

  template <typename T>
  void begin(int type, int flags, const T& family) {
    std::memset(bytes, 0, sizeof bytes);
    nlmsghdr header{};
    header.nlmsg_type = static_cast<uint16_t>(type);
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    std::memcpy(bytes, &header, sizeof header);
    std::memcpy(bytes + NLMSG_HDRLEN, &family, sizeof family);
    size = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof family);
  }
  void attribute(int type, const void* data, size_t length) {
    rtattr header{};
    header.rta_len = static_cast<uint16_t>(RTA_LENGTH(length));
    header.rta_type = static_cast<uint16_t>(type);
    std::memcpy(bytes + size, &header, sizeof header);
    std::memcpy(bytes + size + RTA_LENGTH(0), data, length);
    size += static_cast<uint32_t>(RTA_SPACE(length));
  }
  uint32_t nest(int type) {
    const uint32_t at = size;
    attribute(type, "", 0);
    return at;
  }
  void close(uint32_t at) {
    const auto length = static_cast<uint16_t>(size - at);
    std::memcpy(bytes + at, &length, sizeof length);
  }
};

// Sends it and gives the errno of the answer.
int ask(int protocol, Message& message) {
  std::memcpy(message.bytes, &message.size, sizeof message.size);
  const int64_t fd = sys::call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return to_errno(fd);
  int64_t n = sys::call(SYS_sendto, fd, sys::arg(message.bytes), message.size);
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[Message::kRoom];
  } answer{};
  if (n >= 0) n = sys::call(SYS_recvfrom, fd, sys::arg(&answer), sizeof answer, 0, 0, 0);
  sys::call(SYS_close, fd);
  if (n < 0) return to_errno(n);
  return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
}

int trial_link(const void* kind) {
  Message message{};
  message.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  const uint32_t info = message.nest(IFLA_LINKINFO);
  const auto* text = static_cast<const char*>(kind);
  message.attribute(IFLA_INFO_KIND, text, std::strlen(text) + 1);
  message.close(info);
  return ask(NETLINK_ROUTE, message);
}

// As the spawner's allow-list: clsact, and classic BPF in direct-action mode.
int trial_tc_bpf(const void*) {
  Message message{};
  tcmsg queue{};
  queue.tcm_ifindex = kLoopback;
  queue.tcm_parent = TC_H_CLSACT;
  queue.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  message.begin(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, queue);
  message.attribute(TCA_KIND, "clsact", sizeof "clsact");
  if (const int err = ask(NETLINK_ROUTE, message); err != 0) return err;
  tcmsg filter{};
  filter.tcm_ifindex = kLoopback;
  filter.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  filter.tcm_info = TC_H_MAKE(1U << 16U, htons(ETH_P_ALL));
  message.begin(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, filter);
  message.attribute(TCA_KIND, "bpf", sizeof "bpf");
  const uint32_t options = message.nest(TCA_OPTIONS);
  const sock_filter pass{BPF_RET | BPF_K, 0, 0, TC_ACT_OK};
  const uint16_t length = 1;
  const uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
  message.attribute(TCA_BPF_OPS_LEN, &length, sizeof length);
  message.attribute(TCA_BPF_OPS, &pass, sizeof pass);
  message.attribute(TCA_BPF_FLAGS, &flags, sizeof flags);
  message.close(options);
  return ask(NETLINK_ROUTE, message);
}

int trial_nf_tables(const void*) {
  Message message{};
  nfgenmsg generic{};
  generic.version = NFNETLINK_V0;
  message.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, generic);
  return ask(NETLINK_NETFILTER, message);
}

struct Trial {
  int (*function)(const void*);
  const void* argument;
  SelfMap map;
};

int in_own_netns(const void* argument) {
  const auto* trial = static_cast<const Trial*>(argument);
  if (const int err = enter(CLONE_NEWNET, trial->map); err != 0) return err;
  return trial->function(trial->argument);
}

Answer try_there(int (*function)(const void*), const void* argument, std::string_view what) {
  const Trial trial{function, argument, self_map()};
  return from_child(in_child(in_own_netns, &trial), what);
}

}  // namespace

Answer probe_veth(const Facts&) { return try_there(trial_link, "veth", "add veth"); }
Answer probe_bridge(const Facts&) { return try_there(trial_link, "bridge", "add bridge"); }
Answer probe_tc_bpf(const Facts&) {
  return try_there(trial_tc_bpf, nullptr, "clsact with classic BPF");
}
Answer probe_nf_tables(const Facts&) {
  return try_there(trial_nf_tables, nullptr, "NFT_MSG_GETGEN");
}

}  // namespace ringfence::facts_detail

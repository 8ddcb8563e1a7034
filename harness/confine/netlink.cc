#include "harness/confine/netlink.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>

#include "harness/base/sys.h"
#include "harness/confine/netlink_attributes.h"

namespace ringfence {
namespace {

constexpr size_t kReceive = size_t{64} << 10;  // more than a message of any dump
constexpr int kTries = 8;                      // of a dump that is interrupted

size_t words(size_t bytes) { return (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t); }

// The kernel's own words about an error, empty when it has none.
std::string extended_ack(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  size_t skip = sizeof *error;
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0 && error->msg.nlmsg_len > sizeof error->msg) {
    skip += error->msg.nlmsg_len - sizeof error->msg;
  }
  std::string text;
  for_each_attribute(*message, MNL_ALIGN(skip), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG) return;
    const char* words = mnl_attr_get_str(attribute);
    text.assign(words, strnlen(words, mnl_attr_get_payload_len(attribute)));
  });
  return text;
}

}  // namespace

// ---- NetlinkMessage ----------------------------------------------------------------------------

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags, size_t room)
    : bytes_(words(room)), message_(mnl_nlmsg_put_header(bytes_.data())) {
  message_->nlmsg_type = type;
  message_->nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
}

void* NetlinkMessage::extra(size_t size) { return mnl_nlmsg_put_extra_header(message_, size); }

void NetlinkMessage::put(uint16_t type, const void* data, size_t size) {
  const bool fits =
      size <= UINT16_MAX - sizeof(nlattr) &&
      mnl_attr_put_check(message_, bytes_.size() * sizeof(uint64_t), type, size, data);
  overflowed_ = overflowed_ || !fits;
}

void NetlinkMessage::text(uint16_t type, std::string_view value) {
  const std::string copy(value);
  put(type, copy.c_str(), copy.size() + 1);
}

nlattr* NetlinkMessage::begin_nested(uint16_t type) {
  nlattr* nested = mnl_attr_nest_start_check(message_, bytes_.size() * sizeof(uint64_t), type);
  overflowed_ = overflowed_ || nested == nullptr;
  return nested;
}

void NetlinkMessage::end_nested(nlattr* nested) {
  if (nested != nullptr) mnl_attr_nest_end(message_, nested);
}

void NetlinkMessage::append(const void* data, size_t size) {
  if (message_->nlmsg_len + MNL_ALIGN(size) > bytes_.size() * sizeof(uint64_t)) {
    overflowed_ = true;
    return;
  }
  std::memcpy(extra(size), data, size);
}

// ---- Exchange ----------------------------------------------------------------------------------

Result<Netlink> Netlink::open(int protocol) {
  const int64_t raw = sys::call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (raw < 0) return system_error("socket", "netlink", static_cast<int>(-raw));
  Netlink netlink{UniqueFd(static_cast<int>(raw))};
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  const int64_t bound = sys::call(SYS_bind, netlink.fd_.get(), sys::arg(&address), sizeof address);
  if (bound < 0) return system_error("bind", "netlink", static_cast<int>(-bound));
  // Words beside the errno are a help: without them (before Linux 4.12) everything works as well.
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK}) {
    (void)sys::call(SYS_setsockopt, netlink.fd_.get(), SOL_NETLINK, option, sys::arg(&on),
                    sizeof on);
  }
  netlink.buffer_.resize(words(kReceive));
  return netlink;
}

Status Netlink::send(const void* data, size_t size, const char* what, const std::string& object) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  int64_t sent = -EINTR;
  while (sent == -EINTR) {
    sent =
        sys::call(SYS_sendto, fd_.get(), sys::arg(data), size, 0, sys::arg(&kernel), sizeof kernel);
  }
  if (sent < 0) return system_error(what, object, static_cast<int>(-sent));
  return {};
}

Result<size_t> Netlink::receive(const char* what) {
  for (;;) {
    sockaddr_nl from{};
    socklen_t size = sizeof from;
    const int64_t n = sys::call(SYS_recvfrom, fd_.get(), sys::arg(buffer_.data()), kReceive,
                                MSG_TRUNC, sys::arg(&from), sys::arg(&size));
    if (n == -EINTR) continue;
    if (n < 0) return system_error(what, "answer of the kernel", static_cast<int>(-n));
    if (static_cast<size_t>(n) > kReceive) {
      return system_error(what, "answer of the kernel", EMSGSIZE);
    }
    // Anybody may write to a netlink socket's port; the kernel's is 0.
    if (from.nl_pid == 0) return static_cast<size_t>(n);
  }
}

Status Netlink::acknowledged(uint32_t sequence, const char* what, const std::string& object) {
  for (;;) {
    const auto received = receive(what);
    if (!received) return tl::unexpected(received.error());
    auto left = static_cast<int>(*received);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence || message->nlmsg_type != NLMSG_ERROR ||
          mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) {
        continue;
      }
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      if (error->error == 0) return {};
      return system_error(what, object, -error->error, extended_ack(message));
    }
  }
}

Status Netlink::request(NetlinkMessage& message, const char* what, const std::string& object) {
  if (message.overflowed()) return system_error(what, object, EMSGSIZE);
  message.raw()->nlmsg_flags |= NLM_F_ACK;
  message.raw()->nlmsg_seq = ++sequence_;
  if (auto ok = send(message.raw(), message.raw()->nlmsg_len, what, object); !ok) return ok;
  return acknowledged(sequence_, what, object);
}

Status Netlink::batch(const std::vector<NetlinkMessage*>& messages, const char* what,
                      const std::string& object) {
  std::string bytes;
  for (NetlinkMessage* message : messages) {
    if (message->overflowed()) return system_error(what, object, EMSGSIZE);
    message->raw()->nlmsg_seq = ++sequence_;
    bytes.append(reinterpret_cast<const char*>(message->raw()), message->raw()->nlmsg_len);
  }
  if (auto ok = send(bytes.data(), bytes.size(), what, object); !ok) return ok;
  for (const NetlinkMessage* message : messages) {
    if ((message->raw()->nlmsg_flags & NLM_F_ACK) == 0) continue;
    if (auto ok = acknowledged(message->raw()->nlmsg_seq, what, object); !ok) return ok;
  }
  return {};
}

Status Netlink::dump(NetlinkMessage& message, const char* what,
                     const std::function<void(const nlmsghdr&)>& tell) {
  if (message.overflowed()) return system_error(what, "request", EMSGSIZE);
  message.raw()->nlmsg_flags |= NLM_F_DUMP;
  for (int tries = 0; tries < kTries; ++tries) {
    message.raw()->nlmsg_seq = ++sequence_;
    if (auto ok = send(message.raw(), message.raw()->nlmsg_len, what, "dump"); !ok) return ok;
    // Told only when all of it has come, and in one piece.
    std::vector<std::vector<uint64_t>> told;
    bool interrupted = false;
    for (bool done = false; !done;) {
      const auto received = receive(what);
      if (!received) return tl::unexpected(received.error());
      auto left = static_cast<int>(*received);
      const auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data());
      for (; mnl_nlmsg_ok(m, left) && !done; m = mnl_nlmsg_next(m, &left)) {
        if (m->nlmsg_seq != sequence_) continue;
        interrupted = interrupted || (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (m->nlmsg_type == NLMSG_ERROR) {
          const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(m));
          return system_error(what, "dump", -error->error, extended_ack(m));
        }
        if (m->nlmsg_type == NLMSG_DONE) {
          // A dump that fails on the way says so at its end.
          int32_t end = 0;
          if (mnl_nlmsg_get_payload_len(m) >= sizeof end) {
            std::memcpy(&end, mnl_nlmsg_get_payload(m), sizeof end);
          }
          if (end < 0) return system_error(what, "dump", -end);
          done = true;
          continue;
        }
        std::memcpy(told.emplace_back(words(m->nlmsg_len)).data(), m, m->nlmsg_len);
      }
    }
    if (interrupted) continue;
    for (const auto& one : told) tell(*reinterpret_cast<const nlmsghdr*>(one.data()));
    return {};
  }
  return system_error(what, "dump", EINTR, "the list changed each time that it was asked for");
}

}  // namespace ringfence

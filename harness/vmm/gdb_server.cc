#include "harness/vmm/gdb_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <charconv>
#include <ctime>

#include "harness/base/sys.h"

namespace ringfence::vmm {
namespace {

constexpr uint8_t kFailedStatus = 2;  // as `ringfence vm run` ends

int64_t monotonic() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

bool is_loopback(const std::string& host) {
  in_addr address{};
  constexpr uint32_t kLoopbackNet = 127;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         ntohl(address.s_addr) >> 24 == kLoopbackNet;
}

Result<UniqueFd> new_socket(int family, const std::string& what) {
  const int64_t fd =
      sys::call(SYS_socket, static_cast<uint64_t>(family), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket", what, static_cast<int>(-fd));
  return UniqueFd(static_cast<int>(fd));
}

// Whether something can be read; false when the time is up.
Result<bool> readable(int fd, int64_t limit_ms) {
  const int64_t until = monotonic() + limit_ms * 1'000'000;
  for (;;) {
    const int64_t left = std::max<int64_t>(0, (until - monotonic()) / 1'000'000);
    pollfd entry{fd, POLLIN, 0};
    const int64_t r = sys::call(SYS_poll, sys::arg(&entry), 1,
                                limit_ms < 0 ? ~0ULL : static_cast<uint64_t>(left));
    if (r == -EINTR) continue;
    if (r < 0) return system_error("poll", "gdb", static_cast<int>(-r));
    return r > 0;
  }
}

}  // namespace

Result<GdbPlace> parse_gdb_place(std::string_view text) {
  static constexpr std::string_view kAllowed =
      "[HOST:]PORT with a loopback address as the host, or the path of a Unix socket with a slash";
  GdbPlace place;
  const std::string whole(text);
  if (text.find('/') != std::string_view::npos) {
    if (text.size() >= sizeof(sockaddr_un{}.sun_path)) {
      return usage_error("parse --gdb", whole, "the path of a socket has at most 107 characters");
    }
    place.path = whole;
    return place;
  }
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    place.host = std::string(text.substr(0, colon));
    text.remove_prefix(colon + 1);
    if (place.host == "localhost") place.host = "127.0.0.1";
    if (!is_loopback(place.host)) return usage_error("parse --gdb", whole, std::string(kAllowed));
  }
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), place.port);
  if (text.empty() || err != std::errc() || end != text.data() + text.size()) {
    return usage_error("parse --gdb", whole, std::string(kAllowed));
  }
  return place;
}

// The stub's view of a machine.
class GdbServer::Target final : public GdbTarget {
 public:
  Target(Machine& machine, DebugFacilities facilities)
      : breakpoints(machine, facilities), machine_(machine) {}
  Result<CpuState> registers() override {
    auto regs = machine_.vcpu().regs();
    if (!regs) return tl::unexpected(regs.error());
    auto sregs = machine_.vcpu().sregs();
    if (!sregs) return tl::unexpected(sregs.error());
    auto fpu = machine_.vcpu().fpu();
    if (!fpu) return tl::unexpected(fpu.error());
    return CpuState{*regs, *sregs, *fpu};
  }
  Status set_registers(const CpuState& state) override {
    if (auto ok = machine_.vcpu().set_sregs(state.sregs); !ok) return ok;
    if (auto ok = machine_.vcpu().set_fpu(state.fpu); !ok) return ok;
    return machine_.vcpu().set_regs(state.regs);
  }
  size_t read(uint64_t address, std::span<uint8_t> bytes) override {
    return breakpoints.read(address, bytes);
  }
  Status write(uint64_t address, std::span<const uint8_t> bytes) override {
    return breakpoints.write(address, bytes);
  }
  Status insert(Break kind, uint64_t address) override { return breakpoints.insert(kind, address); }
  Status remove(Break kind, uint64_t address) override { return breakpoints.remove(kind, address); }
  Breakpoints breakpoints;

 private:
  Machine& machine_;
};

GdbServer::GdbServer(UniqueFd listener, std::string address, std::string path,
                     DebugFacilities facilities, std::chrono::milliseconds patience)
    : listener_(std::move(listener)),
      address_(std::move(address)),
      path_(std::move(path)),
      facilities_(facilities),
      patience_(patience) {}

GdbServer::~GdbServer() {
  if (!path_.empty()) (void)sys::call(SYS_unlink, sys::arg(path_.c_str()));
}

Result<std::unique_ptr<GdbServer>> GdbServer::listen(const GdbPlace& place,
                                                     DebugFacilities facilities,
                                                     std::chrono::milliseconds patience) {
  if (!facilities.step) {
    return unsupported_error("debug guest", "KVM_SET_GUEST_DEBUG", 0, debug_limits(facilities));
  }
  const bool local = !place.path.empty();
  std::string address = local ? place.path : fmt::format("{}:{}", place.host, place.port);
  auto fd = new_socket(local ? AF_UNIX : AF_INET, address);
  if (!fd) return tl::unexpected(fd.error());
  sockaddr_un name{};
  sockaddr_in number{};
  uint64_t where = sys::arg(&number);
  uint64_t size = sizeof number;
  if (local) {
    name.sun_family = AF_UNIX;
    place.path.copy(static_cast<char*>(name.sun_path), sizeof name.sun_path - 1);
    where = sys::arg(&name);
    size = sizeof name;
  } else {
    number.sin_family = AF_INET;
    number.sin_port = htons(place.port);
    ::inet_pton(AF_INET, place.host.c_str(), &number.sin_addr);
    const int one = 1;  // the port of a run that just ended is free for the next
    (void)sys::call(SYS_setsockopt, static_cast<uint64_t>(fd->get()), SOL_SOCKET, SO_REUSEADDR,
                    sys::arg(&one), sizeof one);
  }
  const auto socket = static_cast<uint64_t>(fd->get());
  int64_t r = sys::call(SYS_bind, socket, where, size);
  if (r < 0) return system_error("bind", address, static_cast<int>(-r));
  std::unique_ptr<GdbServer> server(
      new GdbServer(std::move(*fd), std::move(address), place.path, facilities, patience));
  r = sys::call(SYS_listen, socket, 1);
  if (r < 0) return system_error("listen", server->address_, static_cast<int>(-r));
  if (!local) {
    socklen_t length = sizeof number;
    r = sys::call(SYS_getsockname, socket, sys::arg(&number), sys::arg(&length));
    if (r < 0) return system_error("getsockname", server->address_, static_cast<int>(-r));
    server->address_ = fmt::format("{}:{}", place.host, ntohs(number.sin_port));
  }
  return server;
}

Status GdbServer::accept(Machine& machine, std::chrono::milliseconds limit) {
  auto there = readable(listener_.get(), limit.count());
  if (!there) return tl::unexpected(there.error());
  if (!*there) {
    return system_error("wait for gdb", address_, ETIMEDOUT,
                        fmt::format("nobody came within {} s", limit.count() / 1000));
  }
  const int64_t fd =
      sys::call(SYS_accept4, static_cast<uint64_t>(listener_.get()), 0, 0, SOCK_CLOEXEC);
  if (fd < 0) return system_error("accept", address_, static_cast<int>(-fd));
  client_ = UniqueFd(static_cast<int>(fd));
  const int one = 1;  // on a Unix socket this fails, and is not needed
  (void)sys::call(SYS_setsockopt, static_cast<uint64_t>(fd), IPPROTO_TCP, TCP_NODELAY,
                  sys::arg(&one), sizeof one);
  auto sregs = machine.vcpu().sregs();
  if (!sregs) return tl::unexpected(sregs.error());
  if (!target_) target_ = std::make_unique<Target>(machine, facilities_);
  stub_ = std::make_unique<GdbStub>(*target_, gdb_arch_of(*sregs));
  reader_ = GdbReader();
  inputs_.clear();
  no_ack_ = false;
  return {};
}

void GdbServer::drop() {
  client_.reset();
  stub_.reset();
  if (target_) (void)target_->breakpoints.clear();
}

Result<bool> GdbServer::receive(bool block) {
  auto there = readable(client_.get(), block ? -1 : 0);
  if (!there) return tl::unexpected(there.error());
  if (!*there) return true;
  std::array<uint8_t, 4096> bytes{};
  const int64_t n = sys::call(SYS_read, static_cast<uint64_t>(client_.get()),
                              sys::arg(bytes.data()), bytes.size());
  if (n == -EINTR) return true;
  if (n <= 0) return false;
  for (GdbInput& input : reader_.feed(std::span(bytes).first(static_cast<size_t>(n)))) {
    inputs_.push_back(std::move(input));
  }
  return true;
}

Status GdbServer::send(std::string_view text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const int64_t n = sys::call(SYS_sendto, static_cast<uint64_t>(client_.get()),
                                sys::arg(text.data() + sent), text.size() - sent, MSG_NOSIGNAL);
    if (n == -EINTR) continue;
    if (n < 0) return system_error("send", "gdb", static_cast<int>(-n));
    sent += static_cast<size_t>(n);
  }
  return {};
}

// `done`: the guest may go on.
Status GdbServer::act(Machine& machine, const GdbStub::Answer& answer, bool& done) {
  if (answer.reply) {
    last_sent_ = gdb_frame(*answer.reply);
    if (auto ok = send(last_sent_); !ok) return ok;
  }
  no_ack_ = no_ack_ || answer.no_ack;
  done = answer.next != GdbStub::Next::stay;
  switch (answer.next) {
    case GdbStub::Next::stay:
      return {};
    case GdbStub::Next::go:
    case GdbStub::Next::step:
      return target_->breakpoints.arm(answer.next == GdbStub::Next::step);
    case GdbStub::Next::detach:
      drop();
      return target_->breakpoints.arm(false);
    case GdbStub::Next::kill:
      killed_ = true;
      drop();
      machine.stop();
      return {};
  }
  return {};
}

Status GdbServer::serve(Machine& machine, const GdbStop& stop, bool announce) {
  const int64_t began = monotonic();
  stub_->stopped(stop);
  bool done = false;
  if (announce) {
    last_sent_ = gdb_frame(gdb_stop_reply(stop));
    if (!send(last_sent_)) drop();
  }
  while (!done) {
    if (!client_) {  // gdb is gone: another one may come
      if (auto ok = accept(machine, patience_); !ok) {
        killed_ = true;
        machine.stop();
        return ok;
      }
      stub_->stopped(stop);
    }
    if (inputs_.empty()) {
      auto alive = receive(true);
      if (!alive) return tl::unexpected(alive.error());
      if (!*alive) drop();
      continue;
    }
    const GdbInput input = std::move(inputs_.front());
    inputs_.pop_front();
    bool sent = true;
    switch (input.kind) {
      case GdbInput::Kind::packet: {
        if (!no_ack_) sent = send("+").has_value();
        if (!sent) break;
        auto ok = act(machine, stub_->answer(input.payload), done);
        if (!ok && ok.error().what != "send") return ok;
        sent = ok.has_value();
        break;
      }
      case GdbInput::Kind::bad:
        sent = send("-").has_value();
        break;
      case GdbInput::Kind::nack:
        sent = send(last_sent_).has_value();
        break;
      case GdbInput::Kind::ack:
      case GdbInput::Kind::interrupt:  // it stands still already
        break;
    }
    if (!sent) drop();
  }
  machine.stand_still(std::chrono::nanoseconds(monotonic() - began));
  return {};
}

Status GdbServer::wait(Machine& machine) {
  if (auto ok = accept(machine, patience_); !ok) return ok;
  return serve(machine, {}, false);
}

Handled GdbServer::exit(Machine& machine, Exit& exit) {
  const auto* debug = std::get_if<Debug>(&exit);
  if (debug == nullptr || !target_) return Handled::no;
  const Breakpoints::Stop why = target_->breakpoints.explain(*debug);
  if (why.hit == Breakpoints::Hit::guest) {
    return target_->breakpoints.pass_on(*debug) ? Handled::yes : Handled::stop;
  }
  if (why.hit == Breakpoints::Hit::nowhere || !client_) return Handled::yes;
  GdbStop stop;
  stop.kind =
      why.hit == Breakpoints::Hit::breakpoint ? GdbStop::Kind::breakpoint : GdbStop::Kind::stepped;
  stop.at = why.kind;
  if (!serve(machine, stop, true)) return Handled::stop;
  return killed_ ? Handled::stop : Handled::yes;
}

Status GdbServer::look(Machine& machine) {
  if (killed_) return {};
  if (!client_) {
    auto there = readable(listener_.get(), 0);
    if (!there || !*there) return there ? Status() : tl::unexpected(there.error());
    if (auto ok = accept(machine, std::chrono::milliseconds(0)); !ok) return ok;
    return serve(machine, {}, false);
  }
  auto alive = receive(false);
  if (!alive) return tl::unexpected(alive.error());
  GdbStop stop;
  stop.kind = GdbStop::Kind::interrupted;
  if (!*alive) {
    drop();
    return serve(machine, stop, false);
  }
  while (!inputs_.empty()) {
    const bool interrupt = inputs_.front().kind == GdbInput::Kind::interrupt;
    inputs_.pop_front();
    if (interrupt) return serve(machine, stop, true);
  }
  return {};
}

void GdbServer::ended(Machine& machine, const End& end) {
  if (!client_) return;
  GdbStop stop;
  stop.kind = GdbStop::Kind::exited;
  switch (end.kind) {
    case End::Kind::exited:
      stop.status = static_cast<uint8_t>(end.code);
      break;
    case End::Kind::halted:
      break;
    case End::Kind::shutdown:
    case End::Kind::fail_entry:
    case End::Kind::internal_error:
    case End::Kind::unhandled:
      stop.kind = GdbStop::Kind::died;
      // Whether gdb lets it go, leaves or ends it: it is over.
      (void)serve(machine, stop, true);
      if (!client_) return;
      [[fallthrough]];
    default:
      stop.kind = GdbStop::Kind::exited;
      stop.status = kFailedStatus;
      break;
  }
  (void)send(gdb_frame(gdb_stop_reply(stop)));
}

}  // namespace ringfence::vmm

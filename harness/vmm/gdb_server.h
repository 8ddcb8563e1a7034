#pragma once
// GdbServer: lets one gdb at a time debug a machine, over TCP on the loopback interface or over a
// Unix socket.
//
// Made before the machine runs; then
//
//   server->wait(machine)          until gdb is there and lets the guest go
//   machine.on_exit(... server->exit(...))     breakpoints and steps
//   machine.on_idle(... server->look(...))     gdb's Ctrl-C; a gdb that comes later
//   server->ended(machine, end)    tells gdb how it ended
//
// While the guest stands still its time does, and so does the budget. A gdb that goes away without
// a word leaves it so, for another one to come, until the patience ends.
//
// Owns its sockets and the name of the Unix socket. Belongs to the machine's thread.
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/unique_fd.h"
#include "harness/vmm/debug.h"
#include "harness/vmm/gdb_packet.h"

namespace ringfence::vmm {

// "[HOST:]PORT" with a loopback address or "localhost" as the host (port 0: any that is free), or
// the path of a Unix socket, with a slash.
struct GdbPlace {
  std::string path;
  std::string host = "127.0.0.1";
  uint16_t port = 0;
};
Result<GdbPlace> parse_gdb_place(std::string_view text);

class GdbServer {
 public:
  // `unsupported` where the facilities are not enough to debug anything.
  static Result<std::unique_ptr<GdbServer>> listen(const GdbPlace& place,
                                                   DebugFacilities facilities,
                                                   std::chrono::milliseconds patience);
  GdbServer(const GdbServer&) = delete;
  GdbServer& operator=(const GdbServer&) = delete;
  ~GdbServer();

  // What to give to gdb's `target remote`.
  [[nodiscard]] const std::string& address() const { return address_; }
  // Becomes readable when look() has something to do.
  [[nodiscard]] int fd() const { return client_ ? client_.get() : listener_.get(); }
  [[nodiscard]] bool connected() const { return static_cast<bool>(client_); }
  // gdb ended the guest, or nobody came.
  [[nodiscard]] bool killed() const { return killed_; }

  Status wait(Machine& machine);
  Handled exit(Machine& machine, Exit& exit);
  Status look(Machine& machine);
  void ended(Machine& machine, const End& end);

 private:
  class Target;
  GdbServer(UniqueFd listener, std::string address, std::string path, DebugFacilities facilities,
            std::chrono::milliseconds patience);
  Status accept(Machine& machine, std::chrono::milliseconds limit);
  // Serves gdb until it lets the guest go on.
  Status serve(Machine& machine, const GdbStop& stop, bool announce);
  Status act(Machine& machine, const GdbStub::Answer& answer, bool& done);
  // Reads what there is; false when gdb is gone.
  Result<bool> receive(bool block);
  Status send(std::string_view packet);
  void drop();

  UniqueFd listener_;
  UniqueFd client_;
  std::string address_;
  std::string path_;
  DebugFacilities facilities_;
  std::chrono::milliseconds patience_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<GdbStub> stub_;
  GdbReader reader_;
  std::deque<GdbInput> inputs_;
  std::string last_sent_;
  bool no_ack_ = false;
  bool killed_ = false;
};

}  // namespace ringfence::vmm

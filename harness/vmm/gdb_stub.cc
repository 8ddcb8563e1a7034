#include "harness/vmm/gdb_stub.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/vmm/gdb_packet.h"

namespace ringfence::vmm {
namespace {

// What the protocol leaves open: gdb shows the number.
constexpr std::string_view kBadPacket = "E16";   // EINVAL
constexpr std::string_view kBadAddress = "E0e";  // EFAULT
constexpr std::string_view kOk = "OK";
constexpr int kSigInt = 2;
constexpr int kSigTrap = 5;
constexpr int kSigAbrt = 6;

// "left<separator>right", both hexadecimal numbers.
struct Pair {
  uint64_t left = 0;
  uint64_t right = 0;
};
std::optional<Pair> pair_of(std::string_view text, char separator) {
  const size_t at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const auto left = gdb_number(text.substr(0, at));
  const auto right = gdb_number(text.substr(at + 1));
  if (!left || !right) return std::nullopt;
  return Pair{*left, *right};
}

std::string error_reply(const Error& error) {
  return fmt::format("E{:02x}", error.err > 0 && error.err < 0x100 ? error.err : 1);
}

}  // namespace

std::string gdb_stop_reply(const GdbStop& stop) {
  switch (stop.kind) {
    case GdbStop::Kind::attached:
    case GdbStop::Kind::stepped:
      return fmt::format("T{:02x}thread:1;", kSigTrap);
    case GdbStop::Kind::breakpoint:
      return fmt::format("T{:02x}thread:1;{}:;", kSigTrap,
                         stop.at == GdbTarget::Break::software ? "swbreak" : "hwbreak");
    case GdbStop::Kind::interrupted:
      return fmt::format("T{:02x}thread:1;", kSigInt);
    case GdbStop::Kind::died:
      return fmt::format("T{:02x}thread:1;", kSigAbrt);
    case GdbStop::Kind::exited:
      return fmt::format("W{:02x}", stop.status);
  }
  return {};
}

std::string GdbStub::read_registers() {
  const auto state = target_.registers();
  if (!state) return error_reply(state.error());
  return gdb_hex(registers_.all(*state));
}

std::string GdbStub::write_registers(std::string_view hex) {
  const auto bytes = gdb_bytes(hex);
  auto state = target_.registers();
  if (!state) return error_reply(state.error());
  if (!bytes || !registers_.set_all(*state, *bytes)) return std::string(kBadPacket);
  const auto ok = target_.set_registers(*state);
  return ok ? std::string(kOk) : error_reply(ok.error());
}

std::string GdbStub::read_register(std::string_view text) {
  const auto number = gdb_number(text);
  if (!number || *number >= registers_.count()) return std::string(kBadPacket);
  const auto state = target_.registers();
  if (!state) return error_reply(state.error());
  return gdb_hex(registers_.get(*state, *number));
}

std::string GdbStub::write_register(std::string_view text) {
  const size_t at = text.find('=');
  if (at == std::string_view::npos) return std::string(kBadPacket);
  const auto number = gdb_number(text.substr(0, at));
  const auto bytes = gdb_bytes(text.substr(at + 1));
  if (!number || *number >= registers_.count() || !bytes ||
      bytes->size() != registers_.size(*number)) {
    return std::string(kBadPacket);
  }
  auto state = target_.registers();
  if (!state) return error_reply(state.error());
  registers_.set(*state, *number, *bytes);
  const auto ok = target_.set_registers(*state);
  return ok ? std::string(kOk) : error_reply(ok.error());
}

std::string GdbStub::read_memory(std::string_view text) {
  const auto place = pair_of(text, ',');
  if (!place) return std::string(kBadPacket);
  // Less than was asked for is allowed; two digits a byte.
  std::vector<uint8_t> bytes(std::min<uint64_t>(place->right, GdbReader::kMost / 2));
  const size_t got = target_.read(place->left, bytes);
  if (got == 0 && !bytes.empty()) return std::string(kBadAddress);
  bytes.resize(got);
  return gdb_hex(bytes);
}

std::string GdbStub::write_memory(std::string_view text) {
  const size_t at = text.find(':');
  if (at == std::string_view::npos) return std::string(kBadPacket);
  const auto place = pair_of(text.substr(0, at), ',');
  const auto bytes = gdb_bytes(text.substr(at + 1));
  if (!place || !bytes || bytes->size() != place->right) return std::string(kBadPacket);
  const auto ok = target_.write(place->left, *bytes);
  return ok ? std::string(kOk) : error_reply(ok.error());
}

// Z0,address,kind and the like; a list of conditions behind it was never promised.
std::string GdbStub::breakpoint(std::string_view packet) {
  if (packet.size() < 3 || packet[2] != ',') return std::string(kBadPacket);
  if (packet[1] != '0' && packet[1] != '1') return {};  // watchpoints
  const auto place = pair_of(packet.substr(3), ',');
  if (!place) return std::string(kBadPacket);
  const auto kind = packet[1] == '0' ? GdbTarget::Break::software : GdbTarget::Break::hardware;
  const auto ok =
      packet[0] == 'Z' ? target_.insert(kind, place->left) : target_.remove(kind, place->left);
  return ok ? std::string(kOk) : error_reply(ok.error());
}

std::string GdbStub::query(std::string_view packet) {
  static constexpr std::string_view kFeatures = "qXfer:features:read:target.xml:";
  if (packet.starts_with("qSupported")) {
    return fmt::format("PacketSize={:x};qXfer:features:read+;swbreak+;hwbreak+;QStartNoAckMode+",
                       GdbReader::kMost);
  }
  if (packet.starts_with(kFeatures)) {
    const auto place = pair_of(packet.substr(kFeatures.size()), ',');
    if (!place) return std::string(kBadPacket);
    const std::string& text = registers_.description();
    if (place->left >= text.size()) return "l";
    const size_t most = std::min<uint64_t>(place->right, GdbReader::kMost / 2);
    const std::string piece = text.substr(place->left, most);
    return (place->left + piece.size() < text.size() ? "m" : "l") + piece;
  }
  if (packet == "qAttached") return "1";  // it was there before gdb: leaving it is no end for it
  if (packet == "qC") return "QC1";
  if (packet == "qfThreadInfo") return "m1";
  if (packet == "qsThreadInfo") return "l";
  return {};
}

// c, s, C signal, S signal; with an address, from there.
GdbStub::Answer GdbStub::resume(std::string_view packet) {
  const bool step = packet[0] == 's' || packet[0] == 'S';
  const bool with_signal = packet[0] == 'C' || packet[0] == 'S';
  if (stop_.kind == GdbStop::Kind::died || stop_.kind == GdbStop::Kind::exited) {
    return {std::nullopt, step ? Next::step : Next::go};  // the machine says once more how it is
  }
  std::string_view from = packet.substr(1);
  if (with_signal) {  // a guest has no signals
    const size_t at = from.find(';');
    from = at == std::string_view::npos ? std::string_view() : from.substr(at + 1);
  }
  if (!from.empty()) {
    const auto address = gdb_number(from);
    auto state = target_.registers();
    if (!address || !state) return {std::string(kBadPacket)};
    state->regs.rip = *address - state->sregs.cs.base;
    if (auto ok = target_.set_registers(*state); !ok) return {error_reply(ok.error())};
  }
  return {std::nullopt, step ? Next::step : Next::go};
}

GdbStub::Answer GdbStub::answer(std::string_view packet) {
  if (packet.empty()) return {std::string()};
  switch (packet[0]) {
    case '?':
      return {gdb_stop_reply(stop_)};
    case 'g':
      return {read_registers()};
    case 'G':
      return {write_registers(packet.substr(1))};
    case 'p':
      return {read_register(packet.substr(1))};
    case 'P':
      return {write_register(packet.substr(1))};
    case 'm':
      return {read_memory(packet.substr(1))};
    case 'M':
      return {write_memory(packet.substr(1))};
    case 'c':
    case 's':
    case 'C':
    case 'S':
      return resume(packet);
    case 'Z':
    case 'z':
      return {breakpoint(packet)};
    case 'H':
    case 'T':
      return {std::string(kOk)};  // there is one processor
    case 'q':
      return {query(packet)};
    case 'Q':
      if (packet == "QStartNoAckMode") return {std::string(kOk), Next::stay, true};
      return {std::string()};
    case 'k':
      return {std::nullopt, Next::kill};
    case 'D':
      return {std::string(kOk), Next::detach};
    case 'v':
      if (packet.starts_with("vKill")) return {std::string(kOk), Next::kill};
      return {std::string()};
    default:
      return {std::string()};
  }
}

}  // namespace ringfence::vmm

#include "harness/vmm/devices/platform.h"

#include <algorithm>

#include "harness/vmm/devices/platform_faults.h"
#include "harness/vmm/devices/state_io.h"

namespace ringfence::vmm {
namespace {

using namespace platform;  // NOLINT(google-build-using-namespace): the names of the fault tables

// Devices of one port whose state is a byte, which do nothing by themselves.
class OneByteDevice : public Device {
 public:
  OneByteDevice(std::string_view name, uint16_t port, uint32_t tag)
      : name_(name), port_(port), tag_(tag) {}
  [[nodiscard]] std::string_view name() const final { return name_; }
  [[nodiscard]] std::vector<PortRange> ports() const final { return {{port_, 1}}; }
  void advance(Nanos /*now*/) final {}
  [[nodiscard]] std::optional<Nanos> next_event() const final { return std::nullopt; }
  [[nodiscard]] std::vector<uint8_t> save() const final { return save_state(tag_, 1, s_); }
  Status restore(std::span<const uint8_t> state) final {
    if (auto done = restore_state(name_, tag_, 1, state, s_); !done) return done;
    restored();
    return {};
  }

 protected:
  struct State {
    uint8_t byte = 0;
    template <typename Io>
    void fields(Io& io) {
      io.value(byte);
    }
  };
  virtual void restored() {}
  State s_;

 private:
  std::string_view name_;
  uint16_t port_;
  uint32_t tag_;
};

struct PmTimerState {
  Nanos now = 0;
  Nanos zero = 0;
  template <typename Io>
  void fields(Io& io) {
    io.value(now, kLatest);
    io.value(zero, kLatest);
    io.require(zero <= now);
  }
};

template <typename Faults>
class PmTimer final : public Device {
 public:
  PmTimer(const PmTimerWires& wires, Faults faults) : wires_(wires), f_(faults) {}
  [[nodiscard]] std::string_view name() const override { return "pmtimer"; }
  [[nodiscard]] std::vector<PortRange> ports() const override { return {{wires_.base, 4}}; }
  bool read(uint16_t port, unsigned width, uint32_t& value, Nanos now) override {
    const bool whole = width == 4 && port == wires_.base;
    if (!whole && !(width == 1 && f_.on(kNarrowReads))) return false;
    advance(now);
    uint64_t count = f_.on(kStopped) ? 0 : counted();
    if (f_.on(kOffByOne)) ++count;
    if (wires_.bits == 24 && !f_.on(kNoWrap)) count &= 0xFF'FFFF;
    value = 0;
    for (unsigned n = 0; n < 4; ++n) {
      value |= uint32_t{f_.bits(n, static_cast<uint8_t>(count >> (8 * n)))} << (8 * n);
    }
    if (f_.on(kRestartsOnRead)) s_.zero = s_.now;
    return true;
  }
  bool write(uint16_t, unsigned, uint32_t, Nanos) override { return false; }  // read only
  void advance(Nanos now) override { s_.now = std::max(s_.now, std::min(now, kLatest)); }
  [[nodiscard]] std::optional<Nanos> next_event() const override { return std::nullopt; }
  void reset() override { s_.zero = s_.now; }
  [[nodiscard]] std::vector<uint8_t> save() const override {
    return save_state(state_tag("PMTM"), 1, s_);
  }
  Status restore(std::span<const uint8_t> state) override {
    return restore_state(name(), state_tag("PMTM"), 1, state, s_);
  }

 private:
  [[nodiscard]] uint64_t counted() const {
    constexpr Nanos kSecond = 1'000'000'000;
    const uint64_t hertz = f_.on(kSlow) ? 3'500'000 : 3'579'545;
    const Nanos passed = s_.now - s_.zero;
    return passed / kSecond * hertz + passed % kSecond * hertz / kSecond;
  }

  PmTimerWires wires_;
  [[no_unique_address]] Faults f_;
  PmTimerState s_;
};

template <typename Faults>
class Post final : public OneByteDevice {
 public:
  Post(const PostWires& /*wires*/, Faults faults)
      : OneByteDevice("post", 0x80, state_tag("POST")), f_(faults) {
    power_up();
  }
  bool read(uint16_t /*port*/, unsigned width, uint32_t& value, Nanos /*now*/) override {
    value = f_.on(kReadsZero) ? 0 : s_.byte;
    return width == 1;
  }
  bool write(uint16_t /*port*/, unsigned width, uint32_t value, Nanos /*now*/) override {
    if (width == 1 && !f_.ignores(kByte0)) s_.byte = f_.bits(kByte0, static_cast<uint8_t>(value));
    return width == 1;
  }
  void reset() override { power_up(); }

 private:
  void power_up() { s_.byte = f_.bits(kByte0, f_.reset(kByte0, 0)); }
  [[no_unique_address]] Faults f_;
};

// A register in which one bit resets the machine when it rises.
template <typename Faults>
bool resets(const Faults& f, uint8_t before, uint8_t after, uint8_t mask) {
  if (f.on(kResetIgnored)) return false;
  const bool was = (before & mask) != 0;
  const bool is = (after & mask) != 0;
  if (f.on(kResetOnFall)) return was && !is;
  return is && (!was || f.on(kResetByLevel));
}

template <typename Faults>
class Port92 final : public OneByteDevice {
 public:
  Port92(const Port92Wires& wires, Faults faults)
      : OneByteDevice("port92", 0x92, state_tag("P092")), wires_(wires), f_(faults) {
    power_up();
    if (open()) wires_.a20.set(true);
  }
  bool read(uint16_t /*port*/, unsigned width, uint32_t& value, Nanos /*now*/) override {
    value = s_.byte;
    return width == 1;
  }
  bool write(uint16_t /*port*/, unsigned width, uint32_t wide, Nanos /*now*/) override {
    if (width != 1) return false;
    if (f_.ignores(kByte0)) return true;
    const auto value = f_.bits(kByte0, wide & 0xCB);
    const auto before = s_.byte;
    const bool was_open = open();
    s_.byte = value;
    if (open() != was_open) wires_.a20.set(open());
    if (resets(f_, before, value, 1)) wires_.reset.request(ResetKind::cpu, name());
    return true;
  }
  void reset() override {
    power_up();
    wires_.a20.set(open());
  }

 private:
  void restored() override { wires_.a20.set(open()); }
  void power_up() { s_.byte = f_.bits(kByte0, f_.reset(kByte0, 0)); }
  [[nodiscard]] bool open() const {
    if (f_.on(kA20Ignored)) return false;
    return ((s_.byte & 2) != 0) != f_.on(kA20Inverted);
  }
  Port92Wires wires_;
  [[no_unique_address]] Faults f_;
};

template <typename Faults>
class DebugConsole final : public OneByteDevice {
 public:
  DebugConsole(const DebugConsoleWires& wires, Faults faults)
      : OneByteDevice("debugcon", 0xE9, state_tag("DBGC")), wires_(wires), f_(faults) {
    s_.byte = 0xE9;
  }
  bool read(uint16_t /*port*/, unsigned width, uint32_t& value, Nanos /*now*/) override {
    value = f_.bits(kByte0, f_.on(kReadsZero) ? 0 : s_.byte);
    return width == 1;
  }
  bool write(uint16_t /*port*/, unsigned width, uint32_t value, Nanos /*now*/) override {
    if (width != 1) return false;
    if (f_.on(kEchoes)) s_.byte = static_cast<uint8_t>(value);
    if (f_.ignores(kByte1)) return true;
    const auto byte = f_.bits(kByte1, static_cast<uint8_t>(value));
    wires_.out.put(byte);
    if (f_.on(kDoubled)) wires_.out.put(byte);
    return true;
  }
  void reset() override {}

 private:
  void restored() override {
    if (!f_.on(kEchoes)) s_.byte = 0xE9;
  }
  DebugConsoleWires wires_;
  [[no_unique_address]] Faults f_;
};

template <typename Faults>
class Exit final : public OneByteDevice {
 public:
  Exit(const ExitWires& wires, Faults faults)
      : OneByteDevice("exit", 0xF4, state_tag("EXIT")), wires_(wires), f_(faults) {}
  bool read(uint16_t, unsigned, uint32_t&, Nanos) override { return false; }
  bool write(uint16_t /*port*/, unsigned /*width*/, uint32_t value, Nanos /*now*/) override {
    if (f_.on(kDropped)) return true;
    if (f_.on(kOneByteOnly)) value &= 0xFF;
    wires_.out.exit((value & ~0xFFU) | f_.bits(kByte0, static_cast<uint8_t>(value)));
    return true;
  }
  void reset() override {}

 private:
  ExitWires wires_;
  [[no_unique_address]] Faults f_;
};

template <typename Faults>
class ResetControl final : public OneByteDevice {
 public:
  ResetControl(const ResetControlWires& wires, Faults faults)
      : OneByteDevice("reset", 0xCF9, state_tag("RSTC")), wires_(wires), f_(faults) {
    power_up();
  }
  bool read(uint16_t /*port*/, unsigned width, uint32_t& value, Nanos /*now*/) override {
    value = s_.byte;
    return width == 1;
  }
  bool write(uint16_t /*port*/, unsigned width, uint32_t wide, Nanos /*now*/) override {
    if (width != 1) return false;
    if (f_.ignores(kByte0)) return true;
    const auto value = f_.bits(kByte0, wide & 0x0E);
    const auto before = s_.byte;
    s_.byte = value;
    if (resets(f_, before, value, 4)) wires_.reset.request(kind(value), name());
    return true;
  }
  void reset() override { power_up(); }

 private:
  void power_up() { s_.byte = f_.bits(kByte0, f_.reset(kByte0, 0)); }
  [[nodiscard]] ResetKind kind(uint8_t value) const {
    if ((value & 8) != 0 && !f_.on(kNeverPower)) return ResetKind::power;
    const bool hard = (value & 0x0A) != 0 || f_.on(kAlwaysHard);
    return hard && !f_.on(kNeverHard) ? ResetKind::hard : ResetKind::cpu;
  }
  ResetControlWires wires_;
  [[no_unique_address]] Faults f_;
};

}  // namespace

Result<std::unique_ptr<Device>> make_pmtimer(const PmTimerWires& wires, std::string_view fault) {
  return make_device<Device, PmTimer>(pmtimer_table(), wires, fault);
}
Result<std::unique_ptr<Device>> make_post(const PostWires& wires, std::string_view fault) {
  return make_device<Device, Post>(post_table(), wires, fault);
}
Result<std::unique_ptr<Device>> make_port92(const Port92Wires& wires, std::string_view fault) {
  return make_device<Device, Port92>(port92_table(), wires, fault);
}
Result<std::unique_ptr<Device>> make_debugcon(const DebugConsoleWires& wires,
                                              std::string_view fault) {
  return make_device<Device, DebugConsole>(debugcon_table(), wires, fault);
}
Result<std::unique_ptr<Device>> make_exit(const ExitWires& wires, std::string_view fault) {
  return make_device<Device, Exit>(exit_table(), wires, fault);
}
Result<std::unique_ptr<Device>> make_reset(const ResetControlWires& wires, std::string_view fault) {
  return make_device<Device, ResetControl>(reset_table(), wires, fault);
}

}  // namespace ringfence::vmm

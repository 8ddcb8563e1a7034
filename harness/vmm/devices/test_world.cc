#include "harness/vmm/devices/test_world.h"

#include <utility>

namespace ringfence::vmm::test {
namespace {

uint64_t entry(unsigned kind, uint64_t value) { return uint64_t{kind} << 56 | value; }

std::vector<uint16_t> ports_of(std::string_view device) {
  if (device == "uart") return {0x3F8, 0x3F9, 0x3FA, 0x3FB, 0x3FC, 0x3FD, 0x3FE, 0x3FF};
  if (device == "pic") return {0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1};
  if (device == "pit") return {0x40, 0x41, 0x42, 0x43, 0x61};
  if (device == "i8042") return {0x60, 0x64};
  if (device == "rtc") return {0x70, 0x71};
  if (device == "pmtimer") return {0x608};
  if (device == "post") return {0x80};
  if (device == "port92") return {0x92};
  if (device == "debugcon") return {0xE9};
  if (device == "exit") return {0xF4};
  return {0xCF9};
}

}  // namespace

std::span<const Fault> faults_of(std::string_view device) {
  if (device == "uart") return uart_faults();
  if (device == "pic") return pic_faults();
  if (device == "pit") return pit_faults();
  if (device == "i8042") return i8042_faults();
  if (device == "rtc") return rtc_faults();
  if (device == "pmtimer") return pmtimer_faults();
  if (device == "post") return post_faults();
  if (device == "port92") return port92_faults();
  if (device == "debugcon") return debugcon_faults();
  if (device == "exit") return exit_faults();
  return reset_faults();
}

void World::Wire::set(bool high) {
  if (high && !level) ++rises;
  level = high;
  world->log.push_back(entry(2 + number, high ? 1 : 0));
}

template <typename Made>
void World::take(Made made) {
  if (made) {
    device_ = std::move(*made);
  } else {
    error = made.error().describe();
  }
}

World::World(std::string_view device, std::string_view fault) {
  for (unsigned n = 0; n < wires_.size(); ++n) {
    wires_[n].world = this;
    wires_[n].number = n;
  }
  if (device == "uart") take(make_uart({wires_[0], *this}, fault));
  if (device == "pic") take(make_pic({wires_[0]}, fault));
  if (device == "pit") take(make_pit({wires_[0]}, fault));
  if (device == "i8042") {
    wires_[2].level = true;  // A20 is open
    take(make_i8042({wires_[0], wires_[1], wires_[2], *this}, fault));
  }
  if (device == "rtc") {
    RtcTime start;
    start.month = 2;
    start.day = 28;
    start.hour = 23;
    start.minute = 59;
    start.second = 58;
    take(make_rtc({wires_[0], start}, fault));
  }
  if (device == "pmtimer") take(make_pmtimer({}, fault));
  if (device == "post") take(make_post({}, fault));
  if (device == "port92") take(make_port92({wires_[0], *this}, fault));
  if (device == "debugcon") take(make_debugcon({*this}, fault));
  if (device == "exit") take(make_exit({*this}, fault));
  if (device == "reset") take(make_reset({*this}, fault));
}

void World::put(uint8_t byte) {
  bytes.push_back(static_cast<char>(byte));
  log.push_back(entry(8, byte));
}
void World::request(ResetKind kind, std::string_view /*device*/) {
  resets.push_back(kind);
  log.push_back(entry(9, static_cast<uint64_t>(kind)));
}
void World::exit(uint32_t code) {
  exits.push_back(code);
  log.push_back(entry(10, code));
}

int World::in(uint16_t port, unsigned width) {
  uint32_t value = 0;
  const bool defined = device_->read(port, width, value, now);
  log.push_back(entry(0, defined ? value : uint64_t{1} << 40));
  return defined ? static_cast<int>(value) : -1;
}
bool World::out(uint16_t port, uint32_t value, unsigned width) {
  const bool defined = device_->write(port, width, value, now);
  log.push_back(entry(1, defined ? 1 : 0));
  return defined;
}
void World::wait(Nanos time) {
  now += time;
  device_->advance(now);
}

void World::input(const Op& op) {
  const auto byte = static_cast<uint8_t>(op.value);
  if (device_->name() == "uart") {
    if (op.port == 0) uart().receive(byte, now, static_cast<uint8_t>(op.value >> 8));
    if (op.port == 1) uart().set_modem(byte, now);
  } else if (device_->name() == "pic") {
    pic().set_irq(op.port & 15U, (op.value & 1) != 0);
  } else if (device_->name() == "pit") {
    pit().set_gate(op.port % 3U, (op.value & 1) != 0, now);
  } else if (device_->name() == "i8042") {
    if (op.port == 0) i8042().keys({&byte, 1}, now);
    if (op.port == 1) i8042().mouse({&byte, 1}, now);
  }
}

void World::apply(const Op& op) {
  switch (op.kind) {
    case Op::Kind::read:
      in(op.port, op.width);
      break;
    case Op::Kind::write:
      out(op.port, op.value, op.width);
      break;
    case Op::Kind::wait:
      wait(op.value);
      break;
    case Op::Kind::input:
      input(op);
      break;
    case Op::Kind::acknowledge:
      if (device_->name() == "pic") log.push_back(entry(11, pic().acknowledge(now)));
      break;
    case Op::Kind::reset:
      device_->reset();
      break;
  }
}

namespace {

class Generator {
 public:
  Generator(std::string_view device, std::mt19937_64& random) : device_(device), random_(random) {}

  Ops make(unsigned count) {
    while (ops_.size() < count) {
      if (device_ == "uart") {
        uart();
      } else if (device_ == "pic") {
        pic();
      } else if (device_ == "pit") {
        pit();
      } else if (device_ == "i8042") {
        i8042();
      } else if (device_ == "rtc") {
        rtc();
      } else {
        other();
      }
    }
    return std::move(ops_);
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  unsigned one_of(std::initializer_list<unsigned> values) {
    return *(values.begin() + below(static_cast<unsigned>(values.size())));
  }
  void read(unsigned port) { ops_.push_back({Op::Kind::read, static_cast<uint16_t>(port), 0, 1}); }
  void write(unsigned port, unsigned value) {
    ops_.push_back({Op::Kind::write, static_cast<uint16_t>(port), value & 0xFF, 1});
  }
  void wait(uint32_t time) { ops_.push_back({Op::Kind::wait, 0, time, 1}); }
  void input(unsigned which, unsigned value) {
    ops_.push_back({Op::Kind::input, static_cast<uint16_t>(which), value, 1});
  }
  void any_access() {
    const auto ports = ports_of(device_);
    const unsigned port = ports[below(static_cast<unsigned>(ports.size()))];
    if (below(2) == 0) {
      read(port);
    } else {
      write(port, below(256));
    }
  }
  void reset() { ops_.push_back({Op::Kind::reset, 0, 0, 1}); }

  void uart() {
    switch (below(14)) {
      case 0:
        return write(0x3F9, below(16));
      case 1:
        return write(0x3FA, one_of({0, 1, 1, 3, 5, 7, 0x41, 0x81, 0xC1, 6, 0xC0}));
      case 2:
        return write(0x3FB, one_of({3, 3, 0, 1, 2, 4, 7, 0x0B, 0x1F, 0x43, 0x2B}));
      case 3:
        return write(0x3FC, one_of({0, 8, 0x0B, 0x10, 0x18, 0x1B, below(32), 0xE8}));
      case 4:
      case 5: {  // a burst
        const unsigned many = 1 + below(20);
        for (unsigned n = 0; n < many; ++n) write(0x3F8, below(256));
        return;
      }
      case 6: {
        const unsigned many = 1 + below(20);
        for (unsigned n = 0; n < many; ++n)
          input(0, below(256) | (below(6) == 0 ? below(32) << 8 : 0));
        return;
      }
      case 7:
        return input(1, below(16) << 4);
      case 8: {  // all there is to see
        for (const unsigned port : {0x3FAU, 0x3FDU, 0x3FEU, 0x3FDU, 0x3FAU}) read(port);
        return;
      }
      case 9: {
        const unsigned many = 1 + below(18);
        for (unsigned n = 0; n < many; ++n) read(0x3F8);
        return;
      }
      case 10: {  // the divisor
        write(0x3FB, 0x80 | one_of({3, 0}));
        write(0x3F8, one_of({1, 2, 3, below(256)}));
        write(0x3F9, below(5) == 0 ? below(256) : 0);
        read(0x3F8);
        read(0x3F9);
        write(0x3FB, 3);
        return;
      }
      case 11:
        return wait(below(90'000) * (1 + below(20)));
      case 12:
        return wait(below(9'000));
      default:
        if (below(20) == 0) return reset();
        return any_access();
    }
  }

  void pic_init(unsigned base) {
    const unsigned icw1 = one_of({0x11, 0x11, 0x11, 0x10, 0x13, 0x19, 0x15, 0x12});
    write(base, icw1);
    if (below(8) == 0) return;
    write(base + 1, one_of({0x08, 0x70, 0x20, 0x2D}));
    if ((icw1 & 2) == 0) write(base + 1, base == 0x20 ? one_of({4, 4, 4, 0}) : one_of({2, 2, 3}));
    if ((icw1 & 1) != 0) write(base + 1, one_of({1, 1, 1, 3, 0x11, 0x13, 0}));
    if (below(2) == 0) write(base + 1, one_of({0, 0, below(256)}));
  }
  void pic() {
    const unsigned base = below(2) == 0 ? 0x20 : 0xA0;
    switch (below(13)) {
      case 0:
        pic_init(0x20);
        return pic_init(0xA0);
      case 1:
        return write(base + 1, one_of({0, 0, below(256), 0x04}));
      case 2:
        return write(base, 0x20);
      case 3:
        return write(base, 0x60 | below(8));
      case 4:
        return write(base, one_of({0xA0, 0x80, 0x00, 0xC0 | below(8), 0xE0 | below(8)}));
      case 5:
        return write(base, one_of({0x68, 0x48}));
      case 6: {
        write(base, 0x0C);
        read(base + below(2));
        return read(base);
      }
      case 7: {
        for (const unsigned port : {0x20U, 0xA0U}) {
          for (const unsigned select : {0x0AU, 0x0BU}) {
            write(port, select);
            read(port);
          }
        }
        return;
      }
      case 8:
      case 9:
        return input(below(16), below(2));
      case 10:
        ops_.push_back({Op::Kind::acknowledge, 0, 0, 1});
        return;
      case 11: {
        write(below(2) == 0 ? 0x4D0 : 0x4D1, below(256));
        read(0x4D0);
        return read(0x4D1);
      }
      default:
        if (below(30) == 0) return reset();
        return any_access();
    }
  }

  void pit() {
    const unsigned counter = below(3);
    switch (below(12)) {
      case 0:
      case 1: {
        const unsigned rw = 1 + below(3);
        write(0x43, counter << 6 | rw << 4 | below(8) << 1 | (below(4) == 0 ? 1 : 0));
        if (below(4) == 0) read(0x40 + counter);
        write(0x40 + counter, one_of({below(256), below(12), 0, 3, 4, 5}));
        if (rw == 3) {
          if (below(4) == 0) wait(838 * below(6));
          write(0x40 + counter, one_of({0, 0, below(256)}));
        }
        return;
      }
      case 2:
        return write(0x40 + counter, one_of({below(256), below(12), 0}));
      case 3:
        return write(0x43, counter << 6);
      case 4:
        return write(0x43, 0xC0 | below(4) << 4 | below(8) << 1);
      case 5:
      case 6: {
        read(0x40 + counter);
        return read(0x40 + counter);
      }
      case 7:
        return input(counter, below(2));
      case 8: {
        write(0x61, below(4));
        return read(0x61);
      }
      case 9:
        return wait(839 * below(8));
      case 10:
        return wait(one_of({below(200'000), below(70'000'000), 838, 839}));
      default:
        if (below(30) == 0) return reset();
        read(0x61);
        return any_access();
    }
  }

  void i8042() {
    switch (below(10)) {
      case 0: {
        write(0x64, one_of({0x20, 0xAA, 0xAB, 0xA9, 0xA4, 0xAD, 0xAE, 0xA7, 0xA8, 0xC0, 0xD0, 0xFE,
                            0xFF, 0xF0, 0xE0, 0x21, 0x61, below(256)}));
        return;
      }
      case 1: {
        write(0x64, 0x60);
        wait(20'000);
        return write(0x60, one_of({0x03, 0x43, 0x00, 0x07, 0x40, 0x30, below(256)}));
      }
      case 2: {
        write(0x64, one_of({0xD1, 0xD2, 0xD3, 0xD4}));
        wait(20'000);
        return write(0x60, one_of({0xDF, 0xDD, 0xF2, 0xF4, 0xFF, 0xE9, 0x03, 0xDE, below(256)}));
      }
      case 3:
        return write(0x60, one_of({0xED, 0x02, 0xEE, 0xF0, 0x00, 0x01, 0x03, 0xF2, 0xF3, 0xF4, 0xF5,
                                   0xF6, 0xFE, 0xFF, below(256)}));
      case 4: {
        const unsigned many = below(6) == 0 ? 18 : 1 + below(3);
        for (unsigned n = 0; n < many; ++n) input(0, one_of({0x1C, 0xF0, 0x1C, 0xE0, below(256)}));
        return;
      }
      case 5:
        return input(1, below(256));
      case 6:
      case 7: {
        wait(one_of({20'000, 120'000}));
        read(0x64);
        return read(0x60);
      }
      case 8:
        return wait(below(300'000));
      default:
        if (below(30) == 0) return reset();
        read(0x64);
        return any_access();
    }
  }

  void cell(unsigned index, unsigned value) {
    write(0x70, index);
    write(0x71, value);
  }
  unsigned show(unsigned value) { return binary_ ? value : value / 10 << 4 | value % 10; }
  void rtc() {
    switch (below(9)) {
      case 0: {
        const unsigned b = one_of({0x02, 0x06, 0x00, 0x04}) | one_of({0, 0x10, 0x20, 0x40, 0x70});
        binary_ = (b & 4) != 0;
        cell(0x0B, b);
        if (below(3) == 0) cell(0x0B, b | 0x80);
        return;
      }
      case 1:
        return cell(0x0A, one_of({0x20, 0x26, 0x70, 0x00}) | one_of({0, 1, 2, 3, 6, 15}));
      case 2: {  // near a carry
        cell(0, show(one_of({57, 58, 59})));
        cell(2, show(59));
        cell(4, one_of({show(23), show(22), 0x80 | show(11), show(11), show(12)}));
        cell(6, one_of({7, 1, 3}));
        cell(7, show(one_of({28, 29, 30, 31})));
        cell(8, show(one_of({2, 12, 4, 11, 1})));
        return cell(9, show(one_of({99, 20, 24, 23})));
      }
      case 3: {  // alarm
        cell(1, one_of({0xC0, show(0), show(59), 0x80, show(1)}));
        cell(3, one_of({0xC0, show(0), 0xFF, 0x80}));
        return cell(5, one_of({0xC0, show(0), 0xFF, show(12), 0x80}));
      }
      case 4: {
        for (const unsigned index : {0U, 2U, 4U, 6U, 7U, 8U, 9U, 0x0AU, 0x0BU, 0x0CU, 0x0DU}) {
          write(0x70, index | (below(4) == 0 ? 0x80 : 0));
          read(0x71);
        }
        return;
      }
      case 5:
        return wait(one_of({1'000'000, 999'000'000, 1'000'000'000, 2'000'000'000, 500'000'000}));
      case 6:
        return wait(below(1'000'000'000));
      case 7: {
        cell(below(128), below(256));
        return read(0x71);
      }
      default:
        if (below(20) == 0) return reset();
        write(0x70, 0x0C);
        return read(0x71);
    }
  }

  void other() {
    const unsigned port = ports_of(device_)[0];
    const auto width = static_cast<uint8_t>(device_ == "pmtimer" ? one_of({4, 4, 4, 1})
                                            : device_ == "exit"  ? one_of({1, 2, 4})
                                                                 : 1U);
    switch (below(5)) {
      case 0:
      case 1:
        ops_.push_back({Op::Kind::write, static_cast<uint16_t>(port),
                        static_cast<uint32_t>(random_()) >> (below(4) * 8), width});
        return;
      case 2:
      case 3:
        ops_.push_back({Op::Kind::read, static_cast<uint16_t>(port), 0, width});
        return;
      default:
        if (below(8) == 0) return reset();
        return wait(below(1U << (1 + below(31))));
    }
  }

  std::string_view device_;
  std::mt19937_64& random_;
  Ops ops_;
  bool binary_ = false;
};

}  // namespace

Ops random_ops(std::string_view device, std::mt19937_64& random, unsigned count) {
  return Generator(device, random).make(count);
}

Ops ops_of(std::string_view device, const uint8_t* data, size_t size) {
  const auto ports = ports_of(device);
  Ops ops;
  for (size_t at = 0; at + 3 <= size; at += 3) {
    const uint8_t what = data[at];
    const uint8_t low = data[at + 1];
    const uint8_t high = data[at + 2];
    Op op;
    op.port = ports[low % ports.size()];
    op.width = static_cast<uint8_t>(1U << (what >> 6) % 3U);
    op.value = high;
    switch (what & 7U) {
      case 0:
      case 1:
        op.kind = Op::Kind::read;
        break;
      case 2:
      case 3:
      case 4:
        op.kind = Op::Kind::write;
        break;
      case 5:
        op.kind = Op::Kind::wait;
        op.value = low << (high % 25U);
        break;
      case 6:
        op.kind = Op::Kind::input;
        op.port = low & 15U;
        op.value = high | (what >> 3 & 3U) << 8 << 2;
        break;
      default:
        op.kind = (high & 15U) == 0 ? Op::Kind::reset : Op::Kind::acknowledge;
        break;
    }
    // Nearly all accesses are of the one width that the devices know.
    if (op.kind == Op::Kind::read || op.kind == Op::Kind::write) {
      if ((what & 0x38U) != 0x38U && device != "pmtimer" && device != "exit") op.width = 1;
      if (device == "pmtimer" && (what & 0x38U) != 0x38U) op.width = 4;
    }
    ops.push_back(op);
  }
  return ops;
}

}  // namespace ringfence::vmm::test

// ringfence-bench-devices: what one register access of a device model costs, without a machine
// around it. The floor is 20 million accesses a second for each.
//
// The clock goes on by 100 ns for each access, so that what a device does by itself is part of it.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>

#include "harness/vmm/devices/board.h"
#include "harness/vmm/devices/platform.h"

namespace ringfence::vmm {
namespace {

constexpr Nanos kStep = 100;

struct Access1 {
  uint16_t port;
  bool write;
  uint8_t value;
  uint8_t width = 1;
};

template <size_t N>
void accesses(benchmark::State& state, Device& device, const std::array<Access1, N>& mix) {
  Nanos now = 0;
  uint32_t value = 0;
  for (auto _ : state) {
    for (const auto& access : mix) {
      now += kStep;
      if (access.write) {
        device.write(access.port, access.width, access.value, now);
      } else {
        device.read(access.port, access.width, value, now);
        benchmark::DoNotOptimize(value);
      }
    }
  }
  const auto items = static_cast<int64_t>(N) * static_cast<int64_t>(state.iterations());
  state.SetItemsProcessed(items);
  state.SetLabel("floor 20M/s");
}

void uart(benchmark::State& state) {
  OpenLine irq;
  NullSink out;
  const auto device = *make_uart({irq, out});
  constexpr std::array<Access1, 8> kMix{{{0x3FD, false, 0},
                                         {0x3FF, true, 0x5A},
                                         {0x3FA, false, 0},
                                         {0x3FD, false, 0},
                                         {0x3F8, true, 'x'},
                                         {0x3F9, true, 0x03},
                                         {0x3FE, false, 0},
                                         {0x3F8, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(uart);

void pic(benchmark::State& state) {
  OpenLine intr;
  const auto device = *make_pic({intr});
  for (const auto& [port, value] : std::array<std::pair<uint16_t, uint32_t>, 8>{{{0x20, 0x11},
                                                                                 {0x21, 0x08},
                                                                                 {0x21, 0x04},
                                                                                 {0x21, 0x01},
                                                                                 {0xA0, 0x11},
                                                                                 {0xA1, 0x70},
                                                                                 {0xA1, 0x02},
                                                                                 {0xA1, 0x01}}}) {
    device->write(port, 1, value, 0);
  }
  constexpr std::array<Access1, 6> kMix{{{0x21, true, 0xFB},
                                         {0x21, false, 0},
                                         {0x20, true, 0x0B},
                                         {0x20, false, 0},
                                         {0x20, true, 0x20},
                                         {0xA1, true, 0xFF}}};
  accesses(state, *device, kMix);
}
BENCHMARK(pic);

void pit(benchmark::State& state) {
  OpenLine irq0;
  const auto device = *make_pit({irq0});
  device->write(0x43, 1, 0x34, 0);
  device->write(0x40, 1, 0xA9, 0);
  device->write(0x40, 1, 0x04, 0);
  constexpr std::array<Access1, 4> kMix{
      {{0x43, true, 0x00}, {0x40, false, 0}, {0x40, false, 0}, {0x61, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(pit);

struct NoReset final : ResetWire {
  void request(ResetKind, std::string_view) override {}
};
struct NoExit final : ExitWire {
  void exit(uint32_t) override {}
};

void i8042(benchmark::State& state) {
  OpenLine line;
  NoReset reset;
  const auto device = *make_i8042({line, line, line, reset});
  constexpr std::array<Access1, 4> kMix{
      {{0x64, true, 0x20}, {0x64, false, 0}, {0x64, false, 0}, {0x60, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(i8042);

void rtc(benchmark::State& state) {
  OpenLine irq8;
  const auto device = *make_rtc({irq8, {}});
  constexpr std::array<Access1, 6> kMix{{{0x70, true, 0x0A},
                                         {0x71, false, 0},
                                         {0x70, true, 0x00},
                                         {0x71, false, 0},
                                         {0x70, true, 0x40},
                                         {0x71, true, 0x55}}};
  accesses(state, *device, kMix);
}
BENCHMARK(rtc);

void pmtimer(benchmark::State& state) {
  const auto device = *make_pmtimer({});
  constexpr std::array<Access1, 1> kMix{{{0x608, false, 0, 4}}};
  accesses(state, *device, kMix);
}
BENCHMARK(pmtimer);

void post(benchmark::State& state) {
  const auto device = *make_post({});
  constexpr std::array<Access1, 2> kMix{{{0x80, true, 0x12}, {0x80, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(post);

void port92(benchmark::State& state) {
  OpenLine a20;
  NoReset reset;
  const auto device = *make_port92({a20, reset});
  constexpr std::array<Access1, 3> kMix{{{0x92, true, 2}, {0x92, false, 0}, {0x92, true, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(port92);

void debugcon(benchmark::State& state) {
  NullSink out;
  const auto device = *make_debugcon({out});
  constexpr std::array<Access1, 2> kMix{{{0xE9, true, 'x'}, {0xE9, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(debugcon);

void exit_port(benchmark::State& state) {
  NoExit out;
  const auto device = *make_exit({out});
  constexpr std::array<Access1, 1> kMix{{{0xF4, true, 1}}};
  accesses(state, *device, kMix);
}
BENCHMARK(exit_port);

void reset_control(benchmark::State& state) {
  NoReset reset;
  const auto device = *make_reset({reset});
  constexpr std::array<Access1, 3> kMix{{{0xCF9, true, 2}, {0xCF9, false, 0}, {0xCF9, true, 6}}};
  accesses(state, *device, kMix);
}
BENCHMARK(reset_control);

// The same UART with a fault: what the clean one does not pay for.
void uart_with_a_fault(benchmark::State& state) {
  OpenLine irq;
  NullSink out;
  const auto device = *make_uart({irq, out}, "uart.lsr.oe.kept");
  constexpr std::array<Access1, 4> kMix{
      {{0x3FD, false, 0}, {0x3FF, true, 0x5A}, {0x3FA, false, 0}, {0x3FD, false, 0}}};
  accesses(state, *device, kMix);
}
BENCHMARK(uart_with_a_fault);

// Through the board's bus: dispatch, due events, the record of what is undefined.
void board(benchmark::State& state) {
  const auto machine = *Board::make({}, {});
  constexpr std::array<uint16_t, 6> kPorts{0x3FD, 0x21, 0x61, 0x64, 0x80, 0x92};
  Nanos now = 0;
  for (auto _ : state) {
    for (const auto port : kPorts) {
      now += kStep;
      benchmark::DoNotOptimize(machine->read(port, 1, now));
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(kPorts.size()) *
                          static_cast<int64_t>(state.iterations()));
}
BENCHMARK(board);

void board_save_and_restore(benchmark::State& state) {
  const auto machine = *Board::make({}, {});
  const auto saved = machine->save();
  for (auto _ : state) benchmark::DoNotOptimize(machine->restore(saved).has_value());
}
BENCHMARK(board_save_and_restore);

}  // namespace
}  // namespace ringfence::vmm

BENCHMARK_MAIN();

// libFuzzer: no sequence of port accesses may crash the bus or the board behind it; every access is
// either defined or recorded, and the observer sees all of them.
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "harness/vmm/devices/board.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

struct Counter final : ringfence::vmm::BusObserver {
  void access(const ringfence::vmm::Access& access) override {
    ++all;
    undefined += access.defined ? 0 : 1;
    require(access.defined || access.write || (access.value & 0xFF) == 0xFF);
  }
  uint64_t all = 0;
  uint64_t undefined = 0;
};

constexpr uint16_t kPorts[] = {0x3F8, 0x20, 0xA0, 0x40,  0x60,  0x70, 0x608, 0x80,
                               0x92,  0xE9, 0xF4, 0xCF9, 0x4D0, 0x61, 0x64,  0};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence::vmm;
  const auto board = *Board::make({}, {});
  Counter counter;
  board->bus().observe(&counter);
  Nanos now = 0;
  uint64_t made = 0;
  for (size_t at = 0; at + 4 <= size; at += 4) {
    const uint8_t what = data[at];
    const auto port = static_cast<uint16_t>((what & 0x80) != 0
                                                ? data[at + 1] << 8 | data[at + 2]
                                                : kPorts[data[at + 1] & 15U] + (data[at + 1] >> 4));
    const unsigned width = 1U << (what & 0x30U ? 0U : what >> 2 & 3U) % 3U;
    const uint32_t value = data[at + 3] * ((what & 0x40) != 0 ? 0x01010101U : 1U);
    switch (what & 3U) {
      case 0:
        board->read(port, width, now);
        ++made;
        break;
      case 1:
        board->write(port, width, value, now);
        ++made;
        break;
      case 2: {
        now += static_cast<Nanos>(data[at + 1]) << (data[at + 2] % 28U);
        board->advance(now);
        break;
      }
      default:
        if ((data[at + 1] & 7U) == 0) {
          board->reset();
        } else if ((data[at + 1] & 7U) == 1) {
          board->serial_in(data[at + 3], now);
        } else if ((data[at + 1] & 7U) == 2) {
          board->keys({data + at + 2, 2}, now);
        } else {
          board->acknowledge(now);
        }
        break;
    }
    (void)board->take_reset();
  }
  require(counter.all == made);
  const auto undefined = board->bus().undefined();
  const auto recorded =
      std::accumulate(undefined.begin(), undefined.end(), uint64_t{0},
                      [](uint64_t sum, const Bus::Undefined& kind) { return sum + kind.count; });
  require(recorded + board->bus().undefined_uncounted() == counter.undefined);
  const auto state = board->save();
  const auto other = *Board::make({}, {});
  require(other->restore(state).has_value() && other->save() == state);
  return 0;
}

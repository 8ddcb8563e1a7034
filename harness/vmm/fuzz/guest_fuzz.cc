// libFuzzer: a guest that accesses ports at random, through KVM, against the pure board that is
// given the same accesses at the same times. The guest gets what the model answers, in its memory;
// the transcript has exactly what the guest's code does; both boards end in the same state. Needs
// /dev/kvm; without it the program exits with 77.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "harness/vmm/board_platform.h"
#include "harness/vmm/devices/board.h"
#include "harness/vmm/machine.h"

namespace {

using namespace ringfence;
using namespace ringfence::vmm;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "guest fuzzer: %s\n", what);
  std::abort();
}

constexpr uint16_t kCode = 0x1000;
constexpr uint16_t kTable = 0x8000;  // what was read, four bytes each
constexpr size_t kMostAccesses = 256;
constexpr uint16_t kExitPort = 0xf4;
constexpr uint16_t kPorts[] = {0x3f8, 0x20, 0xa0, 0x40,  0x60,  0x70, 0x608, 0x80,
                               0x92,  0xe9, 0xf4, 0xcf9, 0x4d0, 0x61, 0x64,  0};

struct Step {
  bool write = false;
  uint16_t port = 0;
  unsigned width = 1;
  uint32_t value = 0;
};

std::vector<Step> accesses_of(const uint8_t* data, size_t size) {
  std::vector<Step> list;
  for (size_t at = 0; at + 4 <= size && list.size() < kMostAccesses; at += 4) {
    const uint8_t what = data[at];
    Step access;
    access.write = (what & 1U) != 0;
    // Mostly bytes: what else is there is not defined.
    access.width = 1U << ((what & 0x30U) != 0 ? 0U : (what >> 2 & 3U) % 3U);
    access.port = static_cast<uint16_t>((what & 0x80) != 0
                                            ? data[at + 1] << 8 | data[at + 2]
                                            : kPorts[data[at + 1] & 15U] + (data[at + 1] >> 4));
    access.value = data[at + 3] * ((what & 0x40) != 0 ? 0x01010101U : 1U);
    list.push_back(access);
  }
  list.push_back({true, kExitPort, 1, 0});
  return list;
}

std::vector<uint8_t> code_of(const std::vector<Step>& accesses) {
  std::vector<uint8_t> code = {0xbf, kTable & 0xff, kTable >> 8};  // mov di, kTable
  const auto put = [&](std::initializer_list<uint32_t> bytes) {
    for (const uint32_t b : bytes) code.push_back(static_cast<uint8_t>(b));
  };
  for (const Step& a : accesses) {
    put({0xba, a.port, uint32_t{a.port} >> 8});                              // mov dx, port
    put({0x66, 0xb8, a.value, a.value >> 8, a.value >> 16, a.value >> 24});  // mov eax, value
    if (a.width == 4) put({0x66});
    put({(a.write ? 0xeeU : 0xecU) + (a.width == 1 ? 0U : 1U)});
    if (!a.write) put({0x66, 0xab});  // stosd
  }
  put({0xf4});
  return code;
}

uint32_t masked(uint32_t value, unsigned width) {
  return width == 4 ? value : value & ((1U << (8 * width)) - 1);
}

Machine& machine() {
  static std::unique_ptr<Machine> made = [] {
    auto kvm = Kvm::open();
    if (!kvm) {
      std::fprintf(stderr, "guest fuzzer: %s\n", kvm.error().describe().c_str());
      std::exit(77);
    }
    MachineOptions options;
    options.whole_transcript = true;
    options.resettable = true;
    auto platform = make_board_platform();
    require(platform.has_value(), "no platform");
    const std::vector<uint8_t> image = {0xe9, (kCode - 3) & 0xff, (kCode - 3) >> 8};  // jmp kCode
    auto machine = Machine::create(*kvm, image, std::move(*platform), options);
    require(machine.has_value(), "no machine");
    require((*machine)->remember().has_value(), "nothing remembered");
    return std::move(*machine);
  }();
  return *made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Machine& guest = machine();
  require(guest.rewind().has_value(), "no rewind");
  const auto accesses = accesses_of(data, size);
  require(guest.memory().write(kCode, code_of(accesses)).has_value(), "no code");
  // A guest that resets its CPU begins again: it is stopped there.
  bool reset = false;
  guest.on_exit([&](Machine& m, Exit&) {
    const auto last = m.transcript().entries(1);
    reset = !last.empty() && last[0].kind == Entry::Kind::exit;
    return reset ? Handled::stop : Handled::no;
  });
  const End end = guest.run();
  require(end.kind == End::Kind::exited || (reset && end.kind == End::Kind::stopped),
          "the guest did not end");

  const auto board = *Board::make({}, {});
  size_t done = 0;
  uint64_t table = kTable;
  for (const Entry& entry : guest.transcript().entries()) {
    if (entry.kind == Entry::Kind::exit) break;
    require(done < accesses.size(), "an access that is not in the code");
    const Step& a = accesses[done++];
    require((entry.kind == Entry::Kind::out) == a.write, "another direction");
    require(entry.address == a.port && entry.width == a.width, "another port or width");
    if (a.write) {
      require(entry.value == masked(a.value, a.width), "another value was written");
      board->write(a.port, a.width, masked(a.value, a.width), entry.now);
      continue;
    }
    const uint32_t value = masked(board->read(a.port, a.width, entry.now), a.width);
    require(masked(static_cast<uint32_t>(entry.value), a.width) == value, "another value was read");
    const auto got = guest.memory().load<uint32_t>(table);
    table += 4;
    if (reset) continue;  // the last one was not stored, and the guest may have begun again
    const uint32_t rest = a.value & ~masked(~0U, a.width);  // IN AL leaves the rest of EAX
    require(got && *got == (value | rest), "the guest did not get what was read");
  }
  require(done > 0, "no access");
  if (end.kind == End::Kind::exited) {
    board->drain();
    // The platform's state begins with how many inputs came: none.
    auto state = std::vector<uint8_t>(sizeof(size_t));
    const auto devices = board->save();
    state.insert(state.end(), devices.begin(), devices.end());
    require(state == guest.platform().save(), "the boards differ at the end");
  }
  return 0;
}

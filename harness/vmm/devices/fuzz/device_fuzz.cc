// libFuzzer: no sequence of accesses, inputs and jumps of the clock, and no bytes given as a state,
// may crash a device, hang it, or lead it into a state that it would not take back. One program for
// each device: RINGFENCE_FUZZ_DEVICE is its name.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "harness/vmm/devices/test_world.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence::vmm::test;
  if (size == 0) return 0;
  const bool from_state = (data[0] & 1) != 0;
  ++data;
  --size;
  World world(RINGFENCE_FUZZ_DEVICE);
  if (from_state) {
    // The state that comes first, in what is left of the input.
    auto state = world.device().save();
    const size_t taken = std::min(size, state.size());
    std::vector<uint8_t> given(data, data + taken);
    given.resize(state.size(), 0);
    for (size_t n = 0; n < 6; ++n) given[n] = state[n];  // tag and version
    const bool accepted = world.device().restore(given).has_value();
    if (!accepted) require(world.device().save() == state);
    world.now = uint64_t{1} << 40;
    data += taken;
    size -= taken;
  }
  const auto ops = ops_of(RINGFENCE_FUZZ_DEVICE, data, size);
  for (const auto& op : ops) {
    world.apply(op);
    const auto event = world.device().next_event();
    if (event) require(*event > 0);
  }
  const auto state = world.device().save();
  World other(RINGFENCE_FUZZ_DEVICE);
  require(other.device().restore(state).has_value());
  require(other.device().save() == state);
  // And on from there, alike.
  other.now = world.now;
  world.log.clear();
  other.log.clear();
  world.apply(ops);
  other.apply(ops);
  require(world.log == other.log);
  return 0;
}

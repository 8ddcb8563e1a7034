// libFuzzer: no bytes on the pipe from a worker or a decoy host may crash the reader, and what it
// accepts can be used and packed again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "harness/runner/wire.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

template <typename T>
std::optional<T> again(std::string_view bytes) {
  auto value = ringfence::wire::unpack<T>(bytes);
  if (value) {
    const auto packed = ringfence::wire::pack(*value);
    const auto second = ringfence::wire::unpack<T>(packed);
    require(second.has_value() && ringfence::wire::pack(*second) == packed);
  }
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto record = again<CaseRecord>(bytes)) {
    require(!verdict_name(record->verdict).empty());
  }
  if (const auto outcome = again<TrialOutcome>(bytes)) {
    require(!sight_name(outcome->goal.goal.sight).empty());
    require(!outcome->claim.describe().empty());
  }
  return 0;
}

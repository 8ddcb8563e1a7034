#include "harness/vmm/platform.h"

#include <array>
#include <cstring>

namespace ringfence::vmm {
namespace {

struct SavedState {
  uint32_t version = 1;
  uint32_t code = 0;
  uint8_t has_code = 0;
  uint8_t line = 0;
  uint8_t vector = 0;
  uint8_t zero = 0;
};

}  // namespace

Platform::Access BarePlatform::in(uint16_t port, unsigned width, uint32_t& value, Nanos /*now*/) {
  value = width == 4 ? 0xffffffff : (1U << (8 * width)) - 1;
  if (port == kDebugPort) {
    if (width == 1) value = kDebugPort;
    return {"debugcon", width == 1, true};
  }
  return {port == kExitPort ? "exit" : "", false, true};
}

Platform::Access BarePlatform::out(uint16_t port, unsigned width, uint32_t value, Nanos /*now*/) {
  if (port == kDebugPort) {
    if (width == 1) debug_.push_back(static_cast<uint8_t>(value));
    return {"debugcon", width == 1};
  }
  if (port == kExitPort) {
    code_ = value;
    return {"exit", true};
  }
  return {"", false, true};
}

uint8_t BarePlatform::acknowledge(Nanos /*now*/) {
  line_ = false;
  return vector_;
}

void BarePlatform::reset() {
  line_ = false;
  code_.reset();
  debug_.clear();
}

std::vector<uint8_t> BarePlatform::save() const {
  SavedState s;
  s.code = code_.value_or(0);
  s.has_code = code_ ? 1 : 0;
  s.line = line_ ? 1 : 0;
  s.vector = vector_;
  std::vector<uint8_t> bytes(sizeof s);
  std::memcpy(bytes.data(), &s, sizeof s);
  return bytes;
}

Status BarePlatform::restore(std::span<const uint8_t> state) {
  SavedState s;
  if (state.size() != sizeof s) return usage_error("restore bare platform", {}, "not its state");
  std::memcpy(&s, state.data(), sizeof s);
  if (s.version != 1) return usage_error("restore bare platform", {}, "not its state");
  reset();
  if (s.has_code != 0) code_ = s.code;
  line_ = s.line != 0;
  vector_ = s.vector;
  return {};
}

}  // namespace ringfence::vmm

// libFuzzer: nothing that comes over the wire may crash the gdb stub or reach past what the target
// has; whatever it answers is a well-formed packet.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>

#include "harness/vmm/gdb_packet.h"
#include "harness/vmm/gdb_stub.h"

namespace {

using namespace ringfence;
using namespace ringfence::vmm;

void require(bool condition) {
  if (!condition) std::abort();
}

class Target final : public GdbTarget {
 public:
  Result<CpuState> registers() override { return state_; }
  Status set_registers(const CpuState& state) override {
    state_ = state;
    return {};
  }
  size_t read(uint64_t address, std::span<uint8_t> bytes) override {
    require(bytes.size() <= GdbReader::kMost);
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (address + i >= memory_.size()) return i;
      bytes[i] = memory_[address + i];
    }
    return bytes.size();
  }
  Status write(uint64_t address, std::span<const uint8_t> bytes) override {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (address + i >= memory_.size()) return system_error("write", {}, EFAULT);
      memory_[address + i] = bytes[i];
    }
    return {};
  }
  Status insert(Break kind, uint64_t address) override {
    if (breaks_.size() >= 4) return system_error("set breakpoint", {}, ENOSPC);
    breaks_[address] = kind;
    return {};
  }
  Status remove(Break /*kind*/, uint64_t address) override {
    breaks_.erase(address);
    return {};
  }

 private:
  CpuState state_{};
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(4096, 0x90);
  std::map<uint64_t, Break> breaks_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Target target;
  GdbStub stub(target, static_cast<GdbArch>(data[0] % 3));
  stub.stopped({static_cast<GdbStop::Kind>(data[1] % 6)});
  std::vector<std::string> packets;
  GdbReader reader;
  // As it is, and cut into lines as payloads, for which no checksum has to be guessed.
  for (const GdbInput& input : reader.feed({data + 2, size - 2})) {
    if (input.kind == GdbInput::Kind::packet) packets.push_back(input.payload);
  }
  for (size_t at = 2; at < size;) {
    const auto* end = std::find(data + at, data + size, '\n');
    packets.emplace_back(data + at, end);
    at = static_cast<size_t>(end - data) + 1;
  }
  for (const std::string& packet : packets) {
    const auto answer = stub.answer(packet);
    require(answer.reply.has_value() || answer.next != GdbStub::Next::stay);
    if (!answer.reply) continue;
    const std::string framed = gdb_frame(*answer.reply);
    GdbReader other;
    const auto back = other.feed({reinterpret_cast<const uint8_t*>(framed.data()), framed.size()});
    require(back.size() == 1 && back[0].kind == GdbInput::Kind::packet);
    require(back[0].payload == *answer.reply);
  }
  return 0;
}

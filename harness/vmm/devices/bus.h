#pragma once
// The port-I/O bus: which device answers an access, what nobody answers, and who may look on.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/vmm/devices/device.h"

namespace ringfence::vmm {

struct Access {
  uint16_t port = 0;
  uint8_t width = 1;  // bytes
  bool write = false;
  bool defined = true;  // false: no device there, or one that does not know this access
  uint32_t value = 0;   // what was written or answered
  Nanos now = 0;
  const Device* device = nullptr;  // null: no device there
};

// Sees every access after it was made. Makes no access itself.
struct BusObserver {
  virtual ~BusObserver() = default;
  virtual void access(const Access& access) = 0;
};

class Bus {
 public:
  // An access that nobody defines, by port, width and direction.
  struct Undefined {
    uint16_t port = 0;
    uint8_t width = 1;
    bool write = false;
    uint32_t last_value = 0;  // last written; all ones for reads
    uint64_t count = 0;
    const Device* device = nullptr;  // null: no device there
  };
  // Kinds of undefined accesses that are kept apart; a guest that tries every port stays bounded.
  static constexpr size_t kMaxUndefined = 256;

  Bus();
  // The device has to outlive the bus. EEXIST where another one has one of its ports; then nothing
  // changed. At most 254 devices.
  Status add(Device& device);

  // Devices whose events are due come first, so that an access sees what happened before it.
  uint32_t read(uint16_t port, unsigned width, Nanos now);
  void write(uint16_t port, unsigned width, uint32_t value, Nanos now);

  void advance(Nanos now);
  [[nodiscard]] std::optional<Nanos> next_event() const;
  // Somebody changed a device past the bus (a key, a byte on the serial line, a reset, a restore).
  void touched() { due_ = 0; }

  void observe(BusObserver* observer) { observer_ = observer; }  // null: nobody
  [[nodiscard]] std::span<const Undefined> undefined() const { return undefined_; }
  // Undefined accesses of kinds beyond kMaxUndefined.
  [[nodiscard]] uint64_t undefined_uncounted() const { return uncounted_; }
  void forget_undefined();

  [[nodiscard]] std::span<Device* const> devices() const { return devices_; }

 private:
  Device* at(uint16_t port) const;
  void after(const Access& access);

  std::array<uint8_t, 65536> slot_;  // index into devices_ plus one; 0: nobody
  std::vector<Device*> devices_;
  Nanos due_ = 0;  // nothing happens by itself before this
  BusObserver* observer_ = nullptr;
  std::vector<Undefined> undefined_;
  uint64_t uncounted_ = 0;
};

}  // namespace ringfence::vmm

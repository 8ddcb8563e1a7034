#include "harness/vmm/devices/bus.h"

#include <algorithm>
#include <limits>

namespace ringfence::vmm {
namespace {

constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

constexpr uint32_t ones(unsigned width) {
  return width == 1 ? 0xFFU : width == 2 ? 0xFFFFU : 0xFFFF'FFFFU;
}

}  // namespace

Bus::Bus() { slot_.fill(0); }

Status Bus::add(Device& device) {
  if (devices_.size() >= 254) return system_error("add device", std::string(device.name()), ENOSPC);
  const auto ports = device.ports();
  for (const auto& range : ports) {
    for (uint32_t port = range.first; port < uint32_t{range.first} + range.count; ++port) {
      if (port > 0xFFFF || slot_[port] != 0) {
        return system_error("add device", std::string(device.name()), EEXIST,
                            port > 0xFFFF ? "a port past 0xffff" : "its ports are taken");
      }
    }
  }
  devices_.push_back(&device);
  for (const auto& range : ports) {
    std::fill_n(slot_.begin() + range.first, range.count, static_cast<uint8_t>(devices_.size()));
  }
  due_ = 0;
  return {};
}

Device* Bus::at(uint16_t port) const {
  const auto slot = slot_[port];
  return slot == 0 ? nullptr : devices_[slot - 1U];
}

void Bus::after(const Access& access) {
  if (access.device != nullptr) due_ = std::min(due_, access.device->next_event().value_or(kNever));
  if (!access.defined) {
    const auto same =
        std::find_if(undefined_.begin(), undefined_.end(), [&](const Undefined& seen) {
          return seen.port == access.port && seen.width == access.width &&
                 seen.write == access.write;
        });
    if (same != undefined_.end()) {
      ++same->count;
      same->last_value = access.value;
    } else if (undefined_.size() < kMaxUndefined) {
      undefined_.push_back(
          {access.port, access.width, access.write, access.value, 1, access.device});
    } else {
      ++uncounted_;
    }
  }
  if (observer_ != nullptr) observer_->access(access);
}

uint32_t Bus::read(uint16_t port, unsigned width, Nanos now) {
  if (now >= due_) advance(now);
  Device* const device = at(port);
  uint32_t value = 0;
  const bool defined = device != nullptr && device->read(port, width, value, now);
  value = defined ? value & ones(width) : ones(width);
  after({port, static_cast<uint8_t>(width), false, defined, value, now, device});
  return value;
}

void Bus::write(uint16_t port, unsigned width, uint32_t value, Nanos now) {
  if (now >= due_) advance(now);
  Device* const device = at(port);
  value &= ones(width);
  const bool defined = device != nullptr && device->write(port, width, value, now);
  after({port, static_cast<uint8_t>(width), true, defined, value, now, device});
}

void Bus::advance(Nanos now) {
  for (auto* device : devices_) device->advance(now);
  due_ = next_event().value_or(kNever);
}

std::optional<Nanos> Bus::next_event() const {
  std::optional<Nanos> first;
  for (const auto* device : devices_) {
    const auto event = device->next_event();
    if (event && (!first || *event < *first)) first = event;
  }
  return first;
}

void Bus::forget_undefined() {
  undefined_.clear();
  uncounted_ = 0;
}

}  // namespace ringfence::vmm

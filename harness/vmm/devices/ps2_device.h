#pragma once
// What hangs at the 8042's two ports: a keyboard and a mouse, as what they answer. Internal.
// Source: IBM PS/2 Hardware Interface Technical Reference, keyboard (101/102 keys) and mouse.
#include <array>
#include <cstdint>

#include "harness/vmm/devices/i8042_faults.h"

namespace ringfence::vmm::kbc {

struct Ps2State {
  static constexpr unsigned kPlaces = 16;
  std::array<uint8_t, kPlaces> queue{};
  uint8_t head = 0;
  uint8_t count = 0;
  uint8_t last_sent = 0;
  uint8_t argument_of = 0;  // the command that waits for its argument, 0: none
  uint8_t scan_set = 2;
  bool scanning = true;  // keyboard: keys; mouse: stream mode, reports

  template <typename Io>
  void fields(Io& io) {
    for (auto& byte : queue) io.value(byte);
    io.value(head, kPlaces - 1);
    io.value(count, kPlaces);
    io.value(last_sent);
    io.value(argument_of);
    io.value(scan_set, 3);
    io.require(scan_set != 0);
    io.value(scanning);
  }

  bool push(uint8_t byte, unsigned places = kPlaces) {
    if (count >= places) return false;
    queue[(head + count) % kPlaces] = byte;
    ++count;
    return true;
  }
  uint8_t pop() {
    last_sent = queue[head];
    head = static_cast<uint8_t>((head + 1U) % kPlaces);
    --count;
    return last_sent;
  }
};

template <typename Faults>
void keyboard_command(Ps2State& s, uint8_t byte, const Faults& f) {
  const auto ack = [&] {
    if (!f.on(kAckDropped)) s.push(0xFA);
  };
  if (s.argument_of != 0 && (byte < 0x80 || s.argument_of == 0xF3)) {
    const uint8_t command = s.argument_of;
    s.argument_of = 0;
    ack();
    if (command == 0xF0 && byte == 0) {
      s.push(s.scan_set);
    } else if (command == 0xF0 && byte <= 3 && !f.on(kScanSetIgnored)) {
      s.scan_set = byte;
    }
    return;
  }
  s.argument_of = 0;
  if (byte != 0xFE) s.count = 0;  // a command takes what was waiting
  switch (byte) {
    case 0xED:
    case 0xF0:
    case 0xF3:
      s.argument_of = byte;
      ack();
      break;
    case 0xEE:
      s.push(f.on(kEchoAcked) ? 0xFA : 0xEE);
      break;
    case 0xF2:
      ack();
      s.push(f.on(kIdReversed) ? 0x83 : 0xAB);
      s.push(f.on(kIdReversed) ? 0xAB : 0x83);
      break;
    case 0xF4:
      s.scanning = true;
      ack();
      break;
    case 0xF5:
      if (!f.on(kScanningStays)) s.scanning = false;
      s.scan_set = 2;
      ack();
      break;
    case 0xF6:
      s.scan_set = 2;
      ack();
      break;
    case 0xF7:
    case 0xF8:
    case 0xF9:
    case 0xFA:
      ack();
      break;
    case 0xFE:
      if (!f.on(kResendWrong)) s.push(s.last_sent);
      break;
    case 0xFF:
      s.scanning = true;
      s.scan_set = 2;
      ack();
      if (!f.on(kResetNoBat)) s.push(0xAA);
      break;
    default:
      s.push(f.on(kUnknownAcked) ? 0xFA : 0xFE);
      break;
  }
}

template <typename Faults>
void mouse_command(Ps2State& s, uint8_t byte, const Faults& f) {
  if (s.argument_of != 0) {
    s.argument_of = 0;
    s.push(0xFA);
    return;
  }
  if (byte != 0xFE) s.count = 0;
  switch (byte) {
    case 0xE8:
    case 0xF3:
      s.argument_of = byte;
      s.push(0xFA);
      break;
    case 0xE6:
    case 0xE7:
    case 0xEA:
    case 0xF0:
      s.push(0xFA);
      break;
    case 0xE9:  // status: stream mode, reporting or not, 4 counts a mm, 100 samples a second
      for (const int answer : {0xFA, s.scanning ? 0x20 : 0x00, 0x02, 0x64}) {
        s.push(static_cast<uint8_t>(answer));
      }
      break;
    case 0xEB:  // a report: nothing moved
      for (const int answer : {0xFA, 0x08, 0x00, 0x00}) s.push(static_cast<uint8_t>(answer));
      break;
    case 0xF2:
      s.push(0xFA);
      s.push(f.on(kMouseIdWrong) ? 3 : 0);
      break;
    case 0xF4:
      s.scanning = true;
      s.push(0xFA);
      break;
    case 0xF5:
    case 0xF6:
      s.scanning = false;
      s.push(0xFA);
      break;
    case 0xFE:
      s.push(s.last_sent);
      break;
    case 0xFF:
      s.scanning = false;
      for (const int answer : {0xFA, 0xAA, 0x00}) s.push(static_cast<uint8_t>(answer));
      break;
    default:
      s.push(0xFE);
      break;
  }
}

}  // namespace ringfence::vmm::kbc

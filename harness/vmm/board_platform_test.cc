#include "harness/vmm/board_platform.h"

#include <gmock/gmock.h>

#include "guests/guests.h"
#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

using ::testing::HasSubstr;

Result<std::unique_ptr<Machine>> on_board(const Kvm& kvm, const char* name, const char* fault = "",
                                          MachineOptions options = {}) {
  auto board = make_board_platform(fault);
  if (!board) return tl::unexpected(board.error());
  return Machine::create(kvm, find_guest(name)->flat, std::move(*board), std::move(options));
}

TEST(BoardPlatform, TheSerialLineIsCaptured) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = on_board(*kvm, "hi");
  ASSERT_TRUE(machine) << machine.error().describe();
  std::string out;
  (*machine)->on_output([&](std::span<const uint8_t>, std::span<const uint8_t> serial) {
    out.append(serial.begin(), serial.end());
  });
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::halted) << end.text;
  EXPECT_EQ((*machine)->serial_text(), "Hi\n");
  EXPECT_EQ(out, "Hi\n");
}

TEST(BoardPlatform, TheTranscriptNamesTheDevice) {
  RINGFENCE_NEED_KVM(kvm);
  MachineOptions options;
  options.whole_transcript = true;
  auto machine = on_board(*kvm, "hi", "", options);
  ASSERT_TRUE(machine);
  (void)(*machine)->run();
  const auto entries = (*machine)->transcript().entries();
  EXPECT_TRUE(std::any_of(entries.begin(), entries.end(), [](const Entry& e) {
    return e.kind == Entry::Kind::out && e.address == 0x3f8 && e.value == 'i' &&
           e.device == "uart" && e.defined;
  }));
}

TEST(BoardPlatform, AnUnknownFaultIsRefusedWithTheNearest) {
  const auto r = make_board_platform("uart.scr.write_ignore");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().kind, Error::Kind::usage);
  EXPECT_THAT(r.error().describe(), HasSubstr("uart.scr.write_ignored"));
}

TEST(BoardPlatform, RewindRestoresTheDevices) {
  RINGFENCE_NEED_KVM(kvm);
  MachineOptions options;
  options.resettable = true;
  auto machine = on_board(*kvm, "uart_registers", "", options);
  ASSERT_TRUE(machine);
  ASSERT_TRUE((*machine)->remember());
  ASSERT_EQ((*machine)->run().kind, End::Kind::exited);
  const std::string first = (*machine)->debug_text();
  EXPECT_THAT(first, HasSubstr("Z "));
  auto ok = (*machine)->rewind();
  ASSERT_TRUE(ok) << ok.error().describe();
  ASSERT_EQ((*machine)->run().kind, End::Kind::exited);
  EXPECT_EQ((*machine)->debug_text(), first);
}

TEST(BoardPlatform, WhatCameFromOutsideComesAgainAfterARestore) {
  auto made = make_board_platform({}, {{Input::Kind::line, 5000, 5}, {Input::Kind::line, 7000, 6}});
  ASSERT_TRUE(made);
  Platform& platform = **made;
  const auto requests = [&](Nanos now) {
    uint32_t value = 0;
    platform.out(0x20, 1, 0x0a, now);  // OCW3: reads are of the IRR
    platform.in(0x20, 1, value, now);
    return value;
  };
  const auto begin = platform.save();
  EXPECT_EQ(requests(4000), 0U);
  EXPECT_EQ(requests(6000), 0x20U);
  const auto middle = platform.save();
  EXPECT_EQ(requests(8000), 0x60U);
  ASSERT_TRUE(platform.restore(middle));
  EXPECT_EQ(platform.next_event(), 7000U);
  EXPECT_EQ(requests(8000), 0x60U);
  ASSERT_TRUE(platform.restore(begin));
  EXPECT_EQ(requests(4000), 0U);
  EXPECT_EQ(requests(6000), 0x20U);
  for (size_t size = 0; size < begin.size(); ++size) {
    EXPECT_FALSE(platform.restore(std::span(begin).first(size))) << size;
  }
  auto odd = begin;
  odd[0] = 3;  // more inputs than there are
  EXPECT_FALSE(platform.restore(odd));
}

TEST(BoardPlatform, TellsHowTheInputsOfTheControllersChange) {
  for (const bool asked : {false, true}) {
    auto made = make_board_platform({}, {{Input::Kind::line, 5000, 5}}, asked);
    ASSERT_TRUE(made);
    Platform& platform = **made;
    uint32_t value = 0;
    platform.out(0x3fc, 1, 8, 0);     // OUT2 opens the gate
    platform.out(0x3f9, 1, 2, 0);     // THRE interrupt: the transmitter is empty
    platform.in(0x3fa, 1, value, 0);  // and reading IIR ends it
    platform.advance(5000);
    using Changes = std::vector<Platform::InputChange>;
    const Changes wanted = {{4, true}, {4, false}, {5, true}};
    EXPECT_EQ(platform.take_inputs(), asked ? wanted : Changes());
    EXPECT_EQ(platform.take_inputs(), Changes());
    // The board's own controllers see them in any case.
    platform.out(0x20, 1, 0x0a, 5000);
    platform.in(0x20, 1, value, 5000);
    EXPECT_EQ(value, 0x20U);
  }
}

}  // namespace
}  // namespace ringfence::vmm

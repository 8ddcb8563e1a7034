#include "harness/vmm/debug.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

using testing::HasSubstr;
using Kind = Breakpoints::Kind;

constexpr DebugFacilities kAll{true, true, true};
constexpr DebugFacilities kRegistersOnly{true, true, false};
const Bytes kNops = Bytes{0x90, 0x90, 0x90, 0x90};

// Runs to the end or to the first stop, which is in `stop`.
struct Seen {
  End end;
  std::optional<Debug> stop;
};
Seen run_to_stop(Machine& machine) {
  Seen seen;
  machine.on_exit([&](Machine&, Exit& exit) {
    const auto* debug = std::get_if<Debug>(&exit);
    if (debug == nullptr) return Handled::no;
    seen.stop = *debug;
    return Handled::stop;
  });
  seen.end = machine.run();
  return seen;
}

TEST(DebugLimits, SaysWhatIsMissing) {
  EXPECT_EQ(debug_limits(kAll), "");
  EXPECT_THAT(debug_limits(kRegistersOnly), HasSubstr("INT3; breakpoints past 4 are"));
  EXPECT_THAT(debug_limits({}), HasSubstr("single step"));
  EXPECT_THAT(debug_limits({true, false, true}), HasSubstr("no debug registers"));
}

TEST(Breakpoints, ADebugRegisterStopsTheGuestThere) {
  RINGFENCE_NEED_KVM(kvm);
  const auto facilities = probe_debug(*kvm);
  ASSERT_TRUE(facilities);
  if (!facilities->hardware) GTEST_SKIP() << debug_limits(*facilities);
  auto machine = machine_of(*kvm, kNops + code::exit_with(3));
  ASSERT_TRUE(machine);
  Breakpoints breakpoints(**machine, kRegistersOnly);
  ASSERT_TRUE(breakpoints.insert(Kind::software, 2));  // the fallback: no INT3
  EXPECT_EQ((*machine)->memory().load<uint8_t>(2), uint8_t{0x90});
  ASSERT_TRUE(breakpoints.arm(false));
  const Seen seen = run_to_stop(**machine);
  ASSERT_TRUE(seen.stop) << seen.end.text;
  EXPECT_EQ(seen.stop->pc, 2);
  EXPECT_EQ(breakpoints.explain(*seen.stop).hit, Breakpoints::Hit::breakpoint);
  EXPECT_EQ(breakpoints.explain(*seen.stop).kind, Kind::software);
  EXPECT_EQ((*machine)->now(), 0) << "the guest did nothing, and time passed";
  // On, without it.
  ASSERT_TRUE(breakpoints.remove(Kind::software, 2));
  ASSERT_TRUE(breakpoints.arm(false));
  const Seen rest = run_to_stop(**machine);
  EXPECT_FALSE(rest.stop);
  EXPECT_EQ(rest.end.code, 3);
}

TEST(Breakpoints, StepsOneInstruction) {
  RINGFENCE_NEED_KVM(kvm);
  const auto facilities = probe_debug(*kvm);
  ASSERT_TRUE(facilities);
  if (!facilities->step) GTEST_SKIP() << debug_limits(*facilities);
  auto machine = machine_of(*kvm, kNops + code::exit_with(3));
  ASSERT_TRUE(machine);
  Breakpoints breakpoints(**machine, *facilities);
  for (uint64_t pc = 1; pc <= 4; ++pc) {
    ASSERT_TRUE(breakpoints.arm(true));
    const Seen seen = run_to_stop(**machine);
    ASSERT_TRUE(seen.stop);
    EXPECT_EQ(seen.stop->pc, pc);
    EXPECT_EQ(breakpoints.explain(*seen.stop).hit, Breakpoints::Hit::step);
  }
}

TEST(Breakpoints, AreFoundByStepping) {
  RINGFENCE_NEED_KVM(kvm);
  const auto facilities = probe_debug(*kvm);
  ASSERT_TRUE(facilities);
  if (!facilities->step) GTEST_SKIP() << debug_limits(*facilities);
  auto machine = machine_of(*kvm, kNops + code::exit_with(3));
  ASSERT_TRUE(machine);
  Breakpoints breakpoints(**machine, {true, false, false});  // nothing else
  ASSERT_TRUE(breakpoints.insert(Kind::software, 3));
  ASSERT_TRUE(breakpoints.arm(false));
  int on_the_way = 0;
  uint64_t found = 0;
  (*machine)->on_exit([&](Machine&, Exit& exit) {
    const auto* debug = std::get_if<Debug>(&exit);
    if (debug == nullptr) return Handled::no;
    const auto hit = breakpoints.explain(*debug).hit;
    if (hit == Breakpoints::Hit::breakpoint) found = debug->pc;
    on_the_way += hit == Breakpoints::Hit::nowhere ? 1 : 0;
    return hit == Breakpoints::Hit::breakpoint ? Handled::stop : Handled::yes;
  });
  EXPECT_EQ((*machine)->run().kind, End::Kind::stopped);
  EXPECT_EQ(found, 3);
  EXPECT_EQ(on_the_way, 2);
  ASSERT_TRUE(breakpoints.clear());
  ASSERT_TRUE(breakpoints.arm(false));
  EXPECT_EQ((*machine)->run().code, 3U);
}

TEST(Breakpoints, AnInt3StopsTheGuestThere) {
  RINGFENCE_NEED_KVM(kvm);
  const auto facilities = probe_debug(*kvm);
  ASSERT_TRUE(facilities);
  if (!facilities->software) GTEST_SKIP() << debug_limits(*facilities);
  // Its own INT3 behind it leads to vector 3: HLT at 0x30.
  Bytes image(0x40, 0xf4);
  image[0] = 0xeb;
  image[1] = 0x1e;
  image[0xc] = 0x30;
  image[0xd] = image[0xe] = image[0xf] = 0;
  image[0x20] = image[0x21] = 0x90;
  image[0x22] = 0xcc;
  auto machine = machine_of(*kvm, image);
  ASSERT_TRUE(machine);
  Breakpoints breakpoints(**machine, *facilities);
  ASSERT_TRUE(breakpoints.insert(Kind::software, 0x21));
  ASSERT_TRUE(breakpoints.arm(false));
  const Seen seen = run_to_stop(**machine);
  ASSERT_TRUE(seen.stop) << seen.end.text;
  EXPECT_EQ(seen.stop->pc, 0x21);
  EXPECT_EQ(breakpoints.explain(*seen.stop).hit, Breakpoints::Hit::breakpoint);
  ASSERT_TRUE(breakpoints.remove(Kind::software, 0x21));
  ASSERT_TRUE(breakpoints.insert(Kind::software, 0x3f));  // never reached: INT3 still comes here
  ASSERT_TRUE(breakpoints.arm(false));
  const Seen own = run_to_stop(**machine);
  ASSERT_TRUE(own.stop);
  EXPECT_EQ(own.stop->pc, 0x22);
  EXPECT_EQ(breakpoints.explain(*own.stop).hit, Breakpoints::Hit::guest);
  ASSERT_TRUE(breakpoints.pass_on(*own.stop));
  const Seen rest = run_to_stop(**machine);
  EXPECT_FALSE(rest.stop);
  EXPECT_EQ(rest.end.kind, End::Kind::halted);
  EXPECT_EQ((*machine)->vcpu().regs()->rip, 0x31);
}

TEST(Breakpoints, AnInt3IsInMemoryAndNobodySeesIt) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, kNops);
  ASSERT_TRUE(machine);
  GuestMemory& memory = (*machine)->memory();
  Breakpoints breakpoints(**machine, kAll);
  for (const uint64_t at : {1, 2, 3}) ASSERT_TRUE(breakpoints.insert(Kind::software, at));
  ASSERT_TRUE(breakpoints.insert(Kind::software, 1));  // twice is once
  EXPECT_EQ(memory.load<uint32_t>(0), 0xcccccc90U);
  Bytes seen(4);
  EXPECT_EQ(breakpoints.read(0, seen), 4);
  EXPECT_EQ(seen, kNops);
  ASSERT_TRUE(breakpoints.write(1, Bytes{0xf4}));
  EXPECT_EQ(memory.load<uint32_t>(0), 0xcccccc90U);
  EXPECT_TRUE(memory.store<uint8_t>(2, 0x42));  // by the guest
  EXPECT_EQ(breakpoints.read(0, seen), 4);
  EXPECT_EQ(seen, (Bytes{0x90, 0xf4, 0x42, 0x90}));
  ASSERT_TRUE(breakpoints.remove(Kind::software, 1));
  ASSERT_TRUE(breakpoints.clear());
  EXPECT_EQ(memory.load<uint32_t>(0), 0x9042f490U);
  // Behind the end of memory.
  EXPECT_EQ(breakpoints.insert(Kind::software, 0x7fffffff).error().err, EFAULT);
  EXPECT_FALSE(breakpoints.write(0x7fffffff, Bytes{0}));
  EXPECT_EQ(breakpoints.read((2ULL << 20) - 2, seen), 2);
}

// Where INT3 comes to the host, the guest stands at one that is in memory, and goes on over what is
// beneath it.
TEST(Breakpoints, TheInstructionBeneathAnInt3IsExecuted) {
  RINGFENCE_NEED_KVM(kvm);
  const auto facilities = probe_debug(*kvm);
  ASSERT_TRUE(facilities);
  if (!facilities->step) GTEST_SKIP() << debug_limits(*facilities);
  // mov al, 3; nop; out 0xf4, al
  auto machine = machine_of(*kvm, Bytes{0xb0, 3, 0x90, 0xe6, 0xf4});
  ASSERT_TRUE(machine);
  GuestMemory& memory = (*machine)->memory();
  Breakpoints breakpoints(**machine, kAll);
  ASSERT_TRUE(breakpoints.insert(Kind::software, 0));
  ASSERT_TRUE(breakpoints.insert(Kind::software, 3));
  ASSERT_TRUE(breakpoints.arm(false));
  EXPECT_EQ(memory.load<uint8_t>(0), uint8_t{0xcc});
  const Debug stop{.exception = 3, .pc = 0, .dr6 = 0, .dr7 = 0};
  EXPECT_EQ(breakpoints.explain(stop).hit, Breakpoints::Hit::breakpoint);
  // On, as after a stop: the first instruction alone, without breakpoints.
  ASSERT_TRUE(breakpoints.arm(true, false));
  EXPECT_EQ(memory.load<uint32_t>(0), 0xe69003b0U);
  const Seen seen = run_to_stop(**machine);
  ASSERT_TRUE(seen.stop) << seen.end.text;
  EXPECT_EQ(seen.stop->pc, 2);
  EXPECT_EQ((*machine)->vcpu().regs()->rax & 0xff, 3U);
  // Meanwhile they can be changed; then they are there again.
  ASSERT_TRUE(breakpoints.insert(Kind::software, 2));
  ASSERT_TRUE(breakpoints.remove(Kind::software, 3));
  ASSERT_TRUE(breakpoints.write(0, Bytes{0xb1}));
  EXPECT_EQ(memory.load<uint32_t>(0), 0xe69003b1U);
  ASSERT_TRUE(breakpoints.arm(false));
  EXPECT_EQ(memory.load<uint32_t>(0), 0xe6cc03ccU);
  Bytes as_the_guest_has_it(4);
  EXPECT_EQ(breakpoints.read(0, as_the_guest_has_it), 4);
  EXPECT_EQ(as_the_guest_has_it, (Bytes{0xb1, 3, 0x90, 0xe6}));
  ASSERT_TRUE(breakpoints.clear());
  EXPECT_EQ(memory.load<uint32_t>(0), 0xe69003b1U);
}

TEST(Breakpoints, FourDebugRegistersAndNoMore) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, kNops);
  ASSERT_TRUE(machine);
  Breakpoints breakpoints(**machine, kRegistersOnly);
  for (const uint64_t at : {1, 2, 3, 4}) ASSERT_TRUE(breakpoints.insert(Kind::hardware, at));
  ASSERT_TRUE(breakpoints.insert(Kind::hardware, 4));
  EXPECT_EQ(breakpoints.insert(Kind::hardware, 5).error().err, ENOSPC);
  ASSERT_TRUE(breakpoints.remove(Kind::hardware, 2));
  EXPECT_TRUE(breakpoints.insert(Kind::hardware, 5));
  Breakpoints none(**machine, {true, false, true});
  EXPECT_EQ(none.insert(Kind::hardware, 1).error().err, ENOTSUP);
}

}  // namespace
}  // namespace ringfence::vmm

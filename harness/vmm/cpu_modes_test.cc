#include "harness/vmm/cpu_modes.h"

#include <gmock/gmock.h>

#include <array>

#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

TEST(Descriptors, AsTheManualHasThem) {
  // The flat 32-bit code and data segments that every kernel has.
  EXPECT_EQ(segment_descriptor(0, 0xffffffff, 0x9a, 4), 0x00cf9a000000ffffU);
  EXPECT_EQ(segment_descriptor(0, 0xffffffff, 0x92, 4), 0x00cf92000000ffffU);
  EXPECT_EQ(segment_descriptor(0x12345678, 0x67, 0x89, 0), 0x1200893456780067U);
  const kvm_segment s = loaded_segment(0x48, 0x12008b3456780067);
  EXPECT_EQ(s.base, 0x12345678U);
  EXPECT_EQ(s.limit, 0x67U);
  EXPECT_EQ(s.type, 0xb);
  EXPECT_EQ(s.s, 0);
  EXPECT_EQ(s.present, 1);
  EXPECT_EQ(loaded_segment(8, 0x00cf9a000000ffff).limit, 0xffffffffU);
}

TEST(Modes, NamesComeBack) {
  for (const CpuMode mode : {CpuMode::real, CpuMode::protected16, CpuMode::protected32,
                             CpuMode::long64, CpuMode::compat}) {
    EXPECT_EQ(mode_by_name(mode_name(mode)), mode);
  }
  EXPECT_EQ(mode_by_name("unreal"), std::nullopt);
}

class Tables : public ::testing::Test {
 protected:
  void SetUp() override {
    auto kvm = Kvm::open();
    if (!kvm) GTEST_SKIP() << kvm.error().describe();
    vm_.emplace(kvm->create_vm().value());
    ASSERT_TRUE(memory_.add(*vm_, 0, 1 << 20));
  }
  GuestMemory memory_;
  std::optional<Vm> vm_;
};

TEST_F(Tables, EntriesMapByIdentityInEachSize) {
  for (const auto& [page, step, large] :
       {std::tuple(PageSize::k4, 0x1000ULL, 0ULL), std::tuple(PageSize::m2, 0x200000ULL, 0x80ULL),
        std::tuple(PageSize::g1, 0x40000000ULL, 0x80ULL)}) {
    PageTables tables(memory_, 0x84000);
    const auto cr3 = tables.identity(3 * step, page);
    ASSERT_TRUE(cr3);
    const auto slot = tables.entry_of(*cr3, 2 * step);
    ASSERT_TRUE(slot);
    EXPECT_EQ(memory_.load<uint64_t>(*slot).value(), 2 * step | 7 | large);
    ASSERT_TRUE(tables.set_flags(*cr3, step, 1 | large));
    EXPECT_EQ(memory_.load<uint64_t>(tables.entry_of(*cr3, step).value()).value(),
              step | 1 | large);
    const auto nothing = tables.entry_of(*cr3, 1ULL << 45);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().err, EFAULT);
  }
  PageTables tables(memory_, 0x84000);
  EXPECT_EQ(tables.identity(1ULL << 40, PageSize::m2).error().kind, Error::Kind::usage);
  EXPECT_EQ(tables.identity(0, PageSize::m2).error().kind, Error::Kind::usage);
  PageTables outside(memory_, (1 << 20) - 0x1000);  // room for one table only
  EXPECT_EQ(outside.identity(1 << 20, PageSize::m2).error().err, EFAULT);
}

TEST_F(Tables, AGateIsWhereTheManualPutsIt) {
  Idt idt(Layout{}, true);
  idt.set(14, 0x28, 0x1122334455667788, 0xe, 3, 1);
  ASSERT_TRUE(idt.write(memory_));
  EXPECT_EQ(memory_.load<uint64_t>(0x81000 + 14 * 16).value(), 0x5566ee0100287788U);
  EXPECT_EQ(memory_.load<uint64_t>(0x81000 + 14 * 16 + 8).value(), 0x11223344U);
  Idt small(Layout{}, false);
  small.set(3, 8, 0x12345678, 0xf);
  ASSERT_TRUE(small.write(memory_));
  EXPECT_EQ(memory_.load<uint64_t>(0x81000 + 3 * 8).value(), 0x12348f0000085678U);
  EXPECT_EQ(small.table().limit, 0x7ff);
}

// One guest in each mode: writes what tells the modes apart to the debug console.
//   66 b8 11 22 33 44: mov eax, imm32 in 16 bit code; in 32 bit code mov ax, imm16 and then
//   "33 44 ..": so the length of the immediate shows the width.
TEST(Modes, EachRunsItsOwnCode) {
  RINGFENCE_NEED_KVM(kvm);
  const Bytes code16 = Bytes{0x66, 0xb8, 0x05, 0x00, 0x00, 0x00, 0xe6, 0xf4};  // mov eax,5; out f4
  const Bytes code32 = Bytes{0xb8, 0x05, 0x00, 0x00, 0x00, 0xe6, 0xf4};
  const Bytes code64 = Bytes{0x49, 0xc7, 0xc0, 0x05, 0, 0, 0, 0x4c, 0x89, 0xc0, 0xe6, 0xf4};  // r8
  struct Row {
    CpuMode mode;
    PageSize pages;
    Bytes code;
  };
  for (const Row& row :
       {Row{CpuMode::real, PageSize::m2, code16}, Row{CpuMode::protected16, PageSize::m2, code16},
        Row{CpuMode::protected32, PageSize::m2, code32}, Row{CpuMode::long64, PageSize::k4, code64},
        Row{CpuMode::long64, PageSize::m2, code64}, Row{CpuMode::compat, PageSize::m2, code32}}) {
    SCOPED_TRACE(mode_name(row.mode));
    MachineOptions options;
    options.start.mode = row.mode;
    options.start.pages = row.pages;
    options.start.mapped = 4 << 20;
    auto machine = machine_of(*kvm, row.code, options);
    ASSERT_TRUE(machine) << machine.error().describe();
    const End end = (*machine)->run();
    EXPECT_EQ(end.kind, End::Kind::exited) << end.text << "\n" << (*machine)->report();
    EXPECT_EQ(end.code, 5U);
  }
}

}  // namespace
}  // namespace ringfence::vmm

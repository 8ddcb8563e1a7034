#include "harness/vmm/memory.h"

#include <gmock/gmock.h>

#include <array>

#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Memory : public ::testing::Test {
 protected:
  void SetUp() override {
    auto kvm = Kvm::open();
    if (!kvm) GTEST_SKIP() << kvm.error().describe();
    vm_.emplace(kvm->create_vm().value());
  }
  GuestMemory memory_;
  std::optional<Vm> vm_;
};

TEST_F(Memory, AccessesAreBoundsCheckedAndCrossRegions) {
  ASSERT_TRUE(memory_.add(*vm_, 0, kPage));
  ASSERT_TRUE(memory_.add(*vm_, kPage, kPage));
  ASSERT_TRUE(memory_.add(*vm_, 4 * kPage, kPage));
  ASSERT_TRUE(memory_.store<uint64_t>(kPage - 4, 0x1122334455667788));
  EXPECT_EQ(memory_.load<uint64_t>(kPage - 4).value(), 0x1122334455667788U);
  EXPECT_EQ(memory_.load<uint32_t>(kPage).value(), 0x11223344U);
  EXPECT_TRUE(memory_.contains(0, 2 * kPage));
  EXPECT_FALSE(memory_.contains(0, 2 * kPage + 1));
  for (const uint64_t at : {2 * kPage - 4, 3 * kPage, 5 * kPage - 7, ~uint64_t{3}}) {
    const auto r = memory_.load<uint64_t>(at);
    ASSERT_FALSE(r) << at;
    EXPECT_EQ(r.error().err, EFAULT);
    EXPECT_FALSE(memory_.store<uint64_t>(at, 1));
  }
  // Nothing of a write that does not fit is written.
  EXPECT_EQ(memory_.load<uint32_t>(2 * kPage - 4).value(), 0U);
}

TEST_F(Memory, RegionsThatCannotBeAreRefused) {
  ASSERT_TRUE(memory_.add(*vm_, kPage, 2 * kPage));
  for (const auto& [address, size] :
       std::vector<std::pair<uint64_t, uint64_t>>{{0, 0},
                                                  {0, 100},
                                                  {8, kPage},
                                                  {2 * kPage, kPage},
                                                  {0, 2 * kPage},
                                                  {~0xfffULL, 2 * kPage}}) {
    const auto r = memory_.add(*vm_, address, size);
    ASSERT_FALSE(r) << address << " " << size;
    EXPECT_EQ(r.error().kind, Error::Kind::usage);
  }
  EXPECT_FALSE(memory_.add_alias(*vm_, 8 * kPage, 2 * kPage, 0, kPage, {}));
}

TEST_F(Memory, AnAliasShowsTheSameMemory) {
  auto first = memory_.add(*vm_, 0, 2 * kPage);
  ASSERT_TRUE(first);
  ASSERT_TRUE(memory_.add_alias(*vm_, 0x100000, kPage, *first, kPage, {}));
  ASSERT_TRUE(memory_.store<uint32_t>(0x100010, 77));
  EXPECT_EQ(memory_.load<uint32_t>(kPage + 0x10).value(), 77U);
  auto other = memory_.add(*vm_, 0x200000, kPage);
  ASSERT_TRUE(other);
  ASSERT_TRUE(memory_.store<uint32_t>(0x200000, 5));
  ASSERT_TRUE(memory_.show(*vm_, *other, *first, kPage));
  EXPECT_EQ(memory_.load<uint32_t>(0x200010).value(), 77U);
  ASSERT_TRUE(memory_.show_own(*vm_, *other));
  EXPECT_EQ(memory_.load<uint32_t>(0x200000).value(), 5U);
}

TEST(MemoryOfAGuest, DirtyPagesAreKnownAndRewound) {
  RINGFENCE_NEED_KVM(kvm);
  // mov [0x3000], al; mov [0x5fff], ax (two pages); exit
  const Bytes image = Bytes{0xb0, 0x41, 0xa2, 0x00, 0x30, 0xa3, 0xff, 0x5f} + code::exit_with(0);
  MachineOptions options;
  options.resettable = true;
  auto machine = machine_of(*kvm, image, options);
  ASSERT_TRUE(machine) << machine.error().describe();
  ASSERT_TRUE((*machine)->remember());
  ASSERT_EQ((*machine)->run().kind, End::Kind::exited);
  EXPECT_EQ((*machine)->memory().load<uint8_t>(0x3000).value(), 0x41);
  const auto dirty = (*machine)->memory().take_dirty((*machine)->vm());
  ASSERT_TRUE(dirty);
  EXPECT_THAT(*dirty, ElementsAre(3, 5, 6));
  // Once more: what was taken above is not in the log any more, so this run's pages are rewound.
  ASSERT_TRUE((*machine)->memory().store<uint8_t>(0x9000, 1));
  ASSERT_TRUE((*machine)->vcpu().regs());
  auto regs = (*machine)->vcpu().regs().value();
  regs.rip = 0;
  ASSERT_TRUE((*machine)->vcpu().set_regs(regs));
  ASSERT_EQ((*machine)->run().kind, End::Kind::exited);
  ASSERT_TRUE((*machine)->rewind());
  EXPECT_EQ((*machine)->memory().load<uint8_t>(0x3000).value(), 0);
  EXPECT_EQ((*machine)->memory().load<uint16_t>(0x5fff).value(), 0);
  EXPECT_EQ((*machine)->memory().load<uint8_t>(0x9000).value(), 0);
}

}  // namespace
}  // namespace ringfence::vmm

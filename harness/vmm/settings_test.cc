#include <gmock/gmock.h>

#include <set>

#include "harness/vmm/scenario.h"
#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

TEST(Settings, WordsSetTheMachine) {
  Settings s;
  for (const char* word :
       {"mode=long", "pages=4k", "rbx=0x10", "rcx=7", "clock=real", "irqchip", "cpuid:1:ecx:5=1",
        "tsc_leaf", "input:5:serial:0x1c=65", "input:0:line=3", "input:9:key=28"}) {
    ASSERT_TRUE(apply_setting(word, s)) << word;
  }
  EXPECT_EQ(s.options.start.mode, CpuMode::long64);
  EXPECT_EQ(s.options.start.pages, PageSize::k4);
  EXPECT_EQ(s.options.clock, ClockKind::real);
  EXPECT_TRUE(s.options.irqchip);
  EXPECT_THAT(s.registers,
              ::testing::ElementsAre(::testing::Pair("rbx", 0x10), ::testing::Pair("rcx", 7)));
  EXPECT_TRUE(s.options.tsc_leaf);
  using Kind = OutsideEvent::Kind;
  EXPECT_THAT(s.events, ::testing::ElementsAre(OutsideEvent{5000, Kind::serial, 65, 0x1c},
                                               OutsideEvent{0, Kind::line, 3, 0},
                                               OutsideEvent{9000, Kind::key, 28, 0}));
  std::vector<kvm_cpuid_entry2> entries(2);
  entries[0].function = 1;
  entries[1].function = 2;
  s.options.edit_cpuid(entries);
  EXPECT_EQ(entries[0].ecx, 32U);
  EXPECT_EQ(entries[1].ecx, 0U);
}

TEST(Settings, BadWordsAreRefused) {
  Settings s;
  for (const char* word :
       {"", "mode", "mode=fast", "pages=3k", "rzx=1", "rbx=", "rbx=x", "cpuid:1:ecx=0",
        "cpuid:1:efx:0=1", "cpuid:1:ecx:32=0", "cpuid:1:ecx:1=2", "clock=sun", "input:0:key=256",
        "input:0:mouse=1", "input:0:line=16", "input:0:key:1=1", "input:x:key=1", "input:0=1"}) {
    const auto r = apply_setting(word, s);
    ASSERT_FALSE(r) << word;
    EXPECT_EQ(r.error().kind, Error::Kind::usage);
  }
}

TEST(Scenarios, NamesAreUniqueAndUnknownOnesSuggestTheNearest) {
  RINGFENCE_NEED_KVM(kvm);
  std::set<std::string_view> names;
  for (const auto name : scenario_names()) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(make_scenario(name, *kvm, false)) << name;
  }
  const auto r = make_scenario("irqdf", *kvm, false);
  ASSERT_FALSE(r);
  EXPECT_THAT(r.error().describe(), ::testing::HasSubstr("irqfd"));
}

}  // namespace
}  // namespace ringfence::vmm

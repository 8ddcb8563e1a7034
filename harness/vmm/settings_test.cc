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
        "tsc_leaf", "input=0:key:1c", "input=5:serial:41:1c", "input=5:line:f"}) {
    ASSERT_TRUE(apply_setting(word, s)) << word;
  }
  EXPECT_EQ(s.options.start.mode, CpuMode::long64);
  EXPECT_EQ(s.options.start.pages, PageSize::k4);
  EXPECT_EQ(s.options.clock, ClockKind::real);
  EXPECT_TRUE(s.options.irqchip);
  EXPECT_THAT(s.registers,
              ::testing::ElementsAre(::testing::Pair("rbx", 0x10), ::testing::Pair("rcx", 7)));
  EXPECT_TRUE(s.options.tsc_leaf);
  EXPECT_THAT(s.inputs, ::testing::ElementsAre(Input{Input::Kind::key, 0, 0x1c, 0},
                                               Input{Input::Kind::serial, 5000, 0x41, 0x1c},
                                               Input{Input::Kind::line, 5000, 15, 0}));
  std::vector<kvm_cpuid_entry2> entries(2);
  entries[0].function = 1;
  entries[1].function = 2;
  s.options.edit_cpuid(entries);
  EXPECT_EQ(entries[0].ecx, 32U);
  EXPECT_EQ(entries[1].ecx, 0U);
}

TEST(Settings, BadWordsAreRefused) {
  Settings s;
  for (const char* word : {"",
                           "mode",
                           "mode=fast",
                           "pages=3k",
                           "rzx=1",
                           "rbx=",
                           "rbx=x",
                           "cpuid:1:ecx=0",
                           "cpuid:1:efx:0=1",
                           "cpuid:1:ecx:32=0",
                           "cpuid:1:ecx:1=2",
                           "clock=sun",
                           "input=",
                           "input=1:key",
                           "input=1:key:100",
                           "input=1:key:1g",
                           "input=x:key:1",
                           "input=1:line:10",
                           "input=1:mouse:1",
                           "input=1:key:1:2",
                           "input=1:serial:1:2:3"}) {
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

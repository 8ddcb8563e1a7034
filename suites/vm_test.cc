// The guest cases as values: what they name exists, and the control is another machine.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "guests/guests.h"
#include "harness/vmm/devices/board.h"
#include "harness/vmm/scenario.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

std::vector<Case> guest_cases() {
  std::vector<Case> all;
  for (auto* cases :
       {cpu_cases, exit_cases, ioapic_cases, mem_cases, virt_cases, vmx_cases, device_cases}) {
    for (Case& c : cases()) all.push_back(std::move(c));
  }
  return all;
}

bool says(const vmm::Guest& guest, const std::string& word) {
  const auto bytes = guest.flat;
  return std::search(bytes.begin(), bytes.end(), word.begin(), word.end()) != bytes.end();
}

TEST(VmCases, NameWhatThereIs) {
  const auto scenarios = vmm::scenario_names();
  const auto faults = vmm::all_faults();
  EXPECT_GE(guest_cases().size(), 75U);
  for (const Case& c : guest_cases()) {
    SCOPED_TRACE(c.id);
    ASSERT_TRUE(c.guest);
    const vmm::Guest* guest = vmm::find_guest(c.guest->image);
    ASSERT_NE(guest, nullptr) << c.guest->image;
    EXPECT_FALSE(c.title.empty());
    EXPECT_FALSE(c.source.empty());
    EXPECT_FALSE(c.quick);  // by name, or with --suite full
    EXPECT_THAT(c.needs, ::testing::Contains("kvm"));
    if (!c.guest->scenario.empty()) {
      EXPECT_THAT(scenarios, ::testing::Contains(c.guest->scenario));
    } else {
      // The guest itself judges: it has the clause's name in it.
      EXPECT_TRUE(says(*guest, " " + c.guest->clause + " ")) << c.guest->clause;
    }
    for (const std::string& word : c.guest->emulators) {
      EXPECT_TRUE(word.starts_with("kvm:") || word.starts_with("tcg:") || word.starts_with("tcg!:"))
          << word;
    }
    for (const auto* words : {&c.guest->control, &c.guest->confined}) {
      for (const std::string& word : *words) {
        vmm::Settings settings;
        EXPECT_TRUE(vmm::apply_setting(word, settings)) << word;
      }
    }
    if (c.expected == Layer::kDevice) {
      EXPECT_TRUE(std::any_of(faults.begin(), faults.end(), [&](const vmm::Fault& f) {
        return f.id == c.guest->fault;
      })) << c.guest->fault;
    } else {
      EXPECT_EQ(c.expected, Layer::kKernel);
      EXPECT_TRUE(c.guest->fault.empty());
      // The control is another machine: by a setting, or by the scenario's wrong form.
      EXPECT_TRUE(c.guest->control != c.guest->confined || !c.guest->scenario.empty());
    }
  }
}

}  // namespace
}  // namespace ringfence::suites

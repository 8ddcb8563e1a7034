// Memory slots: what is there, what is read-only, what was written.
#include <fmt/format.h>

#include "harness/vmm/scenario_table.h"

namespace ringfence::vmm {
namespace {

constexpr uint64_t kPlace = 0x400000;  // two pages for slots, else a hole; long mode maps it

class Slots : public Scenario {
 public:
  explicit Slots(bool control) : control_(control) {}
  void options(MachineOptions& options) override { options.resettable = true; }

 protected:
  [[nodiscard]] bool control() const { return control_; }

 private:
  bool control_;
};

// A read-only slot: the guest's write comes out as MMIO and changes nothing.
class ReadOnly : public Slots {
 public:
  explicit ReadOnly(bool control) : Slots(control) {}
  Status before(Machine& machine) override {
    auto slot = machine.memory().add(machine.vm(), kPlace, kPage, {.read_only = !control()});
    if (!slot) return tl::unexpected(slot.error());
    return machine.memory().store<uint32_t>(kPlace, 0x1234);
  }
  Handled exit(Machine& /*m*/, Exit& exit) override {
    if (const auto* write = std::get_if<MmioWrite>(&exit); write && write->address == kPlace) {
      ++writes_;
    }
    return Handled::no;
  }
  void after(Machine& machine, const End& /*end*/, std::vector<Finding>& out) override {
    const auto value = machine.memory().load<uint32_t>(kPlace);
    out.push_back({writes_ == 1 && value && *value == 0x1234,
                   fmt::format("{} writes came out, memory has {:#x}; expected 1 and 0x1234",
                               writes_, value.value_or(0))});
  }

 private:
  int writes_ = 0;
};

// Nothing there: reads float. In the control there is memory.
class Hole : public Slots {
 public:
  explicit Hole(bool control) : Slots(control) {}
  Status before(Machine& machine) override {
    if (!control()) return {};
    auto slot = machine.memory().add(machine.vm(), kPlace, kPage);
    if (!slot) return tl::unexpected(slot.error());
    return {};
  }
};

// One memory at two addresses; two memories in the control.
class Alias : public Slots {
 public:
  explicit Alias(bool control) : Slots(control) {}
  Status before(Machine& machine) override {
    auto first = machine.memory().add(machine.vm(), kPlace, kPage);
    if (!first) return tl::unexpected(first.error());
    auto second =
        control() ? machine.memory().add(machine.vm(), kPlace + kPage, kPage)
                  : machine.memory().add_alias(machine.vm(), kPlace + kPage, kPage, *first, 0, {});
    if (!second) return tl::unexpected(second.error());
    return {};
  }
};

// A slot that goes away under a running guest (which writes port 0x32); it stays in the control.
class Removed : public Slots {
 public:
  explicit Removed(bool control) : Slots(control) {}
  Status before(Machine& machine) override {
    auto slot = machine.memory().add(machine.vm(), kPlace, kPage);
    if (!slot) return tl::unexpected(slot.error());
    slot_ = *slot;
    return {};
  }
  Handled exit(Machine& machine, Exit& exit) override {
    if (asks(exit, 0x32) && !control()) (void)machine.memory().remove(machine.vm(), slot_);
    return Handled::no;
  }

 private:
  size_t slot_ = 0;
};

// The dirty log has exactly the pages that the guest wrote.
class DirtyLog : public Slots {
 public:
  explicit DirtyLog(bool control) : Slots(control) {}
  Status before(Machine& machine) override {
    auto slot = machine.memory().add(machine.vm(), kPlace, 8 * kPage, {.log_dirty = true});
    if (!slot) return tl::unexpected(slot.error());
    if (auto dirty = machine.memory().take_dirty(machine.vm()); !dirty) {
      return tl::unexpected(dirty.error());
    }
    return {};
  }
  void after(Machine& machine, const End& /*end*/, std::vector<Finding>& out) override {
    const auto dirty = machine.memory().take_dirty(machine.vm());
    if (!dirty) return;
    std::vector<uint64_t> pages;
    for (const uint64_t page : *dirty) {
      if (page >= kPlace / kPage) pages.push_back(page - kPlace / kPage);
    }
    const std::vector<uint64_t> want = {1, 3, 6};
    out.push_back({pages == want,
                   fmt::format("dirty pages {}, expected 1 3 6",
                               pages.empty() ? "none" : fmt::format("{}", fmt::join(pages, " ")))});
  }
};

constexpr std::array kRows = {
    ScenarioRow{"read_only", make_one<ReadOnly>}, ScenarioRow{"hole", make_one<Hole>},
    ScenarioRow{"alias", make_one<Alias>},        ScenarioRow{"removed", make_one<Removed>},
    ScenarioRow{"dirty_log", make_one<DirtyLog>},
};

}  // namespace

std::span<const ScenarioRow> memory_scenarios() { return kRows; }

}  // namespace ringfence::vmm

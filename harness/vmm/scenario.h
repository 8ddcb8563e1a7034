#pragma once
// Scenarios: what the host does around a guest, and what it sees with its own eyes. Named, so that
// a case can ask for one; each has a wrong form, the control, with the opposite outcome.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/vmm/machine.h"

namespace ringfence::vmm {

struct Finding {
  bool held = false;
  std::string text;
};

class Scenario {
 public:
  virtual ~Scenario() = default;
  virtual void options(MachineOptions& /*options*/) {}
  virtual Status before(Machine& /*machine*/) { return {}; }
  virtual Handled exit(Machine& /*machine*/, Exit& /*exit*/) { return Handled::no; }
  virtual void after(Machine& /*machine*/, const End& /*end*/, std::vector<Finding>& /*seen*/) {}
  // The end that the guest has to have; the default is the exit port.
  [[nodiscard]] virtual bool right_end(const End& end) const {
    return end.kind == End::Kind::exited;
  }
  // What this machine cannot do for the scenario; empty: nothing.
  [[nodiscard]] virtual std::string lack() const { return {}; }
};

// Usage error for a name that there is not. `control`: in its wrong form.
Result<std::unique_ptr<Scenario>> make_scenario(std::string_view name, const Kvm& kvm,
                                                bool control);
std::vector<std::string_view> scenario_names();

// Words for MachineOptions and registers: "mode=long", "pages=4k", "rbx=1" (any general register,
// in C's number forms), "clock=real", "irqchip", "tsc_leaf", "cpuid:LEAF:REGISTER:BIT=0",
// "input=US:key:1c", "input=US:serial:41:ERRORS", "input=US:line:5" (at microseconds of device
// time; the rest hexadecimal). Registers go into `registers`, what comes from outside into
// `inputs`.
struct Settings {
  MachineOptions options;
  std::vector<std::pair<std::string, uint64_t>> registers;
  std::vector<Input> inputs;  // in the order of time
};
Status apply_setting(std::string_view word, Settings& settings);
Status set_registers(Machine& machine, const Settings& settings);

// Whether this host's processor offers VMX or SVM. A KVM that works without either emulates.
bool hardware_virtualization();
// Who emulates the guest's processor: "kvm" (no VMX and no SVM), "tcg" (CPUID 0x40000000 says that
// the host's own processor is QEMU's TCG), or "" for nobody.
std::string_view emulator();

}  // namespace ringfence::vmm

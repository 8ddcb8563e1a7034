// The processor: modes, paging, interrupts from outside.
#include <fmt/format.h>

#include <cstring>

#include "harness/vmm/scenario_table.h"

namespace ringfence::vmm {
namespace {

constexpr uint64_t kLma = 1 << 10;
constexpr uint8_t kVector = 0x40;
constexpr uint16_t kRaisePort = 0x30;
constexpr uint16_t kShadowPort = 0x31;
constexpr uint16_t kWidthPort = 0x50;

// The guest cpu_width has bytes that mean something else in each width: how many bytes come out,
// and which, tells in which it ran (guests/cpu_width.asm).
template <CpuMode Mode>
class Width : public Scenario {
 public:
  explicit Width(bool /*control*/) {}
  Handled exit(Machine& machine, Exit& exit) override {
    const auto* io = std::get_if<IoOut>(&exit);
    if (io == nullptr || io->port != kWidthPort) return Handled::no;
    uint32_t value = 0;
    std::memcpy(&value, io->data.data(), io->size);
    seen_ += fmt::format("{}:{:#x} ", io->size, value);
    if (const auto sregs = machine.vcpu().sregs()) {
      state_ = fmt::format("pe={} pg={} lma={} l={} d={}", sregs->cr0 & 1, sregs->cr0 >> 31 & 1,
                           (sregs->efer & kLma) != 0 ? 1 : 0, int{sregs->cs.l}, int{sregs->cs.db});
    }
    return Handled::no;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    const auto [bytes, state] = expected();
    out.push_back(
        {seen_ == bytes && state_ == state,
         fmt::format("came out {}with {}, expected {}with {}", seen_, state_, bytes, state)});
  }
  [[nodiscard]] bool right_end(const End& end) const override {
    return end.kind == End::Kind::exited && end.code == 0;
  }

 private:
  static std::pair<std::string, std::string> expected() {
    switch (Mode) {
      case CpuMode::real:
        return {"2:0x0 2:0x5 ", "pe=0 pg=0 lma=0 l=0 d=0"};
      case CpuMode::protected16:
        return {"2:0x0 2:0x5 ", "pe=1 pg=0 lma=0 l=0 d=0"};
      case CpuMode::protected32:
        return {"4:0x0 4:0x90900005 ", "pe=1 pg=0 lma=0 l=0 d=1"};
      case CpuMode::compat:
        return {"4:0x0 4:0x90900005 ", "pe=1 pg=1 lma=1 l=0 d=1"};
      default:
        return {"4:0x1 4:0x90900005 ", "pe=1 pg=1 lma=1 l=1 d=0"};
    }
  }
  std::string seen_;
  std::string state_;
};

// A page of one size at a linear address of its own, whose frame has a marker; in the control it
// shows a frame of nothing. The guest reads [RSI].
template <PageSize Page>
class Paging : public Scenario {
 public:
  explicit Paging(bool control) : control_(control) {}
  void options(MachineOptions& options) override {
    // The code's own page is of the same size.
    options.start.pages = Page;
    options.start.mapped = Page == PageSize::k4   ? 8ULL << 20
                           : Page == PageSize::m2 ? 16ULL << 20
                                                  : 3ULL << 30;
    options.budget.time = std::chrono::milliseconds(2000);
  }
  Status before(Machine& machine) override {
    constexpr uint64_t kMarker = 0x180010;
    if (auto ok = machine.memory().store<uint32_t>(kMarker, 0x5aa51234); !ok) return ok;
    const auto sregs = machine.vcpu().sregs();
    if (!sregs) return tl::unexpected(sregs.error());
    const uint64_t step = Page == PageSize::k4   ? 0x1000
                          : Page == PageSize::m2 ? 0x200000
                                                 : 0x40000000;
    const uint64_t linear = Page == PageSize::k4   ? 0x500000
                            : Page == PageSize::m2 ? 0xc00000
                                                   : 0x80000000;
    const uint64_t frame = control_ ? linear : kMarker / step * step;
    PageTables tables(machine.memory(), 0);
    const auto slot = tables.entry_of(sregs->cr3, linear);
    if (!slot) return tl::unexpected(slot.error());
    const uint64_t large = Page == PageSize::k4 ? 0 : 0x80;
    if (auto ok = machine.memory().store<uint64_t>(*slot, frame | 7 | large); !ok) return ok;
    auto regs = machine.vcpu().regs();
    if (!regs) return tl::unexpected(regs.error());
    regs->rsi = linear + kMarker % step;
    return machine.vcpu().set_regs(*regs);
  }

 private:
  bool control_;
};

// Raises INTR when the guest writes port 0x30, and keeps it until the guest takes it. At port 0x31
// it is raised in the shadow of a MOV SS (KVM API 4.32, interrupt.shadow), but not in the control.
class Inject : public Scenario {
 public:
  explicit Inject(bool control) : control_(control) {}
  void options(MachineOptions& options) override {
    options.budget.time = std::chrono::milliseconds(2000);
  }
  Handled exit(Machine& machine, Exit& exit) override {
    auto* bare = dynamic_cast<BarePlatform*>(&machine.platform());
    if (bare == nullptr) return Handled::no;
    if (asks(exit, kRaisePort)) bare->raise(kVector);
    if (asks(exit, kShadowPort)) {
      if (!control_) cast_shadow(machine.vcpu());
      bare->raise(kVector);
    }
    return Handled::no;
  }

 private:
  static void cast_shadow(Vcpu& vcpu) {
    // The OUT is finished first: its end would end the shadow.
    come_back_at_once(vcpu);
    auto events = vcpu.events();
    if (!events) return;
    events->interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
    events->flags |= KVM_VCPUEVENT_VALID_SHADOW;
    (void)vcpu.set_events(*events);
    // What KVM_INTERRUPT queues is injected whatever the shadow: whether it may be is said by
    // ready_for_interrupt_injection, which is from before.
    come_back_at_once(vcpu);
  }
  static void come_back_at_once(Vcpu& vcpu) {
    vcpu.request_exit();
    (void)vcpu.run_raw();
    vcpu.request_exit(false);
  }
  bool control_;
};

class Nmi : public Scenario {
 public:
  explicit Nmi(bool control) : control_(control) {}
  Handled exit(Machine& machine, Exit& exit) override {
    if (asks(exit, kRaisePort) && !control_) (void)machine.vcpu().nmi();
    return Handled::no;
  }

 private:
  bool control_;
};

// Single step from outside: KVM_SET_GUEST_DEBUG gives an exit after each instruction.
class HostStep : public Scenario {
 public:
  explicit HostStep(bool control) : control_(control) {}
  Status before(Machine& machine) override {
    return machine.vcpu().debug(control_ ? 0 : KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
  }
  Handled exit(Machine& machine, Exit& exit) override {
    const auto* debug = std::get_if<Debug>(&exit);
    if (debug == nullptr) return Handled::no;
    if (debug->pc != last_) ++steps_;
    last_ = debug->pc;
    constexpr uint64_t kEnough = 3;
    if (steps_ == kEnough) (void)machine.vcpu().debug(0);
    return Handled::yes;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    out.push_back({steps_ == 3, fmt::format("{} steps, expected 3", steps_)});
  }

 private:
  bool control_;
  uint64_t steps_ = 0;
  uint64_t last_ = ~0ULL;
};

// A second vCPU beside the in-kernel local APICs. When the guest writes port 0x30 the host looks at
// it (KVM_GET_MP_STATE takes what IPIs are pending), and where it may run, runs it to its next OUT:
// one vCPU at a time, so that what comes out does not depend on the host's load. What was seen goes
// to guest memory (guests/cpu_ap.asm), and the guest judges it.
class SecondCpu : public Scenario {
 public:
  explicit SecondCpu(bool /*control*/) {}
  void options(MachineOptions& options) override { options.irqchip = true; }
  Status before(Machine& machine) override {
    auto second = machine.vm().create_vcpu(1);
    if (!second) return tl::unexpected(second.error());
    second_ = std::move(*second);
    const auto cpuid = machine.vcpu().cpuid();
    if (!cpuid) return tl::unexpected(cpuid.error());
    return second_->set_cpuid(*cpuid);
  }
  Handled exit(Machine& machine, Exit& exit) override {
    if (!asks(exit, kRaisePort)) return Handled::no;
    if (auto ok = look(machine); !ok) {
      error_ = ok.error().describe();
      return Handled::stop;
    }
    return Handled::no;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    if (!error_.empty()) out.push_back({false, error_});
  }

 private:
  struct Seen {
    uint32_t state;
    uint32_t came_out;
    uint32_t cs_base;
    uint32_t ip;
    uint32_t cr0;
  };
  Status look(Machine& machine) {
    constexpr uint64_t kAt = 0x600;  // guest_data
    constexpr uint16_t kOutPort = 0x31;
    const auto state = second_->mp_state();
    if (!state) return tl::unexpected(state.error());
    Seen seen{*state, ~0U, 0, 0, 0};
    if (*state == KVM_MP_STATE_RUNNABLE) {
      const auto regs = second_->regs();
      const auto sregs = second_->sregs();
      if (!regs) return tl::unexpected(regs.error());
      if (!sregs) return tl::unexpected(sregs.error());
      seen.cs_base = static_cast<uint32_t>(sregs->cs.base);
      seen.ip = static_cast<uint32_t>(regs->rip);
      seen.cr0 = static_cast<uint32_t>(sregs->cr0);
      const auto exit = machine.run_other(*second_);
      if (!exit) return tl::unexpected(exit.error());
      if (!asks(*exit, kOutPort)) {
        return system_error("run the second vCPU", describe(*exit), EIO);
      }
      seen.came_out = 0;
      const auto bytes = std::get<IoOut>(*exit).data;
      std::memcpy(&seen.came_out, bytes.data(), std::min(bytes.size(), sizeof seen.came_out));
    }
    return machine.memory().store(kAt, seen);
  }
  std::optional<Vcpu> second_;
  std::string error_;
};

// Needs a KVM that offers SVM or VMX to its guests; whatever the machine's own CPUID is set to.
class Nested : public Scenario {
 public:
  // `bit` of ECX in the leaf `function`.
  Nested(const Kvm& kvm, uint32_t function, unsigned bit, std::string lack) {
    const auto offers = [&](const kvm_cpuid_entry2& e) {
      return e.function == function && (e.ecx & 1U << bit) != 0;
    };
    const auto cpuid = kvm.supported_cpuid();
    if (!cpuid || std::none_of(cpuid->begin(), cpuid->end(), offers)) lack_ = std::move(lack);
  }
  static std::unique_ptr<Scenario> make_svm(const Kvm& kvm, bool /*control*/) {
    return std::make_unique<Nested>(kvm, 0x80000001, 2, "host-lacks:nested_svm");
  }
  static std::unique_ptr<Scenario> make_vmx(const Kvm& kvm, bool /*control*/) {
    return std::make_unique<Nested>(kvm, 1, 5, "host-lacks:nested_vmx");
  }
  [[nodiscard]] std::string lack() const override { return lack_; }

 private:
  std::string lack_;
};

constexpr std::array kRows = {
    ScenarioRow{"width_real", make_one<Width<CpuMode::real>>},
    ScenarioRow{"width_protected16", make_one<Width<CpuMode::protected16>>},
    ScenarioRow{"width_protected32", make_one<Width<CpuMode::protected32>>},
    ScenarioRow{"width_compat", make_one<Width<CpuMode::compat>>},
    ScenarioRow{"width_long", make_one<Width<CpuMode::long64>>},
    ScenarioRow{"page_4k", make_one<Paging<PageSize::k4>>},
    ScenarioRow{"page_2m", make_one<Paging<PageSize::m2>>},
    ScenarioRow{"page_1g", make_one<Paging<PageSize::g1>>},
    ScenarioRow{"inject", make_one<Inject>},
    ScenarioRow{"nmi", make_one<Nmi>},
    ScenarioRow{"host_step", make_one<HostStep>},
    ScenarioRow{"second_cpu", make_one<SecondCpu>},
    ScenarioRow{"nested_svm", Nested::make_svm},
    ScenarioRow{"nested_vmx", Nested::make_vmx},
};

}  // namespace

std::span<const ScenarioRow> cpu_scenarios() { return kRows; }

}  // namespace ringfence::vmm

// What comes out of a guest: ports, MMIO, ends, what the kernel takes off our hands.
#include <fmt/format.h>
#include <sys/eventfd.h>

#include <cstring>

#include "harness/vmm/scenario_table.h"

namespace ringfence::vmm {
namespace {

constexpr uint64_t kHole = 0x400000;  // above the RAM of a scenario's guest, mapped in long mode

struct Seen {
  uint64_t at = 0;
  unsigned width = 0;
  uint64_t value = 0;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::string in_words(const std::vector<Seen>& list) {
  std::string text;
  for (const Seen& s : list) {
    text += fmt::format("{}{:#x}/{}={:#x}", text.empty() ? "" : " ", s.at, s.width, s.value);
  }
  return text.empty() ? "nothing" : text;
}

// What the guest wrote to one port, in order, against what it must have written.
template <uint16_t Port>
class Writes : public Scenario {
 public:
  explicit Writes(bool /*control*/) {}
  Handled exit(Machine& /*m*/, Exit& exit) override {
    const auto* io = std::get_if<IoOut>(&exit);
    if (io == nullptr || io->port != Port) return Handled::no;
    for (size_t at = 0; at < io->data.size(); at += io->size) {
      uint32_t value = 0;
      std::memcpy(&value, io->data.data() + at, io->size);
      seen_.push_back({Port, io->size, value});
    }
    return Handled::no;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    const std::vector<Seen> want = expected();
    out.push_back(
        {seen_ == want, fmt::format("came out {}, expected {}", in_words(seen_), in_words(want))});
  }

 private:
  static std::vector<Seen> expected() {
    switch (Port) {
      case 0x5001:
        return {{Port, 1, 0x11}};
      case 0x5002:
        return {{Port, 2, 0x2211}};
      case 0x5004:
        return {{Port, 4, 0x44332211}};
      case 0x5011:  // outsb; rep outsb, 5 of them
        return {{Port, 1, 'a'}, {Port, 1, 'b'}, {Port, 1, 'c'},
                {Port, 1, 'd'}, {Port, 1, 'e'}, {Port, 1, 'f'}};
      case 0x5012:  // rep outsw, down
        return {{Port, 2, 0x6665}, {Port, 2, 0x6463}, {Port, 2, 0x6261}};
      default:  // rep outsd over a page edge
        return {{Port, 4, 0x64636261}, {Port, 4, 0x68676665}};
    }
  }
  std::vector<Seen> seen_;
};

// Answers reads of ports 0x5021, 0x5022, 0x5024 by their width, string reads by counting up; in
// the control with another bit set.
class Reads : public Scenario {
 public:
  explicit Reads(bool control) : wrong_(control ? 2 : 0) {}
  Handled exit(Machine& /*m*/, Exit& exit) override {
    auto* io = std::get_if<IoIn>(&exit);
    if (io == nullptr || io->port < 0x5020 || io->port > 0x503f) return Handled::no;
    for (size_t at = 0; at < io->data.size(); at += io->size) {
      uint32_t value = io->port < 0x5030 ? 0x87654321 : 0x40302010 + 0x01010101 * n_++;
      value ^= wrong_;
      std::memcpy(io->data.data() + at, &value, io->size);
    }
    return Handled::yes;
  }

 private:
  uint32_t wrong_;
  uint32_t n_ = 0;
};

// Reads of the hole come with a pattern by address; writes are kept.
class Mmio : public Scenario {
 public:
  explicit Mmio(bool control) : wrong_(control ? 0x80 : 0) {}
  Handled exit(Machine& /*m*/, Exit& exit) override {
    if (auto* read = std::get_if<MmioRead>(&exit)) {
      for (size_t i = 0; i < read->data.size(); ++i) {
        read->data[i] = static_cast<uint8_t>((read->address + i) * 3 + 1) ^ wrong_;
      }
      return Handled::yes;
    }
    if (const auto* write = std::get_if<MmioWrite>(&exit)) {
      uint64_t value = 0;
      std::memcpy(&value, write->data.data(), write->data.size());
      seen_.push_back({write->address, static_cast<unsigned>(write->data.size()), value});
      return Handled::yes;
    }
    return Handled::no;
  }

 protected:
  std::vector<Seen> seen_;

 private:
  uint8_t wrong_;
};

template <unsigned Width>
class MmioWrites : public Mmio {
 public:
  explicit MmioWrites(bool control) : Mmio(control) {}
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    constexpr uint64_t kValue = 0x8877665544332211;
    const uint64_t mask = Width == 8 ? ~0ULL : (1ULL << (8 * Width)) - 1;
    const std::vector<Seen> want = {{kHole + 0x100UL * Width, Width, kValue & mask}};
    std::vector<Seen> mine;
    for (const Seen& s : seen_) {
      if ((s.at & ~0xffULL) == kHole + 0x100UL * Width) mine.push_back(s);
    }
    out.push_back(
        {mine == want, fmt::format("came out {}, expected {}", in_words(mine), in_words(want))});
  }
};

// 8 bytes over a page edge: KVM gives one exit for each page's part.
class MmioCrossing : public Mmio {
 public:
  explicit MmioCrossing(bool control) : Mmio(control) {}
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    const std::vector<Seen> want = {{kHole + 0xffd, 3, 0x332211},
                                    {kHole + 0x1000, 5, 0x8877665544}};
    std::vector<Seen> mine;
    for (const Seen& s : seen_) {
      if (s.at >= kHole + 0xff0 && s.at < kHole + 0x1010) mine.push_back(s);
    }
    out.push_back(
        {mine == want, fmt::format("came out {}, expected {}", in_words(mine), in_words(want))});
  }
};

// The guest has to end in this way, and no other.
template <End::Kind Kind>
class Ends : public Scenario {
 public:
  explicit Ends(bool /*control*/) {}
  void options(MachineOptions& options) override {
    options.budget.time = std::chrono::milliseconds(2000);
  }
  void after(Machine& /*m*/, const End& end, std::vector<Finding>& out) override {
    out.push_back({end.kind == Kind, fmt::format("the end was {} ({}), expected {}",
                                                 end_name(end.kind), end.text, end_name(Kind))});
  }
  [[nodiscard]] bool right_end(const End& end) const override { return end.kind == Kind; }
};

// A state that VMRUN and VM entry refuse: long mode with L and D set in CS (AMD APM volume 2,
// 15.5.1; Intel SDM volume 3, 27.3.1.2), which KVM_SET_SREGS takes. The end says so in words.
class FailsEntry : public Ends<End::Kind::fail_entry> {
 public:
  explicit FailsEntry(bool control) : Ends(control), control_(control) {}
  Status before(Machine& machine) override {
    if (control_) return {};
    auto sregs = machine.vcpu().sregs();
    if (!sregs) return tl::unexpected(sregs.error());
    sregs->cs.db = 1;
    return machine.vcpu().set_sregs(*sregs);
  }
  void after(Machine& machine, const End& end, std::vector<Finding>& out) override {
    Ends::after(machine, end, out);
    out.push_back({end.text.find("invalid guest state") != std::string::npos,
                   "the end in words: " + end.text});
  }

 private:
  bool control_;
};

// immediate_exit: a run that comes back at once, before the guest's first instruction.
class ImmediateExit : public Scenario {
 public:
  explicit ImmediateExit(bool control) : control_(control) {}
  Status before(Machine& machine) override {
    machine.vcpu().request_exit(!control_);
    auto exit = machine.vcpu().run();
    machine.vcpu().request_exit(false);
    if (!exit) return tl::unexpected(exit.error());
    const auto regs = machine.vcpu().regs();
    if (!regs) return tl::unexpected(regs.error());
    held_ = std::holds_alternative<Intr>(*exit) && regs->rip == 0;
    text_ = fmt::format("with immediate_exit {}: {}, rip {:#x}", control_ ? "clear" : "set",
                        describe(*exit), regs->rip);
    return {};
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    out.push_back({held_, text_});
  }

 private:
  bool control_;
  bool held_ = false;
  std::string text_;
};

// Writes that the kernel takes: to a ring, or to an eventfd. The guest makes three, of the value 7.
template <bool Port>
class Coalesced : public Scenario {
 public:
  explicit Coalesced(bool control) : control_(control) {}
  Status before(Machine& machine) override {
    return control_ ? Status() : machine.vm().coalesce(Port ? 0x5100 : kHole, 4, Port);
  }
  Handled exit(Machine& /*m*/, Exit& exit) override {
    const auto* mmio = std::get_if<MmioWrite>(&exit);
    if (asks(exit, 0x5100) || (mmio != nullptr && mmio->address == kHole)) ++exits_;
    return Handled::no;
  }
  void after(Machine& machine, const End& /*end*/, std::vector<Finding>& out) override {
    const auto ring = machine.vcpu().take_coalesced();
    size_t right = 0;
    for (const auto& entry : ring) {
      if (entry.phys_addr == (Port ? 0x5100 : kHole) && entry.data[0] == 7) ++right;
    }
    out.push_back(
        {exits_ == 0 && right == 3,
         fmt::format("{} exits and {} writes in the ring, expected 0 and 3", exits_, right)});
  }

 private:
  bool control_;
  uint64_t exits_ = 0;
};

template <bool Port, bool Match>
class IoEvents : public Scenario {
 public:
  explicit IoEvents(bool control) : control_(control) {}
  Status before(Machine& machine) override {
    const int64_t fd = sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return system_error("eventfd", {}, static_cast<int>(-fd));
    event_ = UniqueFd(static_cast<int>(fd));
    if (control_ && !Match) return {};
    Vm::IoEvent where{.address = Port ? 0x5100 : kHole, .size = Port ? 1U : 4U, .port = Port};
    // In the control the kernel waits for another value.
    if (Match) where.match = control_ ? 8 : 7;
    return machine.vm().ioeventfd(event_.get(), where);
  }
  Handled exit(Machine& /*m*/, Exit& exit) override {
    const auto* mmio = std::get_if<MmioWrite>(&exit);
    if (asks(exit, 0x5100) || (mmio != nullptr && mmio->address == kHole)) ++exits_;
    return Handled::no;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    uint64_t count = 0;
    if (sys::call(SYS_read, event_.get(), sys::arg(&count), sizeof count) < 0) count = 0;
    out.push_back({exits_ == 0 && count == 3,
                   fmt::format("{} exits and {} events, expected 0 and 3", exits_, count)});
  }

 private:
  bool control_;
  UniqueFd event_;
  uint64_t exits_ = 0;
};

// An eventfd that raises IRQ 5 of the in-kernel PIC once the guest is ready (it writes port 0x30).
class IrqFd : public Scenario {
 public:
  explicit IrqFd(bool control) : control_(control) {}
  void options(MachineOptions& options) override { options.irqchip = true; }
  Status before(Machine& machine) override {
    const int64_t fd = sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return system_error("eventfd", {}, static_cast<int>(-fd));
    event_ = UniqueFd(static_cast<int>(fd));
    return control_ ? Status() : machine.vm().irqfd(event_.get(), 5);
  }
  Handled exit(Machine& /*m*/, Exit& exit) override {
    if (!asks(exit, 0x30)) return Handled::no;
    const uint64_t one = 1;
    (void)sys::call(SYS_write, event_.get(), sys::arg(&one), sizeof one);
    return Handled::yes;
  }

 private:
  bool control_;
  UniqueFd event_;
};

// KVM's own I/O APIC. Its input 4 is what the guest writes to the UART's IER, as on a board whose
// transmitter is empty; at the end the host sees the entries that the guest wrote last.
class IoApic : public Scenario {
 public:
  IoApic(const Kvm& kvm, bool /*control*/) {
    const auto chip = kvm.check(KVM_CAP_IRQCHIP);
    if (!chip || *chip == 0) lack_ = "host-lacks:KVM_CAP_IRQCHIP";
  }
  static std::unique_ptr<Scenario> make(const Kvm& kvm, bool control) {
    return std::make_unique<IoApic>(kvm, control);
  }
  [[nodiscard]] std::string lack() const override { return lack_; }
  void options(MachineOptions& options) override { options.irqchip = true; }
  Handled exit(Machine& machine, Exit& exit) override {
    constexpr uint16_t kIer = 0x3f9;
    constexpr uint8_t kTransmitter = 2;
    constexpr uint32_t kInput = 4;
    if (!asks(exit, kIer)) return Handled::no;
    const uint8_t value = std::get<IoOut>(exit).data[0];
    const auto ok = machine.vm().set_irq(kInput, (value & kTransmitter) != 0);
    return ok ? Handled::yes : Handled::stop;
  }
  void after(Machine& machine, const End& /*end*/, std::vector<Finding>& out) override {
    constexpr uint64_t kFourth = 0x18054;  // masked, level, vector
    constexpr uint64_t kLast = 0x18000;    // masked, level
    constexpr uint64_t kWritten = 0x1afff;
    const auto state = machine.vm().ioapic();
    const uint64_t fourth = state ? state->redirtbl[4].bits & kWritten : 0;
    const uint64_t last = state ? state->redirtbl[KVM_IOAPIC_NUM_PINS - 1].bits & kWritten : 0;
    out.push_back({fourth == kFourth && last == kLast,
                   fmt::format("the host sees entries {:#x} and {:#x}, expected {:#x} and {:#x}",
                               fourth, last, kFourth, kLast)});
  }

 private:
  std::string lack_;
};

// MAP_GPA_RANGE comes out where KVM_CAP_EXIT_HYPERCALL asks for it, and is unknown where not.
class HypercallOut : public Scenario {
 public:
  HypercallOut(const Kvm& kvm, bool control) : control_(control) {
    constexpr int kMapGpaRange = 12;  // KVM_HC_MAP_GPA_RANGE
    const auto mask = kvm.check(KVM_CAP_EXIT_HYPERCALL);
    if (!mask || (*mask >> kMapGpaRange & 1) == 0) lack_ = "host-lacks:KVM_CAP_EXIT_HYPERCALL";
  }
  static std::unique_ptr<Scenario> make(const Kvm& kvm, bool control) {
    return std::make_unique<HypercallOut>(kvm, control);
  }
  [[nodiscard]] std::string lack() const override { return lack_; }
  void options(MachineOptions& options) override {
    options.budget.time = std::chrono::milliseconds(500);  // some emulators never come back
  }
  Status before(Machine& machine) override {
    constexpr uint64_t kMapGpaRange = 1 << 12;
    return control_ ? Status() : machine.vm().enable(KVM_CAP_EXIT_HYPERCALL, kMapGpaRange);
  }
  Handled exit(Machine& /*m*/, Exit& exit) override {
    auto* call = std::get_if<Hypercall>(&exit);
    if (call == nullptr) return Handled::no;
    seen_ = fmt::format("hypercall {} ({:#x}, {:#x}, {:#x})", call->nr, call->args[0],
                        call->args[1], call->args[2]);
    right_ = call->nr == 12 && call->args[0] == 0x10000 && call->args[1] == 2;
    *call->result = 0;
    return Handled::yes;
  }
  void after(Machine& /*m*/, const End& /*end*/, std::vector<Finding>& out) override {
    out.push_back({right_, "came out: " + (seen_.empty() ? std::string("nothing") : seen_)});
  }

 private:
  bool control_;
  bool right_ = false;
  std::string seen_;
  std::string lack_;
};

// The guest's time is short: what cannot be done must not cost the whole budget.
class Brief : public Scenario {
 public:
  explicit Brief(bool /*control*/) {}
  void options(MachineOptions& options) override {
    options.budget.time = std::chrono::milliseconds(500);
  }
};

constexpr std::array kRows = {
    ScenarioRow{"out1", make_one<Writes<0x5001>>},
    ScenarioRow{"out2", make_one<Writes<0x5002>>},
    ScenarioRow{"out4", make_one<Writes<0x5004>>},
    ScenarioRow{"outsb", make_one<Writes<0x5011>>},
    ScenarioRow{"outsw_down", make_one<Writes<0x5012>>},
    ScenarioRow{"outsd_page", make_one<Writes<0x5014>>},
    ScenarioRow{"reads", make_one<Reads>},
    ScenarioRow{"mmio", make_one<Mmio>},
    ScenarioRow{"mmio_write1", make_one<MmioWrites<1>>},
    ScenarioRow{"mmio_write2", make_one<MmioWrites<2>>},
    ScenarioRow{"mmio_write4", make_one<MmioWrites<4>>},
    ScenarioRow{"mmio_write8", make_one<MmioWrites<8>>},
    ScenarioRow{"mmio_crossing", make_one<MmioCrossing>},
    ScenarioRow{"halts", make_one<Ends<End::Kind::halted>>},
    ScenarioRow{"shuts_down", make_one<Ends<End::Kind::shutdown>>},
    ScenarioRow{"internal_error", make_one<Ends<End::Kind::internal_error>>},
    ScenarioRow{"fail_entry", make_one<FailsEntry>},
    ScenarioRow{"immediate_exit", make_one<ImmediateExit>},
    ScenarioRow{"coalesced_port", make_one<Coalesced<true>>},
    ScenarioRow{"coalesced_mmio", make_one<Coalesced<false>>},
    ScenarioRow{"ioeventfd_port", make_one<IoEvents<true, false>>},
    ScenarioRow{"ioeventfd_mmio", make_one<IoEvents<false, false>>},
    ScenarioRow{"ioeventfd_match", make_one<IoEvents<true, true>>},
    ScenarioRow{"irqfd", make_one<IrqFd>},
    ScenarioRow{"ioapic", IoApic::make},
    ScenarioRow{"hypercall", HypercallOut::make},
    ScenarioRow{"brief", make_one<Brief>},
};

}  // namespace

std::span<const ScenarioRow> exit_scenarios() { return kRows; }

}  // namespace ringfence::vmm

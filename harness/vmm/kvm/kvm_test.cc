#include "harness/vmm/kvm/kvm.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <set>

#include "harness/vmm/kvm/capability.h"
#include "harness/vmm/kvm/vcpu.h"
#include "harness/vmm/scenario.h"
#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

using ::testing::HasSubstr;

TEST(KvmOpen, AMissingDeviceIsUnsupportedAndSaysWhatToDo) {
  const auto kvm = Kvm::open("/dev/no-such-kvm");
  ASSERT_FALSE(kvm);
  EXPECT_EQ(kvm.error().kind, Error::Kind::unsupported);
  EXPECT_EQ(kvm.error().err, ENOENT);
  EXPECT_THAT(kvm.error().describe(), HasSubstr("load kvm_intel or kvm_amd"));
}

TEST(KvmOpen, AnotherDeviceIsNotKvm) {
  const auto kvm = Kvm::open("/dev/null");
  ASSERT_FALSE(kvm);
  EXPECT_EQ(kvm.error().err, ENOTTY);
  EXPECT_THAT(kvm.error().describe(), HasSubstr("not KVM's device"));
}

TEST(KvmOpen, NoPermissionIsUnsupportedAndSaysWhatToDo) {
  ASSERT_TRUE(sys::arm_fault({SYS_openat, 0, EACCES}));
  const auto kvm = Kvm::open();
  sys::disarm_faults();
  ASSERT_FALSE(kvm);
  EXPECT_EQ(kvm.error().kind, Error::Kind::unsupported);
  EXPECT_EQ(kvm.error().err, EACCES);
  EXPECT_THAT(kvm.error().describe(), HasSubstr("join the group kvm"));
}

// Every ioctl of a machine's life fails once: the error names it, and nothing leaks.
TEST(KvmFaults, EachIoctlThatFailsIsNamed) {
  RINGFENCE_NEED_KVM(kvm);
  std::set<std::string> named;
  for (uint64_t index = 0; index < 40; ++index) {
    ASSERT_TRUE(sys::arm_fault({SYS_ioctl, index, ENOMEM}));
    auto machine = machine_of(*kvm, code::exit_with(0));
    End end;
    if (machine) end = (*machine)->run();
    const bool fired = sys::fault_fired();
    sys::disarm_faults();
    if (!fired) {
      EXPECT_EQ(end.kind, End::Kind::exited);
      break;
    }
    const Error& error = machine ? end.error.value() : machine.error();
    EXPECT_EQ(error.err, ENOMEM) << error.describe();
    named.insert(error.what);
  }
  EXPECT_THAT(named, ::testing::IsSupersetOf({"KVM_CREATE_VM", "KVM_SET_USER_MEMORY_REGION",
                                              "KVM_CREATE_VCPU", "KVM_SET_REGS", "KVM_SET_SREGS",
                                              "KVM_SET_CPUID2", "KVM_RUN"}));
}

TEST(Capabilities, TableHasEachOnceWithAPurpose) {
  std::set<int> numbers;
  std::set<std::string_view> names;
  for (const Capability& c : capabilities()) {
    EXPECT_TRUE(numbers.insert(c.number).second) << c.name;
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    EXPECT_TRUE(c.name.starts_with("KVM_CAP_")) << c.name;
    EXPECT_FALSE(c.purpose.empty()) << c.name;
    EXPECT_EQ(capability(c.number), &c);
  }
  EXPECT_EQ(capability(-1), nullptr);
}

TEST(Capabilities, TheKernelSaysEinvalOfNothingInTheTable) {
  RINGFENCE_NEED_KVM(kvm);
  for (const Capability& c : capabilities()) {
    const auto has = kvm->check(c.number);
    ASSERT_TRUE(has) << c.name << ": " << has.error().describe();
  }
}

TEST(Registers, ComeBackAsSet) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::kHlt);
  ASSERT_TRUE(machine) << machine.error().describe();
  Vcpu& vcpu = (*machine)->vcpu();
  auto regs = vcpu.regs();
  ASSERT_TRUE(regs);
  regs->rax = 0x1234;
  regs->rip = 0x42;
  ASSERT_TRUE(vcpu.set_regs(*regs));
  EXPECT_EQ(vcpu.regs()->rax, 0x1234U);
  EXPECT_EQ(vcpu.regs()->rip, 0x42U);
  ASSERT_TRUE(vcpu.set_msr(0x174, 0x77));
  EXPECT_EQ(vcpu.msr(0x174).value(), 0x77U);
  const auto unknown = vcpu.msr(0x12345678);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().err, EINVAL);
  EXPECT_GE(vcpu.mp_state().value(), 0U);
  EXPECT_FALSE(vcpu.cpuid()->empty());
}

TEST(SyncRegisters, ComeWithTheExitAndGoInWithTheEntry) {
  RINGFENCE_NEED_KVM(kvm);
  if (kvm->check(KVM_CAP_SYNC_REGS).value_or(0) == 0) GTEST_SKIP() << "no KVM_CAP_SYNC_REGS";
  // mov ax, 0x55aa; out 0x10, al; out 0x11, al
  auto machine = machine_of(*kvm, Bytes{0xb8, 0xaa, 0x55, 0xe6, 0x10, 0xe6, 0x11});
  ASSERT_TRUE(machine);
  Vcpu& vcpu = (*machine)->vcpu();
  vcpu.synchronize(true);
  auto exit = vcpu.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(vcpu.synced_regs().rax & 0xffff, 0x55aaU);
  EXPECT_EQ(vcpu.synced_sregs().cr0 & 1, 0U);
  kvm_regs regs = vcpu.synced_regs();
  regs.rax = 0x33;
  vcpu.enter_with(regs);
  exit = vcpu.run();
  ASSERT_TRUE(exit);
  ASSERT_TRUE(std::holds_alternative<IoOut>(*exit)) << describe(*exit);
  EXPECT_EQ(std::get<IoOut>(*exit).port, 0x11);
  EXPECT_EQ(std::get<IoOut>(*exit).data[0], 0x33);
}

TEST(SyncRegisters, WhatWaitsIsSetBeforeAnybodyAsks) {
  RINGFENCE_NEED_KVM(kvm);
  const int synced = kvm->check(KVM_CAP_SYNC_REGS).value_or(0);
  if ((synced & Vcpu::kSynced) != Vcpu::kSynced) GTEST_SKIP() << "KVM_CAP_SYNC_REGS " << synced;
  auto machine = machine_of(*kvm, code::exit_with(0));
  ASSERT_TRUE(machine);
  Vcpu& vcpu = (*machine)->vcpu();
  kvm_regs regs = vcpu.regs().value();
  kvm_sregs sregs = vcpu.sregs().value();
  kvm_vcpu_events events = vcpu.events().value();
  regs.rbx = 0x77;
  sregs.es.selector = 0x55;
  events.nmi.pending = 1;
  events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
  const auto wait = [&] {
    vcpu.enter_with(regs);
    vcpu.enter_with(sregs);
    vcpu.enter_with(events);
  };
  wait();
  EXPECT_EQ(vcpu.regs()->rbx, 0x77U);
  EXPECT_EQ(vcpu.page().kvm_dirty_regs, 0U);
  wait();
  EXPECT_EQ(vcpu.sregs()->es.selector, 0x55);
  wait();
  EXPECT_EQ(vcpu.events()->nmi.pending, 1);
  // What is set afterwards stays: the page does not come after it.
  events.nmi.pending = 0;
  wait();
  regs.rbx = 0x78;
  ASSERT_TRUE(vcpu.set_regs(regs));
  EXPECT_EQ(vcpu.regs()->rbx, 0x78U);
  wait();
  ASSERT_TRUE(vcpu.interrupt(0x21));
  EXPECT_EQ(vcpu.events()->interrupt.injected, 1);
  EXPECT_EQ(vcpu.events()->interrupt.nr, 0x21);
}

TEST(ImmediateExit, ComesBackBeforeTheGuestRuns) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::exit_with(0));
  ASSERT_TRUE(machine);
  Vcpu& vcpu = (*machine)->vcpu();
  vcpu.request_exit();
  auto exit = vcpu.run();
  ASSERT_TRUE(exit);
  EXPECT_TRUE(std::holds_alternative<Intr>(*exit)) << describe(*exit);
  EXPECT_EQ(vcpu.regs()->rip, 0U);
  vcpu.request_exit(false);
  exit = vcpu.run();
  ASSERT_TRUE(exit);
  EXPECT_TRUE(std::holds_alternative<IoOut>(*exit)) << describe(*exit);
}

TEST(IoEventFd, AWriteSignalsAndTheGuestGoesOn) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::out8(0x30, 7) + code::out8(0x31, 8) + code::exit_with(0));
  ASSERT_TRUE(machine);
  const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE((*machine)->vm().ioeventfd(event.get(), {.address = 0x30, .size = 1, .port = true}));
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text;
  uint64_t count = 0;
  ASSERT_EQ(read(event.get(), &count, sizeof count), 8);
  EXPECT_EQ(count, 1U);
  // Port 0x30 never came out, 0x31 and the exit port did.
  EXPECT_EQ((*machine)->exit_count(), 2U);
}

TEST(CoalescedPorts, WritesComeTogetherWithTheNextExit) {
  RINGFENCE_NEED_KVM(kvm);
  if (kvm->check(KVM_CAP_COALESCED_PIO).value_or(0) == 0) GTEST_SKIP() << "no coalesced ports";
  auto machine = machine_of(*kvm, code::out8(0x30, 7) + code::out8(0x30, 8) + code::exit_with(0));
  ASSERT_TRUE(machine);
  ASSERT_TRUE((*machine)->vm().coalesce(0x30, 1, true));
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text;
  EXPECT_EQ((*machine)->exit_count(), 1U);
  const auto writes = (*machine)->vcpu().take_coalesced();
  ASSERT_EQ(writes.size(), 2U);
  EXPECT_EQ(writes[0].phys_addr, 0x30U);
  EXPECT_EQ(writes[0].data[0], 7);
  EXPECT_EQ(writes[1].data[0], 8);
  EXPECT_TRUE((*machine)->vcpu().take_coalesced().empty());
}

TEST(Stats, ExitsOfTheKernelAndOfTheLoopAgree) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::out8(0x30, 7) + code::out8(0x31, 8) + code::exit_with(0));
  ASSERT_TRUE(machine);
  auto stats = (*machine)->vcpu().stats();
  if (!stats) GTEST_SKIP() << stats.error().describe();
  const auto before = stats->read();
  ASSERT_TRUE(before);
  (void)(*machine)->run();
  const auto after = stats->read();
  ASSERT_TRUE(after);
  ASSERT_TRUE(after->contains("io_exits") && after->contains("exits"));
  if (!hardware_virtualization()) {
    GTEST_SKIP() << "this KVM counts no exits (software virtualization)";
  }
  EXPECT_EQ(after->at("io_exits") - before->at("io_exits"), (*machine)->exit_count());
}

TEST(Exits, EveryKindHasANameAndIsDescribed) {
  const std::vector<Exit> all = {IoIn{},        IoOut{},         MmioRead{},  MmioWrite{},
                                 Hlt{},         Shutdown{},      Intr{},      IrqWindowOpen{},
                                 FailEntry{},   InternalError{}, Hypercall{}, Debug{},
                                 SystemEvent{}, MsrRead{},       MsrWrite{},  UnknownExit{}};
  ASSERT_EQ(all.size(), std::variant_size_v<Exit>);
  std::set<std::string_view> names;
  for (const Exit& e : all) {
    EXPECT_TRUE(names.insert(exit_name(e)).second);
    EXPECT_FALSE(describe(e).empty());
  }
}

TEST(Exits, FailEntryInWords) {
  EXPECT_EQ(fail_entry_words(0x80000021), "VM entry failed: invalid guest state");
  EXPECT_EQ(fail_entry_words(0x80000022), "VM entry failed: MSR loading");
  EXPECT_EQ(fail_entry_words(0x80000029), "VM entry failed: machine check");
  EXPECT_THAT(fail_entry_words(0x80000005), HasSubstr("basic exit reason 5"));
  EXPECT_THAT(fail_entry_words(~0ULL), HasSubstr("VMEXIT_INVALID"));
  EXPECT_THAT(fail_entry_words(0xffffffff), HasSubstr("VMEXIT_INVALID"));
  EXPECT_THAT(fail_entry_words(7), HasSubstr("VM-instruction error 7"));
}

TEST(Exits, InternalErrorInWords) {
  InternalError e;
  e.suberror = KVM_INTERNAL_ERROR_EMULATION;
  e.words = 3;
  e.data[0] = 1;
  e.data[1] = 0x2e370f03;  // three bytes: 0f 37 2e
  EXPECT_THAT(internal_error_words(e), HasSubstr("0f 37 2e"));
  EXPECT_THAT(internal_error_words(e), ::testing::Not(HasSubstr("0f 37 2e 00")));
  e.data[0] = 0;  // no bytes came
  EXPECT_THAT(internal_error_words(e), ::testing::Not(HasSubstr("0f")));
  e.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
  e.words = 2;
  e.data[0] = 0x80000306;
  EXPECT_THAT(internal_error_words(e), HasSubstr("0x80000306"));
  e.suberror = 99;
  EXPECT_THAT(internal_error_words(e), HasSubstr("internal error 99"));
}

}  // namespace
}  // namespace ringfence::vmm

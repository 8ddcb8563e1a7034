#include "harness/vmm/machine.h"

#include <gmock/gmock.h>

#include <csignal>
#include <thread>

#include "harness/vmm/kept_state.h"
#include "harness/vmm/report.h"
#include "harness/vmm/test_guest.h"

namespace ringfence::vmm {
namespace {

using ::testing::HasSubstr;

MachineOptions short_budget(uint64_t exits = 2'000'000, int ms = 200) {
  MachineOptions options;
  options.budget.exits = exits;
  options.budget.time = std::chrono::milliseconds(ms);
  return options;
}

TEST(Machine, RunsAFlatGuestToItsExitCode) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine =
      machine_of(*kvm, code::out8(0xe9, 'H') + code::out8(0xe9, 'i') + code::exit_with(3));
  ASSERT_TRUE(machine) << machine.error().describe();
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text;
  EXPECT_EQ(end.code, 3U);
  EXPECT_EQ((*machine)->debug_text(), "Hi");
  EXPECT_EQ((*machine)->exit_count(), 3U);
}

TEST(Machine, AHaltThatNothingCanWakeEnds) {
  RINGFENCE_NEED_KVM(kvm);
  auto off = machine_of(*kvm, code::kHlt);
  ASSERT_TRUE(off);
  EXPECT_EQ((*off)->run().text, "HLT with interrupts off");
  auto on = machine_of(*kvm, Bytes{0xfb} + code::kHlt);  // sti
  ASSERT_TRUE(on);
  const End end = (*on)->run();
  EXPECT_EQ(end.kind, End::Kind::halted);
  EXPECT_EQ(end.text, "HLT, and no device will interrupt");
}

TEST(Machine, AFirmwareImageBeginsAtItsResetVector) {
  RINGFENCE_NEED_KVM(kvm);
  Bytes image(0x10000, 0x90);
  // At 0xfff0: jmp 0xf000:0x0100, which writes its own first byte, reads it back, and exits.
  const Bytes vector = {0xea, 0x00, 0x01, 0x00, 0xf0};
  const Bytes body = Bytes{0x2e, 0xa0, 0x00, 0x01} +  // mov al, cs:[0x100]
                     Bytes{0xe6, 0xf4};
  std::copy(body.begin(), body.end(), image.begin() + 0x100);
  std::copy(vector.begin(), vector.end(), image.begin() + 0xfff0);
  MachineOptions options;
  options.form = Form::firmware;
  auto machine = machine_of(*kvm, image, options);
  ASSERT_TRUE(machine) << machine.error().describe();
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text << (*machine)->report();
  EXPECT_EQ(end.code, 0x2eU);
}

TEST(Machine, BadImagesAreUsageErrors) {
  RINGFENCE_NEED_KVM(kvm);
  MachineOptions firmware;
  firmware.form = Form::firmware;
  MachineOptions tiny;
  tiny.ram = 4096;
  MachineOptions huge;
  huge.ram = 8ULL << 30;
  const std::vector<std::pair<Bytes, MachineOptions>> bad = {{{}, {}},
                                                             {Bytes((1 << 20) + 1, 0x90), {}},
                                                             {Bytes(100, 0x90), firmware},
                                                             {code::kHlt, tiny},
                                                             {code::kHlt, huge}};
  for (const auto& [image, options] : bad) {
    const auto r = machine_of(*kvm, image, options);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().kind, Error::Kind::usage) << r.error().describe();
    EXPECT_THAT(r.error().describe(), HasSubstr("bytes"));
  }
}

// ---- Guests that do not end by themselves -------------------------------------------------------

TEST(Budget, AGuestThatSpinsWithoutExitsEndsByTime) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::kSpin, short_budget());
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::out_of_time);
  EXPECT_EQ(end.text, "no end after 200 ms");
  EXPECT_GT((*machine)->kicks(), 0U);
  EXPECT_EQ((*machine)->exit_count(), 0U);
}

// The watchdog is kept from run to run. Where it did not look, the guest would spin for ever.
TEST(Budget, EachRunEndsByTimeWhicheverThreadItIsIn) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::kSpin, short_budget(2'000'000, 60));
  ASSERT_TRUE(machine);
  const auto run = [&] {
    sigset_t before;
    sigset_t after;
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
    EXPECT_EQ((*machine)->run().kind, End::Kind::out_of_time);
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
    for (int n = 1; n < 65; ++n) EXPECT_EQ(sigismember(&before, n), sigismember(&after, n)) << n;
  };
  run();
  run();
  std::thread(run).join();
  std::thread(run).join();
  run();
  // With another mask.
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR2);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &one, nullptr), 0);
  run();
  ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &one, nullptr), 0);
  run();
}

// A second vCPU in real mode at linear 0x500, where `code` goes.
Result<Vcpu> second_at_500(Machine& machine, const Bytes& code) {
  auto second = machine.vm().create_vcpu(1);
  if (!second) return second;
  if (auto ok = machine.memory().write(0x500, code); !ok) return tl::unexpected(ok.error());
  const auto sregs = machine.vcpu().sregs();
  if (!sregs) return tl::unexpected(sregs.error());
  if (auto ok = second->set_sregs(*sregs); !ok) return tl::unexpected(ok.error());
  kvm_regs regs{};
  regs.rip = 0x500;
  regs.rflags = 2;
  if (auto ok = second->set_regs(regs); !ok) return tl::unexpected(ok.error());
  return second;
}

TEST(OtherVcpu, RunsToItsNextExit) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::out8(0x30, 1) + code::exit_with(3));
  ASSERT_TRUE(machine);
  auto second = second_at_500(**machine, code::out8(0x31, 0x5a));
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_FALSE((*machine)->run_other(*second)) << "outside of a run";
  std::string seen;
  (*machine)->on_exit([&](Machine& m, Exit& exit) {
    const auto* io = std::get_if<IoOut>(&exit);
    if (io == nullptr || io->port != 0x30) return Handled::no;
    const auto other = m.run_other(*second);
    seen = other ? describe(*other) : other.error().describe();
    return Handled::no;
  });
  EXPECT_EQ((*machine)->run().code, 3U);
  EXPECT_EQ(seen, "OUT 0x0031 size 1 count 1: 5a");
}

TEST(OtherVcpu, OneThatSpinsEndsWithTheMachinesTime) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::out8(0x30, 1) + code::kSpin, short_budget());
  ASSERT_TRUE(machine);
  auto second = second_at_500(**machine, code::kSpin);
  ASSERT_TRUE(second) << second.error().describe();
  std::string seen;
  (*machine)->on_exit([&](Machine& m, Exit&) {
    const auto other = m.run_other(*second);
    seen = other ? describe(*other) : other.error().describe();
    return Handled::no;
  });
  EXPECT_EQ((*machine)->run().kind, End::Kind::out_of_time);
  EXPECT_EQ(seen, "INTR: interrupted from outside");
}

TEST(Budget, AGuestThatExitsForEverEndsByExits) {
  RINGFENCE_NEED_KVM(kvm);
  // out 0x30, al; jmp back
  auto machine = machine_of(*kvm, Bytes{0xe6, 0x30, 0xeb, 0xfc}, short_budget(500, 60000));
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::out_of_exits);
  EXPECT_EQ((*machine)->exit_count(), 501U);
}

TEST(Budget, AGuestThatExitsForEverEndsByTimeAsWell) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, Bytes{0xe6, 0x30, 0xeb, 0xfc}, short_budget(~0ULL));
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->run().kind, End::Kind::out_of_time);
}

TEST(Budget, AnInterruptStormEnds) {
  RINGFENCE_NEED_KVM(kvm);
  // A platform whose line never goes down, and a guest that can take it and only returns from it.
  class Storm : public BarePlatform {
   public:
    [[nodiscard]] bool intr() const override { return true; }
    uint8_t acknowledge(Nanos /*now*/) override { return 0x20; }
  };
  Bytes image(0x200, 0);
  const Bytes body = Bytes{0xfb} + code::kSpin;  // at 0: in the way of the vectors below 0x80
  std::copy(body.begin(), body.end(), image.begin());
  image[0x80] = 0x00;  // vector 0x20 -> 0:0x100
  image[0x81] = 0x01;
  image[0x100] = 0xcf;  // iret
  auto machine = Machine::create(*kvm, image, std::make_unique<Storm>(), short_budget(~0ULL));
  ASSERT_TRUE(machine) << machine.error().describe();
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::out_of_time) << end.text << (*machine)->report();
  // ... and it was one.
  const auto last = (*machine)->transcript().entries(1 + 8);
  EXPECT_EQ(last.front().kind, Entry::Kind::interrupt);
}

TEST(Budget, AGuestThatWritesEverywhereEnds) {
  RINGFENCE_NEED_KVM(kvm);
  // 32 bit: mov [edi], eax; add edi, 0x1000; jmp back. Through RAM, holes, the vCPU's own tables.
  MachineOptions options = short_budget();
  options.start.mode = CpuMode::protected32;
  options.start.ip = 0x7000;
  Bytes image(0x7100, 0);
  const Bytes body = {0x89, 0x07, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xf6};
  std::copy(body.begin(), body.end(), image.begin() + 0x7000);
  auto machine = machine_of(*kvm, image, options);
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_NE(end.kind, End::Kind::failed) << end.text;
  EXPECT_NE(end.kind, End::Kind::exited) << end.text;
}

TEST(Budget, AGuestThatJumpsOutOfMemoryEndsWithAReport) {
  RINGFENCE_NEED_KVM(kvm);
  MachineOptions options = short_budget();
  options.start.mode = CpuMode::protected32;
  // mov eax, 0x40000000; jmp eax
  auto machine = machine_of(*kvm, Bytes{0xb8, 0, 0, 0, 0x40, 0xff, 0xe0}, options);
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_NE(end.kind, End::Kind::failed) << end.text;
  EXPECT_NE(end.kind, End::Kind::exited) << end.text;
  EXPECT_THAT((*machine)->report(), HasSubstr("rip=0000000040000000"));
}

TEST(Machine, StopFromAnotherThreadEnds) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::kSpin, short_budget(~0ULL, 60000));
  ASSERT_TRUE(machine);
  std::thread other([&] { (*machine)->stop(); });
  const End end = (*machine)->run();
  other.join();
  EXPECT_EQ(end.kind, End::Kind::stopped);
}

// Stepped time does not depend on how long the host takes for it: an exit that takes 20 ms is one
// step, and time goes on by itself only for a guest that spins for long.
TEST(SteppedTime, IsTheGuestsAloneHoweverSlowTheHost) {
  RINGFENCE_NEED_KVM(kvm);
  auto machine = machine_of(*kvm, code::out8(0x30, 1) + code::out8(0x31, 1) + code::exit_with(0),
                            short_budget(100, 10000));
  ASSERT_TRUE(machine);
  (*machine)->on_exit([](Machine&, Exit&) {
    const timespec nap{0, 20'000'000};
    nanosleep(&nap, nullptr);
    return Handled::no;
  });
  EXPECT_EQ((*machine)->run().kind, End::Kind::exited);
  EXPECT_EQ((*machine)->now(), 3000U);
}

TEST(SteppedTime, GoesOnForAGuestThatOnlySpins) {
  RINGFENCE_NEED_KVM(kvm);
  // A platform that interrupts at 10 ms of device time.
  static constexpr Nanos kAt = 10'000'000;
  class Timer : public BarePlatform {
   public:
    void advance(Nanos now) override {
      if (now >= kAt && !done_) {
        done_ = true;
        raise(0x40);
      }
    }
    [[nodiscard]] std::optional<Nanos> next_event() const override {
      return done_ ? std::nullopt : std::optional<Nanos>(kAt);
    }

   private:
    bool done_ = false;
  };
  Bytes image(0x200, 0);
  const Bytes body = Bytes{0xfb} + code::kSpin;
  std::copy(body.begin(), body.end(), image.begin());
  image[0x101] = 0x01;  // vector 0x40 -> 0:0x180
  image[0x100] = 0x80;
  const Bytes handler = code::exit_with(4);
  std::copy(handler.begin(), handler.end(), image.begin() + 0x180);
  auto machine = Machine::create(*kvm, image, std::make_unique<Timer>(), short_budget(100, 10000));
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text << (*machine)->report();
  EXPECT_EQ(end.code, 4U);
  EXPECT_GE((*machine)->now(), 10'000'000U);
}

// ---- What guests do -----------------------------------------------------------------------------

TEST(Machine, StringOutputOverAPageEdgeArrivesWhole) {
  RINGFENCE_NEED_KVM(kvm);
  // mov si, 0x0ff8; mov cx, 16; mov dx, 0xe9; cld; rep outsb; exit
  Bytes image = Bytes{0xbe, 0xf8, 0x0f, 0xb9, 0x10, 0x00, 0xba, 0xe9, 0x00, 0xfc, 0xf3, 0x6e} +
                code::exit_with(0);
  image.resize(0x2000);
  const std::string text = "0123456789abcdef";
  std::copy(text.begin(), text.end(), image.begin() + 0xff8);
  auto machine = machine_of(*kvm, image, short_budget());
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text;
  EXPECT_EQ((*machine)->debug_text(), text);
}

TEST(Machine, StringInputOverAPageEdgeArrivesWhole) {
  RINGFENCE_NEED_KVM(kvm);
  // mov di, 0x0ff8; mov cx, 16; mov dx, 0xe9; cld; rep insb; exit
  const Bytes image =
      Bytes{0xbf, 0xf8, 0x0f, 0xb9, 0x10, 0x00, 0xba, 0xe9, 0x00, 0xfc, 0xf3, 0x6c} +
      code::exit_with(0);
  auto machine = machine_of(*kvm, image, short_budget());
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->run().kind, End::Kind::exited);
  for (uint64_t at = 0xff8; at < 0x1008; ++at) {
    EXPECT_EQ((*machine)->memory().load<uint8_t>(at).value(), 0xe9) << at;
  }
  EXPECT_EQ((*machine)->memory().load<uint8_t>(0x1008).value(), 0);
}

TEST(Machine, UnknownPortsFloatAndAreRecorded) {
  RINGFENCE_NEED_KVM(kvm);
  // in ax, 0x30 (16 bit); out 0xf4, al
  auto machine = machine_of(*kvm, Bytes{0xe5, 0x30, 0xe6, 0xf4}, short_budget());
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.code, 0xffU);
  const auto entries = (*machine)->transcript().entries();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].kind, Entry::Kind::in);
  EXPECT_EQ(entries[0].address, 0x30U);
  EXPECT_EQ(entries[0].width, 2);
  EXPECT_EQ(entries[0].value, 0xffffU);
  EXPECT_FALSE(entries[0].defined);
  EXPECT_TRUE(entries[1].defined);
}

// Where vector 0x21 leads to an exit with 9.
Bytes with_handler(const Bytes& body) {
  Bytes image(0x200, 0);
  std::copy(body.begin(), body.end(), image.begin());
  image[0x84] = 0x00;  // 0:0x100
  image[0x85] = 0x01;
  const Bytes handler = code::exit_with(9);
  std::copy(handler.begin(), handler.end(), image.begin() + 0x100);
  return image;
}

// That the interrupt came, and not before the guest wrote to port 0x31.
void expect_taken_after_port_31(Machine& machine, const End& end) {
  EXPECT_EQ(end.kind, End::Kind::exited) << end.text << machine.report();
  EXPECT_EQ(end.code, 9U);
  bool written = false;
  bool taken = false;
  for (const Entry& e : machine.transcript().entries()) {
    written |= e.kind == Entry::Kind::out && e.address == 0x31;
    if (e.kind != Entry::Kind::interrupt) continue;
    taken = true;
    EXPECT_TRUE(written) << "an interrupt where interrupts were off";
  }
  EXPECT_TRUE(taken);
}

TEST(Machine, AnInterruptIsTakenWhenTheGuestLetsIt) {
  RINGFENCE_NEED_KVM(kvm);
  // out 0x30 with IF clear; out 0x31; sti; nop; hlt; jmp to the hlt
  const Bytes image = with_handler({0xe6, 0x30, 0xe6, 0x31, 0xfb, 0x90, 0x90, 0xf4, 0xeb, 0xfd});
  auto platform = std::make_unique<BarePlatform>();
  BarePlatform* bare = platform.get();
  auto machine = Machine::create(*kvm, image, std::move(platform), short_budget());
  ASSERT_TRUE(machine);
  (*machine)->on_exit([&](Machine&, Exit& exit) {
    if (const auto* io = std::get_if<IoOut>(&exit); io != nullptr && io->port == 0x30) {
      bare->raise(0x21);
    }
    return Handled::no;
  });
  expect_taken_after_port_31(**machine, (*machine)->run());
}

TEST(Machine, ATripleFaultIsAShutdownWithAReport) {
  RINGFENCE_NEED_KVM(kvm);
  MachineOptions options = short_budget();
  options.start.mode = CpuMode::protected32;
  auto machine = machine_of(*kvm, Bytes{0x0f, 0x0b}, options);  // ud2, and no gate is present
  ASSERT_TRUE(machine);
  const End end = (*machine)->run();
  EXPECT_EQ(end.kind, End::Kind::shutdown) << end.text;
  const std::string report = (*machine)->report();
  EXPECT_THAT(report, HasSubstr("cs=0008"));
}

TEST(Machine, RewindRestoresRegistersMemoryAndDevices) {
  RINGFENCE_NEED_KVM(kvm);
  // inc word [0x3000]; mov ax, [0x3000]; out 0xe9, al; out 0xf4, al
  const Bytes image = {0xff, 0x06, 0x00, 0x30, 0xa1, 0x00, 0x30, 0xe6, 0xe9, 0xe6, 0xf4};
  MachineOptions options = short_budget();
  options.resettable = true;
  auto machine = machine_of(*kvm, image, options);
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->rewind().error().kind, Error::Kind::usage);
  ASSERT_TRUE((*machine)->remember());
  for (int i = 0; i < 3; ++i) {
    const End end = (*machine)->run();
    EXPECT_EQ(end.kind, End::Kind::exited) << end.text;
    EXPECT_EQ(end.code, 1U) << "run " << i;  // without the rewind it would count up
    EXPECT_EQ((*machine)->debug_text(), "\x01");
    auto ok = (*machine)->rewind();
    ASSERT_TRUE(ok) << ok.error().describe();
  }
  auto plain = machine_of(*kvm, image, short_budget());
  ASSERT_TRUE(plain);
  EXPECT_EQ((*plain)->remember().error().kind, Error::Kind::usage);
}

TEST(Machine, ARewoundGuestIsAskedBeforeItIsInterrupted) {
  RINGFENCE_NEED_KVM(kvm);
  // out 0x31, al; sti; nop; out 0x30, al; hlt; jmp to the hlt
  const Bytes body = {0xe6, 0x31, 0xfb, 0x90, 0xe6, 0x30, 0xf4, 0xeb, 0xfd};
  auto platform = std::make_unique<BarePlatform>();
  BarePlatform* bare = platform.get();
  MachineOptions options = short_budget();
  options.resettable = true;
  auto machine = Machine::create(*kvm, with_handler(body), std::move(platform), options);
  ASSERT_TRUE(machine);
  ASSERT_TRUE((*machine)->remember());
  (*machine)->on_exit([&](Machine&, Exit& exit) {
    const auto* io = std::get_if<IoOut>(&exit);
    return io != nullptr && io->port == 0x30 ? Handled::stop : Handled::no;
  });
  // It stops with interrupts on, and is rewound to where they are off.
  ASSERT_EQ((*machine)->run().kind, End::Kind::stopped);
  ASSERT_TRUE((*machine)->rewind());
  bare->raise(0x21);
  (*machine)->on_exit({});
  expect_taken_after_port_31(**machine, (*machine)->run());
}

// Port 0x64 resets the CPU and raises an interrupt.
class Resetting : public BarePlatform {
 public:
  Access out(uint16_t port, unsigned width, uint32_t value, Nanos now) override {
    if (port != 0x64) return BarePlatform::out(port, width, value, now);
    raise(0x21);
    reset_ = true;
    return {"reset", true, false};
  }
  bool take_reset() override { return std::exchange(reset_, false); }

 private:
  bool reset_ = false;
};

TEST(Machine, AGuestThatWasResetIsAskedBeforeItIsInterrupted) {
  RINGFENCE_NEED_KVM(kvm);
  const Bytes body = {0x80, 0x3e, 0x00, 0x30, 0x00,  // cmp byte [0x3000], 0
                      0x75, 0x08,                    // jne after the reset
                      0xfe, 0x06, 0x00, 0x30,        // inc byte [0x3000]
                      0xfb, 0x90,                    // sti; nop
                      0xe6, 0x64,                    // out 0x64, al: the reset
                      0xe6, 0x31,                    // out 0x31, al
                      0xfb, 0x90, 0xf4, 0xeb, 0xfd};
  auto machine =
      Machine::create(*kvm, with_handler(body), std::make_unique<Resetting>(), short_budget());
  ASSERT_TRUE(machine);
  expect_taken_after_port_31(**machine, (*machine)->run());
}

// All that a guest can change, through the page and by ioctls.
TEST(KeptState, ComesBackEitherWay) {
  RINGFENCE_NEED_KVM(kvm);
  const int synced = kvm->check(KVM_CAP_SYNC_REGS).value_or(0);
  for (const bool through_page : {false, true}) {
    SCOPED_TRACE(through_page);
    if (through_page && (synced & Vcpu::kSynced) != Vcpu::kSynced) continue;
    // mov ax, 0x1234; mov ds, ax; mov dr0, eax; sti; out 0x30, al; out 0x31, al
    auto machine = machine_of(
        *kvm, Bytes{0xb8, 0x34, 0x12, 0x8e, 0xd8, 0x0f, 0x23, 0xc0, 0xfb, 0xe6, 0x30, 0xe6, 0x31});
    ASSERT_TRUE(machine);
    Vcpu& vcpu = (*machine)->vcpu();
    auto kept = KeptState::of(vcpu, {through_page, false});
    ASSERT_TRUE(kept) << kept.error().describe();
    const auto before = vcpu.xsave();
    for (int i = 0; i < 3; ++i) {
      auto exit = vcpu.run();
      ASSERT_TRUE(exit);
      const auto* io = std::get_if<IoOut>(&*exit);
      ASSERT_NE(io, nullptr) << describe(*exit);
      EXPECT_EQ(io->port, 0x30) << "run " << i;
      EXPECT_EQ(vcpu.sregs()->ds.selector, 0x1234);
      EXPECT_EQ(vcpu.debugregs()->db[0] & 0xffff, 0x1234U);
      // What the exit left unfinished, as rewind() does.
      vcpu.request_exit();
      (void)vcpu.run_raw();
      vcpu.request_exit(false);
      EXPECT_NE(vcpu.regs()->rflags & 0x200, 0U);
      // Not every KVM has the floating point instructions in real mode.
      kvm_fpu fpu = vcpu.fpu().value();
      fpu.fcw ^= 0x300;
      ASSERT_TRUE(vcpu.set_fpu(fpu));
      ASSERT_TRUE(kept->restore(vcpu));
      if (i == 1) continue;  // nobody looks before it runs
      EXPECT_EQ(vcpu.regs()->rip, 0U);
      EXPECT_EQ(vcpu.regs()->rflags & 0x200, 0U);
      EXPECT_EQ(vcpu.sregs()->ds.selector, 0);
      EXPECT_EQ(vcpu.debugregs()->db[0], 0U);
      if (before) {
        EXPECT_EQ(vcpu.xsave().value(), *before);
      }
    }
  }
}

TEST(Report, DisassemblesInEachWidth) {
  const Bytes code = {0xb8, 0x34, 0x12, 0x00, 0x00, 0xf4};
  EXPECT_THAT(disassemble(code, 0x7c00, 16, 1), HasSubstr("0x7c00: mov ax, 0x1234"));
  EXPECT_THAT(disassemble(code, 0x7c00, 32, 2), HasSubstr("0x7c05: hlt"));
  EXPECT_THAT(disassemble(Bytes{0x48, 0x89, 0xe5}, 0, 64, 1), HasSubstr("mov rbp, rsp"));
  EXPECT_THAT(disassemble(Bytes{0x06}, 0, 64, 1), HasSubstr("(bad) 06"));
}

}  // namespace
}  // namespace ringfence::vmm

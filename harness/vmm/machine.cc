#include "harness/vmm/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <numeric>

#include "harness/vmm/kept_state.h"
#include "harness/vmm/report.h"
#include "harness/vmm/watchdog.h"

namespace ringfence::vmm {
namespace {

constexpr uint64_t kMegabyte = 1ULL << 20;
constexpr uint64_t kWrapSize = 0x10000;  // what real mode reaches above 1 MiB
constexpr uint64_t kRomSize = 0x10000;
constexpr uint64_t kRomLow = 0xf0000;
constexpr uint64_t kRomHigh = 0xffff0000;
constexpr uint64_t kMostRam = 1ULL << 30;
// What VMX without unrestricted guest asks for, below the ROM: KVM API 4.36, 4.41.
constexpr uint64_t kTssAddress = 0xfffbd000;
constexpr uint64_t kIdentityMap = 0xfffbc000;
// How often the watchdog looks: a guest on the host's time is given its interrupts so. A kick costs
// several exits.
constexpr std::chrono::nanoseconds kKick = std::chrono::milliseconds(2);
constexpr std::chrono::nanoseconds kSteppedKick = std::chrono::milliseconds(50);
// Without an exit for so long, a guest waits for time to go by (ns on a CPU).
constexpr int64_t kQuiet = 50'000'000;
// A guest that halts with interrupts on, whose devices do this much without one, sleeps for ever.
constexpr int kMostIdleEvents = 100'000;
constexpr uint16_t kFirmwareCs = 0xf000;
constexpr uint64_t kResetIp = 0xfff0;

int64_t monotonic() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);  // vDSO: no system call
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

int64_t thread_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::string bytes_text(uint64_t n) { return fmt::format("{} bytes", n); }

// The timing leaf, as Linux and others read it: 0x40000000 has the highest leaf in EAX, 0x40000010
// the frequency in kHz.
void say_tsc(std::vector<kvm_cpuid_entry2>& leaves, uint32_t khz) {
  constexpr uint32_t kFirst = 0x40000000;
  constexpr uint32_t kTiming = 0x40000010;
  std::erase_if(leaves, [](const kvm_cpuid_entry2& e) { return e.function == kTiming; });
  bool found = false;
  for (kvm_cpuid_entry2& e : leaves) {
    if (e.function != kFirst) continue;
    e.eax = std::max(e.eax, kTiming);
    found = true;
  }
  kvm_cpuid_entry2 entry{};
  if (!found) {
    entry.function = kFirst;
    entry.eax = kTiming;
    leaves.push_back(entry);
  }
  entry.function = kTiming;
  entry.eax = khz;
  leaves.push_back(entry);
}

uint64_t value_of(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

// Of a port, 1, 2 or 4 bytes: for each exit, so no call of memcpy().
uint32_t take_value(const uint8_t* from, unsigned size) {
  uint16_t two = 0;
  uint32_t four = 0;
  switch (size) {
    case 1:
      return *from;
    case 2:
      std::memcpy(&two, from, sizeof two);
      return two;
    default:
      std::memcpy(&four, from, sizeof four);
      return four;
  }
}

void put_value(uint8_t* to, unsigned size, uint32_t value) {
  const auto two = static_cast<uint16_t>(value);
  switch (size) {
    case 1:
      *to = static_cast<uint8_t>(value);
      return;
    case 2:
      std::memcpy(to, &two, sizeof two);
      return;
    default:
      std::memcpy(to, &value, sizeof value);
  }
}

constexpr size_t kIoIn = Exit(IoIn{}).index();
constexpr size_t kIoOut = Exit(IoOut{}).index();

}  // namespace

struct Machine::Kept {
  KeptState cpu;
  std::vector<uint8_t> platform;
  Nanos now = 0;
  bool a20 = true;
};

std::string_view end_name(End::Kind kind) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "exited",    "halted",       "shutdown",    "fail_entry", "internal_error",
      "unhandled", "out_of_exits", "out_of_time", "stopped",    "failed"};
  return kNames.at(static_cast<size_t>(kind));
}

Machine::Machine(Vm vm, std::unique_ptr<Platform> platform, MachineOptions options)
    : vm_(std::move(vm)),
      platform_(std::move(platform)),
      options_(std::move(options)),
      transcript_(options_.whole_transcript) {}

Machine::~Machine() = default;

Result<std::unique_ptr<Machine>> Machine::create(const Kvm& kvm, std::span<const uint8_t> image,
                                                 std::unique_ptr<Platform> platform,
                                                 MachineOptions options) {
  if (options.ram < kMegabyte + kWrapSize || options.ram > kMostRam || options.ram % kPage != 0) {
    return usage_error("make guest", bytes_text(options.ram) + " of RAM",
                       "whole pages, from 1114112 bytes to 1 GiB");
  }
  if (image.empty()) return usage_error("load image", "0 bytes", "the image is empty");
  auto vm = kvm.create_vm();
  if (!vm) return tl::unexpected(vm.error());
  std::unique_ptr<Machine> machine(
      new Machine(std::move(*vm), std::move(platform), std::move(options)));
  if (auto ok = machine->load(kvm, image); !ok) return tl::unexpected(ok.error());
  return machine;
}

Status Machine::load(const Kvm& kvm, std::span<const uint8_t> image) {
  if (auto ok = vm_.set_tss_address(kTssAddress); !ok) return ok;
  if (auto ok = vm_.set_identity_map_address(kIdentityMap); !ok) return ok;
  if (options_.irqchip) {
    if (auto ok = vm_.create_irqchip(); !ok) return ok;
    if (auto ok = vm_.create_pit(true); !ok) return ok;
  }
  auto ok = options_.form == Form::flat ? load_flat(image) : load_firmware(image);
  if (!ok) return ok;
  auto vcpu = vm_.create_vcpu(0);
  if (!vcpu) return tl::unexpected(vcpu.error());
  vcpu_ = std::move(*vcpu);
  if (options_.host_cpuid) {
    auto cpuid = kvm.supported_cpuid();
    if (!cpuid) return tl::unexpected(cpuid.error());
    if (options_.tsc_leaf) {
      const auto khz = vcpu_->tsc_khz();
      if (!khz) return tl::unexpected(khz.error());
      say_tsc(*cpuid, *khz);
    }
    if (options_.edit_cpuid) options_.edit_cpuid(*cpuid);
    if (auto set = vcpu_->set_cpuid(*cpuid); !set) return set;
  }
  a20_ = true;
  return start_state();
}

Status Machine::load_flat(std::span<const uint8_t> image) {
  if (image.size() > kMegabyte) {
    return usage_error("load image", bytes_text(image.size()),
                       "a flat image is loaded at 0 and has at most 1048576 bytes");
  }
  const GuestMemory::Options ram{.log_dirty = options_.resettable};
  if (auto r = memory_.add(vm_, 0, kMegabyte, ram); !r) return tl::unexpected(r.error());
  auto wrap = memory_.add(vm_, kMegabyte, kWrapSize, ram);
  if (!wrap) return tl::unexpected(wrap.error());
  wrap_ = *wrap;
  if (options_.ram > kMegabyte + kWrapSize) {
    auto rest = memory_.add(vm_, kMegabyte + kWrapSize, options_.ram - kMegabyte - kWrapSize, ram);
    if (!rest) return tl::unexpected(rest.error());
  }
  return memory_.write(0, image);
}

Status Machine::load_firmware(std::span<const uint8_t> image) {
  if (image.size() != kRomSize) {
    return usage_error("load image", bytes_text(image.size()),
                       "a firmware image has 65536 bytes, the reset vector 16 before its end");
  }
  const GuestMemory::Options ram{.log_dirty = options_.resettable};
  const GuestMemory::Options rom{.read_only = true};
  if (auto r = memory_.add(vm_, 0, kRomLow, ram); !r) return tl::unexpected(r.error());
  auto low = memory_.add(vm_, kRomLow, kRomSize, rom);
  if (!low) return tl::unexpected(low.error());
  auto high = memory_.add_alias(vm_, kRomHigh, kRomSize, *low, 0, rom);
  if (!high) return tl::unexpected(high.error());
  auto wrap = memory_.add(vm_, kMegabyte, kWrapSize, ram);
  if (!wrap) return tl::unexpected(wrap.error());
  wrap_ = *wrap;
  if (options_.ram > kMegabyte + kWrapSize) {
    auto rest = memory_.add(vm_, kMegabyte + kWrapSize, options_.ram - kMegabyte - kWrapSize, ram);
    if (!rest) return tl::unexpected(rest.error());
  }
  return memory_.write(kRomLow, image);
}

Status Machine::start_state() {
  auto sregs = vcpu_->sregs();
  if (!sregs) return tl::unexpected(sregs.error());
  kvm_regs regs{};
  StartState start = options_.start;
  if (options_.form == Form::firmware) start = StartState{};
  if (auto ok = prepare(start, memory_, regs, *sregs); !ok) return ok;
  if (options_.form == Form::firmware) {
    // SDM volume 3, 10.1.4: the base of CS after reset is not its selector times 16.
    sregs->cs.selector = kFirmwareCs;
    sregs->cs.base = kRomHigh;
    regs.rip = kResetIp;
  }
  vcpu_->forget_readiness();
  if (auto ok = vcpu_->set_sregs(*sregs); !ok) return ok;
  return vcpu_->set_regs(regs);
}

End Machine::ended(End::Kind kind, std::string text) {
  End end;
  end.kind = kind;
  end.text = std::move(text);
  return end;
}

End Machine::failed(Error error) {
  End end = ended(End::Kind::failed, error.describe());
  end.error = std::move(error);
  return end;
}

void Machine::stop() noexcept {
  stop_.store(true);
  vcpu_->request_exit();
}

End Machine::run() {
  const bool real = options_.clock == ClockKind::real || options_.irqchip;
  kick_ = real ? kKick : kSteppedKick;
  if (!watchdog_ || !watchdog_->resume(kick_)) {
    watchdog_.reset();
    auto dog = Watchdog::start(*vcpu_, kick_);
    if (!dog) return failed(std::move(dog.error()));
    watchdog_ = std::make_unique<Watchdog>(std::move(*dog));
  }
  const int64_t began = monotonic();
  deadline_ = began + std::chrono::nanoseconds(options_.budget.time).count();
  epoch_ = began - static_cast<int64_t>(now_);
  left_ = options_.budget.exits;
  exits_at_kick_ = ~0ULL;
  std::optional<End> end;
  while (!end) end = step_loop();
  watchdog_->pause();
  stop_.store(false);
  vcpu_->request_exit(false);
  platform_->finish();
  collect();
  if (end->kind != End::Kind::failed) {
    transcript_.add(now_, Entry::Kind::exit, 0, 0, end->code, end_name(end->kind).data());
  }
  return std::move(*end);
}

// Nearly all exits are those of ports, after which there is nothing to do but to enter again: for
// them this neither returns nor makes a variant. (A return past the one from the kernel is one that
// the processor cannot predict.)
std::optional<End> Machine::step_loop() {
  for (;;) {
    if (options_.irqchip) [[unlikely]] {
      if (auto ok = forward_inputs(); !ok) return failed(std::move(ok.error()));
    } else if (platform_->intr()) [[unlikely]] {
      if (auto ok = offer_interrupt(); !ok) return failed(std::move(ok.error()));
    } else {
      vcpu_->request_irq_window(false);
    }
    const int64_t r = vcpu_->run_raw();
    if (return_hook_) [[unlikely]] {
      return_hook_(*this);
    }
    if (r < 0) [[unlikely]] {
      return no_exit(static_cast<int>(-r));
    }
    if (vcpu_->page().exit_reason != KVM_EXIT_IO || hook_) [[unlikely]] {
      return other_exit();
    }
    const bool in = vcpu_->page().io.direction == KVM_EXIT_IO_IN;
    ++exits_[in ? kIoIn : kIoOut];
    if (left_-- == 0) [[unlikely]] {
      return out_of_exits();
    }
    pass_time();
    const bool silent = in ? port(vcpu_->io_in()) : port(vcpu_->io_out());
    if (!silent) return after_port();
  }
}

// KVM_RUN came back by itself.
std::optional<End> Machine::no_exit(int err) {
  if (err == EINTR || err == EAGAIN) return kicked();
  return failed(Error{Error::Kind::system, "KVM_RUN", err, {}, "the guest cannot run"});
}

std::optional<End> Machine::other_exit() {
  Exit exit = vcpu_->exit();
  ++exits_[exit.index()];
  if (left_-- == 0) return out_of_exits();
  // A stop for the debugger is nothing that the guest did.
  if (!std::holds_alternative<Debug>(exit)) pass_time();
  if (hook_) [[unlikely]] {
    switch (hook_(*this, exit)) {
      case Handled::yes:
        return std::nullopt;
      case Handled::stop:
        return ended(End::Kind::stopped, "stopped at " + describe(exit));
      case Handled::no:
        break;
    }
  }
  return handle(exit);
}

End Machine::out_of_exits() const {
  return ended(End::Kind::out_of_exits,
               fmt::format("no end after {} exits", options_.budget.exits));
}

void Machine::pass_time() {
  if (options_.clock == ClockKind::real) {
    now_ = static_cast<Nanos>(monotonic() - epoch_);
  } else {
    now_ += options_.step;
  }
  if (const auto next = platform_->next_event(); next && *next <= now_) platform_->advance(now_);
}

// INTR is high.
Status Machine::offer_interrupt() {
  if (!vcpu_->ready_for_interrupt()) {
    vcpu_->request_irq_window(true);
    return {};
  }
  const uint8_t vector = platform_->acknowledge(now_);
  transcript_.add(now_, Entry::Kind::interrupt, vector, 0, 0, "");
  vcpu_->request_irq_window(platform_->intr());
  return vcpu_->interrupt(vector);
}

// The devices' lines go to KVM's controllers. The timer's is KVM's own.
Status Machine::forward_inputs() {
  for (const Platform::InputChange& change : platform_->take_inputs()) {
    if (auto ok = vm_.set_irq(change.input, change.level); !ok) return ok;
  }
  return {};
}

std::optional<End> Machine::kicked() {
  ++kicks_;
  const bool timer = watchdog_->take();
  if (stop_.load()) return ended(End::Kind::stopped, "stopped from outside");
  if (!timer && vcpu_->page().immediate_exit != 0) {
    return ended(End::Kind::stopped, "stopped by immediate_exit");
  }
  if (monotonic() >= deadline_) {
    return ended(End::Kind::out_of_time,
                 fmt::format("no end after {} ms", options_.budget.time.count()));
  }
  // A guest that waits for an interrupt without any exit would wait for ever in stepped time. One
  // that is only slow, or whose turn it is not, must not be taken for it: time would depend on the
  // host. So what counts is this thread's time on a CPU since the last exit.
  const uint64_t exits = exit_count();
  const int64_t on_cpu = thread_time();
  if (exits != exits_at_kick_) {
    exits_at_kick_ = exits;
    quiet_since_ = on_cpu;
  } else if (options_.clock == ClockKind::stepped && timer && on_cpu - quiet_since_ >= kQuiet) {
    now_ += static_cast<Nanos>(kick_.count());
  }
  if (options_.clock == ClockKind::real) now_ = static_cast<Nanos>(monotonic() - epoch_);
  if (const auto next = platform_->next_event(); next && *next <= now_) platform_->advance(now_);
  if (idle_) (void)idle_(*this, false);
  // With KVM's own local APIC a HLT is no exit. With interrupts off nothing here can end it.
  if (options_.irqchip && timer && !vcpu_->interrupts_enabled()) {
    const auto state = vcpu_->mp_state();
    if (state && *state == KVM_MP_STATE_HALTED) {
      return ended(End::Kind::halted, "HLT with interrupts off");
    }
  }
  return std::nullopt;
}

Result<Exit> Machine::run_other(Vcpu& other) {
  if (!watchdog_ || !watchdog_->looks()) {
    return usage_error("run another vCPU", {}, "only while the machine itself runs");
  }
  if (auto ok = watchdog_->open_in(other); !ok) return tl::unexpected(ok.error());
  for (;;) {
    auto exit = other.run();
    if (exit) ++other_exits_[exit->index()];
    if (!exit || !std::holds_alternative<Intr>(*exit)) return exit;
    (void)watchdog_->take();
    if (stop_.load() || monotonic() >= deadline_) return exit;
  }
}

bool Machine::port(const IoIn& e) {
  bool silent = a20_;
  for (size_t at = 0; at < e.data.size(); at += e.size) {
    uint32_t value = 0;
    const Platform::Access access = platform_->in(e.port, e.size, value, now_);
    transcript_.add(now_, Entry::Kind::in, e.port, e.size, value, access.device, access.defined);
    put_value(e.data.data() + at, e.size, value);
    silent &= access.silent;
  }
  // Reading can lower a line, take time, and even reset: the same as writing.
  return silent;
}

bool Machine::port(const IoOut& e) {
  bool silent = a20_;
  for (size_t at = 0; at < e.data.size(); at += e.size) {
    const uint32_t value = take_value(e.data.data() + at, e.size);
    const Platform::Access access = platform_->out(e.port, e.size, value, now_);
    transcript_.add(now_, Entry::Kind::out, e.port, e.size, value, access.device, access.defined);
    silent &= access.silent;
  }
  return silent;
}

std::optional<End> Machine::after_port() {
  collect();
  if (const auto code = platform_->exit_code()) {
    End end = ended(End::Kind::exited, fmt::format("exit port: {}", *code));
    end.code = *code;
    return end;
  }
  if (platform_->a20() != a20_ && wrap_) {
    a20_ = platform_->a20();
    auto ok = a20_ ? memory_.show_own(vm_, *wrap_) : memory_.show(vm_, *wrap_, 0, 0);
    if (!ok) return failed(std::move(ok.error()));
  }
  if (platform_->take_reset()) {
    if (auto ok = reset_cpu(); !ok) return failed(std::move(ok.error()));
  }
  return std::nullopt;
}

Status Machine::reset_cpu() {
  transcript_.add(now_, Entry::Kind::exit, 0, 0, 0, "reset");
  // What the exit left unfinished (the guest's OUT) is finished first, so that it does not finish
  // into the new state: KVM API, KVM_EXIT_IO.
  vcpu_->request_exit();
  (void)vcpu_->run_raw();
  vcpu_->request_exit(stop_.load());
  return start_state();
}

std::optional<End> Machine::halt() {
  transcript_.add(now_, Entry::Kind::exit, 0, 0, 0, "hlt");
  if (!vcpu_->interrupts_enabled()) {
    return ended(End::Kind::halted, "HLT with interrupts off");
  }
  for (int events = 0; !platform_->intr(); ++events) {
    if (stop_.load()) return ended(End::Kind::stopped, "stopped from outside");
    if (monotonic() >= deadline_) {
      return ended(End::Kind::out_of_time,
                   fmt::format("no end after {} ms", options_.budget.time.count()));
    }
    const auto next = platform_->next_event();
    if (!next) {
      if (idle_ && idle_(*this, true)) continue;
      return ended(End::Kind::halted, "HLT, and no device will interrupt");
    }
    if (events >= kMostIdleEvents) {
      return ended(End::Kind::halted, "HLT, and no device event brings an interrupt");
    }
    if (options_.clock == ClockKind::real) {
      const int64_t until = std::min<int64_t>(static_cast<int64_t>(*next) + epoch_, deadline_);
      timespec when{};
      when.tv_sec = until / 1'000'000'000;
      when.tv_nsec = until % 1'000'000'000;
      (void)sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, sys::arg(&when), 0);
      now_ = static_cast<Nanos>(monotonic() - epoch_);
    } else {
      now_ = std::max(now_, *next);
    }
    platform_->advance(now_);
  }
  return std::nullopt;
}

std::optional<End> Machine::handle(Exit& exit) {
  const auto* out = std::get_if<IoOut>(&exit);
  const auto* in = std::get_if<IoIn>(&exit);
  if (out != nullptr || in != nullptr) {
    return (in != nullptr ? port(*in) : port(*out)) ? std::nullopt : after_port();
  }
  if (std::holds_alternative<Hlt>(exit)) return halt();
  if (std::holds_alternative<Intr>(exit)) return kicked();
  if (std::holds_alternative<IrqWindowOpen>(exit)) return std::nullopt;
  if (const auto* read = std::get_if<MmioRead>(&exit)) {
    // Nothing is there: the bus floats.
    std::fill(read->data.begin(), read->data.end(), uint8_t{0xff});
    transcript_.add(now_, Entry::Kind::mmio_read, read->address,
                    static_cast<unsigned>(read->data.size()), value_of(read->data), "");
    return std::nullopt;
  }
  if (const auto* write = std::get_if<MmioWrite>(&exit)) {
    transcript_.add(now_, Entry::Kind::mmio_write, write->address,
                    static_cast<unsigned>(write->data.size()), value_of(write->data), "");
    return std::nullopt;
  }
  End::Kind kind = End::Kind::unhandled;
  if (std::holds_alternative<Shutdown>(exit)) kind = End::Kind::shutdown;
  if (std::holds_alternative<FailEntry>(exit)) kind = End::Kind::fail_entry;
  if (std::holds_alternative<InternalError>(exit)) kind = End::Kind::internal_error;
  return ended(kind, describe(exit));
}

void Machine::collect() {
  const auto debug = platform_->take_debug();
  const auto serial = platform_->take_serial();
  if (debug.empty() && serial.empty()) return;
  constexpr size_t kMostText = size_t{4} << 20;
  if (debug_.size() < kMostText) debug_.append(debug.begin(), debug.end());
  if (serial_.size() < kMostText) serial_.append(serial.begin(), serial.end());
  if (output_) output_(debug, serial);
}

uint64_t Machine::exit_count() const {
  return std::accumulate(exits_.begin(), exits_.end(), uint64_t{0});
}

Status Machine::remember() {
  if (!options_.resettable) {
    return usage_error("remember the guest's state", {}, "the machine was not made resettable");
  }
  KeptState::Ways ways;
  const int synced = vm_.check(KVM_CAP_SYNC_REGS).value_or(0);
  ways.through_page = (synced & Vcpu::kSynced) == Vcpu::kSynced;
  ways.apic = options_.irqchip;
  auto cpu = KeptState::of(*vcpu_, ways);
  if (!cpu) return tl::unexpected(cpu.error());
  if (auto ok = memory_.keep(vm_); !ok) return ok;
  kept_ = std::make_unique<Kept>(Kept{std::move(*cpu), platform_->save(), now_, a20_});
  return {};
}

Status Machine::rewind() {
  if (!kept_) return usage_error("rewind guest", {}, "nothing was remembered");
  // A port or MMIO read that is still to be finished would write into the restored registers.
  vcpu_->request_exit();
  (void)vcpu_->run_raw();
  vcpu_->request_exit(false);
  if (a20_ != kept_->a20 && wrap_) {
    a20_ = kept_->a20;
    auto ok = a20_ ? memory_.show_own(vm_, *wrap_) : memory_.show(vm_, *wrap_, 0, 0);
    if (!ok) return ok;
  }
  if (auto pages = memory_.rewind(vm_); !pages) return tl::unexpected(pages.error());
  if (auto ok = platform_->restore(kept_->platform); !ok) return ok;
  now_ = kept_->now;
  debug_.clear();
  serial_.clear();
  transcript_.clear();
  return kept_->cpu.restore(*vcpu_);
}

std::string Machine::report() const { return report_state(*vcpu_, memory_, transcript_); }

}  // namespace ringfence::vmm

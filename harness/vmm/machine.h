#pragma once
// Machine: one guest in one VM with one vCPU, its memory and its platform, run by an event loop
// that always ends: by the guest, or by a budget in exits and in time that a watchdog enforces from
// outside.
//
// Belongs to one thread; stop() alone may be called from elsewhere. Needs /dev/kvm and what
// kvm/kvm.h says. Time is the device's (`Nanos`): stepped (the default, which makes guests that
// poll run the same way each time) or the host's monotonic clock.
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/vmm/cpu_modes.h"
#include "harness/vmm/kvm/vcpu.h"
#include "harness/vmm/memory.h"
#include "harness/vmm/platform.h"
#include "harness/vmm/transcript.h"

namespace ringfence::vmm {

enum class ClockKind : uint8_t { stepped, real };

// Ends a run that the guest does not end.
struct Budget {
  uint64_t exits = 2'000'000;
  std::chrono::milliseconds time{10'000};
};

enum class Form : uint8_t {
  flat,      // at address 0 of RAM
  firmware,  // 64 KiB, read-only at 0xF0000 and 0xFFFF0000, begun at its reset vector
};

struct MachineOptions {
  uint64_t ram = 2ULL << 20;  // bytes, whole pages; from 1.0625 MiB
  Form form = Form::flat;
  StartState start{};  // flat only
  ClockKind clock = ClockKind::stepped;
  Nanos step = 1000;  // stepped: device time for each exit
  Budget budget{};
  bool whole_transcript = false;  // else the last lines alone
  bool resettable = false;        // remember() and rewind() work
  bool irqchip = false;           // KVM's own PIC, IOAPIC, local APIC, PIT
  bool host_cpuid = true;         // what KVM_GET_SUPPORTED_CPUID offers; else none
  // Leaves 0x40000000 and 0x40000010 say the TSC's frequency in kHz, as hypervisors do.
  bool tsc_leaf = false;
  // Called with that list before it is set.
  std::function<void(std::vector<kvm_cpuid_entry2>&)> edit_cpuid;
};

// Why a run ended.
struct End {
  enum class Kind : uint8_t {
    exited,          // by the exit port; `code`
    halted,          // HLT, and nothing can wake it
    shutdown,        // triple fault
    fail_entry,      // the hardware refused the state
    internal_error,  // KVM gave up: an instruction that it cannot do, ...
    unhandled,       // an exit that nobody handles
    out_of_exits,    // the budget
    out_of_time,     // the budget
    stopped,         // by stop(), or by a hook
    failed,          // the harness: `error`
  };
  Kind kind = Kind::failed;
  uint32_t code = 0;
  std::string text;  // one line
  std::optional<Error> error{};
};
std::string_view end_name(End::Kind kind);

class Machine;
// What a hook makes of an exit before the machine does.
enum class Handled : uint8_t { no, yes, stop };
using ExitHook = std::function<Handled(Machine&, Exit&)>;

class Machine {
 public:
  // Bad images (empty, too large for the RAM, not 64 KiB for firmware) are usage errors.
  static Result<std::unique_ptr<Machine>> create(const Kvm& kvm, std::span<const uint8_t> image,
                                                 std::unique_ptr<Platform> platform,
                                                 MachineOptions options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // Runs until it ends. May be called again after `stopped` and after rewind().
  End run();
  // From a hook: for so long the guest stood still for the one who debugs it. No time passed for
  // its devices or its budget.
  void stand_still(std::chrono::nanoseconds time) {
    epoch_ += time.count();
    deadline_ += time.count();
  }
  // Ends run() from another thread or a signal handler.
  void stop() noexcept;

  void on_exit(ExitHook hook) { hook_ = std::move(hook); }
  // Each time that KVM_RUN comes back, before what it came back for is looked at: for what the
  // kernel did meanwhile by itself.
  void on_return(std::function<void(Machine&)> hook) { return_hook_ = std::move(hook); }
  // Called with what the guest wrote to the debug console or serial port, as it comes.
  using Output =
      std::function<void(std::span<const uint8_t> debug, std::span<const uint8_t> serial)>;
  void on_output(Output output) { output_ = std::move(output); }
  // Called when only input from outside can wake a halted guest (`wait`), and now and then; true
  // while there can be some.
  using Idle = std::function<bool(Machine&, bool wait)>;
  void on_idle(Idle idle) { idle_ = std::move(idle); }

  // For a hook: runs another vCPU of this VM in this thread to its next exit. Intr: the budget's
  // time is over, or stop() was called.
  Result<Exit> run_other(Vcpu& other);

  // Keeps registers, memory and devices as they are now; rewind() restores them: registers, the
  // pages that were written since, device state.
  Status remember();
  Status rewind();

  [[nodiscard]] Vm& vm() { return vm_; }
  [[nodiscard]] Vcpu& vcpu() { return *vcpu_; }
  [[nodiscard]] const Vcpu& vcpu() const { return *vcpu_; }
  [[nodiscard]] GuestMemory& memory() { return memory_; }
  [[nodiscard]] Platform& platform() { return *platform_; }
  [[nodiscard]] Transcript& transcript() { return transcript_; }
  [[nodiscard]] const std::string& debug_text() const { return debug_; }
  [[nodiscard]] const std::string& serial_text() const { return serial_; }
  [[nodiscard]] Nanos now() const { return now_; }

  // Exits by the number of their variant, as this loop counted them.
  [[nodiscard]] const std::array<uint64_t, std::variant_size_v<Exit>>& exits() const {
    return exits_;
  }
  [[nodiscard]] uint64_t exit_count() const;
  // The same of other vCPUs, run by run_other().
  [[nodiscard]] const std::array<uint64_t, std::variant_size_v<Exit>>& other_exits() const {
    return other_exits_;
  }
  // Returns of KVM_RUN that were no exit of the guest: signals, immediate exits.
  [[nodiscard]] uint64_t kicks() const { return kicks_; }

  // Registers, the next instructions, the last lines of the transcript.
  [[nodiscard]] std::string report() const;

 private:
  struct Kept;
  Machine(Vm vm, std::unique_ptr<Platform> platform, MachineOptions options);
  Status load(const Kvm& kvm, std::span<const uint8_t> image);
  Status load_flat(std::span<const uint8_t> image);
  Status load_firmware(std::span<const uint8_t> image);
  Status start_state();
  std::optional<End> step_loop();
  std::optional<End> handle(Exit& exit);
  // True when nothing is to be fetched because of it; else after_port() follows.
  bool port(const IoIn& e);
  bool port(const IoOut& e);
  std::optional<End> no_exit(int err);
  std::optional<End> other_exit();
  std::optional<End> after_port();
  std::optional<End> halt();
  std::optional<End> kicked();
  Status offer_interrupt();
  Status forward_inputs();
  Status reset_cpu();
  void pass_time();
  void collect();
  [[nodiscard]] End out_of_exits() const;
  static End ended(End::Kind kind, std::string text);
  static End failed(Error error);

  GuestMemory memory_;  // goes last: the VM uses it
  Vm vm_;
  std::optional<Vcpu> vcpu_;
  std::unique_ptr<Platform> platform_;
  MachineOptions options_;
  Transcript transcript_;
  ExitHook hook_;
  std::function<void(Machine&)> return_hook_;
  Output output_;
  Idle idle_;
  std::unique_ptr<Kept> kept_;
  std::string debug_;
  std::string serial_;
  std::array<uint64_t, std::variant_size_v<Exit>> exits_{}, other_exits_{};
  Nanos now_ = 0;
  std::chrono::nanoseconds kick_{};
  int64_t epoch_ = 0;     // host's monotonic ns at device time 0 (real clock)
  int64_t deadline_ = 0;  // host's monotonic ns at which the budget ends
  uint64_t kicks_ = 0;
  uint64_t left_ = 0;           // exits of the budget
  int64_t quiet_since_ = 0;     // this thread's CPU time at the last kick with exits before it
  uint64_t exits_at_kick_ = 0;  // stepped: whether the guest did anything since the last one
  std::optional<size_t> wrap_;  // the region that A20 moves
  bool a20_ = true;
  std::atomic<bool> stop_{false};
  std::unique_ptr<class Watchdog> watchdog_;  // kept from run to run
};

}  // namespace ringfence::vmm

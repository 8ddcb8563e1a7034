#pragma once
// A machine that runs one job: boots a kernel with an initramfs under QEMU, hands the job to the
// agent inside, passes on what comes back, and says how it ended. A kernel that panics, hangs, does
// not boot or loses the channel is a result and no error.
//
// The machine dies with the thread that runs it. Needs qemu-system-x86_64 (7.2).
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "harness/base/result.h"
#include "harness/kernels/job.h"

namespace ringfence {

enum class Vmm : uint8_t { automatic, qemu_kvm, qemu_tcg };
std::optional<Vmm> vmm_by_name(std::string_view name);  // auto, qemu-kvm, qemu-tcg

struct VmmChoice {
  Vmm vmm = Vmm::qemu_tcg;
  std::string program;  // of QEMU
  std::string reason;   // "qemu-tcg: /dev/kvm: ENOENT"
};
// By trying: KVM when it carries a kernel here (accelerator.h). Errors: unsupported, when there is
// no QEMU or the one that was asked for does not carry one.
Result<VmmChoice> choose_vmm(Vmm wanted);

struct MachineOptions {
  VmmChoice vmm;
  std::string image, initramfs;
  std::string command_line;  // of the kernel, in addition to its own
  int memory_mib = 1024;
  int cpus = 2;
  std::chrono::milliseconds boot_timeout{60000};
  // So long a soft lockup before the agent's first word, by the kernel's own count, is a boot that
  // does not come, where QEMU had half of it in processor time.
  std::chrono::milliseconds stuck_after{40000};
  // So long without a beat of some CPU is a hang.
  std::chrono::milliseconds hang_after{8000};
  // So long without a result is one, too; 0: no limit.
  std::chrono::milliseconds progress_timeout{0};
  const std::atomic<bool>* interrupted = nullptr;
};

struct MachineSinks {
  std::function<void(const Hello&)> hello;
  std::function<void(std::string_view)> out, err, result;
  std::function<void(std::string_view)> console;  // the kernel's console
  std::function<void()> waiting;                  // some times a second
  // One line on how the machine came to be that is not as it was asked for.
  std::function<void(const std::string&)> note;
};

struct MachineEnd {
  // Empty: the job ended and `done` says how. Else kernel_panic, kernel_hang, boot_failed,
  // channel_lost, vmm_failed, interrupted.
  std::string failure;
  std::string detail;      // the same for people
  std::string last_words;  // of the kernel's console, where it failed
  Done done;
  std::chrono::milliseconds booted_after{0};  // until the agent's hello; 0: it never came
};

// A boot that stands still where TCG gives each CPU a thread is tried once more with one thread for
// all of them, and noted: a vCPU may have lost its timer to a race of the emulator (seen in QEMU
// 7.2, one boot in some hundred). What stands still then as well is `boot_failed`.
MachineEnd run_machine(const MachineOptions& options, const Job& job, const MachineSinks& sinks);

// The same job as a process of this host, without a machine.
MachineEnd run_here(const Job& job, const MachineSinks& sinks,
                    const std::atomic<bool>* interrupted);

// The end of a console that tells most: from the first line of a panic or an oops on, otherwise the
// last lines; at most `limit` bytes.
std::string last_words(std::string_view console, size_t limit = 2000);
bool tells_of_panic(std::string_view console);
// The longest soft lockup of which it tells; nothing without one.
struct Lockup {
  int cpu = 0;
  std::chrono::seconds stuck{0};
};
std::optional<Lockup> lockup_of(std::string_view console);

}  // namespace ringfence

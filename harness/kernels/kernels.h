#pragma once
// The same cases under several kernels: one machine after another (or several at a time), records
// as they come, and what a kernel did to itself as records, too.
//
// A machine that ends before its job (kernel_panic, kernel_hang, channel_lost) leaves cases without
// a record. Those that were running are suspects: each is run again alone in a fresh machine. One
// that ends its machine again, or that was alone in the first place, is `broken` for that reason;
// every such end is a finding with the kernel's last words. The remaining cases go on in a fresh
// machine. A kernel that never gets as far as the agent makes all of its cases `broken`
// (boot_failed).
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/result.h"
#include "harness/kernels/kernel_source.h"
#include "harness/kernels/machine.h"
#include "harness/runner/runner.h"

namespace ringfence {

// One kernel in one setting.
struct KernelTarget {
  KernelSource source;
  std::string initramfs;                      // not of the running kernel
  std::map<std::string, std::string> axes{};  // what tells it from the others: "cmdline" -> "..."
  std::string command_line;                   // further words for the kernel
  std::map<std::string, std::string> sysctls{};
  int cpus = 0, memory_mib = 0;              // 0: as for all
  std::vector<std::string> run_arguments{};  // in addition to those for all
  ExitRules rules{};                         // by which its result is concluded
  [[nodiscard]] std::string label() const;   // "6.12.9-amd64 cmdline=lockdown=integrity"
};

struct KernelsOptions {
  std::vector<const Case*> cases;          // in the order in which they run
  std::vector<std::string> run_arguments;  // for `ringfence run` inside, without cases and reports
  std::string program;                     // for the running kernel: this ringfence
  MachineOptions machine;                  // image and initramfs are the target's
  std::chrono::milliseconds case_timeout{10000};
  int jobs = 0;      // inside a machine; 0: one per CPU of it
  int machines = 1;  // at a time
  // The console of each machine, whole; `target` counts from 0.
  std::function<void(size_t target, std::string_view)> console;
};

// A result for each target, in their order, concluded by its rules. The observer is called
// under a lock. Nothing fails here: what goes wrong with a target is in its records.
std::vector<RunResult> run_on_kernels(const std::vector<KernelTarget>& targets,
                                      const KernelsOptions& options, Observer& observer);

}  // namespace ringfence

#pragma once
// What `kernels run`, `kernels exec` and `run --disposable` have in common: the options that say
// which kernel is booted in what machine, and the way from them to the library.
#include <atomic>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/kernels/kernels.h"

namespace CLI {
class App;
}

namespace ringfence::cli {

struct MachineArguments {
  std::vector<std::string> kernels, sysctls, with, modules;
  std::string vmm = "auto", command_line, console;
  int memory_mib = 1024, cpus = 2;
  double hang_after = 8, boot_timeout = 60;
};
// --kernel is the command's own: here it is required, there it has a default.
void add_kernel_option(CLI::App& command, MachineArguments& args, const char* help);
void add_machine_options(CLI::App& command, MachineArguments& args);

std::chrono::milliseconds seconds(double value);
// "name=value", the name up to the first '='; `option` is for the error.
Result<std::pair<std::string, std::string>> parse_pair(const char* option, const std::string& text);

// Finds the kernels and packs a machine for each. With a `policy`, a file goes into the machine,
// and `ringfence run` there gets it. Usage errors for what cannot be.
Result<std::vector<KernelTarget>> find_targets(const MachineArguments& args,
                                               const std::string& policy);
// The settings of --sysctl, where no axis says it more exactly.
Status add_sysctls(const MachineArguments& args, std::vector<KernelTarget>& targets);
Result<MachineOptions> machine_of(const MachineArguments& args,
                                  const std::vector<KernelTarget>& targets,
                                  const std::atomic<bool>& interrupted);
// This program, by its path.
std::string this_program();

// A file for each machine's console, below the directory of --console.
class Consoles {
 public:
  static Result<Consoles> open(const std::string& directory,
                               const std::vector<KernelTarget>& targets);
  void write(size_t target, std::string_view bytes) const;

 private:
  std::vector<UniqueFd> files_;
};

}  // namespace ringfence::cli

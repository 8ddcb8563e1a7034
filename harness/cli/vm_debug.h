#pragma once
// What a person looks at a running guest with, for `ringfence vm run`: gdb, breakpoints and steps
// that are printed, registers on SIGQUIT and at the end.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/unique_fd.h"
#include "harness/vmm/debug.h"
#include "harness/vmm/gdb_server.h"
#include "harness/vmm/machine.h"

namespace ringfence::cli {

struct VmDebugOptions {
  std::string gdb;                  // where to listen; empty: not
  std::vector<std::string> breaks;  // linear addresses, hexadecimal
  uint64_t step = 0;                // instructions to print
  bool registers = false;           // at the end
  [[nodiscard]] bool any() const { return !gdb.empty() || !breaks.empty() || step != 0; }
};

// Usage errors for what cannot be, before anything is done.
Status check_debug_options(const VmDebugOptions& options);

class VmDebugger {
 public:
  // Waits for gdb, where it is asked for. The machine has to outlive it.
  static Result<std::unique_ptr<VmDebugger>> start(const vmm::Kvm& kvm, vmm::Machine& machine,
                                                   const VmDebugOptions& options,
                                                   std::chrono::milliseconds patience);
  VmDebugger(const VmDebugger&) = delete;
  VmDebugger& operator=(const VmDebugger&) = delete;
  ~VmDebugger();

  vmm::Handled exit(vmm::Machine& machine, vmm::Exit& exit);
  // To be called now and then, and when one of fds() is readable.
  void look(vmm::Machine& machine);
  [[nodiscard]] std::vector<int> fds() const;
  // gdb is there, so that a guest that sleeps for ever may be woken.
  [[nodiscard]] bool attached() const { return gdb_ && gdb_->connected(); }
  [[nodiscard]] bool killed() const { return gdb_ && gdb_->killed(); }
  // What failed meanwhile, once.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  void ended(vmm::Machine& machine, const vmm::End& end);

 private:
  explicit VmDebugger(const VmDebugOptions& options) : options_(options) {}
  Status watch_quit();
  Status arm_breaks(vmm::Machine& machine);
  void keep(const Status& status);
  void print_instruction(vmm::Machine& machine) const;
  vmm::Handled resume(vmm::Machine& machine);

  VmDebugOptions options_;
  std::unique_ptr<vmm::GdbServer> gdb_;
  std::unique_ptr<vmm::Breakpoints> breaks_;
  uint64_t to_print_ = 0;  // instructions still
  UniqueFd quit_;          // a signalfd for SIGQUIT
  std::optional<uint64_t> mask_before_;
  std::optional<Error> error_;
};

}  // namespace ringfence::cli

#include "harness/cli/vm_debug.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include <csignal>

#include "harness/base/sys.h"
#include "harness/vmm/gdb_packet.h"
#include "harness/vmm/report.h"

namespace ringfence::cli {
namespace {

constexpr size_t kSetSize = 8;  // the kernel's sigset_t

std::optional<uint64_t> address_of(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  return vmm::gdb_number(text);
}

}  // namespace

Status check_debug_options(const VmDebugOptions& options) {
  if (!options.gdb.empty()) {
    if (auto place = vmm::parse_gdb_place(options.gdb); !place) {
      return tl::unexpected(place.error());
    }
    if (!options.breaks.empty() || options.step != 0) {
      return usage_error("vm run", "--gdb",
                         "not together with --break and --step: gdb has its own");
    }
  }
  for (const std::string& text : options.breaks) {
    if (!address_of(text)) {
      return usage_error("vm run", "--break " + text, "a linear address in hexadecimal");
    }
  }
  return {};
}

Result<std::unique_ptr<VmDebugger>> VmDebugger::start(const vmm::Kvm& kvm, vmm::Machine& machine,
                                                      const VmDebugOptions& options,
                                                      std::chrono::milliseconds patience) {
  std::unique_ptr<VmDebugger> debugger(new VmDebugger(options));
  if (options.any()) {
    const auto facilities = vmm::probe_debug(kvm);
    if (!facilities) return tl::unexpected(facilities.error());
    if (!options.gdb.empty()) {
      auto place = vmm::parse_gdb_place(options.gdb);
      if (!place) return tl::unexpected(place.error());
      auto gdb = vmm::GdbServer::listen(*place, *facilities, patience);
      if (!gdb) return tl::unexpected(gdb.error());
      debugger->gdb_ = std::move(*gdb);
      if (const std::string limits = vmm::debug_limits(*facilities); !limits.empty()) {
        fmt::print(stderr, "ringfence: {}\n", limits);
      }
      fmt::print(stderr, "ringfence: for gdb: target remote {}\n", debugger->gdb_->address());
      if (auto ok = debugger->gdb_->wait(machine); !ok) return tl::unexpected(ok.error());
    } else {
      if (!facilities->step) {
        return unsupported_error("debug guest", "KVM_SET_GUEST_DEBUG", 0,
                                 vmm::debug_limits(*facilities));
      }
      debugger->breaks_ = std::make_unique<vmm::Breakpoints>(machine, *facilities);
      if (auto ok = debugger->arm_breaks(machine); !ok) return tl::unexpected(ok.error());
    }
  }
  if (auto ok = debugger->watch_quit(); !ok) return tl::unexpected(ok.error());
  return debugger;
}

VmDebugger::~VmDebugger() {
  if (mask_before_) {
    (void)sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&*mask_before_), 0, kSetSize);
  }
}

Status VmDebugger::watch_quit() {
  const uint64_t set = 1ULL << (SIGQUIT - 1);
  uint64_t before = 0;
  int64_t r = sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&set), sys::arg(&before), kSetSize);
  if (r < 0) return system_error("rt_sigprocmask", "SIGQUIT", static_cast<int>(-r));
  mask_before_ = before;
  r = sys::call(SYS_signalfd4, ~0ULL, sys::arg(&set), kSetSize, SFD_CLOEXEC | SFD_NONBLOCK);
  if (r < 0) return system_error("signalfd", "SIGQUIT", static_cast<int>(-r));
  quit_ = UniqueFd(static_cast<int>(r));
  return {};
}

Status VmDebugger::arm_breaks(vmm::Machine& machine) {
  for (const std::string& text : options_.breaks) {
    const uint64_t address = *address_of(text);
    if (auto ok = breaks_->insert(vmm::Breakpoints::Kind::software, address); !ok) return ok;
  }
  if (!options_.breaks.empty()) return breaks_->arm(false);
  to_print_ = options_.step;
  print_instruction(machine);
  --to_print_;
  return breaks_->arm(to_print_ != 0);
}

void VmDebugger::keep(const Status& status) {
  if (!status && !error_) error_ = status.error();
}

void VmDebugger::print_instruction(vmm::Machine& machine) const {
  fmt::print(stderr, "{}", vmm::render_code(machine.vcpu(), machine.memory(), 1));
}

// On from where the guest stopped. The instruction itself goes by without breakpoints, or it would
// stop there again.
vmm::Handled VmDebugger::resume(vmm::Machine& machine) {
  if (to_print_ != 0) {
    print_instruction(machine);
    --to_print_;
  }
  const auto ok = breaks_->arm(true, false);
  keep(ok);
  return ok ? vmm::Handled::yes : vmm::Handled::stop;
}

vmm::Handled VmDebugger::exit(vmm::Machine& machine, vmm::Exit& exit) {
  if (gdb_) return gdb_->exit(machine, exit);
  const auto* debug = std::get_if<vmm::Debug>(&exit);
  if (debug == nullptr || !breaks_) return vmm::Handled::no;
  const auto why = breaks_->explain(*debug);
  Status ok;
  switch (why.hit) {
    case vmm::Breakpoints::Hit::guest:
      ok = breaks_->pass_on(*debug);
      break;
    case vmm::Breakpoints::Hit::breakpoint:
      fmt::print(stderr, "break {:#x}\n{}", debug->pc, machine.report());
      to_print_ = options_.step;
      return resume(machine);
    case vmm::Breakpoints::Hit::nowhere:
      break;
    case vmm::Breakpoints::Hit::step:
      if (to_print_ != 0) return resume(machine);
      ok = breaks_->arm(false);
      break;
  }
  keep(ok);
  return ok ? vmm::Handled::yes : vmm::Handled::stop;
}

std::vector<int> VmDebugger::fds() const {
  std::vector<int> list{quit_.get()};
  if (gdb_) list.push_back(gdb_->fd());
  return list;
}

void VmDebugger::look(vmm::Machine& machine) {
  signalfd_siginfo info{};
  if (sys::call(SYS_read, static_cast<uint64_t>(quit_.get()), sys::arg(&info), sizeof info) > 0) {
    fmt::print(stderr, "{}", machine.report());
  }
  if (gdb_) keep(gdb_->look(machine));
}

void VmDebugger::ended(vmm::Machine& machine, const vmm::End& end) {
  if (gdb_) gdb_->ended(machine, end);
  if (options_.registers) fmt::print(stderr, "{}", machine.report());
}

}  // namespace ringfence::cli

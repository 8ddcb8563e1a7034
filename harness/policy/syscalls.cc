// Syscall numbers of x86-64. libseccomp knows those up to its release; the rest is here, from
// Linux 6.19 arch/x86/entry/syscalls/syscall_64.tbl.
#include "harness/policy/syscalls.h"

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "harness/policy/read.h"

namespace ringfence {
namespace {

struct NewSyscall {
  int nr;
  std::string_view name;
};
constexpr std::array kNewSyscalls = {
    NewSyscall{335, "uretprobe"},          // 6.11
    NewSyscall{336, "uprobe"},             // 6.18
    NewSyscall{451, "cachestat"},          // 6.5
    NewSyscall{452, "fchmodat2"},          // 6.6
    NewSyscall{453, "map_shadow_stack"},   // 6.6
    NewSyscall{454, "futex_wake"},         // 6.7
    NewSyscall{455, "futex_wait"},         // 6.7
    NewSyscall{456, "futex_requeue"},      // 6.7
    NewSyscall{457, "statmount"},          // 6.8
    NewSyscall{458, "listmount"},          // 6.8
    NewSyscall{459, "lsm_get_self_attr"},  // 6.8
    NewSyscall{460, "lsm_set_self_attr"},  // 6.8
    NewSyscall{461, "lsm_list_modules"},   // 6.8
    NewSyscall{462, "mseal"},              // 6.10
    NewSyscall{463, "setxattrat"},         // 6.13
    NewSyscall{464, "getxattrat"},         // 6.13
    NewSyscall{465, "listxattrat"},        // 6.13
    NewSyscall{466, "removexattrat"},      // 6.13
    NewSyscall{467, "open_tree_attr"},     // 6.15
    NewSyscall{468, "file_getattr"},       // 6.17
    NewSyscall{469, "file_setattr"},       // 6.17
    NewSyscall{470, "listns"},             // 6.19
};

const NewSyscall* new_syscall(std::string_view name) {
  const auto* it = std::find_if(kNewSyscalls.begin(), kNewSyscalls.end(),
                                [&](const NewSyscall& s) { return s.name == name; });
  return it == kNewSyscalls.end() ? nullptr : it;
}

int by_libseccomp(std::string_view name) {
  return seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, std::string(name).c_str());
}

}  // namespace

int syscall_number(std::string_view name) {
  // Names of other architectures have negative pseudo numbers in libseccomp.
  if (const int nr = by_libseccomp(name); nr >= 0) return nr;
  const auto* known = new_syscall(name);
  return known != nullptr ? known->nr : -1;
}

std::string syscall_name(long nr) {
  if (nr < 0 || nr > INT32_MAX) return {};
  if (char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(nr))) {
    std::string text = name;
    std::free(name);
    return text;
  }
  const auto* it = std::find_if(kNewSyscalls.begin(), kNewSyscalls.end(),
                                [&](const NewSyscall& s) { return s.nr == nr; });
  return it == kNewSyscalls.end() ? std::string() : std::string(it->name);
}

bool known_syscall(std::string_view name) {
  return by_libseccomp(name) != __NR_SCMP_ERROR || new_syscall(name) != nullptr;
}

bool well_formed_syscall_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  // Some begin with an underscore: _llseek, _newselect, _sysctl.
  if (name.empty() || name.size() > 64 || digit(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || digit(c) || c == '_'; }) &&
         std::any_of(name.begin(), name.end(), letter);
}

}  // namespace ringfence

#pragma once
// Syscalls as text: how many arguments each has and of which kind, and constants by name. A table
// of data (syscall_shapes.cc); registers beyond a syscall's own arguments are never shown.
//
// Sources: the man pages of section 2, and SYSCALL_DEFINEn in Linux 6.14. x86-64, and of the 32-bit
// table those few that attempts make.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ringfence {

// Arguments as kinds, a letter each; the letters are explained in syscall_shapes.cc.
struct SyscallShape {
  uint32_t nr = 0;
  std::string_view kinds{};
};

// The shapes of the 64-bit table, by number.
std::span<const SyscallShape> syscall_shapes();
// Of this very call: prctl(2), fcntl(2) and the like take as many arguments as their command says.
// Nothing for a syscall that the table does not have.
std::optional<std::string_view> shape_of(uint32_t nr, bool compat,
                                         const std::array<uint64_t, 6>& args);

// "AT_FDCWD, \"/etc/shadow\", O_RDONLY|O_CLOEXEC"; "..." for a syscall that the table does not
// have. `path` is the string that the witness read, and stands in the place of its pointer.
std::string arguments_text(uint32_t nr, bool compat, const std::array<uint64_t, 6>& args,
                           std::optional<std::string_view> path);
// The value that it returned: "0", "ESRCH", "0x7f12a4c3e000".
std::string result_text(uint32_t nr, bool compat, int64_t ret);

// In double quotes; what is not printable ASCII as \n, \t or \xNN.
std::string quoted(std::string_view text);

}  // namespace ringfence

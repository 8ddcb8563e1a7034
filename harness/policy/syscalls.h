#pragma once
// Syscall names beyond read.h: what a reader may take as known.
#include <string_view>

namespace ringfence {

// Known to libseccomp (on any architecture) or to our table of newer x86-64 syscalls.
bool known_syscall(std::string_view name);

}  // namespace ringfence

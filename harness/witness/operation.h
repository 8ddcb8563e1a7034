#pragma once
// A syscall as a person writes it: name, path, and the arguments that say what was asked for.
// Pointers and lengths are left out, since they say nothing; so is what the table does not know,
// since an argument register that a syscall does not use holds anything.
//
// Sources: syscalls(2) and the page of each call.
#include <string>

#include "harness/witness/facts.h"

namespace ringfence {

// `openat("/etc/shadow", O_RDONLY)`, `kill(7, SIGKILL)`, `unshare(CLONE_NEWUSER)`, `bpf()`.
// `path` is the string that the call was given, empty when it is not known; it may hold any bytes.
std::string operation_text(const CallRecord& call, const std::string& path);

}  // namespace ringfence

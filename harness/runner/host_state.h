#pragma once
// Small questions about the decoy host's own state, which canaries ask before and after a trial.
#include <cstdint>
#include <string>

#include "harness/base/result.h"
#include "harness/base/sys.h"

namespace ringfence {

// A syscall through the seam, its failure as an Error.
template <typename... Args>
Result<int64_t> made(const char* what, const std::string& object, long nr, Args... args) {
  const int64_t result = sys::call(nr, static_cast<uint64_t>(args)...);
  if (result < 0) return system_error(what, object, static_cast<int>(-result));
  return result;
}

// A socket that neither blocks nor survives an exec.
Result<UniqueFd> make_socket(int domain, int type);
// One byte to the other end of a socket, with a descriptor unless it is -1. Never waits; whether it
// arrived is the other end's concern.
void send_byte(int socket, char byte, int fd = -1);
// Mounts at exactly this path, mountinfo of this process; -1 when it cannot be read.
int count_mounts(const std::string& path);
// The MTU of lo, -1 when unknown.
int lo_mtu();
// uname(2): nodename, or domainname; empty when unknown.
std::string uname_field(bool domain);

}  // namespace ringfence

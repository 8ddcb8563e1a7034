// libFuzzer: any bytes are a seccomp profile or one usage error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "harness/policy/read.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = parse_seccomp_profile(text, "fuzz.json", CapSet::of({"SYS_ADMIN", "KILL"}),
                                          {"SCMP_ARCH_X86_64", 6, 1});
  if (!read && (read.error().kind != Error::Kind::usage || read.error().object.empty())) {
    std::abort();
  }
  return 0;
}

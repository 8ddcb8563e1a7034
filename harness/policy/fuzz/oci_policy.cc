// libFuzzer: any bytes are a policy or one usage error, and a policy survives being written.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "harness/policy/read.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = parse_oci_policy(text, "fuzz.json");
  if (!read) {
    if (read.error().kind != Error::Kind::usage || read.error().object.empty()) std::abort();
    return 0;
  }
  Policy policy = read->policy;
  const auto again = parse_oci_policy(write_oci_policy(policy), policy.name);
  if (!again) std::abort();
  // A written policy has no fields that are unenforced, but for those of mounts and seccomp, whose
  // words it keeps.
  Policy second = again->policy;
  policy.unenforced.clear();
  second.unenforced.clear();
  if (second != policy) std::abort();
  return 0;
}

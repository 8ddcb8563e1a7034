#pragma once
// The capabilities of KVM that the harness knows: name, number, what it is for. What a machine has
// is asked by KVM_CHECK_EXTENSION (KVM API 4.4), never derived from a version.
#include <span>
#include <string_view>

namespace ringfence::vmm {

struct Capability {
  std::string_view name;  // "KVM_CAP_USER_MEMORY"
  int number;
  std::string_view purpose;
  bool required;  // without it no guest runs
};

std::span<const Capability> capabilities();
// Null for a number that is not in the table.
const Capability* capability(int number);

}  // namespace ringfence::vmm

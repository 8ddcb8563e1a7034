#pragma once
// The bytes of suites/data/devices.json, in the program (CMakeLists.txt).
#include <span>

namespace ringfence::suites {

std::span<const char> devices_json();

}  // namespace ringfence::suites

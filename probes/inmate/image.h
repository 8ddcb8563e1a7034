#pragma once
// The inmate's program, as bytes: an ELF image (x86-64, static, not position independent) to be put
// into a memfd and entered by execveat(2). Built by ringfence_add_inmate() of this directory's
// CMakeLists.txt; link ringfence::inmate_image.
#include <span>

namespace ringfence {

std::span<const unsigned char> inmate_image();

}  // namespace ringfence

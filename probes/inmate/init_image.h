#pragma once
// The program of probes/inmate/init.c, as bytes; like inmate_image(). Link ringfence::init_image.
#include <span>

namespace ringfence {

std::span<const unsigned char> init_image();

}  // namespace ringfence

#pragma once
// The lying inmates, as bytes (see image.h). Each speaks the protocol of abi.h and lies in it; each
// takes any attempt's name. Link ringfence::liar_denies_image and so on; only with RINGFENCE_TESTS.
#include <span>

namespace ringfence {

// Makes each attempt truly, and says that every call was refused with EPERM; never sends what it
// read.
std::span<const unsigned char> liar_denies_image();
// Attempts nothing, and says that it was refused.
std::span<const unsigned char> liar_idle_image();
// Attempts nothing, says that it got through, and sends bytes that it invented.
std::span<const unsigned char> liar_boasts_image();
// Attempts nothing, and calculates the secret of ipc.mqueue's control from the canary's name.
std::span<const unsigned char> liar_guesses_image();
// Honest in the control and in the benign twin; where it lacks CAP_WAKE_ALARM it makes each attempt
// truly, keeps silent about it, puts on by itself what a policy would have put on it, and has
// somebody else inspected.
std::span<const unsigned char> liar_hides_image();
// Honest in the control and in the benign twin; where it lacks CAP_WAKE_ALARM it attempts nothing,
// and says that it was refused.
std::span<const unsigned char> liar_shirks_image();
// Says what happened, and one remark more by another call than answers are given by.
std::span<const unsigned char> liar_whispers_image();

}  // namespace ringfence

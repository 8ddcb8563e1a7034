#pragma once
// What can be wrong with a keyboard controller, its keyboard and its mouse.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::kbc {

enum Reg : unsigned { kStatus, kCommandByte, kOutputPort, kDataOut };

enum Behaviour : unsigned {
  kObfKept,
  kA2Inverted,
  kAaWrong,
  kAaNoSys,
  kAbWrong,
  kA9Wrong,
  kAdIgnored,
  kAeIgnored,
  kA7Ignored,
  kA8Ignored,
  k20Ignored,
  kD0Ignored,
  kD1A20Ignored,
  kD1ResetIgnored,
  kD2Ignored,
  kD2AsAux,
  kD3Ignored,
  kD3AsKeyboard,
  kD4Ignored,
  kD4ToKeyboard,
  kFeIgnored,
  kFfResets,
  kIrq1Dropped,
  kIrq1EnableIgnored,
  kIrq12Dropped,
  kIrq12EnableIgnored,
  kIrqKept,
  kTranslateIgnored,
  kTranslateBreak,
  kAckDropped,
  kEchoAcked,
  kIdReversed,
  kResetNoBat,
  kResendWrong,
  kScanningStays,
  kScanSetIgnored,
  kOrderReversed,
  kBufferOffByOne,
  kDisabledSends,
  kAuxDisabledSends,
  kUnknownAcked,
  kMouseIdWrong,
  kWriteKeepsDisabled,
  kRamIgnored,
};

const FaultTable& table();

}  // namespace ringfence::vmm::kbc

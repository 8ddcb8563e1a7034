#pragma once
// What can be wrong with a UART: registers and behaviours of the PC16550D data sheet.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::uart {

enum Reg : unsigned { kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScr, kDll, kDlm, kRbr, kThr, kFcr };

enum Behaviour : unsigned {
  kDrKept,
  kOeKept,
  kPeKept,
  kFeKept,
  kBiKept,
  kTemtEarly,
  kThreLate,
  kPriorityReversed,
  kLineStatusLast,
  kThreOverData,
  kModemOverThre,
  kDataOrThre,
  kIirThreKept,
  kIirClearsUnseen,
  kTimeoutDropped,
  kTimeoutAsData,
  kTimeoutEarly,
  kTimeoutReadNoRestart,
  kTimeoutReceiveNoRestart,
  kFcrKeepsData,
  kFcrWithoutEnable,
  kTriggerOffByOne,
  kTriggerReversed,
  kDepthOffByOne,
  kLcrTouchesFifo,
  kDlabReadIgnored,
  kDlabWriteIgnored,
  kIerNotAtOnce,
  kOut2Ignored,
  kOut2Inverted,
  kLoopDataDropped,
  kLoopLeaks,
  kLoopInputConnected,
  kLoopRtsDtrCrossed,
  kLoopOutCrossed,
  kLoopIgnored,
  kDctsKept,
  kDdsrKept,
  kTeriKept,
  kDdcdKept,
  kTeriBothEdges,
  kDeltaDropped,
  kOverrunOverwritesFifo,
  kOverrunKeepsOld,
  kCharacterBitsOffByOne,
  kDivisorOffByOne,
  kReceiveOrderReversed,
  kErrorNotWithCharacter,
  kWordLengthIgnored,
};

const FaultTable& table();

}  // namespace ringfence::vmm::uart

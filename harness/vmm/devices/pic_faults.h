#pragma once
// What can be wrong with a pair of 8259A: registers and behaviours of its data sheet. A fault is in
// both controllers.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::pic {

enum Reg : unsigned { kImr, kIrr, kIsr, kElcr };

enum Behaviour : unsigned {
  kIcw1IsrKept,
  kIcw1SmmKept,
  kIcw1PriorityKept,
  kIcw1EdgeKept,
  kIcw1SelectKept,
  kIcw1IgnoredInSequence,
  kVectorOffByOne,
  kIcw2LowBitsKept,
  kIcw3Ignored,
  kSlaveIdIgnored,
  kIcw4AlwaysExpected,
  kIcw4NeverExpected,
  kIcw4Kept,
  kAeoiIgnored,
  kSfnmIgnored,
  kSfnmAlways,
  kModeIgnored,
  kSingleIgnored,
  kPriorityReversed,
  kCascadeLast,
  kRotateNonSpecificIgnored,
  kRotateSpecificIgnored,
  kRotateAeoiIgnored,
  kSetPriorityIgnored,
  kRotateOffByOne,
  kEoiNonSpecificIgnored,
  kEoiNonSpecificLowest,
  kEoiSpecificIgnored,
  kEoiSpecificOffByOne,
  kEoiSpecificAsNonSpecific,
  kNestingNone,
  kNestingSameLevel,
  kSmmIgnored,
  kSmmNeverReset,
  kSmmEoiClearsMasked,
  kPollIgnored,
  kPollNoIsr,
  kPollOffByOne,
  kPollSticky,
  kSelectIgnored,
  kSelectReversed,
  kIrrKeptOnAck,
  kIrrKeptWhenLow,
  kIrrHidesMasked,
  kEdgeAsLevel,
  kElcrIgnored,
  kLtimIgnored,
  kSpuriousSetsIsr,
  kSpuriousWrongVector,
  kSpuriousLost,
  kSpurious15MasterClear,
  kImrIgnored,
  kImrClearsIrr,
  kAckNoIsr,
};

const FaultTable& table();

}  // namespace ringfence::vmm::pic

#pragma once
// What can be wrong with an 8254 and port 0x61: registers and behaviours of the data sheet.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::pit {

enum Reg : unsigned { kControl, kStatus, kLow, kHigh, kPort61 };

enum Behaviour : unsigned {
  kCountIgnored,
  kCountOffByOne,
  kReadOffByOne,
  kZeroIsOne,
  kZeroBcdOffByOne,
  kBcdIgnored,
  kWrapStops,
  kMode0OutHigh,
  kMode0FirstByteCounts,
  kMode0RewriteNoLow,
  kMode0NoLoadTick,
  kMode1NoRetrigger,
  kMode1AtWrite,
  kMode1GateFreezes,
  kMode2NoPulse,
  kMode2LongPulse,
  kMode2OneShot,
  kMode2NewCountAtOnce,
  kMode3OddReversed,
  kMode3OddAsEven,
  kMode3ByOne,
  kMode3AsMode2,
  kMode4NoStrobe,
  kMode4Stays,
  kMode4Repeats,
  kMode5AtWrite,
  kMode5GateFreezes,
  kAlias6,
  kAlias7,
  kRwReversed,
  kRwOneByteSwapped,
  kRwOtherByteKept,
  kLatchIgnored,
  kLatchSecondTaken,
  kLatchSticky,
  kReadBackIgnored,
  kReadBackCountFirst,
  kReadBackStatusIgnored,
  kReadBackCountIgnored,
  kReadBackSecondStatus,
  kReadBackSelectIgnored,
  kNullClearedAtWrite,
  kNullSetByFirstByte,
  kGateNoFreeze,
  kGateLowOutKept,
  kGateEdgeIgnored,
  kPort61GateIgnored,
  kPort61OtherOutput,
  kIrq0Dropped,
  kIrq0Inverted,
  kClockFast,
};

const FaultTable& table();

}  // namespace ringfence::vmm::pit

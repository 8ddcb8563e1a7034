#pragma once
// What can be wrong with the small devices.
#include "harness/vmm/devices/fault.h"

namespace ringfence::vmm::platform {

enum Reg : unsigned { kByte0, kByte1, kByte2, kByte3 };

enum Behaviour : unsigned {
  // PM timer
  kStopped,
  kOffByOne,
  kSlow,
  kNoWrap,
  kRestartsOnRead,
  kNarrowReads,
  // port 0x80 and 0xE9
  kReadsZero,
  kDropped,
  kDoubled,
  kEchoes,
  // port 0x92 and 0xCF9
  kA20Ignored,
  kA20Inverted,
  kResetIgnored,
  kResetByLevel,
  kResetOnFall,
  kAlwaysHard,
  kNeverHard,
  kNeverPower,
  // port 0xF4
  kOneByteOnly,
};

const FaultTable& pmtimer_table();
const FaultTable& post_table();
const FaultTable& port92_table();
const FaultTable& debugcon_table();
const FaultTable& exit_table();
const FaultTable& reset_table();

}  // namespace ringfence::vmm::platform

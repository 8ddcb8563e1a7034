#include "harness/vmm/devices/pit_faults.h"

#include "harness/vmm/devices/pit.h"

namespace ringfence::vmm {
namespace pit {
namespace {

constexpr std::string_view kByte = "b0 b1 b2 b3 b4 b5 b6 b7";

constexpr FaultRegister kRegisters[] = {
    {kControl, "control", "bcd m0 m1 m2 rw0 rw1 sc0 sc1", true, 0},
    {kStatus, "status", "bcd m0 m1 m2 rw0 rw1 null out", false, 0},
    {kLow, "lsb", kByte, false, 0},
    {kHigh, "msb", kByte, false, 0},
    {kPort61, "port61", "gate2 speaker b2 b3 refresh out2 =b6 =b7", true, 0x02},
};

constexpr FaultBehaviour kBehaviours[] = {
    {kCountIgnored, "count.write_ignored", "write_ignored", "counts written are ignored"},
    {kCountOffByOne, "count.off_by_one", "off_by_one", "the count is one more than written"},
    {kReadOffByOne, "read.off_by_one", "off_by_one", "the count reads one less than it is"},
    {kZeroIsOne, "count.zero.is_one", "off_by_one", "count 0 counts as 1"},
    {kZeroBcdOffByOne, "count.zero_bcd.off_by_one", "off_by_one", "in BCD count 0 is 9999"},
    {kBcdIgnored, "bcd.ignored", "dropped", "BCD counts in binary"},
    {kWrapStops, "wrap.stops", "dropped", "the counter stops at terminal count"},
    {kMode0OutHigh, "mode0.out.high", "reset_value", "mode 0 begins with its output high"},
    {kMode0FirstByteCounts, "mode0.first_byte.counts", "dropped",
     "in mode 0 the first byte of two does not stop the counter"},
    {kMode0RewriteNoLow, "mode0.rewrite.out_kept", "kept",
     "in mode 0 a new count does not make the output low"},
    {kMode0NoLoadTick, "mode0.off_by_one", "off_by_one", "mode 0 ends after N clocks, not N + 1"},
    {kMode1NoRetrigger, "mode1.retrigger.ignored", "edge", "mode 1 takes one trigger only"},
    {kMode1AtWrite, "mode1.at_write", "edge", "mode 1 starts without a trigger"},
    {kMode1GateFreezes, "mode1.gate.freezes", "edge", "in mode 1 a low gate stops the counter"},
    {kMode2NoPulse, "mode2.pulse.dropped", "dropped", "the output of mode 2 never goes low"},
    {kMode2LongPulse, "mode2.pulse.off_by_one", "off_by_one", "mode 2 is low for two clocks"},
    {kMode2OneShot, "mode2.one_shot", "dropped", "mode 2 does not reload"},
    {kMode2NewCountAtOnce, "mode2.new_count.at_once", "early",
     "modes 2 and 3 take a new count before the cycle ends"},
    {kMode3OddReversed, "mode3.odd.reversed", "reversed",
     "with an odd count low is the longer half"},
    {kMode3OddAsEven, "mode3.odd.as_even", "off_by_one", "an odd count loses its lowest bit"},
    {kMode3ByOne, "mode3.by_one", "off_by_one", "mode 3 reads as if it counted by one"},
    {kMode3AsMode2, "mode3.as_mode2", "dropped", "mode 3 makes pulses, not a square wave"},
    {kMode4NoStrobe, "mode4.strobe.dropped", "dropped", "mode 4 makes no strobe"},
    {kMode4Stays, "mode4.strobe.stays", "kept", "the strobe of modes 4 and 5 stays low"},
    {kMode4Repeats, "mode4.repeats", "extra", "mode 4 strobes again after each wrap"},
    {kMode5AtWrite, "mode5.at_write", "edge", "mode 5 starts without a trigger"},
    {kMode5GateFreezes, "mode5.gate.freezes", "edge", "in mode 5 a low gate stops the counter"},
    {kAlias6, "alias6.ignored", "dropped", "mode 6 is mode 4, not mode 2"},
    {kAlias7, "alias7.ignored", "dropped", "mode 7 is mode 5, not mode 3"},
    {kRwReversed, "rw.reversed", "reversed", "two-byte accesses begin with the high byte"},
    {kRwOneByteSwapped, "rw.one_byte.swapped", "reversed", "LSB only is MSB only and back"},
    {kRwOtherByteKept, "rw.other_byte.kept", "kept",
     "a one-byte count keeps the other byte of the last count"},
    {kLatchIgnored, "latch.ignored", "write_ignored", "the latch command does nothing"},
    {kLatchSecondTaken, "latch.second.taken", "overwritten", "a second latch replaces the first"},
    {kLatchSticky, "latch.sticky", "kept", "a latched count stays after it was read"},
    {kReadBackIgnored, "readback.ignored", "write_ignored", "read-back does nothing"},
    {kReadBackCountFirst, "readback.count_first", "priority", "the count comes before the status"},
    {kReadBackStatusIgnored, "readback.status.ignored", "dropped", "read-back gives no status"},
    {kReadBackCountIgnored, "readback.count.ignored", "dropped", "read-back latches no count"},
    {kReadBackSecondStatus, "readback.second_status.taken", "overwritten",
     "a second status replaces the first"},
    {kReadBackSelectIgnored, "readback.select.ignored", "dropped", "read-back is for all counters"},
    {kNullClearedAtWrite, "null.cleared_at_write", "early",
     "the null-count bit is clear before the count is loaded"},
    {kNullSetByFirstByte, "null.not_by_control", "dropped",
     "a control word does not set the null-count bit"},
    {kGateNoFreeze, "gate.freeze.ignored", "dropped", "a low gate does not stop the counter"},
    {kGateLowOutKept, "gate.low.out_kept", "kept",
     "in modes 2 and 3 a gate that goes low leaves the output low"},
    {kGateEdgeIgnored, "gate.edge.ignored", "dropped", "a rising gate does not reload"},
    {kPort61GateIgnored, "port61.gate.ignored", "dropped", "port 0x61 does not gate counter 2"},
    {kPort61OtherOutput, "port61.out.other", "dropped", "port 0x61 shows counter 0's output"},
    {kIrq0Dropped, "irq0.dropped", "dropped", "counter 0 raises no interrupt"},
    {kIrq0Inverted, "irq0.inverted", "reversed", "IRQ 0 is the output upside down"},
    {kClockFast, "clock.fast", "off_by_one", "the clock is 1.25 MHz"},
};

}  // namespace

const FaultTable& table() {
  static const FaultTable made("pit", kRegisters, kBehaviours);
  return made;
}

}  // namespace pit

std::span<const Fault> pit_faults() { return pit::table().faults(); }

}  // namespace ringfence::vmm

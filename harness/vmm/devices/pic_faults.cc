#include "harness/vmm/devices/pic_faults.h"

#include "harness/vmm/devices/pic.h"

namespace ringfence::vmm {
namespace pic {
namespace {

constexpr std::string_view kByte = "b0 b1 b2 b3 b4 b5 b6 b7";

constexpr FaultRegister kRegisters[] = {
    {kImr, "imr", kByte, true, 0xFF},  // its reset is ICW1
    {kIrr, "irr", kByte, false, 0},
    {kIsr, "isr", kByte, false, 0},
    {kElcr, "elcr", "=b0 b1 b2 b3 b4 b5 b6 b7", true, 0x08},
};

constexpr FaultBehaviour kBehaviours[] = {
    {kIcw1IsrKept, "icw1.isr.kept", "kept", "ICW1 in mid-service leaves ISR as it was"},
    {kIcw1SmmKept, "icw1.smm.kept", "kept", "ICW1 does not clear special mask mode"},
    {kIcw1PriorityKept, "icw1.priority.kept", "kept", "ICW1 does not make IR7 the lowest"},
    {kIcw1EdgeKept, "icw1.edge.kept", "kept", "ICW1 does not reset the edge sense circuit"},
    {kIcw1SelectKept, "icw1.select.kept", "kept", "ICW1 does not set status read to IRR"},
    {kIcw1IgnoredInSequence, "icw1.ignored_in_sequence", "dropped",
     "ICW1 within a sequence does not start over"},
    {kVectorOffByOne, "vector.off_by_one", "off_by_one", "the vector is one too high"},
    {kIcw2LowBitsKept, "icw2.low_bits.kept", "kept", "the low bits of ICW2 get into the vector"},
    {kIcw3Ignored, "icw3.ignored", "write_ignored", "the master answers for its slave"},
    {kSlaveIdIgnored, "icw3.slave_id.ignored", "write_ignored", "a slave answers to any id"},
    {kIcw4AlwaysExpected, "icw4.always_expected", "extra", "ICW4 is waited for without IC4"},
    {kIcw4NeverExpected, "icw4.never_expected", "dropped", "ICW4 is not waited for with IC4"},
    {kIcw4Kept, "icw4.kept", "kept", "a sequence without ICW4 keeps the old one"},
    {kAeoiIgnored, "icw4.aeoi.ignored", "dropped", "automatic EOI does nothing"},
    {kSfnmIgnored, "icw4.sfnm.ignored", "dropped", "special fully nested mode does nothing"},
    {kSfnmAlways, "icw4.sfnm.always", "extra", "special fully nested mode is always on"},
    {kModeIgnored, "icw4.mode.ignored", "dropped", "8086 mode also where MCS-80 mode is set"},
    {kSingleIgnored, "icw1.single.ignored", "dropped", "ICW3 is waited for in single mode"},
    {kPriorityReversed, "priority.reversed", "priority", "IR7 comes first"},
    {kCascadeLast, "priority.cascade_last", "priority", "the slave comes after IR3 to IR7"},
    {kRotateNonSpecificIgnored, "rotate.non_specific.ignored", "dropped",
     "rotate on non-specific EOI does not rotate"},
    {kRotateSpecificIgnored, "rotate.specific.ignored", "dropped",
     "rotate on specific EOI does not rotate"},
    {kRotateAeoiIgnored, "rotate.aeoi.ignored", "dropped", "rotate in automatic EOI does not"},
    {kSetPriorityIgnored, "rotate.set_priority.ignored", "dropped", "set priority does nothing"},
    {kRotateOffByOne, "rotate.off_by_one", "off_by_one", "rotation goes one level too far"},
    {kEoiNonSpecificIgnored, "eoi.non_specific.ignored", "dropped",
     "non-specific EOI does nothing"},
    {kEoiNonSpecificLowest, "eoi.non_specific.lowest", "priority",
     "non-specific EOI clears the lowest level in service"},
    {kEoiSpecificIgnored, "eoi.specific.ignored", "dropped", "specific EOI does nothing"},
    {kEoiSpecificOffByOne, "eoi.specific.off_by_one", "off_by_one",
     "specific EOI clears the next level"},
    {kEoiSpecificAsNonSpecific, "eoi.specific.as_non_specific", "dropped",
     "specific EOI clears the highest level"},
    {kNestingNone, "nesting.none", "dropped", "a level in service holds nothing back"},
    {kNestingSameLevel, "nesting.same_level", "dropped",
     "a level in service does not hold itself back"},
    {kSmmIgnored, "smm.ignored", "dropped", "special mask mode does nothing"},
    {kSmmNeverReset, "smm.reset.ignored", "dropped", "special mask mode cannot be reset"},
    {kSmmEoiClearsMasked, "smm.eoi.clears_masked", "cleared",
     "in special mask mode non-specific EOI clears a masked level"},
    {kPollIgnored, "poll.ignored", "dropped", "the poll command does nothing"},
    {kPollNoIsr, "poll.no_isr", "dropped", "a poll does not set ISR"},
    {kPollOffByOne, "poll.off_by_one", "off_by_one", "a poll names the next level"},
    {kPollSticky, "poll.sticky", "kept", "the second read after a poll command polls, too"},
    {kSelectIgnored, "ocw3.select.ignored", "write_ignored", "OCW3 does not select ISR"},
    {kSelectReversed, "ocw3.select.reversed", "reversed", "OCW3 selects IRR for ISR and back"},
    {kIrrKeptOnAck, "irr.ack.kept", "kept", "an acknowledge leaves an edge in IRR"},
    {kIrrKeptWhenLow, "irr.low.kept", "kept", "a request stays when its edge input goes low"},
    {kIrrHidesMasked, "irr.hides_masked", "dropped", "IRR does not show masked requests"},
    {kEdgeAsLevel, "edge.as_level", "edge", "edge inputs are level inputs"},
    {kElcrIgnored, "elcr.ignored", "edge", "ELCR is kept and has no effect"},
    {kLtimIgnored, "icw1.ltim.ignored", "edge", "LTIM has no effect"},
    {kSpuriousSetsIsr, "spurious.sets_isr", "extra", "a spurious interrupt sets ISR"},
    {kSpuriousWrongVector, "spurious.wrong_vector", "off_by_one", "a spurious interrupt is IR0"},
    {kSpuriousLost, "spurious.lost", "dropped", "INTR drops with a request that goes away"},
    {kSpurious15MasterClear, "spurious15.master_clear", "cleared",
     "a spurious IRQ 15 leaves the master's ISR clear"},
    {kImrIgnored, "imr.ignored", "dropped", "IMR masks nothing"},
    {kImrClearsIrr, "imr.clears_irr", "cleared", "masking forgets the request"},
    {kAckNoIsr, "ack.no_isr", "dropped", "an acknowledge does not set ISR"},
};

}  // namespace

const FaultTable& table() {
  static const FaultTable made("pic", kRegisters, kBehaviours);
  return made;
}

}  // namespace pic

std::span<const Fault> pic_faults() { return pic::table().faults(); }

}  // namespace ringfence::vmm

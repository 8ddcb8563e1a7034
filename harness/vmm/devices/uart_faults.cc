#include "harness/vmm/devices/uart_faults.h"

#include "harness/vmm/devices/uart.h"

namespace ringfence::vmm {
namespace uart {
namespace {

constexpr std::string_view kByte = "b0 b1 b2 b3 b4 b5 b6 b7";

constexpr FaultRegister kRegisters[] = {
    {kIer, "ier", "erbfi etbei elsi edssi =b4 =b5 =b6 =b7", true, 0x01},
    {kIir, "iir", "pending id0 id1 id2 =b4 =b5 fifo0 fifo1", false, 0},
    {kLcr, "lcr", "wls0 wls1 stb pen eps stick break dlab", true, 0x03},
    {kMcr, "mcr", "dtr rts out1 out2 loop =b5 =b6 =b7", true, 0x08},
    {kLsr, "lsr", "dr oe pe fe bi thre temt fifo_error", false, 0x02},
    {kMsr, "msr", "dcts ddsr teri ddcd cts dsr ri dcd", false, 0x01},
    {kScr, "scr", kByte, true, 0},
    {kDll, "dll", kByte, true, 0},
    {kDlm, "dlm", kByte, true, 0},
    {kRbr, "rbr", kByte, false, 0},
    {kThr, "thr", kByte, true, 0},
    {kFcr, "fcr", "enable receive_flush transmit_flush - - - trigger0 trigger1", true, 0},
};

constexpr FaultBehaviour kBehaviours[] = {
    {kDrKept, "lsr.dr.kept", "kept", "reading RBR takes no character"},
    {kOeKept, "lsr.oe.kept", "kept", "reading LSR does not clear OE"},
    {kPeKept, "lsr.pe.kept", "kept", "reading LSR does not clear PE"},
    {kFeKept, "lsr.fe.kept", "kept", "reading LSR does not clear FE"},
    {kBiKept, "lsr.bi.kept", "kept", "reading LSR does not clear BI"},
    {kTemtEarly, "lsr.temt.early", "early", "TEMT is set with THRE: no shift register"},
    {kThreLate, "lsr.thre.late", "late", "THRE is set only with TEMT"},
    {kPriorityReversed, "iir.priority.reversed", "priority", "modem > THRE > data > line status"},
    {kLineStatusLast, "iir.priority.line_status_last", "priority", "line status comes last"},
    {kThreOverData, "iir.priority.thre_over_data", "priority", "THRE comes before data"},
    {kModemOverThre, "iir.priority.modem_over_thre", "priority", "modem comes before THRE"},
    {kDataOrThre, "iir.data_thre.or", "combined", "data and THRE together read 0x06"},
    {kIirThreKept, "iir.thre.kept", "kept", "reading IIR does not clear THRE"},
    {kIirClearsUnseen, "iir.thre.cleared_unseen", "cleared",
     "reading IIR clears THRE also when it showed another source"},
    {kTimeoutDropped, "timeout.dropped", "dropped", "there is no character timeout"},
    {kTimeoutAsData, "timeout.as_data", "combined", "the character timeout reads 0x04"},
    {kTimeoutEarly, "timeout.off_by_one", "off_by_one", "three character times, not four"},
    {kTimeoutReadNoRestart, "timeout.read.no_restart", "dropped",
     "a read of the FIFO does not restart the timeout"},
    {kTimeoutReceiveNoRestart, "timeout.receive.no_restart", "dropped",
     "a received character does not restart the timeout"},
    {kFcrKeepsData, "fcr.enable.keeps_data", "kept", "changing FCR bit 0 does not flush the FIFOs"},
    {kFcrWithoutEnable, "fcr.without_enable", "cleared",
     "FCR bits are taken although bit 0 is not set"},
    {kTriggerOffByOne, "fcr.trigger.off_by_one", "off_by_one", "the trigger is one character late"},
    {kTriggerReversed, "fcr.trigger.reversed", "reversed", "trigger levels 14, 8, 4, 1"},
    {kDepthOffByOne, "fifo.depth.off_by_one", "off_by_one", "the receive FIFO has 15 places"},
    {kLcrTouchesFifo, "lcr.flushes_fifo", "cleared", "a write to LCR flushes the receive FIFO"},
    {kDlabReadIgnored, "dlab.read_ignored", "dropped", "DLAB does not overlay reads"},
    {kDlabWriteIgnored, "dlab.write_ignored", "dropped", "DLAB does not overlay writes"},
    {kIerNotAtOnce, "ier.not_at_once", "late",
     "IER written while THRE is set raises nothing until the next character"},
    {kOut2Ignored, "out2.ignored", "dropped", "OUT2 does not gate the line"},
    {kOut2Inverted, "out2.inverted", "reversed", "OUT2 gates the line the wrong way round"},
    {kLoopDataDropped, "loop.data.dropped", "dropped", "in loopback no character comes back"},
    {kLoopLeaks, "loop.data.leaks", "dropped", "in loopback characters go out, too"},
    {kLoopInputConnected, "loop.input.connected", "dropped",
     "in loopback the input is not cut off"},
    {kLoopRtsDtrCrossed, "loop.rts_dtr.crossed", "reversed", "RTS->DSR and DTR->CTS"},
    {kLoopOutCrossed, "loop.out.crossed", "reversed", "OUT1->DCD and OUT2->RI"},
    {kLoopIgnored, "loop.modem.dropped", "dropped", "in loopback MSR shows the modem inputs"},
    {kDctsKept, "msr.dcts.kept", "kept", "reading MSR does not clear DCTS"},
    {kDdsrKept, "msr.ddsr.kept", "kept", "reading MSR does not clear DDSR"},
    {kTeriKept, "msr.teri.kept", "kept", "reading MSR does not clear TERI"},
    {kDdcdKept, "msr.ddcd.kept", "kept", "reading MSR does not clear DDCD"},
    {kTeriBothEdges, "msr.teri.both_edges", "edge", "TERI is set by the leading edge of RI, too"},
    {kDeltaDropped, "msr.delta.dropped", "dropped", "a change of a modem input sets no delta bit"},
    {kOverrunOverwritesFifo, "overrun.overwrites_fifo", "overwritten",
     "a character past the full FIFO replaces the newest in it"},
    {kOverrunKeepsOld, "overrun.keeps_old", "kept",
     "without FIFOs an overrun keeps the old character"},
    {kCharacterBitsOffByOne, "character.bits.off_by_one", "off_by_one",
     "a character takes one bit more"},
    {kDivisorOffByOne, "divisor.off_by_one", "off_by_one",
     "the divisor is one more than programmed"},
    {kReceiveOrderReversed, "fifo.order.reversed", "reversed",
     "the newest character is read first"},
    {kErrorNotWithCharacter, "fifo.error.early", "early",
     "an error shows before its character is at the top of the FIFO"},
    {kWordLengthIgnored, "lcr.word_length.ignored", "dropped", "characters always have 8 bits"},
};

}  // namespace

const FaultTable& table() {
  static const FaultTable made("uart", kRegisters, kBehaviours);
  return made;
}

}  // namespace uart

std::span<const Fault> uart_faults() { return uart::table().faults(); }

}  // namespace ringfence::vmm

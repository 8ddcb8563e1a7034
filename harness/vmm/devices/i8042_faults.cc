#include "harness/vmm/devices/i8042_faults.h"

#include "harness/vmm/devices/i8042.h"

namespace ringfence::vmm {
namespace kbc {
namespace {

constexpr FaultRegister kRegisters[] = {
    {kStatus, "status", "obf ibf sys a2 +inhibit aux_obf =timeout =parity", false, 0},
    {kCommandByte, "command_byte", "irq1 irq12 sys =b3 keyboard_off aux_off translate =b7", true,
     0x10},
    {kOutputPort, "output_port", "- a20 b2 b3 obf aux_obf b6 b7", true, 0x04},
    {kDataOut, "data", "b0 b1 b2 b3 b4 b5 b6 b7", false, 0},
};

constexpr FaultBehaviour kBehaviours[] = {
    {kObfKept, "status.obf.kept", "kept", "reading port 0x60 does not clear OBF"},
    {kA2Inverted, "status.a2.inverted", "reversed", "A2 is set by data and cleared by commands"},
    {kAaWrong, "aa.wrong", "off_by_one", "the self-test answers 0x54"},
    {kAaNoSys, "aa.no_sys", "dropped", "the self-test does not set SYS"},
    {kAbWrong, "ab.wrong", "off_by_one", "the keyboard interface test answers 0x01"},
    {kA9Wrong, "a9.wrong", "off_by_one", "the mouse interface test answers 0x01"},
    {kAdIgnored, "ad.ignored", "write_ignored", "0xAD does not turn the keyboard off"},
    {kAeIgnored, "ae.ignored", "write_ignored", "0xAE does not turn the keyboard on"},
    {kA7Ignored, "a7.ignored", "write_ignored", "0xA7 does not turn the mouse off"},
    {kA8Ignored, "a8.ignored", "write_ignored", "0xA8 does not turn the mouse on"},
    {k20Ignored, "20.ignored", "dropped", "0x20 gives no answer"},
    {kD0Ignored, "d0.ignored", "dropped", "0xD0 gives no answer"},
    {kD1A20Ignored, "d1.a20.ignored", "write_ignored", "0xD1 does not move A20"},
    {kD1ResetIgnored, "d1.reset.ignored", "write_ignored", "0xD1 with bit 0 clear resets nothing"},
    {kD2Ignored, "d2.ignored", "dropped", "0xD2 gives nothing"},
    {kD2AsAux, "d2.as_aux", "reversed", "0xD2 gives its byte as the mouse's"},
    {kD3Ignored, "d3.ignored", "dropped", "0xD3 gives nothing"},
    {kD3AsKeyboard, "d3.as_keyboard", "reversed", "0xD3 gives its byte as the keyboard's"},
    {kD4Ignored, "d4.ignored", "dropped", "0xD4 sends nothing to the mouse"},
    {kD4ToKeyboard, "d4.to_keyboard", "reversed", "0xD4 sends to the keyboard"},
    {kFeIgnored, "fe.ignored", "dropped", "0xFE does not reset"},
    {kFfResets, "ff.resets", "extra", "0xFF, which pulses nothing, resets"},
    {kIrq1Dropped, "irq1.dropped", "dropped", "there is no IRQ 1"},
    {kIrq1EnableIgnored, "irq1.enable.ignored", "dropped",
     "IRQ 1 comes although it is not enabled"},
    {kIrq12Dropped, "irq12.dropped", "dropped", "there is no IRQ 12"},
    {kIrq12EnableIgnored, "irq12.enable.ignored", "dropped",
     "IRQ 12 comes although it is not enabled"},
    {kIrqKept, "irq.kept", "kept", "reading port 0x60 leaves the interrupt lines high"},
    {kTranslateIgnored, "translate.ignored", "dropped", "scan codes are never translated"},
    {kTranslateBreak, "translate.break.dropped", "dropped", "a break code becomes a make code"},
    {kAckDropped, "keyboard.ack.dropped", "dropped", "the keyboard does not answer 0xFA"},
    {kEchoAcked, "keyboard.echo.acked", "extra", "0xEE is answered 0xFA"},
    {kIdReversed, "keyboard.id.reversed", "reversed", "the keyboard's id is 0x83 0xAB"},
    {kResetNoBat, "keyboard.reset.no_bat", "dropped", "after 0xFF no 0xAA comes"},
    {kResendWrong, "keyboard.resend.dropped", "dropped", "0xFE sends nothing again"},
    {kScanningStays, "keyboard.disable.ignored", "write_ignored",
     "0xF5 does not stop the scanning"},
    {kScanSetIgnored, "keyboard.scan_set.ignored", "write_ignored",
     "0xF0 does not set the scan set"},
    {kOrderReversed, "keyboard.order.reversed", "reversed", "the newest scan code comes first"},
    {kBufferOffByOne, "keyboard.buffer.off_by_one", "off_by_one", "its buffer has 15 places"},
    {kDisabledSends, "keyboard.off.sends", "dropped", "a keyboard that is turned off sends"},
    {kAuxDisabledSends, "aux.off.sends", "dropped", "a mouse that is turned off sends"},
    {kUnknownAcked, "keyboard.unknown.acked", "extra", "an unknown command is answered 0xFA"},
    {kMouseIdWrong, "aux.id.wrong", "off_by_one", "the mouse's id is 3"},
    {kWriteKeepsDisabled, "keyboard.off.kept", "kept",
     "a byte for a keyboard that is off does not turn it on"},
    {kRamIgnored, "ram.write_ignored", "write_ignored", "0x61 to 0x7F keep nothing"},
};

}  // namespace

const FaultTable& table() {
  static const FaultTable made("i8042", kRegisters, kBehaviours);
  return made;
}

}  // namespace kbc

std::span<const Fault> i8042_faults() { return kbc::table().faults(); }

}  // namespace ringfence::vmm

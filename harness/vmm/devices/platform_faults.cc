#include "harness/vmm/devices/platform_faults.h"

#include "harness/vmm/devices/platform.h"

namespace ringfence::vmm {
namespace platform {
namespace {

constexpr std::string_view kByte = "b0 b1 b2 b3 b4 b5 b6 b7";
constexpr std::string_view kZeros = "=b0 =b1 =b2 =b3 =b4 =b5 =b6 =b7";

constexpr FaultRegister kPmTimerRegisters[] = {{kByte0, "byte0", kByte, false, 0},
                                               {kByte1, "byte1", kByte, false, 0},
                                               {kByte2, "byte2", kByte, false, 0},
                                               {kByte3, "byte3", kZeros, false, 0}};
constexpr FaultBehaviour kPmTimer[] = {
    {kStopped, "count.stopped", "dropped", "the timer stands still"},
    {kOffByOne, "count.off_by_one", "off_by_one", "the timer reads one too much"},
    {kSlow, "count.slow", "off_by_one", "the clock is 3.5 MHz"},
    {kNoWrap, "count.no_wrap", "dropped", "a timer of 24 bits has 32"},
    {kRestartsOnRead, "count.restarts", "cleared", "a read sets the timer to 0"},
    {kNarrowReads, "width.one", "extra", "a read of one byte is answered"},
};
constexpr FaultRegister kPostRegisters[] = {{kByte0, "code", kByte, true, 0x01}};
constexpr FaultBehaviour kPost[] = {{kReadsZero, "code.reads_zero", "dropped", "it reads 0"}};
constexpr FaultRegister kPort92Registers[] = {
    {kByte0, "control", "reset a20 =b2 b3 =b4 =b5 b6 b7", true, 0x02}};
constexpr FaultBehaviour kPort92[] = {
    {kA20Ignored, "a20.ignored", "write_ignored", "bit 1 does not move A20"},
    {kA20Inverted, "a20.inverted", "reversed", "bit 1 closes A20"},
    {kResetIgnored, "reset.ignored", "write_ignored", "bit 0 does not reset"},
    {kResetByLevel, "reset.by_level", "edge", "each write of bit 0 resets"},
    {kResetOnFall, "reset.on_fall", "edge", "bit 0 going to 0 resets"},
};
constexpr FaultRegister kDebugconRegisters[] = {
    {kByte0, "read", "+b0 =b1 =b2 +b3 =b4 +b5 +b6 +b7", false, 0}, {kByte1, "out", kByte, true, 0}};
constexpr FaultBehaviour kDebugcon[] = {
    {kReadsZero, "read.zero", "dropped", "it reads 0"},
    {kDoubled, "out.doubled", "extra", "every byte goes out twice"},
    {kEchoes, "read.echo", "kept", "it reads the last byte written"},
};
constexpr FaultRegister kExitRegisters[] = {{kByte0, "code", kByte, false, 0}};
constexpr FaultBehaviour kExit[] = {
    {kDropped, "dropped", "write_ignored", "the machine does not end"},
    {kOneByteOnly, "code.one_byte", "dropped", "only the lowest byte of the code is taken"},
};
constexpr FaultRegister kResetRegisters[] = {
    {kByte0, "control", "=b0 hard reset full =b4 =b5 =b6 =b7", true, 0x02}};
constexpr FaultBehaviour kReset[] = {
    {kResetIgnored, "reset.ignored", "write_ignored", "bit 2 does not reset"},
    {kResetByLevel, "reset.by_level", "edge", "each write of bit 2 resets"},
    {kResetOnFall, "reset.on_fall", "edge", "bit 2 going to 0 resets"},
    {kAlwaysHard, "kind.always_hard", "dropped", "a reset of the CPU alone is a hard one"},
    {kNeverHard, "kind.never_hard", "dropped", "a hard reset is one of the CPU alone"},
    {kNeverPower, "kind.never_power", "dropped", "a power cycle is a hard reset"},
};

}  // namespace

const FaultTable& pmtimer_table() {
  static const FaultTable made("pmtimer", kPmTimerRegisters, kPmTimer);
  return made;
}
const FaultTable& post_table() {
  static const FaultTable made("post", kPostRegisters, kPost);
  return made;
}
const FaultTable& port92_table() {
  static const FaultTable made("port92", kPort92Registers, kPort92);
  return made;
}
const FaultTable& debugcon_table() {
  static const FaultTable made("debugcon", kDebugconRegisters, kDebugcon);
  return made;
}
const FaultTable& exit_table() {
  static const FaultTable made("exit", kExitRegisters, kExit);
  return made;
}
const FaultTable& reset_table() {
  static const FaultTable made("reset", kResetRegisters, kReset);
  return made;
}

}  // namespace platform

std::span<const Fault> pmtimer_faults() { return platform::pmtimer_table().faults(); }
std::span<const Fault> post_faults() { return platform::post_table().faults(); }
std::span<const Fault> port92_faults() { return platform::port92_table().faults(); }
std::span<const Fault> debugcon_faults() { return platform::debugcon_table().faults(); }
std::span<const Fault> exit_faults() { return platform::exit_table().faults(); }
std::span<const Fault> reset_faults() { return platform::reset_table().faults(); }

}  // namespace ringfence::vmm

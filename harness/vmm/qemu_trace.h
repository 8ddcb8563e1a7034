#pragma once
// A transcript out of what QEMU writes with -trace 'memory_region_ops_*' and its "log" trace
// backend:
//
//   memory_region_ops_read cpu 0 mr 0x55557d22a080 addr 0x3fd value 0x60 size 1 name 'serial'
//
// Source: QEMU 7.2, softmmu/trace-events. What is below 0x10000 is a port: there is no MMIO there.
// Times are 0, interrupts are not told, and each element of a string access is a line. Messages of
// the I/O APIC to the local APIC, which are writes to memory there, are left out.
#include <string_view>
#include <vector>

#include "harness/vmm/transcript.h"

namespace ringfence::vmm {

// Lines of other events, with or without a time in front, are left out. Usage error, with the
// line's number, for one of these events that has another form.
Result<std::vector<Entry>> parse_qemu_trace(std::string_view text, const std::string& file);

}  // namespace ringfence::vmm

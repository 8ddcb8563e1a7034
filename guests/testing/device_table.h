#pragma once
// suites/data/devices.json: the clauses that the device guests assert, and the seeded faults that
// each turns red.
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence::vmm {

struct DeviceClause {
  std::string id;
  std::string guest;
  std::vector<std::string> needs;  // "clock:real", "cpuid:tsc_khz", "input:keys"
  std::vector<uint8_t> keys;       // typed before the guest begins
  std::vector<std::string> kills;  // faults with which the guest reports "- id"
};
// A fault that no clause reports, because the run does not end as it has to.
struct EndFault {
  std::string fault;
  std::string guest;
};
struct Survivor {
  std::string fault;
  std::string reason;
};
struct DeviceTable {
  std::vector<DeviceClause> clauses;
  std::vector<EndFault> by_the_end;
  std::vector<Survivor> survivors;
};

// Usage errors name the JSON pointer: a missing or unknown member, an id twice, a survivor without
// a reason, a survivor that is killed.
Result<DeviceTable> read_device_table(const std::string& path);
// Puts the table's kills, by_the_end and survivors into the file; the rest of it stays.
Status update_device_table(const std::string& path, const DeviceTable& table);

}  // namespace ringfence::vmm

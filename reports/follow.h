#pragma once
// Waits for one case of a run that is still going, on the result file that it writes.
//
// Wakes up by inotify(7), not by the clock. The file may not be there yet. Whether anybody still
// writes it is asked by a lease (F_SETLEASE, fcntl(2)), where the caller may take one.
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/judge/result.h"

namespace ringfence {

// What the file holds once the case is in it. A usage error when the run ends, in order or not,
// without it. SIGIO must be ignored by the caller: it is the default end of who holds a lease.
Result<std::vector<RunResult>> follow_case(const std::string& path, const std::string& id);

}  // namespace ringfence

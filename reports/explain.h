#pragma once
// explain: the evidence behind one verdict, for people.
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "reports/style.h"

namespace ringfence {

struct FoundCase {
  const RunResult* run = nullptr;
  const CaseRecord* record = nullptr;
};

// The cases with exactly this id, one for each run of the file that has it. A usage error with the
// nearest id when there is none.
Result<std::vector<FoundCase>> find_case(const std::vector<RunResult>& results,
                                         const std::string& id);
// The claim, the verdict, the trials with their timelines, the witnesses and the reason. Ends in a
// newline.
std::string render_explain(const HeaderRecord& header, const CaseRecord& record,
                           const Style& style);

}  // namespace ringfence
